//! Adding versions: those that are saved, and those that are found.

use rusqlite::{Connection, OptionalExtension, params};
use storage_core::{Error, ErrorKind};

use super::audit::{event_of, write_event, write_line};
use super::error::Answer;
use super::quota::{self, Change, Need};
use super::read::no_such_file;
use super::value::{all, first, micros, run, texts_to_column, time};
use crate::catalog::{
    AuditEntry, Base, FileId, FileRecord, FileVersionId, NewVersion, Quota, UserId, VersionRecord,
};
use crate::events::{SavedVersion, What};

const FILE: &str = "SELECT user_id, created_at, current_version, last_number FROM files WHERE file_id = ?1";

const ADD_FILE: &str = "INSERT INTO files \
     (file_id, user_id, created_at, current_version, last_number, updated_at, filename, size_bytes) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?3, ?6, ?7)";

const SET_CURRENT: &str = "UPDATE files SET current_version = ?2, last_number = ?3, updated_at = ?4, \
     filename = ?5, size_bytes = ?6 WHERE file_id = ?1";

const SET_FIRST: &str = "UPDATE files SET created_at = ?2 WHERE file_id = ?1 AND created_at > ?2";

const SET_LAST_NUMBER: &str = "UPDATE files SET last_number = ?2 WHERE file_id = ?1";

const ADD_VERSION: &str = "INSERT INTO versions (file_id, version_id, number, filename, content_type, \
     size_bytes, sha256, metadata, tags, created_at, blake3) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
     ON CONFLICT DO NOTHING";

const HAS_VERSION: &str = "SELECT 1 FROM versions WHERE file_id = ?1 AND version_id = ?2";

const ADD_PLACEMENT: &str = "INSERT INTO placements (file_id, version_id, ordinal, backend, object_key, tier) \
     VALUES (?1, ?2, 0, ?3, ?4, ?5) ON CONFLICT DO NOTHING";

const IS_GARBAGE: &str = "SELECT 1 FROM garbage WHERE backend = ?1 AND object_key = ?2";

const HAS_OBJECT: &str = "SELECT 1 FROM placements WHERE backend = ?1 AND object_key = ?2";

/// The versions of a file, oldest first by when they were saved; their ids decide between equals.
const ORDER: &str = "SELECT version_id, number, created_at FROM versions WHERE file_id = ?1 ORDER BY number";

const SET_NUMBER: &str = "UPDATE versions SET number = ?3 WHERE file_id = ?1 AND version_id = ?2";

struct FileRow {
    user: UserId,
    created_at: i64,
    current: FileVersionId,
    last_number: u64,
}

fn file_row(connection: &Connection, file: FileId) -> Answer<Option<FileRow>> {
    first(connection, FILE, params![file], |row| {
        Ok(FileRow {
            user: row.get(0)?,
            created_at: row.get(1)?,
            current: row.get(2)?,
            last_number: row.get(3)?,
        })
    })
}

/// Adds a version that was saved and makes it the current one. A refusal for want of room is an inner error:
/// what it leaves behind is to be kept (see [`quota::reserve`]).
pub(super) fn commit_version(
    connection: &Connection,
    version: NewVersion,
    audit: &AuditEntry,
    default_quota: Quota,
) -> Answer<Result<FileRecord, Error>> {
    let existing = file_row(connection, version.file)?;
    check_base(&version, existing.as_ref())?;
    let files = u64::from(existing.is_none());
    quota::add_user(connection, &version.user)?;
    if let Err(refusal) = use_up(connection, &version, files, default_quota)? {
        return Ok(Err(refusal));
    }
    let number = existing.as_ref().map_or(0, |file| file.last_number) + 1;
    let saved_at = micros(version.created_at);
    match &existing {
        None => add_file(connection, &version, number)?,
        Some(_) => set_current(connection, &version, number)?,
    }
    add_version(connection, &version, number)?;
    count_version(connection, &version, files)?;
    write_line(connection, audit)?;
    let saved = saved(&version, number);
    let what = if existing.is_none() { What::FileSaved(saved) } else { What::VersionSaved(saved) };
    write_event(connection, &event_of(&version.user, audit, what))?;
    let created_at = existing.map_or(saved_at, |file| file.created_at);
    Ok(Ok(record(version, number, created_at)))
}

