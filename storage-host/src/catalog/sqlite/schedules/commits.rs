//! Commits that are shared, over many schedules: who is told what, and when.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, params};
use storage_core::{Error, ErrorKind, Result};

use super::error::{Answer, Fault};
use super::sync::{any_of, once_in, settled, spawn, time_is_over};
use super::writer::Durability::{Durable, Relaxed};
use super::writer::{Durability, Limits, Writer};
use super::{explore, folder, or_go_away, remove_database};

/// Small ones, so that few callers reach them.
const LIMITS: Limits = Limits { queue: 2, batch: 3, batch_time: Duration::from_secs(1) };

const CALLERS: i64 = 5;
const CHANGES_OF_EACH: i64 = 2;

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is made, unless another one hinders the commit that both share.
    Made,
    /// It is refused after it has written.
    Refused,
    /// It panics after it has written.
    Panics,
    /// The commit that contains it fails.
    HindersCommit,
    /// It ends the transaction, as a full disk does.
    EndsTransaction,
}

/// How a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// For the commit.
    Calls(Durability),
    /// Not beyond that the change is taken.
    Enqueues,
    /// For the commit, and goes away at some time.
    GoesAway,
}

/// What is known of a change.
#[derive(Debug)]
struct Entry {
    fate: Fate,
    manner: Manner,
    /// How often it was begun.
    begun: u32,
    /// What the caller was told; nothing where it went away before.
    told: Option<std::result::Result<(), String>>,
}

/// What happened, as the callers and the changes themselves have it.
struct Ledger {
    entries: Mutex<BTreeMap<i64, Entry>>,
    /// What must not be and was seen where a panic would be taken for the change's own.
    faults: Mutex<Vec<String>>,
    /// Sees what is committed and nothing else.
    committed: Mutex<Connection>,
}

impl Ledger {
    fn is_committed(&self, id: i64) -> bool {
        let committed = self.committed.lock();
        let found =
            committed.query_row("SELECT count(*) FROM made WHERE id = ?1", params![id], |row| row.get(0));
        found.map(|count: u32| count == 1).expect("a count")
    }

    fn count_committed(&self) -> u64 {
        let committed = self.committed.lock();
        committed.query_row("SELECT count(*) FROM made", [], |row| row.get(0)).expect("a count")
    }

    fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.faults.lock().push(what());
        }
    }

    fn one_has_begun_that(&self, is: impl Fn(Fate) -> bool) -> bool {
        self.entries.lock().values().any(|entry| entry.begun > 0 && is(entry.fate))
    }

    /// What the change does when its turn comes.
    fn begin(&self, connection: &Connection, id: i64) -> Answer<()> {
        let (fate, manner) = {
            let mut entries = self.entries.lock();
            let entry = entries.get_mut(&id).expect("an announced change");
            entry.begun += 1;
            (entry.fate, entry.manner)
        };
        self.expect(!time_is_over(), || format!("change {id} was taken after the time of its batch"));
        let level: u32 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        // 1 is NORMAL and 2 is FULL.
        let wanted = if matches!(manner, Manner::Calls(Durable) | Manner::GoesAway) { 2 } else { 1 };
        self.expect(level == wanted, || format!("change {id}, {manner:?}, ran with synchronous = {level}"));
        let seen: u64 = connection.query_row("SELECT count(*) FROM made", [], |row| row.get(0))?;
        let before = seen - self.count_committed();
        self.expect(before < LIMITS.batch as u64, || format!("{before} changes shared a commit before {id}"));
        connection.execute("INSERT INTO made (id) VALUES (?1)", params![id])?;
        match fate {
            Fate::Made => {}
            Fate::Refused => return Err(refusal("refused on purpose").into()),
            // Not by the macro: the hook would report it as what fails the test.
            Fate::Panics => std::panic::resume_unwind(Box::new("panicked on purpose")),
            Fate::HindersCommit => {
                connection.execute("INSERT INTO children (parent) VALUES (-1)", [])?;
            }
            Fate::EndsTransaction => {
                connection.execute_batch("ROLLBACK")?;
                return Err(Fault::Refused(refusal("ended on purpose")));
            }
        }
        Ok(())
    }

    /// Whether the answer to a call is the truth at the moment in which it is given.
    fn told(&self, id: i64, fate: Fate, answer: &Result<i64>) {
        let text = answer.as_ref().map_or_else(Error::to_string, |_| "made".to_owned());
        match answer {
            Ok(made) => {
                assert_eq!((*made, fate), (id, Fate::Made), "the answer is that of another change");
                assert!(self.is_committed(id), "change {id} was answered before its commit");
            }
            Err(_) => {
                assert!(!self.is_committed(id), "change {id} was made, and its caller told: {text}");
                self.check_reason(id, fate, &text);
            }
        }
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&id).expect("an announced change");
        assert!(entry.told.is_none(), "change {id} was answered twice");
        entry.told = Some(answer.as_ref().map(drop).map_err(|_| text));
    }

    /// Whether a change that was not made was hindered by itself, by one that may have shared its commit, or by the
    /// end of the writer.
    fn check_reason(&self, id: i64, fate: Fate, text: &str) {
        if text.contains("the catalog is closed") {
            let begun = self.entries.lock()[&id].begun;
            assert_eq!(begun, 0, "change {id} was begun, and its caller told that it was not taken");
            return;
        }
        let hindered = text.contains("contradicts itself");
        let ended = text.contains("ended on purpose");
        assert!(!hindered || self.one_has_begun_that(|fate| fate == Fate::HindersCommit), "{id}: {text}");
        assert!(!ended || self.one_has_begun_that(|fate| fate == Fate::EndsTransaction), "{id}: {text}");
        let own = match fate {
            Fate::Made => false,
            Fate::Refused => text.contains("refused on purpose"),
            Fate::Panics => text.contains("panicked on purpose"),
            Fate::HindersCommit => hindered,
            Fate::EndsTransaction => ended,
        };
        assert!(own || hindered || ended, "change {id}, {fate:?}, was answered: {text}");
    }

    /// Whether what is there at the end is what was told.
    fn check_end(&self, writer: &Writer) {
        assert_eq!(*self.faults.lock(), Vec::<String>::new());
        let mut lost = 0;
        for (id, entry) in &*self.entries.lock() {
            let there = self.is_committed(*id);
            assert!(entry.begun <= 1, "change {id} was made {} times", entry.begun);
            assert!(!there || entry.fate == Fate::Made, "change {id} is there in spite of {entry:?}");
            match (entry.manner, &entry.told) {
                (Manner::Calls(_), None) => panic!("change {id} was never answered"),
                (Manner::Calls(_) | Manner::GoesAway, Some(told)) => {
                    assert_eq!(there, told.is_ok(), "change {id}: {entry:?}");
                }
                (Manner::Enqueues, Some(Ok(()))) => {
                    assert_eq!(entry.begun, 1, "change {id} was taken and never begun");
                    lost += u64::from(!there);
                }
                (Manner::Enqueues, _) => assert!(!there, "change {id} was not taken and is there"),
                (Manner::GoesAway, None) => {}
            }
        }
        let counters = writer.counters();
        assert_eq!(counters.lost_changes.load(Ordering::Relaxed), lost, "changes that were lost");
        assert_eq!(
            counters.changes.load(Ordering::Relaxed),
            self.count_committed(),
            "changes that were made"
        );
    }
}

