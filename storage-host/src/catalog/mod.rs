//! What files exist, who owns them, and where their bytes are. Knows nothing of backends but their names.
//!
//! Every change is one transaction that also writes the audit line and the outbox event, and is durable
//! before it answers. Transactions of concurrent callers share one commit.

mod cursor;
mod ids;
mod record;
mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use storage_core::{Error, ErrorKind, Result};

pub use crate::events::DamagedVersion;
pub use ids::{FileId, FileVersionId, UserId};
pub use record::{
    AuditEntry, Base, Blake3, Digests, FilePage, FileQuery, FileRecord, Garbage, KeyScope, LinkKeyRecord,
    NewVersion, Placement, Quota, ReservationId, ServiceKeyRecord, Sha256, SortBy, Totals, Usage,
    VersionRecord,
};
pub use sqlite::{SqliteCatalog, SqliteStats};

#[cfg(test)]
pub(crate) use sqlite::schedules;

/// How a catalog is opened.
#[derive(Clone, Copy, Debug)]
pub struct CatalogOptions {
    /// What users may use who have no quota of their own. No limit by default.
    pub default_quota: Quota,
    /// How many connections read at the same time. 4 by default.
    pub readers: u32,
    /// How long a change waits while another process writes. 10 seconds by default.
    pub busy_timeout: Duration,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        Self { default_quota: Quota::default(), readers: 4, busy_timeout: Duration::from_secs(10) }
    }
}

/// Opens the catalog that a URL names: `sqlite:PATH` or `sqlite://PATH`, with a path that is absolute or relative
/// to the working directory. Blocks for as long as that takes.
///
/// # Errors
///
/// `ConfigInvalid` for a URL of another form; and those of [`SqliteCatalog::open`].
pub fn open(url: &str, options: CatalogOptions) -> Result<Arc<dyn Catalog>> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.trim_start_matches("//").is_empty() => {
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(Arc::new(SqliteCatalog::open(path, options)?))
        }
        Some(("postgres" | "postgresql", _)) => Err(Error::new(
            ErrorKind::ConfigInvalid,
            "this version keeps no catalog in PostgreSQL: give sqlite:PATH",
        )),
        // What was given may hold a password: only its scheme is repeated.
        Some((scheme, _)) if scheme != "sqlite" => Err(Error::new(
            ErrorKind::ConfigInvalid,
            "the URL of a catalog is sqlite:PATH, as in sqlite:./catalog.db",
        )
        .with_context("scheme", scheme.escape_debug())),
        _ => Err(Error::new(
            ErrorKind::ConfigInvalid,
            "the URL of a catalog is sqlite:PATH, as in sqlite:./catalog.db",
        )),
    }
}

