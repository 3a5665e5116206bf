//! The tokens of signed links without a service around them: what the fuzz targets check.
//!
//! Compiled with the feature `fuzzing` only, which nothing that is shipped has.

use storage_core::Result;

use super::link::{Claims, key_id, read_token, write_token};
use crate::catalog::{FileId, FileVersionId, LinkKeyRecord};

/// What a link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The file.
    pub file: FileId,
    /// The version.
    pub version: FileVersionId,
    /// When it stops working, in seconds since 1970.
    pub expires_at: u64,
    /// Whether a browser shows the file.
    pub inline: bool,
}

/// The token of a link, as the service signs it.
///
/// # Errors
///
/// `Internal` where every key is retired.
pub fn write(keys: &[LinkKeyRecord], link: &Link) -> Result<String> {
    write_token(keys, &Claims::new(link.file, link.version, link.expires_at, link.inline))
}

/// What a token says, as the service reads it, and the id of the key that signed it.
///
/// # Errors
///
/// `PermissionDenied` for a token that is not to be believed.
pub fn read(keys: &[LinkKeyRecord], token: &str) -> Result<(String, Link)> {
    let key_id = key_id(token)?;
    let claims = read_token(keys, &key_id, token)?;
    let link = Link { file: claims.file, version: claims.ver, expires_at: claims.exp, inline: claims.inl };
    Ok((key_id, link))
}
