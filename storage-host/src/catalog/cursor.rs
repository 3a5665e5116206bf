//! The cursor of a listing: where the next page begins, and of which listing.
//!
//! It is opaque to its holder. The digest ties it to user, order and prefix: a cursor that was altered, or that
//! belongs to another listing, is refused instead of giving a page that makes no sense. It guards against
//! mistakes, not against attack: whatever a cursor says, only the user's own files are listed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use storage_core::{Error, ErrorKind, Result};
use uuid::Uuid;

use super::{FileId, FileQuery, SortBy, UserId};

/// The form of the cursor, its first byte.
const FORM: u8 = 1;

/// How much of the digest a cursor carries, in bytes.
const DIGEST: usize = 12;

/// The last file of a page, by what the listing orders by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The value that decides.
    pub(super) value: PositionValue,
    /// The file, which decides between equal values.
    pub(super) file: FileId,
}

/// The value by which a listing is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PositionValue {
    /// A time in microseconds since 1970, or a size in bytes.
    Number(i64),
    /// A filename.
    Text(String),
}

/// The cursor for the page after this position.
pub(super) fn encode(user: &UserId, query: &FileQuery, position: &Position) -> String {
    let mut bytes = vec![FORM];
    bytes.extend_from_slice(position.file.as_bytes());
    match &position.value {
        PositionValue::Number(number) => bytes.extend_from_slice(&number.to_be_bytes()),
        PositionValue::Text(text) => bytes.extend_from_slice(text.as_bytes()),
    }
    let digest = digest(user, query, &bytes);
    bytes.extend_from_slice(&digest);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position that a cursor of this listing stands for.
///
/// # Errors
///
/// `InvalidArgument` for a cursor that is not one, or not one of this listing.
pub(super) fn decode(user: &UserId, query: &FileQuery, cursor: &str) -> Result<Position> {
    try_decode(user, query, cursor).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            "the cursor does not belong to this listing: give the one that the page before answered, \
             with the same user, order and prefix",
        )
    })
}

fn try_decode(user: &UserId, query: &FileQuery, cursor: &str) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (content, given) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    if digest(user, query, content) != given {
        return None;
    }
    let (&FORM, content) = content.split_first()? else { return None };
    let (file, value) = content.split_at_checked(16)?;
    let value = match query.sort {
        SortBy::Filename => PositionValue::Text(String::from_utf8(value.to_vec()).ok()?),
        SortBy::CreatedAt | SortBy::UpdatedAt | SortBy::Size => {
            PositionValue::Number(i64::from_be_bytes(value.try_into().ok()?))
        }
    };
    Some(Position { value, file: FileId::from_uuid(Uuid::from_slice(file).ok()?) })
}

fn digest(user: &UserId, query: &FileQuery, content: &[u8]) -> [u8; DIGEST] {
    let order = [
        match query.sort {
            SortBy::CreatedAt => 1,
            SortBy::UpdatedAt => 2,
            SortBy::Filename => 3,
            SortBy::Size => 4,
        },
        u8::from(query.descending),
    ];
    let mut hasher = Sha256::new();
    for part in [&order, user.as_str().as_bytes(), query.filename_prefix.as_bytes(), content] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let whole = hasher.finalize();
    std::array::from_fn(|at| whole[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anna() -> UserId {
        UserId::new("anna").expect("a legal name")
    }

    fn number() -> Position {
        Position { value: PositionValue::Number(-5), file: FileId::from_uuid(Uuid::from_u128(7)) }
    }

    #[test]
    fn a_cursor_gives_its_position_back() {
        let query = FileQuery { sort: SortBy::Size, ..FileQuery::default() };
        let cursor = encode(&anna(), &query, &number());
        assert_eq!(decode(&anna(), &query, &cursor).expect("its own cursor"), number());

        let query =
            FileQuery { sort: SortBy::Filename, filename_prefix: "ré".to_owned(), ..FileQuery::default() };
        let position = Position { value: PositionValue::Text("résumé".to_owned()), ..number() };
        let cursor = encode(&anna(), &query, &position);
        assert_eq!(decode(&anna(), &query, &cursor).expect("its own cursor"), position);
    }

    #[test]
    fn a_cursor_of_another_listing_is_refused() {
        let query = FileQuery { filename_prefix: "a".to_owned(), ..FileQuery::default() };
        let cursor = encode(&anna(), &query, &number());
        let bert = UserId::new("bert").expect("a legal name");
        assert!(decode(&bert, &query, &cursor).is_err());
        for other in [
            FileQuery { sort: SortBy::UpdatedAt, ..query.clone() },
            FileQuery { descending: true, ..query.clone() },
            FileQuery { filename_prefix: "ab".to_owned(), ..query },
        ] {
            let error = decode(&anna(), &other, &cursor).expect_err("another listing");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn a_cursor_with_any_character_altered_or_missing_is_refused() {
        let query = FileQuery::default();
        let cursor = encode(&anna(), &query, &number());
        for at in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(decode(&anna(), &query, &altered).is_err(), "{altered}");
            assert!(decode(&anna(), &query, &cursor[..at]).is_err());
        }
        assert!(decode(&anna(), &query, "☃ not base64").is_err());
    }
}
