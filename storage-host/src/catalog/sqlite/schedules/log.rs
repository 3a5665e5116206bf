//! Audit lines that nobody waits for, over many schedules: each that was taken is written once, before whatever its
//! caller does next, and none is lost at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::Connection;

use super::sync::{any_of, once_in, settled, spawn};
use super::{SqliteCatalog, explore, folder, or_go_away, remove_database};
use crate::catalog::{AuditEntry, Catalog, CatalogOptions, UserId};

const CALLERS: usize = 3;
const DEEDS_OF_EACH: usize = 4;

/// What a caller does next.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Has a line written at some time.
    Notes,
    /// The same, and goes away amid that.
    MayNote,
    /// Makes a change, and waits for it.
    Changes,
    /// Reads the log.
    Reads,
}

struct World {
    catalog: SqliteCatalog,
    user: UserId,
    /// Sees what is committed.
    committed: parking_lot::Mutex<Connection>,
}

impl World {
    fn new(path: &Path) -> Self {
        Self {
            catalog: SqliteCatalog::open(path, CatalogOptions::default()).expect("a catalog"),
            user: UserId::new("ada").expect("a user"),
            committed: parking_lot::Mutex::new(Connection::open(path).expect("another connection")),
        }
    }

    fn line(&self, name: &str) -> AuditEntry {
        AuditEntry {
            at: SystemTime::now(),
            actor: "key:tests".to_owned(),
            user: self.user.clone(),
            action: name.to_owned(),
            file: None,
            version: None,
            outcome: "ok".to_owned(),
            correlation_id: None,
            remote: None,
        }
    }

    /// The lines that are committed, oldest first.
    fn written(&self) -> Vec<String> {
        let committed = self.committed.lock();
        let mut lines = committed.prepare("SELECT action FROM audit ORDER BY seq").expect("a statement");
        let lines = lines.query_map([], |row| row.get(0)).expect("lines");
        lines.collect::<Result<_, _>>().expect("texts")
    }

    /// Does one thing after the other. Answers the lines that were surely taken and those of which nobody knows.
    async fn be_a_caller(self: Arc<Self>, caller: usize) -> (Vec<String>, Vec<String>) {
        let (mut taken, mut unknown) = (Vec::new(), Vec::new());
        for deed in 0..DEEDS_OF_EACH {
            let name = format!("{caller}.{deed}");
            match any_of(&[
                Deed::Notes,
                Deed::Notes,
                Deed::MayNote,
                Deed::Changes,
                Deed::Changes,
                Deed::Reads,
            ]) {
                // Where the catalog was closed the line is not taken, which the end shows.
                Deed::Notes => {
                    if self.catalog.audit(self.line(&name)).await.is_ok() {
                        taken.push(name);
                    }
                }
                Deed::MayNote => match or_go_away(self.catalog.audit(self.line(&name)), 1).await {
                    Some(Ok(())) => taken.push(name),
                    Some(Err(_)) => {}
                    None => unknown.push(name),
                },
                Deed::Changes => {
                    if self.catalog.set_quota(&self.user, None).await.is_ok() {
                        let written = self.written();
                        for line in &taken {
                            assert!(
                                written.contains(line),
                                "the change is there, and {line} before it is not"
                            );
                        }
                    }
                }
                Deed::Reads => {
                    if let Ok(read) = self.catalog.audit_log(None, 1_000).await {
                        for line in &taken {
                            let is_there = read.iter().any(|entry| entry.action == *line);
                            assert!(is_there, "{line} was noted before the log was read, and is not in it");
                        }
                    }
                }
            }
        }
        (taken, unknown)
    }

    fn check_end(&self, callers: &[(Vec<String>, Vec<String>)]) {
        let written = self.written();
        let mut counts = BTreeMap::new();
        for line in &written {
            *counts.entry(line.as_str()).or_insert(0) += 1;
        }
        for (taken, unknown) in callers {
            for line in taken {
                assert_eq!(counts.remove(line.as_str()), Some(1), "{line} was taken: {written:?}");
            }
            for line in unknown {
                assert!(counts.remove(line.as_str()).is_none_or(|count| count == 1), "{line}: {written:?}");
            }
            let of_caller: Vec<_> = written.iter().filter(|line| taken.contains(line)).collect();
            assert!(of_caller.iter().copied().eq(taken), "{taken:?} are written as {of_caller:?}");
        }
        assert!(counts.is_empty(), "lines that nobody had written: {counts:?}");
        assert_eq!(self.catalog.stats().lost_audit_lines, 0);
    }
}

#[test]
fn every_audit_line_is_written_once_and_before_what_its_caller_does_next() {
    let folder = folder();
    explore(400, move || {
        let path = folder.path().join("catalog.db");
        async move {
            remove_database(&path);
            remove_database(&path.with_extension("db-unfinished"));
            let world = Arc::new(World::new(&path));
            let callers: Vec<_> =
                (0..CALLERS).map(|caller| spawn(World::be_a_caller(world.clone(), caller))).collect();
            // In some schedules the catalog is closed while they are at it.
            let closed_early = once_in(2).then(|| {
                let world = world.clone();
                spawn(async move { world.catalog.close().await })
            });
            let mut lines = Vec::new();
            for caller in callers {
                lines.push(caller.await.expect("a caller ends"));
            }
            if let Some(closed) = closed_early {
                closed.await.expect("closing ends").expect("closed");
            }
            settled().await;
            world.catalog.close().await.expect("closed");
            world.check_end(&lines);
        }
    });
}
