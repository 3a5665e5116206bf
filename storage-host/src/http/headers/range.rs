//! `Range` and `Content-Range` (RFC 9110, section 14).

use std::ops::Range;

use http::HeaderValue;
use storage_core::ByteRange;

/// The one range that a `Range` header asks for.
///
/// `None` means that the whole file is to be answered, as RFC 9110 allows for a unit that is not known, for
/// text that is no range, and for several ranges: those would need `multipart/byteranges`, which no client
/// of a file download relies on.
pub(crate) fn parse(header: &HeaderValue) -> Option<ByteRange> {
    let (unit, ranges) = header.to_str().ok()?.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Some(ByteRange::Bounded(first, last.saturating_add(1))),
        (Some(first), None) if last.is_empty() => Some(ByteRange::From(first)),
        (None, Some(length)) if first.is_empty() => Some(ByteRange::Suffix(length)),
        _ => None,
    }
}

/// Digits only; a number that is too large is beyond the end of every file all the same.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// The `Content-Range` of an answer that holds these bytes of a file of this size.
pub(crate) fn content_range(range: &Range<u64>, size_bytes: u64) -> String {
    format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> Option<ByteRange> {
        parse(&HeaderValue::from_str(text).expect("a header value"))
    }

    #[test]
    fn the_three_forms_are_understood() {
        assert_eq!(range("bytes=0-0"), Some(ByteRange::Bounded(0, 1)));
        assert_eq!(range("Bytes=5-9"), Some(ByteRange::Bounded(5, 10)));
        assert_eq!(range("bytes=5-"), Some(ByteRange::From(5)));
        assert_eq!(range("bytes=-5"), Some(ByteRange::Suffix(5)));
        let huge = "bytes=0-99999999999999999999999";
        assert_eq!(range(huge), Some(ByteRange::Bounded(0, u64::MAX)));
    }

    #[test]
    fn anything_else_means_the_whole_file() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=a-b",
        ] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "[ -~]{0,64}") {
            let _ = range(&text);
        }

        #[test]
        fn a_range_survives_the_way_into_content_range(start in 0..u64::MAX / 2, length in 1..u64::MAX / 4) {
            let end = start + length;
            let parsed = range(&format!("bytes={start}-{}", end - 1)).expect("a range");
            let resolved = parsed.resolve(u64::MAX).expect("within");
            prop_assert_eq!(&resolved, &(start..end));
            prop_assert_eq!(
                content_range(&resolved, u64::MAX),
                format!("bytes {start}-{}/{}", end - 1, u64::MAX)
            );
        }
    }
}
