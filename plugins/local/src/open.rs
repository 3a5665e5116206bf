//! Opens a store: makes its folders, learns what its file system is like, and cleans up after the dead.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use storage_core::{Error, ErrorKind, ObjectKey, Result};

use crate::config::Config;
use crate::document::{Document, Version, to_json};
use crate::error::{fault, io_fault};
use crate::folder::{Folder, Lock, wait_for_lock};
use crate::path::Names;
use crate::staging::Staging;
use crate::store::{Folders, Store};

/// The form of the stores that this version makes.
const FORMAT: u32 = 1;

/// The file that says what form a store has.
const RECORD: &str = "store.json";

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    names: RecordedNames,
}

/// See [`Names`].
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordedNames {
    Exact,
    Folded,
}

/// Opens the store that the configuration describes.
///
/// # Errors
///
/// `ConfigInvalid` where the folder does not exist and is not to be created, or is none; `PermissionDenied`;
/// `ReadOnly` for an empty store on a file system that is; `Corrupted` for a store of a newer version.
pub(crate) fn open(config: Config) -> Result<Store> {
    let root = Folder::new(open_root(&config)?);
    let path = config.path.clone();
    // Whoever reads of a missing permission must know where it is missing.
    open_below(root, config).map_err(|error| error.with_context("path", path.display()))
}

fn open_below(root: Folder, config: Config) -> Result<Store> {
    let child = |name: &'static str| {
        root.child(name, config.directory_mode)
            .map_err(|errno| fault("open the store's folders")(errno).with_context("folder", name))
    };
    let (objects, uploads, locks, staging) =
        (child("objects")?, child("uploads")?, child("locks")?, child("staging")?);
    let names = recognise(&root, &config)?;
    let mut store = Store::new(config, names, Folders { root, objects, uploads, locks });
    match Staging::open(staging, store.config.file_mode, store.config.directory_mode, |all, left| {
        recover(&store, all, left)
    }) {
        Ok(staging) => store.staging = Some(Arc::new(staging)),
        Err(error) if error.kind() == ErrorKind::ReadOnly => {
            tracing::warn!(path = %store.config.path.display(), "the file system is read-only; the store can be read");
        }
        Err(error) => return Err(error),
    }
    Ok(store)
}

fn open_root(config: &Config) -> Result<OwnedFd> {
    let path = &config.path;
    if config.create {
        create_root(path, config.directory_mode).map_err(|errno| {
            let error = match errno {
                Errno::NOENT => Error::new(
                    ErrorKind::ConfigInvalid,
                    "the store's path (LOCAL_STORAGE_PATH) is in a place that can hold no folder",
                ),
                errno => fault("create the store's folder")(errno),
            };
            error.with_context("path", path.display())
        })?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        let error = match errno {
            Errno::NOENT => Error::new(
                ErrorKind::ConfigInvalid,
                "the store's folder does not exist; create it, mount its disk, or set create (LOCAL_CREATE) to true",
            ),
            Errno::NOTDIR => Error::new(
                ErrorKind::ConfigInvalid,
                "the store's path (LOCAL_STORAGE_PATH) is not that of a folder",
            ),
            errno => fault("open the store's folder")(errno),
        };
        error.with_context("path", path.display())
    })
}

/// Creates the folder and those above it.
fn create_root(path: &Path, mode: Mode) -> rustix::io::Result<()> {
    let create = || match rustix::fs::mkdir(path, mode) {
        // The folder's own name must outlive a power failure too.
        Ok(()) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let parent = rustix::fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
            rustix::fs::fsync(parent)
        }
        // What is there, and whether it is a folder, is seen when it is opened.
        Err(Errno::EXIST) => Ok(()),
        // Some systems say so of what is there, too.
        Err(Errno::ROFS) if rustix::fs::stat(path).is_ok() => Ok(()),
        Err(errno) => Err(errno),
    };
    match create() {
        Err(Errno::NOENT) => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                create_root(parent, mode)?;
                // Only once: a link that leads nowhere is there and yet can hold nothing.
                create()
            }
            _ => Err(Errno::NOENT),
        },
        created => created,
    }
}

