//! Deleting files and versions, and the garbage that it leaves to be removed from the backends.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Row, params};
use storage_core::{Error, ErrorKind};

use super::audit::{event_of, write_event, write_line};
use super::error::Answer;
use super::quota::{self, Change};
use super::value::{all, first, key_from_column, micros, micros_ago, run};
use crate::catalog::{AuditEntry, FileId, FileVersionId, Garbage, UserId};
use crate::events::What;

const FILE: &str = "SELECT filename, current_version FROM files WHERE file_id = ?1 AND user_id = ?2";

const SIZES: &str = "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM versions WHERE file_id = ?1";

const VERSION: &str = "SELECT number, size_bytes FROM versions WHERE file_id = ?1 AND version_id = ?2";

const OBJECTS_OF_FILE: &str = "SELECT backend, object_key FROM placements WHERE file_id = ?1";

const OBJECTS_OF_VERSION: &str =
    "SELECT backend, object_key FROM placements WHERE file_id = ?1 AND version_id = ?2";

/// Versions and placements go with it.
const DELETE_FILE: &str = "DELETE FROM files WHERE file_id = ?1";

/// Placements go with it.
const DELETE_VERSION: &str = "DELETE FROM versions WHERE file_id = ?1 AND version_id = ?2";

const ADD_GARBAGE: &str = "INSERT INTO garbage (backend, object_key, since) VALUES (?1, ?2, ?3) \
     ON CONFLICT DO NOTHING";

const GARBAGE: &str = "SELECT backend, object_key FROM garbage \
     WHERE since <= ?1 AND (backend, object_key) > (?2, ?3) ORDER BY backend, object_key LIMIT ?4";

const FORGET: &str = "DELETE FROM garbage WHERE backend = ?1 AND object_key = ?2";

pub(super) fn delete_file(
    connection: &Connection,
    user: &UserId,
    file: FileId,
    if_current: Option<FileVersionId>,
    audit: &AuditEntry,
) -> Answer<Option<Vec<Garbage>>> {
    let found = first(connection, FILE, params![file, user], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, FileVersionId>(1)?))
    })?;
    let Some((filename, current)) = found else { return Ok(None) };
    if if_current.is_some_and(|expected| expected != current) {
        return Err(Error::new(ErrorKind::PreconditionFailed, "the file has another current version by now")
            .with_context("current_version", current)
            .into());
    }
    let sizes =
        first(connection, SIZES, params![file], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let (versions, bytes) = sizes.unwrap_or_default();
    let garbage = all(connection, OBJECTS_OF_FILE, params![file], garbage_from_row)?;
    run(connection, DELETE_FILE, params![file])?;
    quota::count(connection, user, Change { bytes: -bytes, files: -1, versions: -versions })?;
    add_garbage(connection, &garbage)?;
    write_line(connection, audit)?;
    let what = What::FileDeleted {
        file_id: file.as_uuid(),
        filename,
        versions: versions.unsigned_abs(),
        size_bytes: bytes.unsigned_abs(),
    };
    write_event(connection, &event_of(user, audit, what))?;
    Ok(Some(garbage))
}

pub(super) fn delete_version(
    connection: &Connection,
    user: &UserId,
    file: FileId,
    version: FileVersionId,
    audit: &AuditEntry,
) -> Answer<Option<Vec<Garbage>>> {
    let Some(current) =
        first(connection, FILE, params![file, user], |row| Ok(row.get::<_, FileVersionId>(1)?))?
    else {
        return Ok(None);
    };
    if version == current {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "the current version cannot be deleted alone: restore another one first, or delete the file",
        )
        .with_context("file", file)
        .with_context("version", version)
        .into());
    }
    let found = first(connection, VERSION, params![file, version], |row| {
        Ok((row.get::<_, u64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let Some((number, bytes)) = found else { return Ok(None) };
    let garbage = all(connection, OBJECTS_OF_VERSION, params![file, version], garbage_from_row)?;
    run(connection, DELETE_VERSION, params![file, version])?;
    quota::count(connection, user, Change { bytes: -bytes, files: 0, versions: -1 })?;
    add_garbage(connection, &garbage)?;
    write_line(connection, audit)?;
    let what = What::VersionDeleted {
        file_id: file.as_uuid(),
        version_id: version.as_uuid(),
        version_number: number,
        size_bytes: bytes.unsigned_abs(),
    };
    write_event(connection, &event_of(user, audit, what))?;
    Ok(Some(garbage))
}

pub(super) fn garbage(
    connection: &Connection,
    age: Duration,
    after: Option<&Garbage>,
    limit: u32,
) -> Answer<Vec<Garbage>> {
    let (backend, key) = position(after);
    all(connection, GARBAGE, params![micros_ago(age), backend, key, limit], garbage_from_row)
}

/// Where in the order of backend and key to go on.
pub(super) fn position(after: Option<&Garbage>) -> (&str, &str) {
    after.map_or(("", ""), |object| (object.backend.as_str(), object.key.as_str()))
}

pub(super) fn forget_garbage(connection: &Connection, removed: &[Garbage]) -> Answer<()> {
    for object in removed {
        run(connection, FORGET, params![object.backend, object.key.as_str()])?;
    }
    Ok(())
}

fn add_garbage(connection: &Connection, garbage: &[Garbage]) -> Answer<()> {
    let since = micros(SystemTime::now());
    for object in garbage {
        run(connection, ADD_GARBAGE, params![object.backend, object.key.as_str(), since])?;
    }
    Ok(())
}

/// An object that stands as backend and key in the first two columns.
pub(super) fn garbage_from_row(row: &Row<'_>) -> Answer<Garbage> {
    Ok(Garbage { backend: row.get(0)?, key: key_from_column(row, 1)? })
}
