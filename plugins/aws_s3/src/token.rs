//! Page tokens: where a page ended, in a form that tells tokens of others apart.

use serde::{Deserialize, Serialize};
use storage_core::{Error, ErrorKind, Result};

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// After what S3's own token of a listing says.
    Listing(String),
    /// After this key or folder, in this walk through a directory bucket.
    Walk { after: String, walk: u64 },
    /// After this version of this key; after all of the key's versions where it is absent.
    Version { key: String, version: Option<String> },
    /// After this upload of this key.
    Upload { key: String, upload: Option<String> },
}

/// Writes a token.
pub(crate) fn write(place: &Place) -> String {
    // Texts in an enum cannot fail to be JSON; were it otherwise the token would be refused when it comes back.
    let text = serde_json::to_vec(place).unwrap_or_default();
    format!("{}{:08x}", hex::encode(&text), crc_fast::crc32_iscsi(&text))
}

/// Reads a token.
///
/// # Errors
///
/// `InvalidArgument` for one that [`write()`] did not make.
pub(crate) fn read(token: &str) -> Result<Place> {
    let parse = || {
        let (text, sum) = token.split_at_checked(token.len().checked_sub(8)?)?;
        let text = hex::decode(text).ok()?;
        let is_whole = u32::from_str_radix(sum, 16).ok()? == crc_fast::crc32_iscsi(&text);
        is_whole.then(|| serde_json::from_slice(&text).ok()).flatten()
    };
    parse().ok_or_else(foreign)
}

/// The error for a token of somebody else or of another operation.
pub(crate) fn foreign() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the page token is none that this operation of this backend gave")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        for place in [
            Place::Listing("ü/\"b\"".to_owned()),
            Place::Walk { after: "a/".to_owned(), walk: u64::MAX },
            Place::Version { key: "a".to_owned(), version: Some("1".to_owned()) },
            Place::Upload { key: "a".to_owned(), upload: None },
        ] {
            let token = write(&place);
            assert_eq!(read(&token).expect("own"), place);
            assert!(read(&format!("0{token}")).is_err() && read(&token[1..]).is_err());
        }
        for foreign in ["", "x", "a/b", "zzzzzzzz", "日本語日本語", "00000000"] {
            assert_eq!(read(foreign).expect_err(foreign).kind(), ErrorKind::InvalidArgument);
        }
    }
}
