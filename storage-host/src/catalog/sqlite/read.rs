//! Looking up files, versions, and what of them a backend holds.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};
use storage_core::{Error, ErrorKind};

use super::error::Answer;
use super::value::{all, first, key_from_column, texts_from_column, tier_from_column, time};
use crate::catalog::{
    Digests, FileId, FileRecord, FileVersionId, PlacedVersion, Placement, UserId, VersionRecord,
};

/// The columns that [`file_from_row`] reads.
macro_rules! file_columns {
    () => {
        "v.version_id, v.number, v.filename, v.content_type, v.size_bytes, v.sha256, v.metadata, v.tags, \
         v.created_at, v.blake3, f.file_id, f.user_id, f.created_at"
    };
}
pub(super) use file_columns;

const FILE: &str = concat!(
    "SELECT ",
    file_columns!(),
    " FROM files f JOIN versions v ON v.file_id = f.file_id AND v.version_id = f.current_version \
     WHERE f.file_id = ?1 AND f.user_id = ?2"
);

const OWNED: &str = "SELECT 1 FROM files WHERE file_id = ?1 AND user_id = ?2";

const OWNER: &str = "SELECT user_id FROM files WHERE file_id = ?1";

const VERSION: &str = "SELECT version_id, number, filename, content_type, size_bytes, sha256, metadata, tags, \
     created_at, blake3 FROM versions WHERE file_id = ?1 AND version_id = ?2";

const VERSIONS: &str = "SELECT version_id, number, filename, content_type, size_bytes, sha256, metadata, tags, \
     created_at, blake3 FROM versions WHERE file_id = ?1 ORDER BY number DESC";

pub(super) const PLACEMENTS: &str = "SELECT backend, object_key, tier FROM placements \
     WHERE file_id = ?1 AND version_id = ?2 ORDER BY ordinal";

const PLACED: &str = "SELECT p.object_key, f.user_id, p.file_id, p.version_id, v.size_bytes, v.sha256, v.blake3 \
     FROM placements p \
     JOIN versions v ON v.file_id = p.file_id AND v.version_id = p.version_id \
     JOIN files f ON f.file_id = p.file_id \
     WHERE p.backend = ?1 AND p.object_key > ?2 ORDER BY p.object_key LIMIT ?3";

const NEXT_BACKEND: &str = "SELECT backend FROM placements WHERE backend > ?1 ORDER BY backend LIMIT 1";

const COUNT_PLACED: &str = "SELECT COUNT(*) FROM placements WHERE backend = ?1";

/// The answer for a file that does not exist or that is somebody else's: the two are not told apart.
pub(super) fn no_such_file(file: FileId) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such file").with_context("file", file)
}

fn no_such_version(file: FileId, version: FileVersionId) -> Error {
    Error::new(ErrorKind::NotFound, "the file has no such version")
        .with_context("file", file)
        .with_context("version", version)
}

pub(super) fn file(connection: &Connection, user: &UserId, file: FileId) -> Answer<FileRecord> {
    let found = first(connection, FILE, params![file, user], file_from_row)?;
    let record = found.ok_or_else(|| no_such_file(file))?;
    with_placements(connection, record)
}

pub(super) fn owner(connection: &Connection, file: FileId) -> Answer<UserId> {
    let owner = first(connection, OWNER, params![file], |row| Ok(row.get(0)?))?;
    Ok(owner.ok_or_else(|| no_such_file(file))?)
}

pub(super) fn version(
    connection: &Connection,
    user: &UserId,
    file: FileId,
    version: FileVersionId,
) -> Answer<VersionRecord> {
    ensure_owned(connection, user, file)?;
    let found = first(connection, VERSION, params![file, version], version_from_row)?;
    let mut record = found.ok_or_else(|| no_such_version(file, version))?;
    record.placements = placements(connection, file, version)?;
    Ok(record)
}

pub(super) fn versions(connection: &Connection, user: &UserId, file: FileId) -> Answer<Vec<VersionRecord>> {
    ensure_owned(connection, user, file)?;
    let mut records = all(connection, VERSIONS, params![file], version_from_row)?;
    for record in &mut records {
        record.placements = placements(connection, file, record.id)?;
    }
    Ok(records)
}

/// By key in the order of its bytes, which is how the database compares texts.
pub(super) fn placements_after(
    connection: &Connection,
    backend: &str,
    after: Option<&str>,
    limit: u32,
) -> Answer<Vec<PlacedVersion>> {
    // No key is empty, so every key comes after the empty text.
    all(connection, PLACED, params![backend, after.unwrap_or_default(), limit], |row| {
        Ok(PlacedVersion {
            key: key_from_column(row, 0)?,
            user: row.get(1)?,
            file: row.get(2)?,
            version: row.get(3)?,
            size_bytes: row.get(4)?,
            digests: Digests { sha256: row.get(5)?, blake3: row.get(6)? },
        })
    })
}

/// How many versions lie on each backend that is none of these. The index leads from one name to the next.
pub(super) fn versions_elsewhere(
    connection: &Connection,
    backends: &[String],
) -> Answer<BTreeMap<String, u64>> {
    let mut elsewhere = BTreeMap::new();
    // No name is empty, so every name comes after the empty text.
    let mut last = String::new();
    while let Some(name) = first(connection, NEXT_BACKEND, params![last], |row| Ok(row.get::<_, String>(0)?))?
    {
        if !backends.contains(&name) {
            let count = first(connection, COUNT_PLACED, params![name], |row| Ok(row.get(0)?))?;
            elsewhere.insert(name.clone(), count.unwrap_or_default());
        }
        last = name;
    }
    Ok(elsewhere)
}

/// A file with its current version and where that is.
pub(super) fn with_placements(connection: &Connection, mut record: FileRecord) -> Answer<FileRecord> {
    record.current.placements = placements(connection, record.id, record.current.id)?;
    Ok(record)
}

/// A file of [`file_columns`], still without placements.
pub(super) fn file_from_row(row: &Row<'_>) -> Answer<FileRecord> {
    Ok(FileRecord {
        id: row.get(10)?,
        user: row.get(11)?,
        created_at: time(row.get(12)?),
        current: version_from_row(row)?,
    })
}

fn version_from_row(row: &Row<'_>) -> Answer<VersionRecord> {
    Ok(VersionRecord {
        id: row.get(0)?,
        number: row.get(1)?,
        filename: row.get(2)?,
        content_type: row.get(3)?,
        size_bytes: row.get(4)?,
        digests: Digests { sha256: row.get(5)?, blake3: row.get(9)? },
        metadata: texts_from_column(row, 6)?,
        tags: texts_from_column(row, 7)?,
        created_at: time(row.get(8)?),
        placements: Vec::new(),
    })
}

fn placements(connection: &Connection, file: FileId, version: FileVersionId) -> Answer<Vec<Placement>> {
    all(connection, PLACEMENTS, params![file, version], |row| {
        Ok(Placement { backend: row.get(0)?, key: key_from_column(row, 1)?, tier: tier_from_column(row, 2)? })
    })
}

fn ensure_owned(connection: &Connection, user: &UserId, file: FileId) -> Answer<()> {
    let owned = first(connection, OWNED, params![file, user], |_| Ok(()))?;
    Ok(owned.ok_or_else(|| no_such_file(file))?)
}
