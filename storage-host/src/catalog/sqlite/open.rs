//! Opening a database file: what it is, whether this version can read it, and bringing it up to date.
//!
//! A file that is something else is told apart by its first bytes, before SQLite sees it, and is never touched.
//! That works because a new database is marked as ours before it becomes a write-ahead-log database, so the
//! mark is always in the file itself.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags, TransactionBehavior};
use storage_core::{Error, ErrorKind, Result};

use super::error::database_error;

/// How many pages the log may hold before a commit moves them into the database: 16 MiB. Larger than SQLite's
/// default, because moving them costs an `fsync` of the database.
const CHECKPOINT_PAGES: i64 = 4_096;

/// What a log that grew in a rush is cut back to, in bytes.
const LOG_LIMIT_BYTES: i64 = 64 << 20;

/// Pages that the connection which writes keeps in memory, in KiB: the inner pages of every index of a million
/// files, so that a save reads little.
const WRITER_CACHE_KIB: i64 = 32 << 10;

/// Pages that each connection which reads keeps in memory, in KiB.
const READER_CACHE_KIB: i64 = 8 << 10;

/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 96;

/// Databases of one kind: how they are marked, and how they came to be what they are.
pub(super) struct Schema {
    /// What an operator calls it.
    pub(super) name: &'static str,
    /// The mark in the header of the file.
    pub(super) application_id: u32,
    /// Each brings the version before it to the next one; the first makes version 1.
    pub(super) migrations: &'static [&'static str],
}

impl Schema {
    fn version(&self) -> u32 {
        u32::try_from(self.migrations.len()).unwrap_or(u32::MAX)
    }

    /// Opens a database for writing: made where it is missing, together with its folder, migrated where it is
    /// of an older version.
    pub(super) fn open(&self, path: &Path, busy_timeout: Duration) -> Result<Connection> {
        let opened = self.open_file(path, busy_timeout).map_err(|error| why_not_opened(path, error));
        opened.map_err(|error| error.with_context("path", path.display()))
    }

    fn open_file(&self, path: &Path, busy_timeout: Duration) -> Result<Connection> {
        match read_header(path)? {
            Some(header) => self.check(&header)?,
            None => create_private(path)?,
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(database_error)?;
        // SQLite opens what it may not write for reading, and says so only when something is to be written.
        if connection.is_readonly(MAIN_DB).map_err(database_error)? {
            return Err(why_not_writable(path));
        }
        self.set_up(&mut connection, busy_timeout)?;
        warn_where_others_may_read(path)?;
        Ok(connection)
    }

    /// Whether a file that is not empty is a database of this kind, as far as its first bytes tell.
    fn check(&self, header: &[u8]) -> Result<()> {
        let found = match header.get(..100) {
            Some(header) if header.starts_with(b"SQLite format 3\0") => be_u32(header, 68),
            _ => {
                return Err(Error::new(
                    ErrorKind::ConfigInvalid,
                    format!("the file is not a {}: give another path, or move the file away", self.name),
                ));
            }
        };
        if found == self.application_id {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ConfigInvalid,
            format!(
                "the file is the database of another application, not a {}: give another path, or move the file away",
                self.name
            ),
        )
        .with_context("application_id", format!("{found:#010x}"))
        .with_context("expected", format!("{:#010x}", self.application_id)))
    }

