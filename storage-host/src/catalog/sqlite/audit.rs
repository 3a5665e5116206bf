//! The audit log, which is only appended to, and the outbox.

use rusqlite::{Connection, params};
use storage_core::{Error, ErrorKind};

use super::error::Answer;
use super::value::{all, micros, run, time};
use crate::catalog::{AuditEntry, UserId};
use crate::events::{Event, What};

const ADD_LINE: &str = "INSERT INTO audit \
     (at, actor, user_id, action, file_id, version_id, outcome, correlation_id, remote) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const LINES: &str = "SELECT at, actor, user_id, action, file_id, version_id, outcome, correlation_id, remote \
     FROM audit ORDER BY seq DESC LIMIT ?1";

const LINES_OF_USER: &str = "SELECT at, actor, user_id, action, file_id, version_id, outcome, correlation_id, remote \
     FROM audit WHERE user_id = ?2 ORDER BY seq DESC LIMIT ?1";

const ADD_EVENT: &str = "INSERT INTO outbox (event_id, type, file_id, event) VALUES (?1, ?2, ?3, ?4)";

/// Appends a line.
pub(super) fn write_line(connection: &Connection, entry: &AuditEntry) -> Answer<()> {
    let params = params![
        micros(entry.at),
        entry.actor,
        entry.user,
        entry.action,
        entry.file,
        entry.version,
        entry.outcome,
        entry.correlation_id,
        entry.remote
    ];
    run(connection, ADD_LINE, params)?;
    Ok(())
}

/// The latest lines, newest first.
pub(super) fn latest_lines(
    connection: &Connection,
    user: Option<&UserId>,
    limit: u32,
) -> Answer<Vec<AuditEntry>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(AuditEntry {
            at: time(row.get(0)?),
            actor: row.get(1)?,
            user: row.get(2)?,
            action: row.get(3)?,
            file: row.get(4)?,
            version: row.get(5)?,
            outcome: row.get(6)?,
            correlation_id: row.get(7)?,
            remote: row.get(8)?,
        })
    };
    match user {
        None => all(connection, LINES, params![limit], read),
        Some(user) => all(connection, LINES_OF_USER, params![limit, user], read),
    }
}

/// An event that tells of a change to a user's files, caused by whom the audit line names.
pub(super) fn event_of(user: &UserId, entry: &AuditEntry, what: What) -> Event {
    let mut event = Event::now(user.as_str(), what);
    event.actor = Some(entry.actor.clone());
    event.correlation_id.clone_from(&entry.correlation_id);
    event
}

/// Puts an event into the outbox.
pub(super) fn write_event(connection: &Connection, event: &Event) -> Answer<()> {
    let text = serde_json::to_string(event).map_err(|error| {
        Error::new(ErrorKind::Internal, "an event could not be written").with_source(error)
    })?;
    let file = event.what.file_id();
    let file = file.as_ref().map(|file| file.as_bytes().as_slice());
    run(connection, ADD_EVENT, params![event.id.as_bytes().as_slice(), event.what.type_name(), file, text])?;
    Ok(())
}
