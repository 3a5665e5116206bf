//! The record of objects that are being written, in a database of its own beside the catalog.
//!
//! It is written before every object, so it must not wait for the catalog's `fsync`: its commits survive the
//! death of the process, not a power cut, after which an object may be left that only a comparison with the
//! backend's listing finds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};

use super::delete::{garbage_from_row, position};
use super::error::Answer;
use super::open::Schema;
use super::value::{all, first, micros, micros_ago, run};
use crate::catalog::{Garbage, Placement};

/// How the database is marked and made.
pub(super) const SCHEMA: Schema = Schema {
    name: "record of unfinished objects",
    application_id: u32::from_be_bytes(*b"StoU"),
    migrations: &[include_str!("migrations/objects_0001.sql")],
};

const BEGIN: &str = "INSERT INTO unfinished (backend, object_key, renewed_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (backend, object_key) DO UPDATE SET renewed_at = excluded.renewed_at";

const FORGET: &str = "DELETE FROM unfinished WHERE backend = ?1 AND object_key = ?2";

const FORGET_ALL: &str = "DELETE FROM unfinished";

const OLDER: &str = "SELECT backend, object_key FROM unfinished \
     WHERE renewed_at <= ?1 AND (backend, object_key) > (?2, ?3) ORDER BY backend, object_key LIMIT ?4";

const HAS_VERSION: &str = "SELECT 1 FROM placements WHERE backend = ?1 AND object_key = ?2";

/// Where the database of a catalog lies.
pub(super) fn path_beside(catalog: &Path) -> PathBuf {
    let mut path = OsString::from(catalog);
    path.push("-unfinished");
    PathBuf::from(path)
}

pub(super) fn begin(connection: &Connection, object: &Garbage) -> Answer<()> {
    run(connection, BEGIN, params![object.backend, object.key.as_str(), micros(SystemTime::now())])?;
    Ok(())
}

pub(super) fn forget(connection: &Connection, objects: &[Garbage]) -> Answer<()> {
    for object in objects {
        run(connection, FORGET, params![object.backend, object.key.as_str()])?;
    }
    Ok(())
}

/// Forgets what a catalog left that is gone. That the new one has no version of an object proves nothing: it has
/// none at all yet, and a rebuild shall find every one.
pub(super) fn forget_all(connection: &Connection) -> Answer<()> {
    run(connection, FORGET_ALL, [])?;
    Ok(())
}

/// Records last renewed longer than `age` ago, in order, after one of them.
pub(super) fn older(
    connection: &Connection,
    age: Duration,
    after: Option<&Garbage>,
    limit: u32,
) -> Answer<Vec<Garbage>> {
    let (backend, key) = position(after);
    all(connection, OLDER, params![micros_ago(age), backend, key, limit], garbage_from_row)
}

/// Divides objects into those that no version refers to and those that one does. Asks the catalog.
pub(super) fn divide(connection: &Connection, objects: Vec<Garbage>) -> Answer<(Vec<Garbage>, Vec<Garbage>)> {
    let (mut orphans, mut finished) = (Vec::new(), Vec::new());
    for object in objects {
        let params = params![object.backend, object.key.as_str()];
        match first(connection, HAS_VERSION, params, |_| Ok(()))? {
            None => orphans.push(object),
            Some(()) => finished.push(object),
        }
    }
    Ok((orphans, finished))
}

/// The object of a placement.
pub(super) fn object_of(placement: &Placement) -> Garbage {
    Garbage { backend: placement.backend.clone(), key: placement.key.clone() }
}