/// Reads what form the store has, or decides it for a new one.
fn recognise(root: &Folder, config: &Config) -> Result<Names> {
    let failed = fault("open the store's record");
    let text = match root.open_file(RECORD) {
        Ok(file) => std::io::read_to_string(file).map_err(io_fault("read the store's record"))?,
        Err(Errno::NOENT) => return create_record(root, config),
        Err(errno) => return Err(failed(errno)),
    };
    let damaged = || {
        Error::new(
            ErrorKind::Corrupted,
            "the store's record is damaged or of a newer version of this software",
        )
        .with_context("file", config.path.join(RECORD).display())
        .with_context("format_expected", FORMAT)
    };
    let record: Record = serde_json::from_str(&text).map_err(|error| damaged().with_source(error))?;
    match record {
        Record { format: FORMAT, names: RecordedNames::Exact } => Ok(Names::Exact),
        Record { format: FORMAT, names: RecordedNames::Folded } => Ok(Names::Folded),
        Record { format, .. } => Err(damaged().with_context("format", format)),
    }
}

/// Two processes may open a new store at the same time: the lock lets one of them decide.
fn create_record(root: &Folder, config: &Config) -> Result<Names> {
    let failed = fault("make the store's record");
    let directory = root.open_directory("").map_err(&failed)?;
    wait_for_lock(&directory, Lock::Exclusive).map_err(&failed)?;
    if root.open_file(RECORD).is_ok() {
        return recognise(root, config);
    }
    let names = if folds_names(root, config.file_mode).map_err(&failed)? {
        RecordedNames::Folded
    } else {
        RecordedNames::Exact
    };
    let temporary = "store.json.new";
    root.remove_file(temporary).map_err(&failed)?;
    let mut file = root.create_file(temporary, config.file_mode).map_err(&failed)?;
    let text = to_json(&Record { format: FORMAT, names })?;
    std::io::Write::write_all(&mut file, &text).map_err(io_fault("make the store's record"))?;
    rustix::fs::fsync(&file).map_err(&failed)?;
    rustix::fs::renameat(root, temporary, root, RECORD).map_err(&failed)?;
    rustix::fs::fsync(&directory).map_err(&failed)?;
    Ok(match names {
        RecordedNames::Exact => Names::Exact,
        RecordedNames::Folded => Names::Folded,
    })
}

/// Whether the file system takes names for one that differ in case or normalisation.
fn folds_names(root: &Folder, mode: Mode) -> rustix::io::Result<bool> {
    let probe = "store.json.Probe-\u{e9}";
    root.remove_file(probe)?;
    root.create_file(probe, mode)?;
    let others = ["store.json.probe-\u{e9}", "store.json.Probe-e\u{301}"];
    let folds = others.iter().any(|other| root.open_file(other).is_ok());
    root.remove_file(probe)?;
    Ok(folds)
}

/// Undoes what a dead process had half done: where a document was not put in its place, the content that
/// was is nobody's.
fn recover(store: &Store, all: &Folder, left: &str) -> Result<()> {
    for name in all.names(left).map_err(fault("see what a dead process left"))? {
        if !name.ends_with(".json") {
            continue;
        }
        let mut file =
            all.open_file(&format!("{left}/{name}")).map_err(fault("see what a dead process left"))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(io_fault("see what a dead process left"))?;
        // A document that is not whole was never near its place, nor was its content.
        let Ok(document) = Document::parse(&text) else {
            continue;
        };
        let Ok(key) = ObjectKey::new(&document.key) else {
            continue;
        };
        let place = store.names.place(&key);
        let _lock = store.lock(&key)?;
        let current = store.load(&key, &place)?;
        let told = |version: &Version| {
            current
                .iter()
                .flat_map(|document| &document.versions)
                .any(|known| known.version == version.version)
        };
        let orphans: Vec<_> = document.versions.into_iter().filter(|version| !told(version)).collect();
        store.remove_contents(&place, &orphans);
    }
    Ok(())
}