/// The catalog, whatever database keeps it.
#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// Reserves room for a save, so that concurrent saves never overshoot a quota and never refuse what fits.
    /// A reservation that is neither committed nor released lapses after `lifetime`.
    ///
    /// # Errors
    ///
    /// `QuotaExceeded`, with limit, use and request as context.
    async fn reserve(
        &self,
        user: &UserId,
        bytes: u64,
        files: u64,
        lifetime: Duration,
    ) -> Result<ReservationId>;

    /// Adds bytes to a reservation and prolongs it.
    ///
    /// # Errors
    ///
    /// `QuotaExceeded`; `NotFound` where the reservation has lapsed.
    async fn grow_reservation(
        &self,
        reservation: ReservationId,
        bytes: u64,
        lifetime: Duration,
    ) -> Result<()>;

    /// Gives a reservation back. One that does not exist is a success.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn release_reservation(&self, reservation: ReservationId) -> Result<()>;

    /// Gives back every reservation that has lapsed or will within this time: those that a killed process made and
    /// nobody prolongs. Answers how many bytes are free again.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn release_lapsing_reservations(&self, within: Duration) -> Result<u64>;

    /// Records that an object is about to be written, so that what a killed process leaves behind can be proven
    /// to be nobody's. Calling it again for the same object renews the record: a long save does so every minute.
    ///
    /// Survives the death of the process, not necessarily a power cut: it costs no `fsync` (SQLite: a database of its
    /// own beside the catalog, `synchronous=OFF`).
    ///
    /// # Errors
    ///
    /// Only those of the database; then the object is not written.
    async fn begin_object(&self, object: &Garbage) -> Result<()>;

    /// Forgets the record of an object that was written and removed again, or never written.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn abandon_object(&self, object: &Garbage) -> Result<()>;

    /// Objects whose record was last renewed longer than `age` ago and that no version refers to: provably nobody's.
    /// In the order of backend and key, after one of them. Records of objects that a version does refer to are dropped
    /// on the way.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn unfinished_objects(
        &self,
        age: Duration,
        after: Option<&Garbage>,
        limit: u32,
    ) -> Result<Vec<Garbage>>;

    /// Adds a version and makes it the current one: file and version row, placement, usage in place of the
    /// reservation, audit line, outbox event; and the record of its object (see [`Catalog::begin_object`]) goes.
    ///
    /// Without a reservation the quota is checked here.
    ///
    /// # Errors
    ///
    /// As [`Base`] has it: `AlreadyExists`, `NotFound` (also for another user's file), `PreconditionFailed`;
    /// `QuotaExceeded`. Then nothing was changed, and the reservation is still there.
    async fn commit_version(&self, version: NewVersion, audit: AuditEntry) -> Result<FileRecord>;

    /// The file, where it exists and belongs to the user.
    ///
    /// # Errors
    ///
    /// `NotFound`, the same for a file of somebody else as for none.
    async fn file(&self, user: &UserId, file: FileId) -> Result<FileRecord>;

    /// Who owns a file: for a caller whose right to it is proven otherwise, by a signed link.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn owner(&self, file: FileId) -> Result<UserId>;

    /// One version of a file, as [`Catalog::file`].
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn version(&self, user: &UserId, file: FileId, version: FileVersionId) -> Result<VersionRecord>;

    /// Every version of a file, newest first.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn versions(&self, user: &UserId, file: FileId) -> Result<Vec<VersionRecord>>;

    /// Lists files of a user, a page at a time. Keyset paging: a page costs the same wherever it is.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a cursor that is not one or belongs to another query, and for a limit out of range.
    async fn list(&self, user: &UserId, query: FileQuery) -> Result<FilePage>;

    /// Deletes a file with all its versions; their objects become garbage, to be removed from the backends.
    /// Answers the garbage; `None` where the user has no such file.
    ///
    /// # Errors
    ///
    /// `PreconditionFailed` where another version than `if_current` is the current one; those of the database.
    async fn delete_file(
        &self,
        user: &UserId,
        file: FileId,
        if_current: Option<FileVersionId>,
        audit: AuditEntry,
    ) -> Result<Option<Vec<Garbage>>>;

    /// Deletes one version that is not the current one. `None` where there is no such version.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for the current version.
    async fn delete_version(
        &self,
        user: &UserId,
        file: FileId,
        version: FileVersionId,
        audit: AuditEntry,
    ) -> Result<Option<Vec<Garbage>>>;

    /// Garbage that waits to be removed for longer than `age`, in the order of backend and key, after one of it.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn garbage(&self, age: Duration, after: Option<&Garbage>, limit: u32) -> Result<Vec<Garbage>>;

    /// Forgets garbage that was removed.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn forget_garbage(&self, removed: &[Garbage]) -> Result<()>;

    /// What a user uses and may use.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn usage(&self, user: &UserId) -> Result<Usage>;

    /// Sets a user's own quota; `None` gives back the default.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn set_quota(&self, user: &UserId, quota: Option<Quota>) -> Result<()>;

    /// What all users use together. Does not read every row.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn totals(&self) -> Result<Totals>;

    /// Appends a line to the audit log for something that changes nothing else. Durable soon after, not before,
    /// it answers.
    ///
    /// # Errors
    ///
    /// Only where the line could not be taken.
    async fn audit(&self, entry: AuditEntry) -> Result<()>;

    /// The latest lines of the audit log, newest first; of one user where given.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn audit_log(&self, user: Option<&UserId>, limit: u32) -> Result<Vec<AuditEntry>>;

    /// Versions with a placement in a backend, by object key in byte order, after a key: the catalog's side of
    /// a comparison with the backend's listing.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn placements_after(
        &self,
        backend: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PlacedVersion>>;

    /// How many versions lie on each backend that is none of these. Reads what lies there, and nothing of what lies on
    /// the others.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn versions_elsewhere(&self, backends: Vec<String>) -> Result<BTreeMap<String, u64>>;

    /// The key of the last object that a scrub of a backend, broken off before its end, has compared.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn scrub_cursor(&self, backend: &str) -> Result<Option<String>>;

    /// Notes how far a scrub of a backend has come (`None`: to its end), with an audit line and an event for each
    /// version that it found damaged on the way.
    ///
    /// # Errors
    ///
    /// Only those of the database; then nothing was noted.
    async fn record_scrub(
        &self,
        backend: &str,
        after: Option<&str>,
        damaged: Vec<(AuditEntry, DamagedVersion)>,
    ) -> Result<()>;

    /// Adds a version that was found in a backend, as it is, without quota, audit or event. One that is there
    /// already stays as it is; answers whether it was added.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn adopt_version(&self, version: NewVersion) -> Result<bool>;

    /// Compares the usage counters with the rows; with `repair` corrects them. Answers the users that differ.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn check_usage(&self, repair: bool) -> Result<Vec<UserId>>;

    /// Checks the database's own structure. Answers what is wrong with it.
    ///
    /// # Errors
    ///
    /// Only where it could not be checked.
    async fn check_integrity(&self) -> Result<Vec<String>>;

    /// Adds a service key.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a name that a key that is not revoked has.
    async fn add_service_key(&self, key: ServiceKeyRecord) -> Result<()>;

    /// The service key with this public part, revoked or not.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn service_key(&self, id: &str) -> Result<Option<ServiceKeyRecord>>;

    /// Every service key, oldest first.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn service_keys(&self) -> Result<Vec<ServiceKeyRecord>>;

    /// Revokes a service key by id or name. Answers whether there was one to revoke.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn revoke_service_key(&self, id_or_name: &str, at: SystemTime) -> Result<bool>;

    /// The keys that sign links, newest first. Makes the first one where there is none.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn link_keys(&self) -> Result<Vec<LinkKeyRecord>>;

    /// Makes a new link key; links of the former ones are accepted until `retire_old_at`.
    ///
    /// # Errors
    ///
    /// Only those of the database.
    async fn rotate_link_keys(&self, retire_old_at: SystemTime) -> Result<LinkKeyRecord>;

    /// Waits for what was taken and not yet written, and closes the database.
    ///
    /// # Errors
    ///
    /// What could not be written.
    async fn close(&self) -> Result<()>;
}

/// A version as a backend's listing sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedVersion {
    /// The key of the object.
    pub key: storage_core::ObjectKey,
    /// The owner.
    pub user: UserId,
    /// The file.
    pub file: FileId,
    /// The version.
    pub version: FileVersionId,
    /// The length, in bytes.
    pub size_bytes: u64,
    /// The digests of the content.
    pub digests: Digests,
}
