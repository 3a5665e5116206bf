//! Names: of files as users give them, of objects as backends see them, of downloads as browsers do.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use storage_core::{Error, ErrorKind, ObjectKey, Result};

use crate::catalog::{FileId, FileVersionId, UserId};

/// The longest file name, in bytes of UTF-8: what the file systems of users take.
pub const MAX_FILENAME_BYTES: usize = 255;

/// The longest that a file name becomes as the last segment of an object key, in bytes.
const MAX_KEY_NAME_BYTES: usize = 128;

/// Every object that the service saves is below this prefix.
pub(crate) const KEY_PREFIX: &str = "users/";

/// Checks a file name. It is kept and shown as it is, so that little is forbidden: it must not be empty, longer
/// than [`MAX_FILENAME_BYTES`], or hold a control character, which no header can carry.
///
/// # Errors
///
/// `InvalidArgument`, naming the rule.
pub fn check_filename(filename: &str) -> Result<()> {
    let rule = if filename.trim().is_empty() {
        "a file name is empty"
    } else if filename.len() > MAX_FILENAME_BYTES {
        "a file name is longer than 255 bytes"
    } else if filename.chars().any(is_invisible) {
        "a file name holds a control or direction character"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidArgument, rule).with_context("filename", filename.escape_debug()))
}

/// Control characters, and those that turn the direction of text around to disguise an extension.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The key of the object that holds one version of a file. Unique, since the version is.
pub(crate) fn object_key(
    user: &UserId,
    file: FileId,
    version: FileVersionId,
    filename: &str,
) -> Result<ObjectKey> {
    ObjectKey::new(format!("{KEY_PREFIX}{user}/{file}/{version}/{}", key_name(filename)))
}

/// Whose object a key names, where it is one of ours.
pub(crate) fn parse_object_key(key: &ObjectKey) -> Option<(UserId, FileId, FileVersionId)> {
    let mut segments = key.as_str().strip_prefix(KEY_PREFIX)?.split('/');
    let parsed =
        (UserId::new(segments.next()?).ok()?, segments.next()?.parse().ok()?, segments.next()?.parse().ok()?);
    segments.next()?;
    segments.next().is_none().then_some(parsed)
}

/// A file name as a segment that every provider, shell and file system takes. The end survives a cut, since it
/// holds the extension.
fn key_name(filename: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = filename.chars().map(plain).collect();
    let mut start = name.len().saturating_sub(MAX_KEY_NAME_BYTES);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    match name[start..].trim_matches('.') {
        "" => "file".to_owned(),
        name => name.to_owned(),
    }
}

/// The value of a `Content-Disposition` header (RFC 6266): the name in ASCII for old clients and, where it says
/// more, in UTF-8 (RFC 8187). Holds printable ASCII only, whatever the name holds.
pub fn content_disposition(filename: &str, inline: bool) -> String {
    /// What RFC 8187 calls `attr-char` stays as it is.
    const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'!')
        .remove(b'#')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b'-')
        .remove(b'.')
        .remove(b'^')
        .remove(b'_')
        .remove(b'`')
        .remove(b'|')
        .remove(b'~');
    let kind = if inline { "inline" } else { "attachment" };
    let fallback: String = filename
        .chars()
        .map(|c| if matches!(c, ' '..='~') && !"\"\\%/".contains(c) { c } else { '_' })
        .collect();
    if fallback == filename {
        return [kind, "; filename=\"", &fallback, "\""].concat();
    }
    format!("{kind}; filename=\"{fallback}\"; filename*=UTF-8''{}", utf8_percent_encode(filename, ATTR_CHAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_name_leaves_its_segment_or_its_header() {
        let user = UserId::new("42").expect("user");
        let long = "é".repeat(120) + ".pdf";
        let names = [
            "../../etc/passwd",
            "..",
            "...",
            "a/b\\c",
            "x\"; evil=\"y",
            "日本 履歴書.pdf",
            "%2e%2e",
            " ",
            &long,
        ];
        for name in names {
            let key = object_key(&user, FileId::new(), FileVersionId::new(), name).expect(name);
            assert_eq!(key.segments().count(), 5, "{key}");
            assert!(parse_object_key(&key).is_some(), "{key}");
            let header = content_disposition(name, false);
            assert!(header.chars().all(|c| matches!(c, ' '..='~')), "{header}");
            assert_eq!(header.matches('"').count(), 2, "{header}");
        }
        assert!(
            object_key(&user, FileId::new(), FileVersionId::new(), &long)
                .expect("key")
                .as_str()
                .ends_with(".pdf")
        );
    }

    #[test]
    fn dispositions_carry_both_forms_of_a_name() {
        assert_eq!(content_disposition("cv.pdf", true), "inline; filename=\"cv.pdf\"");
        assert_eq!(
            content_disposition("Résumé (1).pdf", false),
            "attachment; filename=\"R_sum_ (1).pdf\"; filename*=UTF-8''R%C3%A9sum%C3%A9%20%281%29.pdf"
        );
    }

    #[test]
    fn names_that_no_header_or_person_can_take_are_refused() {
        for name in ["", "  ", "a\r\nX-Evil: 1", "a\0", "cv\u{202E}fdp.exe", &"x".repeat(256)] {
            assert_eq!(check_filename(name).expect_err(name).kind(), ErrorKind::InvalidArgument);
        }
        check_filename("../Résumé \"final\" 日本.pdf").expect("legal");
    }

    #[test]
    fn foreign_keys_are_not_ours() {
        for key in ["users/1", "users/1/x/y/z", "other/1/2/3/4", "users/1/2/3/4/5"] {
            assert!(parse_object_key(&ObjectKey::new(key).expect("key")).is_none());
        }
    }
}
