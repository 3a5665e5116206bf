//! Signed URLs of Cloud CDN: HMAC with SHA-1, as its documentation has them. They are for the CDN in front of the
//! bucket and mean nothing to the bucket itself.

use base64::engine::general_purpose::URL_SAFE;
use base64::prelude::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, utf8_percent_encode};
use sha1::Sha1;
use storage_core::Result;

use crate::client::ENCODED;
use crate::config::Cdn;
use crate::error::bad_answer;

/// The length of a key, in bytes.
const KEY_BYTES: usize = 16;

/// What stands for itself in a path.
const PATH: &AsciiSet = &ENCODED.remove(b'/');

/// The bytes of a key as gcloud takes it.
pub(crate) fn decode_key(text: &str) -> Option<Vec<u8>> {
    URL_SAFE.decode(text.trim()).ok().filter(|key| key.len() == KEY_BYTES)
}

/// A URL for one object.
///
/// # Errors
///
/// `Internal` for a key that the configuration should have refused.
pub(crate) fn sign_object(cdn: &Cdn, name: &str, expires_at: u64) -> Result<String> {
    let url = format!("{}/{}", cdn.url, utf8_percent_encode(name, PATH));
    let to_sign = format!("{url}?Expires={expires_at}&KeyName={}", cdn.key_name);
    Ok(format!("{to_sign}&Signature={}", signature(cdn, &to_sign)?))
}

/// The query that opens all URLs which start so.
///
/// # Errors
///
/// As [`sign_object`].
pub(crate) fn sign_prefix(cdn: &Cdn, prefix: &str, expires_at: u64) -> Result<String> {
    let url = URL_SAFE.encode(format!("{}/{}", cdn.url, utf8_percent_encode(prefix, PATH)));
    let to_sign = format!("URLPrefix={url}&Expires={expires_at}&KeyName={}", cdn.key_name);
    Ok(format!("{to_sign}&Signature={}", signature(cdn, &to_sign)?))
}

fn signature(cdn: &Cdn, text: &str) -> Result<String> {
    let key = decode_key(&cdn.key.0).ok_or_else(|| bad_answer("a key that was checked"))?;
    let mac = Hmac::<Sha1>::new_from_slice(&key).map_err(|error| bad_answer("a key").with_source(error))?;
    Ok(URL_SAFE.encode(mac.chain_update(text).finalize().into_bytes()))
}