/// Adds a version that was found in a backend to its place among the others, which the times and ids of the
/// versions decide; the youngest is the current one. Numbers of younger versions rise by one.
pub(super) fn adopt_version(connection: &Connection, version: &NewVersion) -> Answer<bool> {
    let known = connection
        .prepare_cached(HAS_VERSION)?
        .query_row(params![version.file, version.version], |_| Ok(()))
        .optional()?
        .is_some();
    // An object that was given up is to be removed, not brought back to life; and one object is one version.
    if known
        || object_is_in(connection, IS_GARBAGE, version)?
        || object_is_in(connection, HAS_OBJECT, version)?
    {
        return Ok(false);
    }
    quota::add_user(connection, &version.user)?;
    let saved_at = micros(version.created_at);
    let files = match file_row(connection, version.file)? {
        None => {
            add_file(connection, version, 1)?;
            add_version(connection, version, 1)?;
            1
        }
        Some(file) if file.user != version.user => return Err(foreign_file(version).into()),
        Some(file) => {
            let number = make_way(connection, version, file.last_number)?;
            if number > file.last_number {
                set_current(connection, version, number)?;
            }
            add_version(connection, version, number)?;
            run(connection, SET_FIRST, params![version.file, saved_at])?;
            0
        }
    };
    count_version(connection, version, files)?;
    Ok(true)
}

fn check_base(version: &NewVersion, existing: Option<&FileRow>) -> Result<(), Error> {
    match (&version.base, existing) {
        (Base::NewFile, None) => Ok(()),
        (Base::NewFile, Some(_)) => Err(Error::new(ErrorKind::AlreadyExists, "there is a file with this id")
            .with_context("file", version.file)),
        (Base::Current | Base::Version(_), None) => Err(no_such_file(version.file)),
        (Base::Current | Base::Version(_), Some(file)) if file.user != version.user => {
            Err(no_such_file(version.file))
        }
        (Base::Version(wanted), Some(file)) if *wanted != file.current => {
            Err(Error::new(ErrorKind::PreconditionFailed, "another version of the file is the current one")
                .with_context("file", version.file)
                .with_context("expected", wanted)
                .with_context("current", file.current))
        }
        (Base::Current | Base::Version(_), Some(_)) => Ok(()),
    }
}

/// Finds room for what the reservation does not cover, and uses the reservation up. One that has lapsed covers
/// nothing; what one that is in force was promised holds even where the quota was lowered in the meantime.
fn use_up(
    connection: &Connection,
    version: &NewVersion,
    files: u64,
    default_quota: Quota,
) -> Answer<Result<(), Error>> {
    let held = match version.reservation {
        None => None,
        Some(reservation) => quota::in_force(connection, reservation)?,
    };
    let held = match held {
        None => Need::default(),
        Some((user, held)) if user == version.user => held,
        Some((user, _)) => {
            return Err(Error::new(ErrorKind::InvalidArgument, "the reservation is that of another user")
                .with_context("user", version.user.as_str())
                .with_context("reserved_for", user)
                .into());
        }
    };
    let missing = Need {
        bytes: version.size_bytes.saturating_sub(held.bytes),
        files: files.saturating_sub(held.files),
    };
    let room = quota::ensure_room(connection, &version.user, missing, default_quota)?;
    if let (Ok(()), Some(reservation)) = (&room, version.reservation) {
        quota::take_back(connection, reservation)?;
    }
    Ok(room)
}

fn add_file(connection: &Connection, version: &NewVersion, number: u64) -> Answer<()> {
    let params = params![
        version.file,
        version.user,
        micros(version.created_at),
        version.version,
        number,
        version.filename,
        version.size_bytes
    ];
    run(connection, ADD_FILE, params)?;
    Ok(())
}

fn set_current(connection: &Connection, version: &NewVersion, number: u64) -> Answer<()> {
    let params = params![
        version.file,
        version.version,
        number,
        micros(version.created_at),
        version.filename,
        version.size_bytes
    ];
    run(connection, SET_CURRENT, params)?;
    Ok(())
}

