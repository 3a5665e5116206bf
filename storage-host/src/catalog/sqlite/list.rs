//! Listing files a page at a time. Every order is an index, and a page begins where the cursor says (keyset
//! paging), so that it costs the same wherever it is and however many files there are.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use storage_core::{Error, ErrorKind};

use super::error::Answer;
use super::read::{file_columns, file_from_row, with_placements};
use super::value::{all, first, micros};
use crate::catalog::cursor::{self, Position, PositionValue};
use crate::catalog::{FileId, FilePage, FileQuery, FileRecord, SortBy, UserId};

/// The largest page.
const MAX_LIMIT: u32 = 1_000;

/// So many files with a prefix are sorted rather than looked for in the order of another index, where they may
/// be rare and far apart.
const FEW: i64 = 1_000;

const COUNT_WITH_PREFIX: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM files \
     WHERE user_id = ?1 AND filename >= ?2 AND (?3 IS NULL OR filename < ?3) LIMIT ?4) AS few";

pub(super) fn list(connection: &Connection, user: &UserId, query: &FileQuery) -> Answer<FilePage> {
    if query.limit == 0 || query.limit > MAX_LIMIT {
        return Err(Error::new(ErrorKind::InvalidArgument, "the limit of a page is 1 to 1000")
            .with_context("limit", query.limit)
            .into());
    }
    let after = query.cursor.as_deref().map(|cursor| cursor::decode(user, query, cursor)).transpose()?;
    let prefix = Prefix::of(&query.filename_prefix);
    // One more than the page holds tells whether there is another page.
    let wanted = query.limit as usize + 1;
    let mut files = match &prefix {
        Some(prefix) if query.sort != SortBy::Filename && prefix.is_rare(connection, user)? => {
            few_with_prefix(connection, user, query, prefix, after.as_ref(), wanted)?
        }
        _ => in_order(connection, user, query, prefix.as_ref(), after.as_ref(), wanted)?,
    };
    let more = files.len() == wanted;
    files.truncate(query.limit as usize);
    let next_cursor =
        files.last().filter(|_| more).map(|last| cursor::encode(user, query, &position(query.sort, last)));
    let files = files.into_iter().map(|file| with_placements(connection, file)).collect::<Answer<_>>()?;
    Ok(FilePage { files, next_cursor })
}

/// Walks the index of the order, from the cursor on.
fn in_order(
    connection: &Connection,
    user: &UserId,
    query: &FileQuery,
    prefix: Option<&Prefix>,
    after: Option<&Position>,
    wanted: usize,
) -> Answer<Vec<FileRecord>> {
    let mut values = vec![Value::from(user.as_str().to_owned())];
    if let Some(prefix) = prefix {
        values.push(Value::from(prefix.from.clone()));
        values.extend(prefix.below.clone().map(Value::from));
    }
    if let Some(Position { value, file }) = after {
        values.push(match value {
            PositionValue::Number(number) => Value::from(*number),
            PositionValue::Text(text) => Value::from(text.clone()),
        });
        values.push(Value::from(file.as_bytes().to_vec()));
    }
    values.push(Value::from(i64::try_from(wanted).unwrap_or(i64::MAX)));
    let sql = statement(query.sort, query.descending, prefix, after.is_some());
    all(connection, &sql, params_from_iter(values), file_from_row)
}

/// The statement that [`in_order`] runs: one of a few dozen, each of which a connection keeps prepared.
fn statement(sort: SortBy, descending: bool, prefix: Option<&Prefix>, has_cursor: bool) -> String {
    let column = match sort {
        SortBy::CreatedAt => "created_at",
        SortBy::UpdatedAt => "updated_at",
        SortBy::Filename => "filename",
        SortBy::Size => "size_bytes",
    };
    let (beyond, direction) = if descending { ("<", "DESC") } else { (">", "ASC") };
    let mut sql = format!(
        "SELECT {} FROM files f JOIN versions v ON v.file_id = f.file_id AND v.version_id = f.current_version \
         WHERE f.user_id = ?",
        file_columns!()
    );
    if let Some(prefix) = prefix {
        // As an expression, the filename cannot tempt the planner to another index than that of the order.
        let filename = if sort == SortBy::Filename { "f.filename" } else { "(f.filename || '')" };
        sql += &format!(" AND {filename} >= ?");
        if prefix.below.is_some() {
            sql += &format!(" AND {filename} < ?");
        }
    }
    if has_cursor {
        sql += &format!(" AND (f.{column}, f.file_id) {beyond} (?, ?)");
    }
    sql += &format!(" ORDER BY f.{column} {direction}, f.file_id {direction} LIMIT ?");
    sql
}