fn refusal(why: &'static str) -> Error {
    Error::new(ErrorKind::PreconditionFailed, why)
}

/// A new database, and two connections to it.
fn database(path: &Path) -> (Connection, Connection) {
    remove_database(path);
    let connection = Connection::open(path).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             CREATE TABLE made (id INTEGER PRIMARY KEY); \
             CREATE TABLE children (parent INTEGER REFERENCES made (id) DEFERRABLE INITIALLY DEFERRED);",
        )
        .expect("tables");
    (connection, Connection::open(path).expect("another connection"))
}

/// Makes changes one after the other, and holds each answer against what is there.
async fn be_a_caller(writer: Arc<Writer>, ledger: Arc<Ledger>, ids: std::ops::Range<i64>) {
    for id in ids {
        let fate = any_of(&[
            Fate::Made,
            Fate::Made,
            Fate::Made,
            Fate::Refused,
            Fate::Panics,
            Fate::HindersCommit,
            Fate::EndsTransaction,
        ]);
        let manner = any_of(&[
            Manner::Calls(Durable),
            Manner::Calls(Durable),
            Manner::Calls(Relaxed),
            Manner::Enqueues,
            Manner::GoesAway,
        ]);
        ledger.entries.lock().insert(id, Entry { fate, manner, begun: 0, told: None });
        let change = {
            let ledger = Arc::clone(&ledger);
            move |connection: &Connection| ledger.begin(connection, id)
        };
        match manner {
            Manner::Calls(durability) => {
                let answer = writer.call("change", durability, move |at| change(at).map(|()| id)).await;
                ledger.told(id, fate, &answer);
            }
            Manner::GoesAway => {
                let call = writer.call("change", Durable, move |at| change(at).map(|()| id));
                if let Some(answer) = or_go_away(call, any_of(&[1, 2, 3, 4])).await {
                    ledger.told(id, fate, &answer);
                }
            }
            Manner::Enqueues => {
                let taken = writer.enqueue("change", change).await.map_err(|error| error.to_string());
                ledger.entries.lock().get_mut(&id).expect("announced").told = Some(taken);
            }
        }
    }
}

#[test]
fn every_change_is_answered_once_with_the_truth_and_not_before_its_commit() {
    let folder = folder();
    explore(1_000, move || {
        let path = folder.path().join("shared.db");
        async move {
            let (connection, committed) = database(&path);
            let writer = Arc::new(Writer::start(connection, &path, LIMITS).expect("a writer"));
            let ledger = Arc::new(Ledger {
                entries: Mutex::default(),
                faults: Mutex::default(),
                committed: Mutex::new(committed),
            });
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let ids = caller * CHANGES_OF_EACH..(caller + 1) * CHANGES_OF_EACH;
                    spawn(be_a_caller(Arc::clone(&writer), Arc::clone(&ledger), ids))
                })
                .collect();
            // In some schedules the writer is closed while they are at it.
            let closed_early = once_in(2).then(|| {
                let writer = Arc::clone(&writer);
                spawn(async move { writer.close(0).await })
            });
            for caller in callers {
                caller.await.expect("a caller ends");
            }
            if let Some(closed) = closed_early {
                // An error tells of changes that nobody waited for; they are counted below.
                let _ = closed.await.expect("closing ends");
            }
            let _ = writer.close(0).await;
            ledger.check_end(&writer);
            settled().await;
        }
    });
}
