//! `plugins.lock`: which libraries of a plugin directory are the ones that were installed.
//!
//! The file is optional and lies in the directory that it speaks of, so that it travels with it. Where it is, a
//! library that it does not list, or lists with another digest, is not loaded. [`write_locks`] makes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use storage_core::{Error, ErrorKind, Result};

use super::diagnosis::{Code, Diagnosis};
use super::discovery::{Candidate, Locks, Verdict, search};
use super::trust;

/// The name of the file.
const FILE: &str = "plugins.lock";

/// The version of its form.
const VERSION: u32 = 1;

const HEADER: &str =
    "# Written by `storage plugins lock`: only these libraries are loaded from this directory.\n\n";

/// The content of the file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<LockedPlugin>,
}

/// One library that may be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPlugin {
    /// The name of the file in the directory.
    pub file: String,
    /// The backend type that it registers.
    #[serde(rename = "type")]
    pub backend_type: String,
    /// The version of the plugin.
    pub version: String,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// A lock that was written.
#[derive(Clone, Debug)]
pub struct WrittenLock {
    /// The file.
    pub path: PathBuf,
    /// What it lists.
    pub plugins: Vec<LockedPlugin>,
}

/// What a lock says, by the name of the library's file.
pub(super) struct Lock {
    path: PathBuf,
    plugins: BTreeMap<String, LockedPlugin>,
}

impl Lock {
    /// The lock of a directory, where there is one.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, Diagnosis> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(invalid(&path, &format!("it cannot be read: {error}"))),
        };
        if trust::others_may_write(&path).unwrap_or(false) {
            return Err(invalid(&path, "others than its owner may write it"));
        }
        let document: Document =
            toml::from_str(&text).map_err(|error| invalid(&path, error.to_string().trim()))?;
        if document.version != VERSION {
            let reason = format!("it has the version {}, and this host knows {VERSION}", document.version);
            return Err(invalid(&path, &reason));
        }
        let plugins = document.plugins.into_iter().map(|plugin| (plugin.file.clone(), plugin)).collect();
        Ok(Some(Self { path, plugins }))
    }

    /// Refuses a library that is not the one that was locked.
    pub(super) fn check(&self, library: &Path) -> Result<(), Diagnosis> {
        let (lock, file) = (self.path.display(), library.display());
        let Some(locked) = file_name(library).and_then(|name| self.plugins.get(name)) else {
            let cause = format!("{file} is not listed in {lock}");
            let next_step = "remove the library or, if you installed it, run `storage plugins lock`";
            return Err(Diagnosis::new(Code::NotLocked, cause, next_step).at(library));
        };
        let digest = sha256_of(library).map_err(|error| unreadable(library, &error))?;
        if digest.eq_ignore_ascii_case(&locked.sha256) {
            return Ok(());
        }
        let cause = format!("{file} is not the library that {lock} lists: its SHA-256 differs");
        let next_step =
            "put the library back that was locked or, if you replaced it, run `storage plugins lock`";
        let differs = Diagnosis::new(Code::ChecksumDiffers, cause, next_step).at(library);
        Err(differs.with_fact("expected_sha256", &locked.sha256).with_fact("found_sha256", digest))
    }
}

/// Writes a lock into each directory that has usable libraries, or a lock already. What is locked now does not
/// count: whoever calls this vouches for the libraries that are there.
///
/// # Errors
///
/// Where a library cannot be read, or a lock cannot be written.
pub fn write_locks(directories: &[PathBuf]) -> Result<Vec<WrittenLock>> {
    let (searched, candidates) = search(directories, Locks::Ignored);
    let mut written = Vec::new();
    for directory in searched.iter().filter(|directory| directory.fault.is_none()) {
        let here = candidates.iter().filter(|found| found.path.parent() == Some(&directory.path));
        let plugins = here.filter_map(|found| locked(found).transpose()).collect::<Result<Vec<_>>>()?;
        let path = directory.path.join(FILE);
        if plugins.is_empty() && !path.exists() {
            continue;
        }
        let document = Document { version: VERSION, plugins };
        let text = toml::to_string(&document).map_err(|error| {
            Error::new(ErrorKind::Internal, "the lock cannot be put into words").with_source(error)
        })?;
        replace(&path, &format!("{HEADER}{text}")).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
                io::ErrorKind::StorageFull => ErrorKind::NoSpace,
                _ => ErrorKind::Internal,
            };
            Error::new(kind, "the lock cannot be written")
                .with_context("path", path.display())
                .with_source(error)
        })?;
        written.push(WrittenLock { path, plugins: document.plugins });
    }
    Ok(written)
}

/// What a lock says of a library; nothing of one that cannot be used.
fn locked(candidate: &Candidate) -> Result<Option<LockedPlugin>> {
    let (Some(manifest), Some(name)) = (&candidate.manifest, file_name(&candidate.path)) else {
        return Ok(None);
    };
    if matches!(candidate.verdict, Verdict::Refused(_)) {
        return Ok(None);
    }
    let sha256 = sha256_of(&candidate.path).map_err(|error| unreadable(&candidate.path, &error))?;
    Ok(Some(LockedPlugin {
        file: name.to_owned(),
        backend_type: manifest.backend_type.clone(),
        version: manifest.plugin_version.clone(),
        sha256,
    }))
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
///
/// Where the file cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex::encode(digest.finalize())),
            length => digest.update(&chunk[..length]),
        }
    }
}

/// Replaces a file so that a reader sees the old text or the new.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_file_name(format!(".{FILE}.{}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        restrict(&file)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // The error that is told is the one of writing.
        let _ = fs::remove_file(&temporary);
    })
}

/// A generous umask would make the lock writable by others, and then it would not count.
#[cfg(unix)]
fn restrict(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn restrict(_file: &File) -> io::Result<()> {
    Ok(())
}

fn file_name(library: &Path) -> Option<&str> {
    library.file_name()?.to_str()
}

fn invalid(path: &Path, reason: &str) -> Diagnosis {
    let cause = format!("{} cannot be relied on: {reason}", path.display());
    let next_step =
        "make sure that the libraries beside it are yours, then write it anew: storage plugins lock";
    Diagnosis::new(Code::LockInvalid, cause, next_step).at(path)
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnosis {
    let cause = format!("{} cannot be read: {error}", path.display());
    Diagnosis::new(Code::Unreadable, cause, "let the user of this service read the file").at(path)
}
