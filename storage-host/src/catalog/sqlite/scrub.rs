//! How far a comparison of objects with their digests has come, and what it found.

use std::time::SystemTime;

use rusqlite::{Connection, params};

use super::audit::{event_of, write_event, write_line};
use super::error::Answer;
use super::value::{first, micros, run};
use crate::catalog::{AuditEntry, DamagedVersion};
use crate::events::What;

const CURSOR: &str = "SELECT after_key FROM scrubs WHERE backend = ?1";

const SET_CURSOR: &str = "INSERT INTO scrubs (backend, after_key, updated_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (backend) DO UPDATE SET after_key = ?2, updated_at = ?3";

const END: &str = "DELETE FROM scrubs WHERE backend = ?1";

pub(super) fn cursor(connection: &Connection, backend: &str) -> Answer<Option<String>> {
    first(connection, CURSOR, params![backend], |row| Ok(row.get(0)?))
}

/// Notes how far a round has come, together with what it found on the way: neither is known without the other.
pub(super) fn record(
    connection: &Connection,
    backend: &str,
    after: Option<&str>,
    damaged: &[(AuditEntry, DamagedVersion)],
) -> Answer<()> {
    for (line, damaged) in damaged {
        write_line(connection, line)?;
        write_event(connection, &event_of(&line.user, line, What::VersionDamaged(damaged.clone())))?;
    }
    match after {
        Some(after) => run(connection, SET_CURSOR, params![backend, after, micros(SystemTime::now())])?,
        None => run(connection, END, params![backend])?,
    };
    Ok(())
}