fn add_version(connection: &Connection, version: &NewVersion, number: u64) -> Answer<()> {
    let params = params![
        version.file,
        version.version,
        number,
        version.filename,
        version.content_type,
        version.size_bytes,
        version.digests.sha256.as_slice(),
        texts_to_column(&version.metadata)?,
        texts_to_column(&version.tags)?,
        micros(version.created_at),
        version.digests.blake3.as_ref().map(<[u8; 32]>::as_slice)
    ];
    if run(connection, ADD_VERSION, params)? == 0 {
        return Err(Error::new(ErrorKind::AlreadyExists, "there is a version with this id")
            .with_context("file", version.file)
            .with_context("version", version.version)
            .into());
    }
    let placement = &version.placement;
    let tier = placement.tier.map(storage_core::Tier::name);
    let params = params![version.file, version.version, placement.backend, placement.key.as_str(), tier];
    if run(connection, ADD_PLACEMENT, params)? == 0 {
        return Err(Error::new(ErrorKind::AlreadyExists, "the object belongs to another version")
            .with_backend(&placement.backend)
            .with_key(&placement.key)
            .into());
    }
    Ok(())
}

fn count_version(connection: &Connection, version: &NewVersion, files: u64) -> Answer<()> {
    let bytes = i64::try_from(version.size_bytes).map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, "the size is larger than the catalog can keep (2^63 - 1)")
            .with_context("size_bytes", version.size_bytes)
            .with_source(error)
    })?;
    let files = i64::from(files > 0);
    quota::count(connection, &version.user, Change { bytes, files, versions: 1 })
}

/// The number for a version that was found, its place made free where younger ones are there.
fn make_way(connection: &Connection, version: &NewVersion, last_number: u64) -> Answer<u64> {
    let place = (micros(version.created_at), version.version);
    let others = all(connection, ORDER, params![version.file], |row| {
        Ok((row.get::<_, FileVersionId>(0)?, row.get::<_, u64>(1)?, row.get::<_, i64>(2)?))
    })?;
    let Some(younger) = others.iter().position(|(id, _, saved_at)| (*saved_at, *id) > place) else {
        return Ok(last_number + 1);
    };
    let number = others[younger].1;
    // From the last one down, so that no two share a number on the way.
    for (id, old, _) in others[younger..].iter().rev() {
        run(connection, SET_NUMBER, params![version.file, id, old + 1])?;
    }
    run(connection, SET_LAST_NUMBER, params![version.file, last_number + 1])?;
    Ok(number)
}

fn object_is_in(connection: &Connection, sql: &str, version: &NewVersion) -> Answer<bool> {
    let placement = &version.placement;
    let found = first(connection, sql, params![placement.backend, placement.key.as_str()], |_| Ok(()))?;
    Ok(found.is_some())
}

fn foreign_file(version: &NewVersion) -> Error {
    Error::new(ErrorKind::Conflict, "the catalog knows this file as that of another user")
        .with_context("file", version.file)
        .with_context("found_for", version.user.as_str())
}

fn saved(version: &NewVersion, number: u64) -> SavedVersion {
    SavedVersion {
        file_id: version.file.as_uuid(),
        version_id: version.version.as_uuid(),
        version_number: number,
        filename: version.filename.clone(),
        content_type: version.content_type.clone(),
        size_bytes: version.size_bytes,
        sha256: hex::encode(version.digests.sha256),
        backend: version.placement.backend.clone(),
    }
}

/// The file as the rows have it now.
fn record(version: NewVersion, number: u64, created_at: i64) -> FileRecord {
    FileRecord {
        id: version.file,
        user: version.user,
        created_at: time(created_at),
        current: VersionRecord {
            id: version.version,
            number,
            filename: version.filename,
            content_type: version.content_type,
            size_bytes: version.size_bytes,
            digests: version.digests,
            metadata: version.metadata,
            tags: version.tags,
            // As the column keeps it, so that what is answered now is what is read later.
            created_at: time(micros(version.created_at)),
            placements: vec![version.placement],
        },
    }
}
