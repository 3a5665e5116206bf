//! The catalog itself: what the trait promises, as calls of the writers and the readers.
//!
//! Compiled twice in tests: see [`super::sync`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rusqlite::Connection;
use storage_core::Result;

use super::error::{Answer, Fault};
use super::lines::Lines;
use super::open::Schema;
use super::quota::Need;
use super::readers::Readers;
use super::writer::Durability::{self, Durable, Relaxed};
use super::writer::{Limits, Writer};
use super::{audit, check, commit, delete, keys, list, objects, open, quota, read, scrub};
use crate::catalog::{
    AuditEntry, Catalog, CatalogOptions, DamagedVersion, FileId, FilePage, FileQuery, FileRecord,
    FileVersionId, Garbage, LinkKeyRecord, NewVersion, PlacedVersion, Quota, ReservationId, ServiceKeyRecord,
    Totals, Usage, UserId, VersionRecord,
};

/// How the catalog's database is marked, and the migrations that made it.
pub(super) const SCHEMA: Schema = Schema {
    name: "catalog",
    application_id: u32::from_be_bytes(*b"StoC"),
    migrations: &[
        include_str!("migrations/0001_catalog.sql"),
        include_str!("migrations/0002_key_scope.sql"),
        include_str!("migrations/0003_scrubs.sql"),
        include_str!("migrations/0004_blake3.sql"),
    ],
};

/// A catalog in a SQLite database.
///
/// Beside the file lie SQLite's own `-wal` and `-shm`, and the record of unfinished objects (`-unfinished`).
/// Dropping it without [`Catalog::close`] loses nothing that was taken if the process goes on: it is
/// written in the background.
#[derive(Debug)]
pub struct SqliteCatalog {
    pub(super) writer: Arc<Writer>,
    lines: Lines,
    pub(super) readers: Readers,
    objects: Writer,
    object_readers: Readers,
    default_quota: Quota,
    path: PathBuf,
}

/// What a catalog did since it was opened, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqliteStats {
    /// Transactions that were committed.
    pub transactions: u64,
    /// Of these, those that waited for the disk (`fsync`).
    pub durable_transactions: u64,
    /// Changes in these transactions. Divided by them: how many share a commit.
    pub changes: u64,
    /// Audit lines that nobody waited for and that could not be written.
    pub lost_audit_lines: u64,
}

impl SqliteCatalog {
    /// Opens the database, made with its folder where it is missing and migrated where it is older.
    /// Blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for a file that is not a catalog or is one of a newer version, which is left untouched;
    /// `Corrupted` for one that is damaged; `PermissionDenied`, `ReadOnly`, `NoSpace`; `Unavailable` where
    /// another process keeps it locked.
    pub fn open(path: impl AsRef<Path>, options: CatalogOptions) -> Result<Self> {
        let path = open::absolute(path.as_ref())?;
        let CatalogOptions { default_quota, readers, busy_timeout } = options;
        let is_new = std::fs::metadata(&path).map_or(true, |found| found.len() == 0);
        let connection = SCHEMA.open(&path, busy_timeout)?;
        clear_lapsed(&connection)?;
        let objects_path = objects::path_beside(&path);
        let objects = objects::SCHEMA.open(&objects_path, busy_timeout)?;
        if is_new {
            objects::forget_all(&objects).map_err(Fault::into_error)?;
        }
        let writer = Arc::new(Writer::start(connection, &path, Limits::default())?);
        Ok(Self {
            lines: Lines::start(Arc::clone(&writer))?,
            writer,
            readers: Readers::new(&path, readers, busy_timeout),
            objects: Writer::start(objects, &objects_path, Limits::default())?,
            object_readers: Readers::new(&objects_path, 1, busy_timeout),
            default_quota,
            path,
        })
    }

