//! [`ObjectKey`]: the validated name of an object in a backend.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The name of an object: `/`-separated segments of UTF-8 text.
///
/// Every key
/// * is 1 to 1,024 bytes long (the shortest limit among the providers: S3's),
/// * neither starts nor ends with `/` and has no empty segment,
/// * has no segment that is `.` or `..` (Azure's URLs and MinIO cannot address them),
/// * holds no control character, nor U+FFFE and U+FFFF (S3 lists keys in XML 1.0, which has none of them).
///
/// Anything else is legal, and no two keys are the same object: no case folding, no
/// Unicode normalisation, no trimming. Keys order by their UTF-8 bytes, which is the
/// order of every listing. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// The largest length of a key, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Validates a key.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, naming the rule that is broken.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        match fault(text) {
            None => Ok(Self(text.into())),
            Some(rule) => Err(Error::new(ErrorKind::InvalidKey, rule).with_key(text.escape_debug())),
        }
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the slashes; at least one, none of them empty.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("an object key is empty");
    }
    if text.len() > ObjectKey::MAX_BYTES {
        return Some("an object key is longer than 1024 bytes");
    }
    // Nearly all keys are ASCII, of which no character is made of several bytes.
    let holds_control = match text.is_ascii() {
        true => text.bytes().any(|byte| byte.is_ascii_control()),
        false => text.chars().any(|c| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}')),
    };
    if holds_control {
        return Some("an object key holds a control character or a non-character");
    }
    text.as_bytes().split(|&byte| byte == b'/').find_map(|segment| match segment {
        b"" => Some("an object key starts or ends with a slash or holds an empty segment"),
        b"." | b".." => Some("an object key holds a relative segment (. or ..)"),
        _ => None,
    })
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for ObjectKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ObjectKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_keys_keep_their_text() {
        for text in
            ["a", "users/7/résumé.pdf", " a ", "a.", "...", ".hidden", "CON", "a\\b", "日本/語", "a%2Fb"]
        {
            assert_eq!(ObjectKey::new(text).expect(text).as_str(), text);
        }
        assert!(ObjectKey::new("x".repeat(1024)).is_ok());
    }

    #[test]
    fn illegal_keys_name_the_broken_rule() {
        let long = "x".repeat(1025);
        for (text, rule) in [
            ("", "empty"),
            ("/a", "slash"),
            ("a/", "slash"),
            ("a//b", "empty segment"),
            ("../a", "relative"),
            ("a/./b", "relative"),
            ("é/../a", "relative"),
            ("é//a", "empty segment"),
            ("a\0", "control"),
            ("a\u{7f}", "control"),
            ("a\u{85}", "control"),
            ("a\u{FFFF}", "non-character"),
            (long.as_str(), "1024"),
        ] {
            let error = ObjectKey::new(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidKey);
            assert!(error.message().contains(rule), "{error}");
        }
    }
}
