//! Commits that are shared: how many, what one failure does to the others, and who waits for what.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use rusqlite::Connection;

use super::super::writer::{Durability, Writer};
use super::*;

/// Keeps the writer busy until it is dropped, so that changes gather behind it.
struct Stall {
    _release: mpsc::Sender<()>,
}

async fn stall(writer: &Writer) -> Stall {
    let (release, wait) = mpsc::channel::<()>();
    let (began, begun) = tokio::sync::oneshot::channel();
    let hold = move |_: &Connection| {
        began.send(()).expect("the test waits");
        // An error: the sender is gone, which is what is waited for.
        let _ = wait.recv();
        Ok(())
    };
    writer.enqueue("stall", hold).await.expect("taken");
    begun.await.expect("the writer is busy");
    Stall { _release: release }
}

/// Waits until so many changes wait for the writer.
async fn gathered(writer: &Writer, count: usize) {
    while writer.waiting() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn concurrent_commits_share_a_transaction() {
    let catalog = fixture();
    let files: Vec<_> = (0..64).map(|number| new_file("anna", &format!("{number}"), 1)).collect();
    let before = catalog.stats();
    let stall = stall(&catalog.writer).await;
    let release = async {
        gathered(&catalog.writer, 64).await;
        drop(stall);
    };
    let (saved, ()) = tokio::join!(join_all(files.iter().map(|file| catalog.save(file))), release);
    assert_eq!(saved.len(), 64);
    let after = catalog.stats();
    assert_eq!(after.durable_transactions - before.durable_transactions, 1);
    assert_eq!(after.changes - before.changes, 65);
    for file in &files {
        assert!(catalog.file(&file.user, file.file).await.is_ok());
    }
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_change_that_fails_or_panics_undoes_itself_alone() {
    let catalog = fixture();
    let taken = new_file("anna", "taken", 1);
    catalog.save(&taken).await;
    let (one, two) = (new_file("anna", "one", 1), new_file("anna", "two", 1));
    let mut refused = new_file("anna", "refused", 1);
    refused.placement = taken.placement.clone();
    let stall = stall(&catalog.writer).await;
    let release = async {
        gathered(&catalog.writer, 5).await;
        drop(stall);
    };
    let half_done = |connection: &Connection| -> super::super::error::Answer<()> {
        connection.execute("DELETE FROM files", [])?;
        panic!("on purpose");
    };
    let wrong = |connection: &Connection| Ok(connection.execute("DELETE FROM no_such_table", [])?);
    let commit = |file: &NewVersion| catalog.commit_version(file.clone(), audit("anna", "save"));
    let (one_saved, refusal, panicked, wrong, two_saved, ()) = tokio::join!(
        commit(&one),
        commit(&refused),
        catalog.writer.call("half_done", Durability::Durable, half_done),
        catalog.writer.call("wrong", Durability::Durable, wrong),
        commit(&two),
        release,
    );
    assert!(one_saved.is_ok() && two_saved.is_ok());
    assert_eq!(kind(refusal), ErrorKind::AlreadyExists);
    assert_eq!(kind(wrong), ErrorKind::Internal);
    let panicked = panicked.expect_err("it panicked");
    assert_eq!(panicked.kind(), ErrorKind::Internal);
    assert!(panicked.to_string().contains("on purpose"));
    assert_eq!(catalog.totals().await.expect("totals").files, 3);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn where_the_commit_fails_nobody_is_told_of_success() {
    let catalog = fixture();
    let file = new_file("anna", "a", 1);
    let stall = stall(&catalog.writer).await;
    let release = async {
        gathered(&catalog.writer, 3).await;
        drop(stall);
    };
    // A reference to nothing that the database looks at only when it commits.
    let sabotage = |connection: &Connection| {
        connection.execute_batch(
            "PRAGMA defer_foreign_keys = ON; \
             INSERT INTO reservations (reservation_id, user_id, bytes, files, expires_at) VALUES (x'00', 'x', 1, 1, 1)",
        )?;
        Ok(())
    };
    let (saved, sabotaged, quota, ()) = tokio::join!(
        catalog.commit_version(file.clone(), audit("anna", "save")),
        catalog.writer.call("sabotage", Durability::Durable, sabotage),
        catalog.set_quota(&file.user, Some(Quota::default())),
        release,
    );
    for error in [saved.map(drop), sabotaged, quota] {
        assert_eq!(kind(error), ErrorKind::Corrupted);
    }
    assert_eq!(kind(catalog.file(&file.user, file.file).await), ErrorKind::NotFound);
    assert_eq!(catalog.events(), Vec::<serde_json::Value>::new());
    catalog.save(&file).await;
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_promise_does_not_wait_for_the_disk_and_a_commit_does() {
    let catalog = fixture();
    let before = catalog.stats();
    let reservation = catalog.reserve(&user("anna"), 1, 1, Duration::from_secs(60)).await.expect("no limit");
    catalog.grow_reservation(reservation, 1, Duration::from_secs(60)).await.expect("no limit");
    let after = catalog.stats();
    assert_eq!(after.transactions - before.transactions, 2);
    assert_eq!(after.durable_transactions, before.durable_transactions);
    let synchronous = |connection: &Connection| {
        Ok(connection.pragma_query_value(None, "synchronous", |row| row.get::<_, u32>(0))?)
    };
    let level = |durability| catalog.writer.call("synchronous", durability, synchronous);
    // 1 is NORMAL and 2 is FULL.
    assert_eq!(level(Durability::Relaxed).await.expect("a level"), 1);
    assert_eq!(level(Durability::Durable).await.expect("a level"), 2);
    assert_eq!(level(Durability::Relaxed).await.expect("a level"), 1);
}

#[tokio::test]
async fn a_full_queue_holds_back_whoever_comes_then() {
    let catalog = fixture();
    let stall = stall(&catalog.writer).await;
    for _ in 0..super::super::writer::QUEUE {
        let taken = tokio::task::unconstrained(catalog.audit(audit("anna", "retrieve"))).now_or_never();
        taken.expect("there is room").expect("taken");
    }
    let mut next = std::pin::pin!(tokio::task::unconstrained(catalog.audit(audit("anna", "last"))));
    assert!(next.as_mut().now_or_never().is_none());
    drop(stall);
    next.await.expect("taken once there is room");
    catalog.close().await.expect("closed");
    let reopened = reopen(&catalog.folder);
    let lines = reopened.audit_log(None, 10_000).await.expect("the log");
    assert_eq!(lines.len(), super::super::writer::QUEUE + 1);
    assert_eq!(lines[0].action, "last");
}

#[tokio::test]
async fn audit_lines_share_a_change_and_the_log_shows_all_that_were_taken() {
    let catalog = fixture();
    let before = catalog.stats();
    let stall = stall(&catalog.writer).await;
    for number in 0..500 {
        catalog.audit(audit("anna", &format!("retrieve-{number}"))).await.expect("taken");
    }
    // In the queue before they are asked for, so that what is looked at is not yet written.
    let (log, ()) = tokio::join!(catalog.audit_log(None, 1_000), async { drop(stall) });
    let actions = log.expect("the log").into_iter().rev().map(|line| line.action);
    assert!(actions.eq((0..500).map(|number| format!("retrieve-{number}"))));
    // The stall, the question, and the lines: in a change for those of some moments each.
    let changes = catalog.stats().changes - before.changes;
    assert!(changes < 250, "{changes} changes for 500 lines");
}

#[tokio::test]
async fn an_audit_line_is_written_although_nothing_else_happens() {
    let catalog = fixture();
    let before = catalog.stats().changes;
    catalog.audit(audit("anna", "retrieve")).await.expect("taken");
    while catalog.stats().changes == before {
        tokio::task::yield_now().await;
    }
    let lines = catalog.look().query_row("SELECT count(*) FROM audit", [], |row| row.get::<_, u32>(0));
    assert_eq!(lines.expect("a count"), 1);
}

#[tokio::test]
async fn an_audit_line_is_written_before_a_change_that_was_asked_for_after_it() {
    let catalog = fixture();
    for number in 0..50 {
        catalog.audit(audit("anna", &format!("retrieve-{number}"))).await.expect("taken");
        catalog.set_quota(&user("anna"), None).await.expect("set");
        let lines = catalog.look().query_row("SELECT count(*) FROM audit", [], |row| row.get::<_, u32>(0));
        assert_eq!(lines.expect("a count"), number + 1);
    }
}

#[tokio::test]
async fn a_dropped_catalog_writes_the_audit_lines_that_it_took() {
    let Fixture { folder, catalog } = fixture();
    for _ in 0..100 {
        catalog.audit(audit("anna", "retrieve")).await.expect("taken");
    }
    drop(catalog);
    let reopened = reopen(&folder);
    while reopened.audit_log(None, 1_000).await.expect("the log").len() < 100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_drops_a_catalog_may_end_the_process_right_after() {
    let Fixture { folder: _folder, catalog } = fixture();
    let writer = Arc::clone(&catalog.writer);
    let stall = stall(&writer).await;
    catalog.audit(audit("anna", "retrieve")).await.expect("taken");
    drop(catalog);
    assert_eq!(writer.waiting(), 1, "the line was handed over by the drop itself");
    drop(stall);
}

#[tokio::test]
async fn a_short_read_runs_where_it_is_asked_for_unless_reads_wait_for_the_disk() {
    let catalog = fixture();
    let readers = &catalog.readers;
    let here = std::thread::current().id();
    let thread = |_: &Connection| Ok(std::thread::current().id());
    assert_ne!(readers.call_short("first", thread).await.expect("read"), here, "it opens a connection");
    let mut threads = Vec::new();
    // Where the system does not tell more, a machine that is busy makes one of them seem to wait for the disk.
    while !threads.contains(&here) {
        threads.push(readers.call_short("next", thread).await.expect("read"));
    }
    readers.patience.spend(std::time::Instant::now(), Duration::from_millis(200));
    assert_ne!(readers.call_short("next", thread).await.expect("read"), here);
}

#[tokio::test]
async fn closing_writes_what_was_taken_and_then_takes_nothing() {
    let catalog = fixture();
    let stall = stall(&catalog.writer).await;
    for _ in 0..100 {
        catalog.audit(audit("anna", "retrieve")).await.expect("taken");
    }
    let (closed, ()) = tokio::join!(catalog.close(), async { drop(stall) });
    closed.expect("everything was written");
    catalog.close().await.expect("closing again is no fault");
    assert_eq!(kind(catalog.audit(audit("anna", "retrieve")).await), ErrorKind::Unavailable);
    assert_eq!(kind(catalog.totals().await), ErrorKind::Unavailable);
    let saved = catalog.commit_version(new_file("anna", "a", 1), audit("anna", "save")).await;
    assert_eq!(kind(saved), ErrorKind::Unavailable);
    let log = catalog.folder.path().join("catalog.db-wal");
    assert!(!log.exists(), "a closed catalog is one file");
    assert_eq!(reopen(&catalog.folder).audit_log(None, 1_000).await.expect("the log").len(), 100);
}

#[tokio::test]
async fn an_audit_line_that_cannot_be_written_is_counted_and_told_at_the_end() {
    let catalog = fixture();
    catalog.look().execute_batch("DROP TABLE audit").expect("dropped");
    catalog.audit(audit("anna", "retrieve")).await.expect("taken");
    catalog.set_quota(&user("anna"), None).await.expect("set");
    assert_eq!(catalog.stats().lost_audit_lines, 1);
    let stall = stall(&catalog.writer).await;
    catalog.audit(audit("anna", "retrieve")).await.expect("taken");
    let (closed, ()) = tokio::join!(catalog.close(), async { drop(stall) });
    assert!(closed.expect_err("a line was lost").to_string().contains("lost: 1"));
}

#[tokio::test]
async fn a_change_is_made_although_its_caller_gave_up() {
    let catalog = fixture();
    let file = new_file("anna", "a", 1);
    let stall = stall(&catalog.writer).await;
    assert!(catalog.commit_version(file.clone(), audit("anna", "save")).now_or_never().is_none());
    drop(stall);
    catalog.close().await.expect("closed");
    assert!(reopen(&catalog.folder).file(&file.user, file.file).await.is_ok());
}