/// Finds the few files with a prefix by their names, and puts them in order.
fn few_with_prefix(
    connection: &Connection,
    user: &UserId,
    query: &FileQuery,
    prefix: &Prefix,
    after: Option<&Position>,
    wanted: usize,
) -> Answer<Vec<FileRecord>> {
    let found = in_order(
        connection,
        user,
        &FileQuery { sort: SortBy::Filename, descending: false, ..query.clone() },
        Some(prefix),
        None,
        FEW as usize,
    )?;
    let mut found: Vec<(i64, FileId, FileRecord)> =
        found.into_iter().map(|file| (number(query.sort, &file), file.id, file)).collect();
    if let Some(Position { value: PositionValue::Number(value), file }) = after {
        let last = (*value, *file);
        found.retain(|(value, file, _)| {
            let this = (*value, *file);
            if query.descending { this < last } else { this > last }
        });
    }
    found.sort_unstable_by_key(|(value, file, _)| (*value, *file));
    if query.descending {
        found.reverse();
    }
    found.truncate(wanted);
    Ok(found.into_iter().map(|(_, _, file)| file).collect())
}

fn position(sort: SortBy, file: &FileRecord) -> Position {
    let value = match sort {
        SortBy::Filename => PositionValue::Text(file.current.filename.clone()),
        SortBy::CreatedAt | SortBy::UpdatedAt | SortBy::Size => PositionValue::Number(number(sort, file)),
    };
    Position { value, file: file.id }
}

/// What a listing that is not by name orders by.
fn number(sort: SortBy, file: &FileRecord) -> i64 {
    match sort {
        SortBy::CreatedAt | SortBy::Filename => micros(file.created_at),
        SortBy::UpdatedAt => micros(file.current.created_at),
        SortBy::Size => i64::try_from(file.current.size_bytes).unwrap_or(i64::MAX),
    }
}

/// The names that start with a text, as a range in the order of code points, which is that of UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    from: String,
    /// The least text that is greater than all with the prefix; `None` where there is none.
    below: Option<String>,
}

impl Prefix {
    /// `None` for the empty text, with which every name starts.
    fn of(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let mut below = text.to_owned();
        let below = loop {
            let Some(last) = below.pop() else { break None };
            let next = match last {
                // Between these two lie the surrogates, which are no characters.
                '\u{D7FF}' => Some('\u{E000}'),
                last => char::from_u32(u32::from(last) + 1),
            };
            if let Some(next) = next {
                below.push(next);
                break Some(below);
            }
        };
        Some(Self { from: text.to_owned(), below })
    }

    fn is_rare(&self, connection: &Connection, user: &UserId) -> Answer<bool> {
        let params = params![user, self.from, self.below, FEW];
        let count = first(connection, COUNT_WITH_PREFIX, params, |row| Ok(row.get::<_, i64>(0)?))?;
        Ok(count.unwrap_or_default() < FEW)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every statement that a listing can run.
    pub(in super::super) fn statements() -> Vec<String> {
        let prefixes = [None, Prefix::of("a"), Prefix::of("\u{10FFFF}")];
        let mut statements = vec![COUNT_WITH_PREFIX.to_owned()];
        for sort in [SortBy::CreatedAt, SortBy::UpdatedAt, SortBy::Filename, SortBy::Size] {
            for (descending, has_cursor) in [(false, false), (false, true), (true, false), (true, true)] {
                for prefix in &prefixes {
                    statements.push(statement(sort, descending, prefix.as_ref(), has_cursor));
                }
            }
        }
        statements
    }

    #[test]
    fn a_prefix_is_a_range_of_code_points() {
        let below = |text: &str| Prefix::of(text).expect("not empty").below;
        assert_eq!(Prefix::of(""), None);
        assert_eq!(below("a"), Some("b".to_owned()));
        assert_eq!(below("a%_"), Some("a%`".to_owned()));
        assert_eq!(below("é"), Some("ê".to_owned()));
        assert_eq!(below("\u{D7FF}"), Some("\u{E000}".to_owned()));
        assert_eq!(below("a\u{10FFFF}"), Some("b".to_owned()));
        assert_eq!(below("\u{10FFFF}\u{10FFFF}"), None);
    }
}
