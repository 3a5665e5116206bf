//! Removes what time has made superfluous: versions past their retention, deleted objects with nothing left,
//! and contents that no document tells of (a crash between two steps leaves such). Runs once a day by itself
//! and whenever it is called through `invoke`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::io::Errno;
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, Extension, ObjectKey, Result};

use crate::blocking::{self, Cancel};
use crate::document::Version;
use crate::error::{fault, io_fault};
use crate::folder::try_lock_exclusive;
use crate::path::{Entry, Names, join};
use crate::store::Store;

/// The name of the extension.
pub(crate) const NAME: &str = "prune";

/// How often it runs by itself.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a store looks whether it is time.
const LOOK: Duration = Duration::from_secs(10 * 60);

/// The file whose lock keeps two from pruning at once and whose time of change says when it was done last.
const LOCK: &str = "prune";

/// What was removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) versions: u64,
    pub(crate) orphans: u64,
    pub(crate) bytes: u64,
}

/// How the extension is described.
pub(crate) fn extension() -> Extension {
    Extension {
        name: NAME.to_owned(),
        description:
            "Removes old versions past their retention and contents that no object tells of, now instead \
                      of once a day"
                .to_owned(),
        mutates: true,
        arguments: Vec::new(),
    }
}

/// Runs it for a caller.
///
/// # Errors
///
/// `InvalidArgument` for arguments; `Conflict` where it is already running.
pub(crate) async fn invoke(store: Arc<Store>, arguments: Value) -> Result<Value> {
    if arguments.as_object().is_none_or(|members| !members.is_empty()) {
        return Err(Error::new(ErrorKind::InvalidArgument, "prune takes no arguments: an empty JSON object"));
    }
    let pruned = blocking::run(store.gate(), move |cancel| prune(&store, cancel)).await?;
    let pruned = pruned.ok_or_else(|| {
        Error::new(ErrorKind::Conflict, "the store is being pruned already")
            .with_retry(storage_core::Retry::After(LOOK))
    })?;
    Ok(json!({
        "removed_versions": pruned.versions,
        "removed_orphans": pruned.orphans,
        "removed_bytes": pruned.bytes,
    }))
}

/// Prunes once a day for as long as it is polled.
pub(crate) async fn run_daily(store: Arc<Store>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let owned = Arc::clone(&store);
        let look = move |cancel: &Cancel| if is_due(&owned)? { prune(&owned, cancel) } else { Ok(None) };
        let done = blocking::run(store.gate(), look).await;
        match done {
            Ok(Some(pruned)) => tracing::info!(
                versions = pruned.versions,
                orphans = pruned.orphans,
                bytes = pruned.bytes,
                "pruned the store"
            ),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "could not prune the store"),
        }
    }
}

fn is_due(store: &Store) -> Result<bool> {
    match store.locks.open_file(LOCK) {
        Ok(file) => {
            let changed = file.metadata().and_then(|metadata| metadata.modified());
            let changed = changed.map_err(io_fault("see when the store was pruned"))?;
            // A moment that is still to come was written by a clock that has been set back since.
            Ok(SystemTime::now().duration_since(changed).map_or(true, |since| since >= INTERVAL))
        }
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(fault("see when the store was pruned")(errno)),
    }
}

/// Prunes the whole store; none where somebody else is at it.
///
/// # Errors
///
/// Those of the file system; `Corrupted` for a damaged document.
pub(crate) fn prune(store: &Store, cancel: &Cancel) -> Result<Option<Pruned>> {
    let failed = fault("lock the store for pruning");
    let lock = store.locks.open_lock(LOCK, store.config.file_mode).map_err(&failed)?;
    if !try_lock_exclusive(&lock).map_err(&failed)? {
        return Ok(None);
    }
    let mut pruned = Pruned::default();
    let mut directories = vec![(String::new(), String::new())];
    while let Some((path, text)) = directories.pop() {
        cancel.check()?;
        prune_directory(store, &path, &text, &mut directories, &mut pruned)?;
    }
    std::fs::File::from(lock)
        .set_modified(SystemTime::now())
        .map_err(io_fault("note when the store was pruned"))?;
    Ok(Some(pruned))
}

/// Prunes the objects of one directory, below which all keys begin with `text`.
fn prune_directory(
    store: &Store,
    path: &str,
    text: &str,
    directories: &mut Vec<(String, String)>,
    pruned: &mut Pruned,
) -> Result<()> {
    let names = match store.objects.names(path) {
        Ok(names) => names,
        // Gone meanwhile, or nothing that the store put there.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(fault("list a folder")(errno)),
    };
    let mut told = HashSet::new();
    let mut contents = Vec::new();
    for name in &names {
        match Names::read(name) {
            Entry::Document(part) => {
                if let Ok(key) = ObjectKey::new(format!("{text}{part}")) {
                    let place = store.names.place(&key);
                    let kept = prune_object(store, &key, pruned)?;
                    told.extend(kept.iter().map(|version| place.content(&version.version)));
                }
            }
            Entry::Directory(part) => directories.push((join(path, name), format!("{text}{part}"))),
            Entry::Other => contents.push(name),
        }
    }
    for name in contents {
        if !told.contains(name) {
            prune_content(store, path, text, name, pruned)?;
        }
    }
    if names.is_empty() {
        store.objects.remove_empty_directories(path).map_err(fault("remove an empty folder"))?;
    }
    Ok(())
}

/// Prunes one object and gives the versions that stay.
fn prune_object(store: &Store, key: &ObjectKey, pruned: &mut Pruned) -> Result<Vec<Version>> {
    let place = store.names.place(key);
    let now = Timestamp::now();
    let is_due =
        |document: &mut crate::document::Document| document.take_expired(store.config.retention, now);
    // Most have nothing to prune, which is seen without a lock.
    match store.load(key, &place)? {
        None => return Ok(Vec::new()),
        Some(mut document) => {
            if is_due(&mut document).is_empty() {
                return Ok(document.versions);
            }
        }
    }
    let _lock = store.lock(key)?;
    let Some(mut document) = store.load(key, &place)? else {
        return Ok(Vec::new());
    };
    let expired = is_due(&mut document);
    if !expired.is_empty() {
        store.shrink(&place, &document, &expired)?;
    }
    pruned.versions += expired.len() as u64;
    pruned.bytes += expired.iter().map(|version| version.size_bytes).sum::<u64>();
    Ok(document.versions)
}

/// Removes a content if no document tells of it. Whoever publishes one holds the key's lock until the document
/// is there too.
fn prune_content(store: &Store, path: &str, text: &str, name: &str, pruned: &mut Pruned) -> Result<()> {
    let Some((part, stamp)) = Names::read_content(name) else {
        return Ok(());
    };
    let Ok(key) = ObjectKey::new(format!("{text}{part}")) else {
        return Ok(());
    };
    let place = store.names.place(&key);
    if place.directory != path || place.content(&stamp) != name {
        return Ok(());
    }
    let _lock = store.lock(&key)?;
    let document = store.load(&key, &place)?;
    if document.is_some_and(|document| document.versions.iter().any(|version| version.version == stamp)) {
        return Ok(());
    }
    let path = place.path(name);
    match store.objects.open_file(&path).and_then(rustix::fs::fstat) {
        Ok(stat) => pruned.bytes += u64::try_from(stat.st_size).unwrap_or(0),
        // It went with its version just now.
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(fault("look at a content that no object tells of")(errno)),
    }
    store.objects.remove_file(&path).map_err(fault("remove a content that no object tells of"))?;
    pruned.orphans += 1;
    Ok(())
}
