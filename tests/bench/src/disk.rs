//! What the local disk's backend does, written down with `std::fs` and nothing else: the same steps, in the same
//! order, with the same promises. It is what the backend is measured against.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// How many locks the writers share, as in the backend.
const LOCKS: u64 = 4096;

/// A folder that is written with `std::fs`.
#[derive(Debug)]
pub(crate) struct PlainStore {
    objects: PathBuf,
    staging: PathBuf,
    locks: PathBuf,
    document: Vec<u8>,
}

impl PlainStore {
    /// Makes its folders below this one.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let folder = |name: &str| {
            let path = root.join(name);
            fs::create_dir_all(&path).map(|()| path)
        };
        // As long as what the backend writes of an object with no metadata.
        let document = vec![b' '; 280];
        Ok(Self {
            objects: folder("objects")?,
            staging: folder("staging")?,
            locks: folder("locks")?,
            document,
        })
    }

    /// Writes an object durably: content and description are on the disk before they get their names, and the names
    /// before it answers.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn put(&self, key: &str, number: u64, content: &[u8]) -> Result<()> {
        let staged_content = self.stage(&format!("{number:x}.content"), content)?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.locks.join(format!("{:03x}", number % LOCKS)))?;
        lock.lock()?;
        let target = self.objects.join(key);
        let document = document_of(&target);
        match File::open(&document) {
            Ok(mut file) => drop(file.read_to_end(&mut Vec::new())?),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let staged_document = self.stage(&format!("{number:x}.json"), &self.document)?;
        let folder = target.parent().unwrap_or(&self.objects);
        let folder = match File::open(folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(folder)?;
                File::open(folder)?
            }
            Err(error) => return Err(error.into()),
        };
        fs::rename(staged_content, &target)?;
        fs::rename(staged_document, &document)?;
        folder.sync_all()?;
        Ok(())
    }

    /// Reads an object: what is known of it, and its content.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn get(&self, key: &str) -> Result<Vec<u8>> {
        let target = self.objects.join(key);
        let mut file = File::open(document_of(&target))?;
        let mut document = Vec::with_capacity(self.document.len() + 1);
        file.read_to_end(&mut document)?;
        let mut file = File::open(&target)?;
        let size = usize::try_from(file.metadata()?.len())?;
        let mut content = Vec::with_capacity(size + 1);
        file.read_to_end(&mut content)?;
        ensure!(content.len() == size, "the file has changed");
        Ok(content)
    }

    fn stage(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.staging.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(content)?;
        file.sync_data()?;
        Ok(path)
    }
}

fn document_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push("~.json");
    name.into()
}
