//! Watches the plugin directories of a running service, and says in its log what appears, changes and goes.
//!
//! A library that is loaded stays as it is until the process ends, whatever happens to its file; that is said too.
//! Nothing of a library is run here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::discovery::{Candidate, Locks, Verdict, search};

/// How long a directory must be quiet before it is searched again: a library is copied in many small steps.
const QUIET: Duration = Duration::from_millis(500);

/// A search that waits for quiet waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a directory that is not there is looked for. A watch on one above it would be told of everything else
/// there too: where that is the folder in which the service runs, of each write to its catalog.
const LOOK: Duration = Duration::from_secs(2);

/// What is known of a library's file.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    backend_type: Option<String>,
    /// The code of the diagnosis of one that is refused.
    refusal: Option<&'static str>,
    /// Length and time of change: another file has others.
    identity: Option<(u64, SystemTime)>,
}

/// A watch over plugin directories. It ends when it is dropped.
pub struct Watch {
    directories: Vec<PathBuf>,
    /// Tells the backend types whose plugins are loaded.
    in_use: Box<dyn Fn() -> BTreeSet<String> + Send>,
    known: BTreeMap<PathBuf, Seen>,
    changed: Arc<Notify>,
    watcher: RecommendedWatcher,
    /// The directories that were there when they were last looked for.
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    /// Begins to watch the directories, those included that are made later. `in_use` tells the backend types that are
    /// loaded.
    ///
    /// # Errors
    ///
    /// Where the system lets nothing be watched.
    pub fn begin(
        directories: &[PathBuf],
        in_use: impl Fn() -> BTreeSet<String> + Send + 'static,
    ) -> notify::Result<Self> {
        let changed = Arc::new(Notify::new());
        let told = changed.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // A watch that lost events searches as well.
            let concerns = |event: Event| event.need_rescan() || is_change(event.kind);
            if event.map_or(true, concerns) {
                told.notify_one();
            }
        })?;
        let mut watch = Self {
            directories: directories.to_vec(),
            in_use: Box::new(in_use),
            known: BTreeMap::new(),
            changed,
            watcher,
            watched: BTreeSet::new(),
        };
        watch.follow()?;
        watch.known = scan(directories);
        Ok(watch)
    }

    /// Watches what is there of the directories now. One that was there is watched again, since another one may have
    /// taken its place.
    fn follow(&mut self) -> notify::Result<()> {
        let wanted: BTreeSet<_> = self.directories.iter().filter(|path| path.is_dir()).cloned().collect();
        for former in self.watched.difference(&wanted) {
            // With a directory that is gone its watch has gone as well.
            let _ = self.watcher.unwatch(former);
        }
        self.watched.clear();
        for directory in wanted {
            self.watcher.watch(&directory, RecursiveMode::NonRecursive)?;
            self.watched.insert(directory);
        }
        Ok(())
    }

    /// Says what changes, from now on.
    pub async fn run(mut self) {
        loop {
            let missing = self.directories.iter().filter(|path| !self.watched.contains(*path));
            tokio::select! {
                () = self.changed.notified() => {}
                () = one_appears(missing.cloned().collect()) => {}
            }
            let quiet = async { while tokio::time::timeout(QUIET, self.changed.notified()).await.is_ok() {} };
            // A directory that is never quiet is searched all the same.
            let _ = tokio::time::timeout(PATIENCE, quiet).await;
            if let Err(error) = self.follow() {
                tracing::warn!(%error, "a plugin directory cannot be watched; what is put there shows in `storage plugins list`");
            }
            let directories = self.directories.clone();
            match tokio::task::spawn_blocking(move || scan(&directories)).await {
                Ok(found) => {
                    for change in changes(&self.known, &found, &(self.in_use)()) {
                        change.log();
                    }
                    self.known = found;
                }
                Err(error) => tracing::error!(%error, "the plugin directories could not be searched"),
            }
        }
    }
}

/// Whether an event may be about other bytes or names. The search itself opens and reads files.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Waits until one of these directories is there.
async fn one_appears(missing: Vec<PathBuf>) {
    loop {
        tokio::time::sleep(LOOK).await;
        for directory in &missing {
            if tokio::fs::metadata(directory).await.is_ok_and(|found| found.is_dir()) {
                return;
            }
        }
    }
}

fn scan(directories: &[PathBuf]) -> BTreeMap<PathBuf, Seen> {
    let (_, candidates) = search(directories, Locks::Obeyed);
    candidates.into_iter().map(|candidate| (candidate.path.clone(), see(&candidate))).collect()
}

fn see(candidate: &Candidate) -> Seen {
    let refusal = match &candidate.verdict {
        Verdict::Refused(diagnosis) => Some(diagnosis.code.as_str()),
        Verdict::Usable | Verdict::Shadowed { .. } => None,
    };
    // A file that went meanwhile is seen to be gone by the next search.
    let identity = fs::metadata(&candidate.path).and_then(|file| Ok((file.len(), file.modified()?))).ok();
    Seen { backend_type: candidate.backend_type.clone(), refusal, identity }
}

