//! [`Store`]: the folders of an open store, its locks, and how documents are read and replaced.
//!
//! Every function here blocks and is called from a blocking task. The order that makes a change safe is in
//! [`Store::publish`].

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use storage_core::{Error, ErrorKind, ObjectKey, Result, Retry, WriteCondition};
use tokio::sync::Semaphore;

use crate::blocking;
use crate::config::Config;
use crate::document::{Document, Draft, Version};
use crate::error::{corrupted, fault, io_fault, read_only};
use crate::folder::{Folder, Lock, wait_for_lock};
use crate::path::{Names, Place};
use crate::staging::{Staged, Staging};

/// How often a save makes its directories anew because somebody else removed them as empty.
const DIRECTORY_ATTEMPTS: u32 = 100;

/// So many operations use the disk at once. More would wait for one another all the same, and each holds a few
/// open files: thousands of calls must not use up the process's.
const OPERATIONS_AT_ONCE: usize = 64;

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    gate: Arc<Semaphore>,
    pub(crate) config: Config,
    pub(crate) names: Names,
    pub(crate) root: Folder,
    pub(crate) objects: Folder,
    pub(crate) uploads: Folder,
    pub(crate) locks: Folder,
    /// Absent where the file system is read-only.
    pub(crate) staging: Option<Arc<Staging>>,
}

/// Excludes every other writer of a key, in this process and in others, until it is dropped.
#[derive(Debug)]
pub(crate) struct KeyLock {
    _file: OwnedFd,
}

/// The folders of a store.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) root: Folder,
    pub(crate) objects: Folder,
    pub(crate) uploads: Folder,
    pub(crate) locks: Folder,
}

impl Store {
    /// A store that can only be read, until it gets a staging folder.
    pub(crate) fn new(config: Config, names: Names, folders: Folders) -> Self {
        let Folders { root, objects, uploads, locks } = folders;
        let gate = blocking::gate(OPERATIONS_AT_ONCE);
        Self { gate, config, names, root, objects, uploads, locks, staging: None }
    }

    /// What bounds the operations that run at once.
    pub(crate) fn gate(&self) -> Arc<Semaphore> {
        Arc::clone(&self.gate)
    }

    /// Whether versions are kept.
    pub(crate) fn is_versioned(&self) -> bool {
        self.config.retention.is_some()
    }

    /// Where files are written.
    ///
    /// # Errors
    ///
    /// `ReadOnly` where the store was opened on a file system that is.
    pub(crate) fn staging(&self) -> Result<&Arc<Staging>> {
        self.staging.as_ref().ok_or_else(read_only)
    }