    fn set_up(&self, connection: &mut Connection, busy_timeout: Duration) -> Result<()> {
        connection.busy_timeout(busy_timeout).map_err(database_error)?;
        // Until it is known that this version may write it, closing must not move the log into the database.
        set_config(connection, DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let application_id: u32 = pragma(connection, "application_id")?;
        if application_id == 0 {
            connection.pragma_update(None, "application_id", self.application_id).map_err(database_error)?;
        }
        self.version_of(connection)?;
        use_log(connection, busy_timeout)?;
        for (name, value) in [
            ("foreign_keys", 1),
            ("trusted_schema", 0),
            ("wal_autocheckpoint", CHECKPOINT_PAGES),
            ("journal_size_limit", LOG_LIMIT_BYTES),
            // Negative: in KiB, not in pages.
            ("cache_size", -WRITER_CACHE_KIB),
        ] {
            connection.pragma_update(None, name, value).map_err(database_error)?;
        }
        connection.pragma_update(None, "synchronous", "FULL").map_err(database_error)?;
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(database_error)?;
        keep_plans(connection).map_err(database_error)?;
        self.migrate(connection)?;
        set_config(connection, DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
    }

    /// The version of the database, where it is not newer than this program.
    fn version_of(&self, connection: &Connection) -> Result<u32> {
        let found: u32 = pragma(connection, "user_version")?;
        if found <= self.version() {
            return Ok(found);
        }
        Err(Error::new(
            ErrorKind::ConfigInvalid,
            format!(
                "the {} was made by a newer version of this program: install that one or a later one",
                self.name
            ),
        )
        .with_context("version", found)
        .with_context("newest_supported", self.version()))
    }

    /// Brings the database to this program's version, in one transaction, whoever else tries the same.
    fn migrate(&self, connection: &mut Connection) -> Result<()> {
        if self.version_of(connection)? == self.version() {
            return Ok(());
        }
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database_error)?;
        let from = self.version_of(&transaction)?;
        for migration in self.migrations.iter().skip(from as usize) {
            transaction.execute_batch(migration).map_err(database_error)?;
        }
        transaction.pragma_update(None, "user_version", self.version()).map_err(database_error)?;
        transaction.commit().map_err(database_error)?;
        tracing::info!(database = self.name, from, to = self.version(), "the database was migrated");
        Ok(())
    }
}

/// Opens a database that [`Schema::open`] has opened already, for reading only.
pub(super) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy_timeout)?;
        connection.pragma_update(None, "trusted_schema", 0)?;
        connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        keep_plans(&connection)?;
        Ok(connection)
    };
    open().map_err(|error| database_error(error).with_context("path", path.display()))
}

/// Has statements prepared once. Otherwise SQLite does so anew for nearly every value that is bound, in search of a better
/// plan: for a look-up that takes longer than all the rest, and there is only one good plan for each.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// The path as SQLite is to take it: absolute, so that no name (`:memory:`) means something else to it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, "the path of the catalog is empty or cannot be made absolute")
            .with_context("path", path.display())
            .with_source(error)
    })
}

/// The first bytes of a file; `None` where it is missing or empty.
fn read_header(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(file_error)?,
    };
    if !file.metadata().map_err(file_error)?.is_file() {
        return Err(Error::new(ErrorKind::ConfigInvalid, "the path of the catalog is not that of a file"));
    }
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header).map_err(file_error)?;
    Ok(Some(header).filter(|header| !header.is_empty()))
}

/// Makes an empty file that only its owner may read, since the catalog holds the keys that sign links. SQLite
/// gives its log the same permissions.
fn create_private(path: &Path) -> Result<()> {
    let folder = path.parent();
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(file_error)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(file_error)?;
    #[cfg(unix)]
    if let Some(folder) = folder {
        // SQLite makes the content durable; that the name is, too, is up to whoever made it.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error)?;
    }
    Ok(())
}

#[cfg(unix)]
fn warn_where_others_may_read(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(file_error)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{mode:o}"),
            "others may read the catalog, which holds the keys that sign links: set its mode to 600"
        );
    }
    Ok(())
}

#[cfg(not(unix))]
fn warn_where_others_may_read(_path: &Path) -> Result<()> {
    Ok(())
}

/// Switches to the write-ahead log. Only here may SQLite answer that the database is busy without having waited.
fn use_log(connection: &Connection, busy_timeout: Duration) -> Result<()> {
    let started = Instant::now();
    loop {
        let switched = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
            .map_err(database_error);
        match switched {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(Error::new(
                    ErrorKind::ConfigInvalid,
                    "the file system of the catalog allows no write-ahead log: put the catalog on a local one",
                )
                .with_context("journal_mode", mode));
            }
            Err(error) if error.retry().is_allowed() && started.elapsed() < busy_timeout => {
                // Taking a lock waits, as switching does not, until whoever is in the way is done.
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(database_error)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// SQLite says of many things that it cannot open a file; what the system says of it tells more.
fn why_not_opened(path: &Path, error: Error) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => error,
        Err(cause) => file_error(cause),
    }
}

fn why_not_writable(path: &Path) -> Error {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Error::new(ErrorKind::ReadOnly, "the catalog cannot be written"),
        Err(cause) => file_error(cause),
    }
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<T> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(database_error)
}

fn set_config(connection: &Connection, config: DbConfig, value: bool) -> Result<()> {
    connection.set_db_config(config, value).map(drop).map_err(database_error)
}

fn be_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.iter().skip(at).take(4).fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn file_error(error: io::Error) -> Error {
    let (kind, message) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            ErrorKind::PermissionDenied,
            "the catalog cannot be opened: access to the file or its folder is denied",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::NoSpace, "there is no room left for the catalog: free some on its device")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::ReadOnly, "the catalog cannot be written: its file system is read-only")
        }
        _ => (ErrorKind::ConfigInvalid, "the catalog cannot be opened"),
    };
    Error::new(kind, message).with_source(error)
}