    /// Where the database lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the catalog did since it was opened.
    pub fn stats(&self) -> SqliteStats {
        let counters = self.writer.counters();
        SqliteStats {
            transactions: counters.transactions.load(Ordering::Relaxed),
            durable_transactions: counters.durable_transactions.load(Ordering::Relaxed),
            changes: counters.changes.load(Ordering::Relaxed),
            lost_audit_lines: counters.lost_changes.load(Ordering::Relaxed),
        }
    }

    /// Makes a change, after the audit lines that were taken before it, and answers once it is committed.
    async fn change<T: Send + 'static>(
        &self,
        name: &'static str,
        durability: Durability,
        change: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        self.lines.hand_over().await?;
        self.writer.call(name, durability, change).await
    }
}

/// Takes back what a process that died had reserved, as far as it has lapsed.
fn clear_lapsed(connection: &Connection) -> Result<()> {
    let clear = || -> Answer<()> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        quota::take_back_lapsing(connection, Duration::ZERO)?;
        connection.execute_batch("COMMIT")?;
        Ok(())
    };
    clear().map_err(Fault::into_error)
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn reserve(
        &self,
        user: &UserId,
        bytes: u64,
        files: u64,
        lifetime: Duration,
    ) -> Result<ReservationId> {
        let (user, default_quota) = (user.clone(), self.default_quota);
        let reserve = move |connection: &_| {
            quota::reserve(connection, &user, Need { bytes, files }, lifetime, default_quota)
        };
        self.change("reserve", Relaxed, reserve).await?
    }

    async fn grow_reservation(
        &self,
        reservation: ReservationId,
        bytes: u64,
        lifetime: Duration,
    ) -> Result<()> {
        let default_quota = self.default_quota;
        let grow = move |connection: &_| quota::grow(connection, reservation, bytes, lifetime, default_quota);
        self.change("grow_reservation", Relaxed, grow).await?
    }

    async fn release_reservation(&self, reservation: ReservationId) -> Result<()> {
        let release = move |connection: &_| quota::take_back(connection, reservation);
        self.change("release_reservation", Relaxed, release).await
    }

    async fn release_lapsing_reservations(&self, within: Duration) -> Result<u64> {
        let release = move |connection: &_| quota::take_back_lapsing(connection, within);
        self.change("release_lapsing_reservations", Relaxed, release).await
    }

    async fn begin_object(&self, object: &Garbage) -> Result<()> {
        let object = object.clone();
        self.objects
            .call("begin_object", Relaxed, move |connection| objects::begin(connection, &object))
            .await
    }

    async fn abandon_object(&self, object: &Garbage) -> Result<()> {
        let object = [object.clone()];
        self.objects
            .call("abandon_object", Relaxed, move |connection| objects::forget(connection, &object))
            .await
    }

    async fn unfinished_objects(
        &self,
        age: Duration,
        after: Option<&Garbage>,
        limit: u32,
    ) -> Result<Vec<Garbage>> {
        let mut unfinished = Vec::new();
        let mut after = after.cloned();
        while unfinished.len() < limit as usize {
            let page = move |connection: &_| objects::older(connection, age, after.as_ref(), limit);
            let page = self.object_readers.call("unfinished_objects", page).await?;
            after = page.last().cloned();
            if after.is_none() {
                break;
            }
            let divide = move |connection: &_| objects::divide(connection, page);
            let (orphans, finished) = self.readers.call("unfinished_objects", divide).await?;
            if !finished.is_empty() {
                let forget = move |connection: &_| objects::forget(connection, &finished);
                self.objects.call("unfinished_objects", Relaxed, forget).await?;
            }
            unfinished.extend(orphans);
        }
        unfinished.truncate(limit as usize);
        Ok(unfinished)
    }

    async fn commit_version(&self, version: NewVersion, audit: AuditEntry) -> Result<FileRecord> {
        let default_quota = self.default_quota;
        let object = [objects::object_of(&version.placement)];
        let commit = move |connection: &_| commit::commit_version(connection, version, &audit, default_quota);
        let record = self.change("commit_version", Durable, commit).await??;
        // Where this fails, the next look at unfinished objects finds that the object has a version.
        let forget = move |connection: &_| objects::forget(connection, &object);
        if let Err(error) = self.objects.enqueue("commit_version", forget).await {
            tracing::warn!(error = %error.report(), "a finished object stays on record as unfinished for now");
        }
        Ok(record)
    }

    async fn file(&self, user: &UserId, file: FileId) -> Result<FileRecord> {
        let user = user.clone();
        self.readers.call_short("file", move |connection| read::file(connection, &user, file)).await
    }

    async fn owner(&self, file: FileId) -> Result<UserId> {
        self.readers.call_short("owner", move |connection| read::owner(connection, file)).await
    }

    async fn version(&self, user: &UserId, file: FileId, version: FileVersionId) -> Result<VersionRecord> {
        let user = user.clone();
        self.readers
            .call_short("version", move |connection| read::version(connection, &user, file, version))
            .await
    }

    async fn versions(&self, user: &UserId, file: FileId) -> Result<Vec<VersionRecord>> {
        let user = user.clone();
        self.readers.call("versions", move |connection| read::versions(connection, &user, file)).await
    }

    async fn list(&self, user: &UserId, query: FileQuery) -> Result<FilePage> {
        let user = user.clone();
        self.readers.call("list", move |connection| list::list(connection, &user, &query)).await
    }

    async fn delete_file(
        &self,
        user: &UserId,
        file: FileId,
        if_current: Option<FileVersionId>,
        audit: AuditEntry,
    ) -> Result<Option<Vec<Garbage>>> {
        let user = user.clone();
        let delete = move |connection: &_| delete::delete_file(connection, &user, file, if_current, &audit);
        self.change("delete_file", Durable, delete).await
    }

    async fn delete_version(
        &self,
        user: &UserId,
        file: FileId,
        version: FileVersionId,
        audit: AuditEntry,
    ) -> Result<Option<Vec<Garbage>>> {
        let user = user.clone();
        let delete = move |connection: &_| delete::delete_version(connection, &user, file, version, &audit);
        self.change("delete_version", Durable, delete).await
    }

    async fn garbage(&self, age: Duration, after: Option<&Garbage>, limit: u32) -> Result<Vec<Garbage>> {
        let after = after.cloned();
        let garbage = move |connection: &_| delete::garbage(connection, age, after.as_ref(), limit);
        self.readers.call("garbage", garbage).await
    }

    async fn forget_garbage(&self, removed: &[Garbage]) -> Result<()> {
        let removed = removed.to_vec();
        // Garbage that is remembered for too long is removed once more, which succeeds.
        let forget = move |connection: &_| delete::forget_garbage(connection, &removed);
        self.change("forget_garbage", Relaxed, forget).await
    }

    async fn usage(&self, user: &UserId) -> Result<Usage> {
        let (user, default_quota) = (user.clone(), self.default_quota);
        self.readers
            .call_short("usage", move |connection| quota::usage(connection, &user, default_quota))
            .await
    }

    async fn set_quota(&self, user: &UserId, quota: Option<Quota>) -> Result<()> {
        let user = user.clone();
        let set = move |connection: &_| quota::set_quota(connection, &user, quota);
        self.change("set_quota", Durable, set).await
    }

    async fn totals(&self) -> Result<Totals> {
        self.readers.call_short("totals", quota::totals).await
    }

    async fn audit(&self, entry: AuditEntry) -> Result<()> {
        self.lines.add(entry).await
    }

    async fn audit_log(&self, user: Option<&UserId>, limit: u32) -> Result<Vec<AuditEntry>> {
        if self.lines.are_under_way() {
            // The writer does one thing after the other: when this is done, they are there.
            self.change("audit_log", Relaxed, |_| Ok(())).await?;
        }
        let user = user.cloned();
        let read = move |connection: &_| audit::latest_lines(connection, user.as_ref(), limit);
        self.readers.call("audit_log", read).await
    }

    async fn placements_after(
        &self,
        backend: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PlacedVersion>> {
        let (backend, after) = (backend.to_owned(), after.map(str::to_owned));
        let read =
            move |connection: &_| read::placements_after(connection, &backend, after.as_deref(), limit);
        self.readers.call("placements_after", read).await
    }

    async fn versions_elsewhere(&self, backends: Vec<String>) -> Result<BTreeMap<String, u64>> {
        let read = move |connection: &_| read::versions_elsewhere(connection, &backends);
        self.readers.call("versions_elsewhere", read).await
    }

    async fn scrub_cursor(&self, backend: &str) -> Result<Option<String>> {
        let backend = backend.to_owned();
        self.readers.call("scrub_cursor", move |connection| scrub::cursor(connection, &backend)).await
    }

    async fn record_scrub(
        &self,
        backend: &str,
        after: Option<&str>,
        damaged: Vec<(AuditEntry, DamagedVersion)>,
    ) -> Result<()> {
        let (backend, after) = (backend.to_owned(), after.map(str::to_owned));
        let record = move |connection: &_| scrub::record(connection, &backend, after.as_deref(), &damaged);
        self.change("record_scrub", Durable, record).await
    }

    async fn adopt_version(&self, version: NewVersion) -> Result<bool> {
        let adopt = move |connection: &_| commit::adopt_version(connection, &version);
        self.change("adopt_version", Durable, adopt).await
    }

    async fn check_usage(&self, repair: bool) -> Result<Vec<UserId>> {
        let check = move |connection: &_| check::check_usage(connection, repair);
        if repair {
            return self.change("check_usage", Durable, check).await;
        }
        self.readers.call("check_usage", check).await
    }

    async fn check_integrity(&self) -> Result<Vec<String>> {
        self.readers.call("check_integrity", check::check_integrity).await
    }

    async fn add_service_key(&self, key: ServiceKeyRecord) -> Result<()> {
        let add = move |connection: &_| keys::add_service_key(connection, &key);
        self.change("add_service_key", Durable, add).await
    }

    async fn service_key(&self, id: &str) -> Result<Option<ServiceKeyRecord>> {
        let id = id.to_owned();
        self.readers.call_short("service_key", move |connection| keys::service_key(connection, &id)).await
    }

    async fn service_keys(&self) -> Result<Vec<ServiceKeyRecord>> {
        self.readers.call("service_keys", keys::service_keys).await
    }

    async fn revoke_service_key(&self, id_or_name: &str, at: SystemTime) -> Result<bool> {
        let id_or_name = id_or_name.to_owned();
        let revoke = move |connection: &_| keys::revoke_service_key(connection, &id_or_name, at);
        self.change("revoke_service_key", Durable, revoke).await
    }

    async fn link_keys(&self) -> Result<Vec<LinkKeyRecord>> {
        let keys = self.readers.call("link_keys", keys::link_keys).await?;
        if !keys.is_empty() {
            return Ok(keys);
        }
        self.change("link_keys", Durable, keys::link_keys_or_first).await
    }

    async fn rotate_link_keys(&self, retire_old_at: SystemTime) -> Result<LinkKeyRecord> {
        let rotate = move |connection: &_| keys::rotate_link_keys(connection, retire_old_at);
        self.change("rotate_link_keys", Durable, rotate).await
    }

    async fn close(&self) -> Result<()> {
        let lost_before = self.writer.lost_changes();
        // Readers first: the last connection to close moves the log into the database, and they cannot.
        self.readers.close().await;
        self.object_readers.close().await;
        let lines = self.lines.close().await;
        let written = self.writer.close(lost_before).await;
        self.objects.close(self.objects.lost_changes()).await?;
        lines.and(written)
    }
}