    /// Waits until nobody else writes this key. A few keys share a lock: never hold two.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn lock(&self, key: &ObjectKey) -> Result<KeyLock> {
        let failed = fault("lock the object");
        let stripe = crc_fast::crc32_iscsi(key.as_str().as_bytes()) & 0xFFF;
        let file = self.locks.open_lock(&format!("{stripe:03x}"), self.config.file_mode).map_err(&failed)?;
        wait_for_lock(&file, Lock::Exclusive).map_err(&failed)?;
        Ok(KeyLock { _file: file })
    }

    /// Reads an object's document; none where there is no such object.
    ///
    /// # Errors
    ///
    /// `Corrupted` for a document that is damaged or another object's; `Unavailable` where the store is gone.
    pub(crate) fn load(&self, key: &ObjectKey, place: &Place) -> Result<Option<Document>> {
        let path = place.path(&place.document());
        let file = match self.objects.open_file(&path) {
            Ok(file) => file,
            // A folder of the path may be a file of somebody else; the object is not there all the same.
            Err(Errno::NOENT | Errno::NOTDIR) => return self.check_present().map(|()| None),
            Err(errno) => return Err(fault("open the object's document")(errno)),
        };
        let text = read_document(&file).map_err(fault("read the object's document"))?;
        Self::parse(key, &path, &text).map(Some)
    }

    /// Reads the text of an object's document.
    ///
    /// # Errors
    ///
    /// `Corrupted` where it is damaged or another object's.
    pub(crate) fn parse(key: &ObjectKey, path: &str, text: &[u8]) -> Result<Document> {
        let document = Document::parse(text).map_err(|error| error.with_context("file", path))?;
        if document.key != key.as_str() {
            return Err(corrupted("an object's document is another object's")
                .with_context("file", path)
                .with_context("found_key", document.key.escape_debug()));
        }
        Ok(document)
    }

    /// Tells a store without the object from one that is not there any more.
    ///
    /// # Errors
    ///
    /// `Unavailable` where the store was removed.
    pub(crate) fn check_present(&self) -> Result<()> {
        if self.objects.is_removed().map_err(fault("look at the store"))? {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the store's folder was removed while it was open",
            )
            .with_context("path", self.config.path.display()));
        }
        Ok(())
    }

    /// Makes content the newest version of an object, under the key's lock.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` or `PreconditionFailed`, as the condition has it; those of [`Store::publish`].
    pub(crate) fn add_version(
        &self,
        key: &ObjectKey,
        condition: &WriteCondition,
        content: Staged,
        draft: Draft,
        before_publishing: impl FnOnce() -> Result<()>,
    ) -> Result<Version> {
        let place = self.names.place(key);
        let _lock = self.lock(key)?;
        let document = self.load(key, &place)?;
        check_condition(condition, document.as_ref())?;
        let mut document = document.unwrap_or_else(|| Document::new(key));
        let version = draft.into_version(document.newest_moment());
        document.versions.insert(0, version.clone());
        let expired = document.take_expired(self.config.retention, Timestamp::now());
        before_publishing()?;
        self.publish(&place, &document, Some(content))?;
        self.remove_contents(&place, &expired);
        Ok(version)
    }

    /// Replaces an object's document, and with it what every reader sees, under the key's lock.
    /// `content` is that of the newest version, where it is new.
    ///
    /// The order is what makes it safe: the content and the document are on the disk before either has its
    /// name, the content has its name before the document that tells of it has, and what the new document
    /// tells no more is removed only when the directory is on the disk too.
    ///
    /// # Errors
    ///
    /// Those of the file system. Where even the last step failed the new state may be visible; the error says so.
    pub(crate) fn publish(&self, place: &Place, document: &Document, content: Option<Staged>) -> Result<()> {
        let mut staged = self.staging()?.create("json")?;
        staged.file().write_all(&document.to_json()?).map_err(io_fault("write the object's document"))?;
        self.sync(&staged)?;
        let mut content =
            content.zip(document.versions.first().map(|version| place.content(&version.version)));
        for _ in 0..DIRECTORY_ATTEMPTS {
            match self.publish_into(place, &mut staged, &mut content) {
                Ok(directories) => return self.sync_directories(&directories),
                // A directory was empty and somebody removed it before the file was in it.
                Err(Errno::NOENT) => self.check_present()?,
                Err(errno) => return Err(fault("put the object in its place")(errno)),
            }
        }
        Err(Error::new(ErrorKind::Conflict, "the object's folder was removed again and again")
            .with_retry(Retry::May))
    }

    fn publish_into(
        &self,
        place: &Place,
        staged: &mut Staged,
        content: &mut Option<(Staged, String)>,
    ) -> rustix::io::Result<Vec<OwnedFd>> {
        let (directory, mut changed) =
            self.objects.make_directories(&place.directory, self.config.directory_mode)?;
        if let Some((content, name)) = content {
            content.publish(&directory, name)?;
        }
        if let Err(errno) = staged.publish(&directory, &place.document()) {
            // Without a document the content belongs to nothing.
            if let Some((_, name)) = content {
                rustix::fs::unlinkat(&directory, name.as_str(), AtFlags::empty())?;
            }
            // It would be gone at another attempt.
            return Err(if errno == Errno::NOENT { Errno::IO } else { errno });
        }
        changed.insert(0, directory);
        Ok(changed)
    }

    /// Replaces an object's document after versions were taken out of it, or removes the object where none is
    /// left, and then their contents. Under the key's lock.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn shrink(&self, place: &Place, document: &Document, removed: &[Version]) -> Result<()> {
        if document.versions.is_empty() {
            return self.remove_object(place, removed);
        }
        self.publish(place, document, None)?;
        self.remove_contents(place, removed);
        Ok(())
    }

    /// Removes an object with all its versions, under the key's lock.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn remove_object(&self, place: &Place, versions: &[Version]) -> Result<()> {
        // Removing needs no room on the disk, but a read-only store shall say what it is.
        self.staging()?;
        let failed = fault("remove the object");
        let directory = self.objects.open_directory(&place.directory).map_err(&failed)?;
        rustix::fs::unlinkat(&directory, place.document(), AtFlags::empty()).map_err(&failed)?;
        self.sync_directories(&[directory])?;
        self.remove_contents(place, versions);
        if let Err(errno) = self.objects.remove_empty_directories(&place.directory) {
            tracing::warn!(directory = place.directory, error = %errno, "could not remove an empty folder");
        }
        Ok(())
    }

    /// Removes the contents of versions that no document tells of any more. What resists takes room but
    /// is never seen; `prune` tries again.
    pub(crate) fn remove_contents(&self, place: &Place, versions: &[Version]) {
        for version in versions.iter().filter(|version| !version.deleted) {
            let path = place.path(&place.content(&version.version));
            if let Err(errno) = self.objects.remove_file(&path) {
                tracing::warn!(path, error = %errno, "could not remove the content of an old version");
            }
        }
    }

    /// Waits until the disk has a file, where the configuration asks for it.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn sync(&self, file: &Staged) -> Result<()> {
        if self.config.fsync { file.sync() } else { Ok(()) }
    }

    /// Waits until the disk has the names in directories, where the configuration asks for it.
    ///
    /// # Errors
    ///
    /// Those of the file system. They are not retried, since the change is already seen.
    pub(crate) fn sync_directories(&self, directories: &[OwnedFd]) -> Result<()> {
        if self.config.fsync {
            for directory in directories {
                rustix::fs::fsync(directory).map_err(|errno| {
                    fault("bring the change to the disk")(errno)
                        .with_retry(Retry::Never)
                        .with_context("state", "the change is visible, but a power failure may undo it")
                })?;
            }
        }
        Ok(())
    }
}

/// Reads a file to its end; most documents in one go.
fn read_document(file: &File) -> rustix::io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(4096);
    loop {
        let room = text.capacity() - text.len();
        let offset = text.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut text), offset) {
            // A file gives less than was asked for at its end only.
            Ok(read) if read < room => return Ok(text),
            Ok(_) => text.reserve(text.len()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Decides the condition of a write for what is there.
///
/// # Errors
///
/// `AlreadyExists` or `PreconditionFailed`.
pub(crate) fn check_condition(condition: &WriteCondition, document: Option<&Document>) -> Result<()> {
    let current = document.and_then(Document::current);
    match condition {
        WriteCondition::Always => Ok(()),
        WriteCondition::IfAbsent => match current {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::AlreadyExists, "the object exists")),
        },
        WriteCondition::IfMatch(expected) => match current {
            Some(version) if version.etag() == *expected => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::PreconditionFailed, "the object has another tag")),
            None => Err(Error::new(ErrorKind::PreconditionFailed, "the object does not exist")),
        },
    }
}
