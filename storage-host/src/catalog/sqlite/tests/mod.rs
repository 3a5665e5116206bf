//! The catalog in SQLite, tried: what the trait promises, and what only this catalog has to hold.

mod faults;
mod files;
mod keys;
mod listing;
mod opening;
mod quota;
mod sharing;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use storage_core::{ErrorKind, ObjectKey, Tier};
use tempfile::TempDir;

use super::SqliteCatalog;
use crate::catalog::{
    AuditEntry, Base, Catalog, CatalogOptions, Digests, FileId, FileVersionId, NewVersion, Placement, Quota,
    UserId,
};

/// A catalog in a folder of its own, which goes with it.
struct Fixture {
    folder: TempDir,
    catalog: SqliteCatalog,
}

impl std::ops::Deref for Fixture {
    type Target = SqliteCatalog;

    fn deref(&self) -> &SqliteCatalog {
        &self.catalog
    }
}

fn fixture() -> Fixture {
    with_quota(Quota::default())
}

fn with_quota(default_quota: Quota) -> Fixture {
    let folder = TempDir::new().expect("a temporary folder");
    let options = CatalogOptions { default_quota, ..CatalogOptions::default() };
    let catalog = SqliteCatalog::open(folder.path().join("catalog.db"), options).expect("a new catalog");
    Fixture { folder, catalog }
}

fn reopen(folder: &TempDir) -> SqliteCatalog {
    SqliteCatalog::open(folder.path().join("catalog.db"), CatalogOptions::default()).expect("it opens again")
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a legal user id")
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// A first version of a new file.
fn new_file(owner: &str, filename: &str, size_bytes: u64) -> NewVersion {
    let (file, version) = (FileId::new(), FileVersionId::new());
    NewVersion {
        file,
        user: user(owner),
        version,
        base: Base::NewFile,
        filename: filename.to_owned(),
        content_type: "application/pdf".to_owned(),
        size_bytes,
        digests: Digests { sha256: [7; 32], blake3: Some([8; 32]) },
        metadata: BTreeMap::from([("job".to_owned(), "42 \"é\"".to_owned())]),
        tags: BTreeMap::new(),
        placement: Placement {
            backend: "local".to_owned(),
            key: ObjectKey::new(format!("users/{owner}/{file}/{version}/x")).expect("a legal key"),
            tier: Some(Tier::Warm),
        },
        reservation: None,
        created_at: at(0),
    }
}

/// A next version of a file.
fn next_version(of: &NewVersion, base: Base, size_bytes: u64) -> NewVersion {
    let version = FileVersionId::new();
    let key = ObjectKey::new(format!("users/{}/{}/{version}/x", of.user, of.file)).expect("a legal key");
    NewVersion {
        version,
        base,
        size_bytes,
        placement: Placement { key, ..of.placement.clone() },
        ..of.clone()
    }
}

fn audit(owner: &str, action: &str) -> AuditEntry {
    AuditEntry {
        at: at(1),
        actor: "key:tests".to_owned(),
        user: user(owner),
        action: action.to_owned(),
        file: None,
        version: None,
        outcome: "ok".to_owned(),
        correlation_id: Some("c-1".to_owned()),
        remote: None,
    }
}

impl Fixture {
    async fn save(&self, version: &NewVersion) -> crate::catalog::FileRecord {
        let owner = version.user.as_str().to_owned();
        self.commit_version(version.clone(), audit(&owner, "save")).await.expect("the version is committed")
    }

    /// What the outbox holds, oldest first.
    fn events(&self) -> Vec<serde_json::Value> {
        let connection = self.look();
        let mut statement = connection.prepare("SELECT event FROM outbox ORDER BY seq").expect("the outbox");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("its rows");
        rows.map(|row| serde_json::from_str(&row.expect("a text")).expect("JSON")).collect()
    }

    /// A connection of somebody else.
    fn look(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).expect("the database opens")
    }

    /// That counters and rows agree and the database is sound.
    async fn assert_sound(&self) {
        assert_eq!(self.check_usage(false).await.expect("usage"), Vec::new());
        assert_eq!(self.check_integrity().await.expect("integrity"), Vec::<String>::new());
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, storage_core::Error>) -> ErrorKind {
    result.expect_err("this must be refused").kind()
}
