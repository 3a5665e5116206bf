//! Opening: what is there is recognised, brought up to date, or refused and left untouched.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::super::catalog::SCHEMA;
use super::*;
use crate::catalog;
use crate::catalog::KeyScope;

fn open(path: &Path) -> storage_core::Result<SqliteCatalog> {
    SqliteCatalog::open(path, CatalogOptions::default())
}

/// Asserts that a file is refused with these words, and that nothing in its folder changes.
fn assert_refused_untouched(path: &Path, kind: ErrorKind, words: &[&str]) {
    let content = || -> Vec<_> {
        let folder = fs::read_dir(path.parent().expect("a folder")).expect("it reads");
        let mut files: Vec<_> = folder
            .map(|file| file.expect("an entry").path())
            // SQLite's index of the log is rebuilt from the log whenever it is opened.
            .filter(|file| !file.to_string_lossy().ends_with("-shm"))
            .map(|file| (fs::read(&file).expect("it reads"), file))
            .collect();
        files.sort();
        files
    };
    let before = content();
    let error = open(path).expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    let report = error.report();
    for word in words.iter().chain(&[path.to_str().expect("a plain path")]) {
        assert!(report.contains(word), "{word} is not in: {report}");
    }
    assert!(content() == before, "a refused file was touched");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_untouched() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("notes.txt");
    for text in [
        "x",
        "These are my notes, and they are longer than the header of a database would be, which is a hundred bytes.",
    ] {
        fs::write(&path, text).expect("written");
        assert_refused_untouched(&path, ErrorKind::ConfigInvalid, &["is not a catalog", "another path"]);
    }
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a folder");
    assert_eq!(open(&path).expect_err("a folder is no file").kind(), ErrorKind::ConfigInvalid);
}

#[test]
fn the_database_of_another_application_is_refused_and_untouched() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("theirs.db");
    for application_id in [0, 7] {
        let theirs = Connection::open(&path).expect("their database");
        theirs.pragma_update(None, "journal_mode", "WAL").expect("their log");
        theirs.pragma_update(None, "application_id", application_id).expect("their mark");
        theirs.execute_batch("CREATE TABLE IF NOT EXISTS users (name TEXT)").expect("their table");
        // They have it open, their log full, while we look.
        assert_refused_untouched(&path, ErrorKind::ConfigInvalid, &["another application", "application_id"]);
        drop(theirs);
        assert_refused_untouched(&path, ErrorKind::ConfigInvalid, &["another application"]);
    }
}

fn newest_version() -> u32 {
    u32::try_from(SCHEMA.migrations.len()).expect("a few")
}

#[tokio::test]
async fn a_newer_catalog_is_refused_and_untouched() {
    let catalog = fixture();
    catalog.close().await.expect("closed");
    let path = catalog.path().to_owned();
    {
        let newer = catalog.look();
        newer.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("set");
        // Known from the log alone: the file still says the old version.
        newer.pragma_update(None, "user_version", 99).expect("a newer version");
    }
    assert_refused_untouched(
        &path,
        ErrorKind::ConfigInvalid,
        &["newer version", "version: 99", &format!("newest_supported: {}", newest_version())],
    );
}

/// A catalog as the program of an earlier version of the schema made it.
fn catalog_of_version(path: &Path, version: usize) -> Connection {
    let old = Connection::open(path).expect("a database");
    old.pragma_update(None, "application_id", SCHEMA.application_id).expect("our mark");
    for migration in &SCHEMA.migrations[..version] {
        old.execute_batch(migration).expect("a step to this version");
    }
    old.pragma_update(None, "user_version", version).expect("its number");
    old
}

#[tokio::test]
async fn keys_that_were_made_before_there_were_others_are_for_files() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("catalog.db");
    let old = catalog_of_version(&path, 1);
    old.execute("INSERT INTO service_keys VALUES ('k1', 'web', zeroblob(32), 1, NULL)", []).expect("a key");
    drop(old);
    let catalog = open(&path).expect("it opens");
    let key = catalog.service_key("k1").await.expect("it is read").expect("it is there");
    assert_eq!(key.scope, KeyScope::Files);
}

#[tokio::test]
async fn versions_that_were_saved_before_there_was_a_second_digest_have_one() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("catalog.db");
    let old = catalog_of_version(&path, 3);
    let file = new_file("anna", "a", 1);
    let (id, version) = (file.file, file.version);
    old.execute("INSERT INTO users (user_id) VALUES ('anna')", []).expect("a user");
    old.execute("INSERT INTO files VALUES (?1, 'anna', 1, ?2, 1, 1, 'a', 1)", (id, version)).expect("a file");
    old.execute(
        "INSERT INTO versions VALUES (?1, ?2, 1, 'a', 'text/plain', 1, ?3, '{}', '{}', 1)",
        (id, version, [9_u8; 32].as_slice()),
    )
    .expect("a version");
    drop(old);
    let catalog = open(&path).expect("it opens");
    let next = next_version(&file, Base::Current, 2);
    catalog.commit_version(next.clone(), audit("anna", "save")).await.expect("committed");
    let versions = catalog.versions(&file.user, id).await.expect("both");
    let digests: Vec<_> = versions.iter().map(|version| version.digests).collect();
    assert_eq!(digests, [next.digests, [9; 32].into()]);
}

