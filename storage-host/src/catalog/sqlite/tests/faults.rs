//! Full disks, busy databases and processes that die: what was acknowledged is there, and nothing else is told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::super::writer::Durability::Relaxed;
use super::*;

async fn limit_pages(catalog: &SqliteCatalog, more: Option<u32>) {
    let limit = move |connection: &Connection| {
        let pages: u32 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let limit = more.map_or(u32::MAX - 1, |more| pages + more);
        connection.pragma_update(None, "max_page_count", limit)?;
        Ok(())
    };
    catalog.writer.call("limit_pages", Relaxed, limit).await.expect("limited");
}

#[tokio::test]
async fn a_full_disk_fails_what_does_not_fit_and_loses_nothing() {
    let catalog = fixture();
    limit_pages(&catalog, Some(3)).await;
    let mut large = Vec::new();
    let mut saved = Vec::new();
    for _ in 0..40 {
        let mut file = new_file("anna", "a", 1);
        file.metadata.insert("note".to_owned(), "x".repeat(1_000));
        large.push(file);
    }
    let commits = large.iter().map(|file| catalog.commit_version(file.clone(), audit("anna", "save")));
    for (file, outcome) in large.iter().zip(futures_util::future::join_all(commits).await) {
        match outcome {
            Ok(_) => saved.push(file.file),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}"),
        }
    }
    assert!(saved.len() < large.len());
    // One at a time, some may still fit; then none does.
    let mut full = false;
    for file in large.iter().filter(|file| !saved.contains(&file.file)).collect::<Vec<_>>() {
        match catalog.commit_version(file.clone(), audit("anna", "save")).await {
            Ok(_) => saved.push(file.file),
            Err(error) => full = error.kind() == ErrorKind::NoSpace,
        }
    }
    assert!(full);
    assert_eq!(catalog.totals().await.expect("totals").files, saved.len() as u64);
    catalog.assert_sound().await;

    limit_pages(&catalog, None).await;
    for file in large.iter().filter(|file| !saved.contains(&file.file)) {
        catalog.save(file).await;
    }
    assert_eq!(catalog.totals().await.expect("totals").files, 40);
    catalog.assert_sound().await;
}

#[tokio::test]
async fn a_database_that_turns_read_only_refuses_changes_is_read_on_and_loses_nothing() {
    let catalog = fixture();
    let (first, second) = (new_file("anna", "a", 1), new_file("anna", "b", 1));
    catalog.save(&first).await;
    let turn = |connection: &Connection| Ok(connection.pragma_update(None, "query_only", true)?);
    catalog.writer.call("turn", Relaxed, turn).await.expect("turned");
    let refused = catalog.commit_version(second.clone(), audit("anna", "save")).await;
    assert_eq!(kind(refused), ErrorKind::ReadOnly);
    let room = catalog.reserve(&first.user, 1, 1, Duration::from_secs(60)).await;
    assert_eq!(kind(room), ErrorKind::ReadOnly);
    assert!(catalog.file(&first.user, first.file).await.is_ok());
    assert_eq!(kind(catalog.file(&second.user, second.file).await), ErrorKind::NotFound);
    let catalog = Fixture { catalog: reopen(&catalog.folder), folder: catalog.folder };
    catalog.save(&second).await;
    assert_eq!(catalog.totals().await.expect("totals").files, 2);
    catalog.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_waits_while_another_process_writes() {
    let catalog = fixture();
    let other = catalog.look();
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let file = new_file("anna", "a", 1);
    let save = catalog.save(&file);
    let release = async {
        // Reads go on all the while.
        assert_eq!(catalog.totals().await.expect("totals").files, 0);
        other.execute_batch("COMMIT").expect("released");
    };
    tokio::join!(save, release);
    assert!(catalog.file(&file.user, file.file).await.is_ok());
}

#[tokio::test]
async fn a_change_that_waited_too_long_says_so_and_may_be_tried_again() {
    let folder = TempDir::new().expect("a temporary folder");
    let options = CatalogOptions { busy_timeout: Duration::from_millis(20), ..CatalogOptions::default() };
    let catalog = SqliteCatalog::open(folder.path().join("catalog.db"), options).expect("a new catalog");
    let other = Connection::open(catalog.path()).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let error = catalog.set_quota(&user("anna"), None).await.expect_err("it is locked");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.retry().is_allowed());
    assert!(error.to_string().contains("another process"));
    other.execute_batch("COMMIT").expect("released");
    catalog.set_quota(&user("anna"), None).await.expect("set");
}