/// What is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
enum Change<'a> {
    Appeared { path: &'a Path, backend_type: &'a str },
    Refused { path: &'a Path, code: &'static str },
    ChangedInUse { path: &'a Path, backend_type: &'a str },
    GoneInUse { path: &'a Path, backend_type: &'a str },
    Gone { path: &'a Path },
}

impl Change<'_> {
    fn log(&self) {
        match self {
            Self::Appeared { path, backend_type } => {
                tracing::info!(path = %path.display(), backend_type, "a plugin was put into the plugin directory");
            }
            Self::Refused { path, code } => {
                tracing::warn!(path = %path.display(), code, "a library in the plugin directory cannot be used; `storage plugins list` says why");
            }
            Self::ChangedInUse { path, backend_type } => {
                tracing::warn!(path = %path.display(), backend_type, "the library of a plugin in use was replaced: the loaded one goes on until the service is started again");
            }
            Self::GoneInUse { path, backend_type } => {
                tracing::warn!(path = %path.display(), backend_type, "the library of a plugin in use was removed: the loaded one goes on, and the next start will miss it");
            }
            Self::Gone { path } => {
                tracing::info!(path = %path.display(), "a library was removed from the plugin directory");
            }
        }
    }
}

fn changes<'a>(
    before: &'a BTreeMap<PathBuf, Seen>,
    after: &'a BTreeMap<PathBuf, Seen>,
    in_use: &BTreeSet<String>,
) -> Vec<Change<'a>> {
    // One that was refused before is not the one that is loaded.
    let used_type = |seen: &'a Seen| {
        let backend_type = seen.backend_type.as_deref().filter(|_| seen.refusal.is_none())?;
        in_use.contains(backend_type).then_some(backend_type)
    };
    let mut changes = Vec::new();
    for (path, seen) in after.iter().filter(|(path, seen)| before.get(*path) != Some(seen)) {
        let old = before.get(path);
        if let Some(backend_type) = old.and_then(used_type)
            && old.is_some_and(|old| old.identity != seen.identity)
        {
            changes.push(Change::ChangedInUse { path, backend_type });
        }
        match (seen.refusal, &seen.backend_type) {
            (Some(code), _) => changes.push(Change::Refused { path, code }),
            (None, Some(backend_type)) if old.is_none_or(|old| old.refusal.is_some()) => {
                changes.push(Change::Appeared { path, backend_type });
            }
            _ => {}
        }
    }
    for (path, seen) in before.iter().filter(|(path, _)| !after.contains_key(*path)) {
        changes.push(match used_type(seen) {
            Some(backend_type) => Change::GoneInUse { path, backend_type },
            None => Change::Gone { path },
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(refusal: Option<&'static str>, length: u64) -> Seen {
        Seen { backend_type: Some("a".to_owned()), refusal, identity: Some((length, SystemTime::UNIX_EPOCH)) }
    }

    fn told(before: Option<Seen>, after: Option<Seen>, in_use: &[&str]) -> String {
        let map =
            |seen: Option<Seen>| seen.into_iter().map(|seen| (PathBuf::from("liba.so"), seen)).collect();
        let (before, after) = (map(before), map(after));
        let in_use = in_use.iter().map(|name| (*name).to_owned()).collect();
        let changes = changes(&before, &after, &in_use);
        changes
            .iter()
            .map(|change| format!("{change:?}").split(' ').next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn each_change_is_told_once_and_that_of_a_loaded_library_as_such() {
        assert_eq!(told(None, Some(seen(None, 1)), &[]), "Appeared");
        assert_eq!(told(Some(seen(None, 1)), Some(seen(None, 1)), &["a"]), "");
        assert_eq!(told(Some(seen(None, 1)), Some(seen(None, 2)), &["a"]), "ChangedInUse");
        assert_eq!(told(Some(seen(None, 1)), Some(seen(None, 2)), &[]), "");
        assert_eq!(told(Some(seen(None, 1)), Some(seen(Some("x"), 2)), &["a"]), "ChangedInUseRefused");
        assert_eq!(told(Some(seen(Some("x"), 1)), Some(seen(None, 2)), &["a"]), "Appeared");
        assert_eq!(told(Some(seen(None, 1)), None, &["a"]), "GoneInUse");
        assert_eq!(told(Some(seen(None, 1)), None, &[]), "Gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_is_missing_is_looked_for_and_not_the_folder_above_it_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let (there, missing) = (folder.path().join("there"), folder.path().join("missing"));
        fs::create_dir(&there).expect("made");
        let directories = [there.clone(), missing.clone()];
        let mut watch = Watch::begin(&directories, BTreeSet::new).expect("a watch");
        assert_eq!(watch.watched, BTreeSet::from([there]));
        let looked_for = tokio::time::timeout(10 * LOOK, one_appears(vec![missing.clone()]));
        assert!(looked_for.await.is_err(), "it is not there");
        fs::create_dir(&missing).expect("made");
        one_appears(vec![missing.clone()]).await;
        watch.follow().expect("followed");
        assert_eq!(watch.watched, BTreeSet::from(directories));
    }

    #[test]
    fn the_search_does_not_set_off_another() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Read))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
    }
}