#[tokio::test]
async fn a_catalog_of_version_0_is_migrated_and_one_of_this_version_left_alone() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("catalog.db");
    let old = Connection::open(&path).expect("a database");
    old.pragma_update(None, "application_id", SCHEMA.application_id).expect("our mark");
    drop(old);
    let file = new_file("anna", "a", 1);
    for _ in 0..2 {
        let catalog = open(&path).expect("it opens");
        let version: u32 = catalog
            .writer
            .call("version", super::super::writer::Durability::Relaxed, |connection| {
                Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
            })
            .await
            .expect("a version");
        assert_eq!(version, newest_version());
        // Only one of the two times: a migration that ran twice would have lost it.
        let saved = catalog.commit_version(file.clone(), audit("anna", "save")).await;
        let found = catalog.file(&file.user, file.file).await.expect("it is there");
        assert!(saved.is_ok() || found.current.id == file.version);
        catalog.close().await.expect("closed");
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("broken.db");
    let schema = |migrations| super::super::open::Schema { name: "trial", application_id: 77, migrations };
    let timeout = Duration::from_secs(1);
    schema(&["CREATE TABLE a (x)"]).open(&path, timeout).expect("version 1");
    let broken = schema(&["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE b (x)"]);
    broken.open(&path, timeout).expect_err("the last migration fails");
    let connection = Connection::open(&path).expect("it opens");
    let tables = connection
        .query_row("SELECT group_concat(name) FROM sqlite_schema", [], |row| row.get::<_, String>(0));
    assert_eq!(tables.expect("names"), "a");
    let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    assert_eq!(version.expect("a number"), 1);
}

#[tokio::test]
async fn two_processes_that_open_a_new_catalog_at_once_both_succeed() {
    let folder = TempDir::new().expect("a temporary folder");
    for round in 0..8 {
        let path = folder.path().join(format!("{round}.db"));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic").expect("it opens")).collect()
        });
        let file = new_file("anna", "a", 1);
        opened[0].commit_version(file.clone(), audit("anna", "save")).await.expect("committed");
        for catalog in &opened {
            assert_eq!(catalog.file(&file.user, file.file).await.expect("all see it").id, file.file);
        }
    }
}

#[test]
fn a_damaged_catalog_is_told_to_be_damaged() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("catalog.db");
    drop(SCHEMA.open(&path, Duration::from_secs(1)).expect("a new catalog"));
    let mut bytes = fs::read(&path).expect("it reads");
    bytes[100..4_096].fill(0xAA);
    fs::write(&path, bytes).expect("written");
    let error = open(&path).expect_err("it is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}");
    assert!(error.to_string().contains("restore it from a backup"));
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_a_new_catalog_and_its_folder_is_made() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("a/b/catalog.db");
    let catalog = open(&path).expect("it opens");
    catalog.commit_version(new_file("anna", "a", 1), audit("anna", "save")).await.expect("committed");
    let files: Vec<_> = fs::read_dir(folder.path().join("a/b")).expect("the folder").flatten().collect();
    assert!(files.len() >= 4, "database, log, index of the log, unfinished objects: {files:?}");
    for file in files {
        let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
}

#[test]
fn a_url_names_the_database() {
    let folder = TempDir::new().expect("a temporary folder");
    for slashes in ["", "//"] {
        let path = folder.path().join("catalog.db");
        let url = format!("sqlite:{slashes}{}", path.display());
        catalog::open(&url, CatalogOptions::default()).expect("it opens");
        assert!(path.exists());
    }
    for (url, word) in [
        ("postgres://anna:secret@db/files", "PostgreSQL"),
        ("mysql://anna:secret@db/files", "sqlite:PATH"),
        ("catalog.db", "sqlite:PATH"),
        ("sqlite:", "sqlite:PATH"),
        ("", "sqlite:PATH"),
    ] {
        let error = catalog::open(url, CatalogOptions::default()).err().expect("it must be refused");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(error.to_string().contains(word), "{error}");
        assert!(!error.report().contains("secret"));
    }
}

#[tokio::test]
async fn a_statement_is_prepared_once_whatever_its_values() {
    let catalog = fixture();
    let prepared_anew = |connection: &Connection| {
        for value in 0..3_u8 {
            let mut statement = connection.prepare_cached(super::super::read::PLACEMENTS)?;
            let found = statement.query([[value; 16], [value + 1; 16]])?.next()?.is_some();
            assert!(!found, "there are no files");
        }
        let statement = connection.prepare_cached(super::super::read::PLACEMENTS)?;
        Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
    };
    let reader = catalog.readers.call("prepared_anew", prepared_anew).await;
    assert_eq!(reader.expect("read"), 0);
    let writer =
        catalog.writer.call("prepared_anew", super::super::writer::Durability::Relaxed, prepared_anew).await;
    assert_eq!(writer.expect("read"), 0);
}
