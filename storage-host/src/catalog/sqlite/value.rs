//! How values stand in columns, and the few ways in which statements are run.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row};
use storage_core::{Error, ErrorKind, ObjectKey, Tier};
use uuid::Uuid;

use super::error::Answer;
use crate::catalog::{FileId, FileVersionId, UserId};

/// The first row that a statement gives, where it gives one.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Answer<T>,
) -> Answer<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Every row that a statement gives.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Answer<T>,
) -> Answer<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        answer.push(read(row)?);
    }
    Ok(answer)
}

/// Runs a statement and answers how many rows it changed.
pub(super) fn run(connection: &Connection, sql: &str, params: impl Params) -> Answer<usize> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

/// A time as a column keeps it: microseconds since 1970. What is finer is cut off.
pub(super) fn micros(time: SystemTime) -> i64 {
    let whole = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => whole(since),
        Err(before) => -whole(before.duration()),
    }
}

/// The time that a column keeps.
pub(super) fn time(micros: i64) -> SystemTime {
    let span = Duration::from_micros(micros.unsigned_abs());
    if micros >= 0 { UNIX_EPOCH + span } else { UNIX_EPOCH - span }
}

/// A time from now, as a column keeps it.
pub(super) fn micros_from_now(span: Duration) -> i64 {
    let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    micros(SystemTime::now()).saturating_add(span)
}

/// A time ago, as a column keeps it.
pub(super) fn micros_ago(span: Duration) -> i64 {
    let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    micros(SystemTime::now()).saturating_sub(span)
}

/// Texts by name, as a column keeps them: a JSON object.
pub(super) fn texts_to_column(texts: &BTreeMap<String, String>) -> Answer<String> {
    if texts.is_empty() {
        return Ok("{}".to_owned());
    }
    serde_json::to_string(texts).map_err(|error| {
        Error::new(ErrorKind::Internal, "metadata could not be written").with_source(error).into()
    })
}

/// The texts that a column keeps.
pub(super) fn texts_from_column(row: &Row<'_>, column: usize) -> Answer<BTreeMap<String, String>> {
    let text = row.get_ref(column)?.as_str().map_err(|error| damaged("metadata", error))?;
    if text == "{}" {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(text).map_err(|error| damaged("metadata", error).into())
}

/// The object key that a column keeps.
pub(super) fn key_from_column(row: &Row<'_>, column: usize) -> Answer<ObjectKey> {
    let text = row.get_ref(column)?.as_str().map_err(|error| damaged("object_key", error))?;
    ObjectKey::new(text).map_err(|error| damaged("object_key", error).into())
}

/// The tier that a column keeps.
pub(super) fn tier_from_column(row: &Row<'_>, column: usize) -> Answer<Option<Tier>> {
    let text = row.get_ref(column)?.as_str_or_null().map_err(|error| damaged("tier", error))?;
    text.map(str::parse).transpose().map_err(|error| damaged("tier", error).into())
}

fn damaged(column: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupted, "a row of the catalog cannot be read")
        .with_context("column", column)
        .with_source(error)
}

impl ToSql for UserId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().to_sql()
    }
}

impl FromSql for UserId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        UserId::new(value.as_str()?).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

macro_rules! uuid_column {
    ($name:ident) => {
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.as_bytes().as_slice().to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                <[u8; 16]>::column_result(value).map(|bytes| Self::from_uuid(Uuid::from_bytes(bytes)))
            }
        }
    };
}

uuid_column!(FileId);
uuid_column!(FileVersionId);
