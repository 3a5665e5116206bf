//! User metadata as S3's headers can carry it.
//!
//! Headers carry printable ASCII, and blanks at their ends are lost. A value of anything else goes as a data URL
//! (RFC 2397, `data:;base64,…`), which S3 keeps as it is. (The encoded words of RFC 2047 would not do: S3 decodes
//! them before it stores them and encodes them in its own way when it answers.) On the way back both are understood,
//! since other programs let S3 make encoded words.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use storage_core::object::MAX_METADATA_BYTES;
use storage_core::{Error, ErrorKind, Result};

const DATA_URL: &str = "data:;base64,";

/// The metadata as it is sent.
///
/// # Errors
///
/// `TooLarge` where it takes more than S3 keeps.
pub(crate) fn encode(metadata: &BTreeMap<String, String>) -> Result<HashMap<String, String>> {
    let encoded: HashMap<_, _> =
        metadata.iter().map(|(name, value)| (name.clone(), encode_value(value))).collect();
    let size_bytes: usize = encoded.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size_bytes > MAX_METADATA_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the metadata takes {size_bytes} bytes in the form that headers can carry (text other than ASCII \
                 grows by a third); S3 keeps at most {MAX_METADATA_BYTES}"
            ),
        ));
    }
    Ok(encoded)
}

fn encode_value(value: &str) -> String {
    let is_plain = value.chars().all(|c| matches!(c, ' '..='~'))
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !value.is_empty()
        && !value.starts_with(DATA_URL)
        && !value.contains("=?");
    if is_plain { value.to_owned() } else { format!("{DATA_URL}{}", BASE64.encode(value)) }
}

/// The metadata of an answer.
pub(crate) fn decode(headers: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    let headers = headers.into_iter().flatten();
    // Some servers give back the names as they please; those of HTTP have no case.
    headers.map(|(name, value)| (name.to_ascii_lowercase(), decode_value(value))).collect()
}

fn decode_value(value: &str) -> String {
    if let Some(encoded) = value.strip_prefix(DATA_URL) {
        let bytes = BASE64.decode(encoded).ok();
        return bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| value.to_owned());
    }
    decode_words(value).unwrap_or_else(|| value.to_owned())
}

/// A value that is nothing but encoded words, decoded.
fn decode_words(value: &str) -> Option<String> {
    if !value.starts_with("=?") {
        return None;
    }
    let mut bytes = Vec::new();
    for word in value.split_ascii_whitespace() {
        let mut parts = word.strip_prefix("=?")?.strip_suffix("?=")?.splitn(3, '?');
        let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
        if !charset.eq_ignore_ascii_case("utf-8") {
            return None;
        }
        match encoding {
            "B" | "b" => bytes.extend(BASE64.decode(text).ok()?),
            "Q" | "q" => bytes.extend(decode_quoted(text)?),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn decode_quoted(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_plain_ones_stay_plain() {
        for value in [
            "42",
            "a b  c",
            "",
            " a ",
            "Ingénieur",
            "=?UTF-8?B?SGFsbG8=?=",
            "data:;base64,QQ==",
            "a\u{a0}b",
            "📄",
        ] {
            let sent = encode_value(value);
            assert!(sent.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{sent:?}");
            assert_eq!(decode_value(&sent), value);
        }
        assert_eq!(encode_value("a=1; b"), "a=1; b");
    }

    #[test]
    fn encoded_words_of_others_are_understood() {
        assert_eq!(decode_value("=?UTF-8?Q?caf=C3=A9_au_lait?="), "café au lait");
        assert_eq!(decode_value("=?UTF-8?B?Y2Fm?= =?utf-8?b?w6k=?="), "café");
        for odd in ["=?UTF-8?Q?caf=C3", "=?ISO-8859-1?Q?caf=E9?=", "=?UTF-8?X?a?=", "=?UTF-8?Q?=FF?="] {
            assert_eq!(decode_value(odd), odd, "what cannot be decoded stays as it is");
        }
    }

    #[test]
    fn what_grows_beyond_the_limit_is_refused() {
        let metadata = [("a".to_owned(), "é".repeat(800))].into();
        assert_eq!(encode(&metadata).expect_err("large").kind(), ErrorKind::TooLarge);
    }
}
