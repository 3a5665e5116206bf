//! What kind of content a file is: told by its first bytes, else by its name.

use storage_core::{Error, ErrorKind, Result};

/// The type of content of which nothing is known.
const UNKNOWN: &str = "application/octet-stream";

/// Detects the type by the first bytes and, where they tell nothing, by the name. Bytes outweigh the name: what
/// claims to be a PDF and is a program is a program.
pub(crate) fn detect(head: &[u8], filename: &str) -> String {
    let by_name = mime_guess::from_path(filename).first_raw();
    let detected = match infer::get(head) {
        // Containers say less than the name that goes with them (a .docx whose parts come in an unusual order).
        Some(kind) if matches!(kind.mime_type(), "application/zip" | "text/xml" | "text/plain") => {
            by_name.unwrap_or(kind.mime_type())
        }
        Some(kind) => kind.mime_type(),
        None => by_name.unwrap_or(UNKNOWN),
    };
    if detected == "text/plain" && std::str::from_utf8(head).is_ok() {
        return "text/plain; charset=utf-8".to_owned();
    }
    detected.to_owned()
}

/// Checks a type that a caller gives: `type/subtype`, perhaps with parameters, in printable ASCII.
///
/// # Errors
///
/// `InvalidArgument`.
pub(crate) fn check(content_type: &str) -> Result<()> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    let sound = essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
        && content_type.len() <= 255
        && content_type.chars().all(|c| matches!(c, ' '..='~'));
    if sound {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, "a content type has the form type/subtype")
        .with_context("content_type", content_type.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outweigh_the_name_and_the_name_helps_where_they_are_silent() {
        assert_eq!(detect(b"%PDF-1.7\n", "photo.png"), "application/pdf");
        assert_eq!(detect(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "cv.pdf"), "application/x-executable");
        assert_eq!(detect(b"a,b\n1,2\n", "table.csv"), "text/csv");
        assert_eq!(detect("hé".as_bytes(), "notes.txt"), "text/plain; charset=utf-8");
        assert_eq!(detect(b"", "nothing"), UNKNOWN);
    }

    #[test]
    fn only_well_formed_types_are_taken() {
        for sound in ["application/pdf", "text/plain; charset=utf-8", "application/vnd.ms-excel"] {
            check(sound).expect(sound);
        }
        for faulty in ["", "pdf", "a/", "a/b/c", "text/plain\r\nX: 1", "a b/c"] {
            assert_eq!(check(faulty).expect_err(faulty).kind(), ErrorKind::InvalidArgument);
        }
    }
}
