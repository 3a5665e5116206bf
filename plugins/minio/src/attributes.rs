//! What an object carries besides its bytes: metadata of any language in headers of ASCII, and tags.
//!
//! A value that a header can hold is sent as it is. Any other, and one that looks like an encoded one, is sent as
//! an encoded word of RFC 2047 (`=?UTF-8?B?…?=`), which is what S3 itself answers for such values; so what
//! comes back is exactly what was given, and what other programs wrote is shown as they wrote it.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// What S3 calls content whose type nobody told. It is said outright, since the SDK would say something else.
const NO_TYPE: &str = "binary/octet-stream";

/// The type of the content as a header.
pub(crate) fn content_type(given: Option<&String>) -> String {
    given.map_or_else(|| NO_TYPE.to_owned(), Clone::clone)
}

/// The type of the content from a header; nothing where nobody told it.
pub(crate) fn told_type(header: Option<&str>) -> Option<String> {
    header.filter(|header| !header.is_empty() && *header != NO_TYPE).map(str::to_owned)
}

const START: &str = "=?UTF-8?B?";
const END: &str = "?=";

/// The user's metadata as headers.
pub(crate) fn to_headers(metadata: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    let encoded = metadata.iter().map(|(name, value)| (name.clone(), encode(value)));
    (!metadata.is_empty()).then(|| encoded.collect())
}

/// The user's metadata from headers. Some servers answer with capitals that nobody gave.
pub(crate) fn from_headers(headers: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    let headers = headers.into_iter().flatten();
    headers.map(|(name, value)| (name.to_ascii_lowercase(), decode(value))).collect()
}

fn encode(value: &str) -> String {
    let safe = value.chars().all(|c| matches!(c, ' '..='~')) && !value.contains("  ");
    let whole = !value.is_empty() && !value.starts_with(' ') && !value.ends_with(' ');
    if safe && whole && !value.starts_with("=?") {
        return value.to_owned();
    }
    format!("{START}{}{END}", STANDARD.encode(value))
}

fn decode(value: String) -> String {
    let inner = value.strip_prefix(START).and_then(|rest| rest.strip_suffix(END));
    let bytes = inner.and_then(|inner| STANDARD.decode(inner).ok());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(value)
}

/// Tags in the form of the header `x-amz-tagging`.
pub(crate) fn tagging(tags: &BTreeMap<String, String>) -> Option<String> {
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> =
        tags.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_form_come_back() {
        for value in
            ["plain", "a  b", " a ", "", "Ingénieur 日本", "=?UTF-8?B?SGFsbG8=?=", "=?x", "\u{a0}", "~"]
        {
            let encoded = encode(value);
            assert!(encoded.is_ascii() && !encoded.is_empty(), "{encoded}");
            assert_eq!(decode(encoded), value);
        }
        assert_eq!(encode("a, b; c=\"d\""), "a, b; c=\"d\"", "what a header can hold stays readable");
    }

    #[test]
    fn what_others_wrote_is_shown_as_it_is() {
        for value in ["=?UTF-8?Q?caf=C3=A9?=", "=?UTF-8?B?%%%?=", "=?UTF-8?B?/w==?="] {
            assert_eq!(decode(value.to_owned()), value);
        }
    }

    #[test]
    fn tags_are_escaped() {
        let tags = BTreeMap::from([("a b".to_owned(), "c&d=+".to_owned()), ("x".to_owned(), String::new())]);
        assert_eq!(tagging(&tags).as_deref(), Some("a%20b=c%26d%3D%2B&x="));
    }
}