#[tokio::test]
async fn two_catalogs_on_one_file_see_each_others_commits_at_once() {
    let one = fixture();
    let two = reopen(&one.folder);
    for round in 0..20 {
        let (writer, reader): (&SqliteCatalog, &SqliteCatalog) =
            if round % 2 == 0 { (&one.catalog, &two) } else { (&two, &one.catalog) };
        let file = new_file("anna", &format!("{round}"), 1);
        writer.commit_version(file.clone(), audit("anna", "save")).await.expect("committed");
        assert!(reader.file(&file.user, file.file).await.is_ok());
        let next = next_version(&file, Base::Version(file.version), 2);
        let replaced = reader.commit_version(next, audit("anna", "save")).await.expect("committed");
        assert_eq!(replaced.current.number, 2);
    }
    one.assert_sound().await;
}

#[tokio::test]
async fn a_catalog_that_was_not_closed_opens_with_everything_in_it() {
    let Fixture { folder, catalog } = fixture();
    let file = new_file("anna", "a", 1);
    catalog.commit_version(file.clone(), audit("anna", "save")).await.expect("committed");
    let reopened = reopen(&folder);
    drop(catalog);
    assert!(reopened.file(&file.user, file.file).await.is_ok());
}

/// A copy of the files is what a power cut at that moment would leave: the log is only ever appended to between
/// two checkpoints, and none falls into so little writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_in_the_middle_of_writing_opens_and_holds_what_was_acknowledged() {
    let source = fixture();
    let writing = async {
        for number in 0..60 {
            source.save(&new_file("anna", &format!("{number}"), 1)).await;
        }
    };
    let copying = async {
        let mut copies = Vec::new();
        for _ in 0..6 {
            let acknowledged = source.totals().await.expect("totals").files;
            let copy = TempDir::new().expect("a temporary folder");
            for name in ["catalog.db", "catalog.db-wal"] {
                tokio::fs::copy(source.folder.path().join(name), copy.path().join(name))
                    .await
                    .expect("copied");
            }
            copies.push((acknowledged, copy));
            tokio::task::yield_now().await;
        }
        copies
    };
    let ((), copies) = tokio::join!(writing, copying);
    for (acknowledged, folder) in copies {
        let catalog = reopen(&folder);
        let found = catalog.totals().await.expect("totals").files;
        assert!(found >= acknowledged, "{found} of {acknowledged}");
        Fixture { folder, catalog }.assert_sound().await;
    }
}

const CHILD_FOLDER: &str = "CATALOG_TEST_CHILD_FOLDER";

/// Not a test of its own: what the process does that the next test kills. Without the variable it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_saves_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let path = std::path::Path::new(&folder).join("catalog.db");
    let catalog = SqliteCatalog::open(path, CatalogOptions::default()).expect("it opens");
    let catalog = std::sync::Arc::new(catalog);
    let mut savers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let catalog = std::sync::Arc::clone(&catalog);
        savers.spawn(async move {
            loop {
                let file = new_file("anna", "a", 1);
                let placement = &file.placement;
                let object = crate::catalog::Garbage {
                    backend: placement.backend.clone(),
                    key: placement.key.clone(),
                };
                catalog.begin_object(&object).await.expect("recorded");
                writeln!(std::io::stdout(), "begun {}", object.key).expect("the parent reads");
                catalog.commit_version(file.clone(), audit("anna", "save")).await.expect("committed");
                writeln!(std::io::stdout(), "saved {}", file.file).expect("the parent reads");
            }
        });
    }
    savers.join_all().await;
}

#[tokio::test]
async fn no_acknowledged_save_is_lost_when_the_process_is_killed() {
    let folder = TempDir::new().expect("a temporary folder");
    let (mut saved, mut begun) = (Vec::<FileId>::new(), Vec::new());
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "catalog::sqlite::tests::faults::child_that_saves_until_it_is_killed"])
            .arg("--nocapture")
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut note = |line: &str| match line.split_once(' ') {
            Some(("saved", file)) => saved.push(file.parse().expect("a file id")),
            Some(("begun", key)) => begun.push(key.to_owned()),
            _ => {}
        };
        for line in lines.by_ref().take(20 + 150 * round) {
            note(&line.expect("a line"));
        }
        child.kill().expect("killed");
        child.wait().expect("it is gone");
        // What it said before it died. The last line may be torn.
        for line in lines.map_while(Result::ok).filter(|line| line.len() > 40) {
            note(&line);
        }
    }
    let catalog = reopen(&folder);
    assert!(saved.len() > 100, "{}", saved.len());
    for file in &saved {
        assert!(catalog.file(&user("anna"), *file).await.is_ok(), "{file} was acknowledged");
    }
    // Every object that was begun has a version or is told to be nobody's.
    let unfinished = catalog.unfinished_objects(Duration::ZERO, None, 10_000).await.expect("unfinished");
    let placed = catalog.placements_after("local", None, 1_000_000).await.expect("placements");
    for key in begun.iter().filter(|key| key.len() > 110) {
        let has_version = placed.iter().any(|placed| placed.key.as_str() == key);
        let is_unfinished = unfinished.iter().any(|object| object.key.as_str() == key);
        assert!(has_version != is_unfinished, "{key}");
    }
    Fixture { folder, catalog }.assert_sound().await;
}
