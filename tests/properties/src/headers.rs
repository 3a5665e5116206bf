//! The headers of a conditional or partial request: no text is too much, and what is understood of them means what
//! RFC 9110 says.
//!
//! The input is lines of `Name: value`. Two names that no client sends describe the file: `:size` and `:updated`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};
use storage_core::ByteRange;
use storage_host::catalog::{FileId, FileVersionId, UserId};
use storage_host::http::fuzzing::{self, Conditions};
use storage_host::service::FileInfo;
use uuid::Uuid;

/// The last second of the year 9999, up to which dates have a form in headers.
const LAST_SECOND: u64 = 253_402_300_799;

/// Checks the headers of one request.
pub fn headers(data: &[u8]) {
    let (headers, info) = request(data);
    if let Some(value) = headers.get(RANGE) {
        covers_what_it_asks_for(value, info.size_bytes);
    }
    decide(&headers, &info);
    decide_by_tags(&headers, &info);
    for value in [fuzzing::etag(&info), fuzzing::last_modified(&info)] {
        assert!(HeaderValue::from_str(&value).is_ok(), "{value:?}");
    }
    if let Ok(Some(metadata)) = fuzzing::metadata(&headers) {
        is_written_again(&metadata);
    }
}

fn request(data: &[u8]) -> (HeaderMap, FileInfo) {
    let mut headers = HeaderMap::new();
    let (mut size_bytes, mut updated) = (1000, 1_700_000_000);
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let colon = line.iter().skip(1).position(|byte| *byte == b':').map(|at| at + 1);
        let Some((name, value)) = colon.map(|at| (&line[..at], line[at + 1..].trim_ascii())) else {
            continue;
        };
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match name {
            b":size" => size_bytes = number().unwrap_or(size_bytes),
            b":updated" => updated = number().unwrap_or(updated).min(LAST_SECOND),
            _ => {
                if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
                {
                    headers.append(name, value);
                }
            }
        }
    }
    let updated_at = SystemTime::UNIX_EPOCH + Duration::from_secs(updated);
    let info = FileInfo {
        id: FileId::from_uuid(Uuid::nil()),
        user: UserId::new("anna").expect("a user"),
        version: FileVersionId::from_uuid(Uuid::nil()),
        version_number: 1,
        is_current: true,
        filename: "a.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        size_bytes,
        sha256: [7; 32],
        metadata: BTreeMap::new(),
        tags: BTreeMap::new(),
        created_at: updated_at,
        updated_at,
        backend: "local".to_owned(),
        tier: None,
    };
    (headers, info)
}

/// A range that is understood is written as it would be again, and what is answered lies within the file and within
/// what was asked for.
fn covers_what_it_asks_for(value: &HeaderValue, size_bytes: u64) {
    let Some(range) = fuzzing::range(value) else { return };
    let written = match range {
        ByteRange::Bounded(first, end) => format!("bytes={first}-{}", end - 1),
        ByteRange::From(first) => format!("bytes={first}-"),
        ByteRange::Suffix(length) => format!("bytes=-{length}"),
    };
    let again = HeaderValue::from_str(&written).expect("a header value");
    // The last byte of all that can be numbered cannot be told from the one before.
    if !matches!(range, ByteRange::Bounded(_, u64::MAX)) {
        assert_eq!(fuzzing::range(&again), Some(range), "{value:?}");
    }
    let text = value.to_str().expect("what is understood is text").trim_end();
    let (_, asked) = text.rsplit_once('=').expect("a unit");
    let (first, last) = asked.trim().split_once('-').expect("two ends");
    // Longer numbers than can be are beyond the end all the same.
    let number = |text: &str| (!text.is_empty()).then(|| text.parse::<u128>().unwrap_or(u128::MAX));
    let size = u128::from(size_bytes);
    let (from, to) = match (number(first), number(last)) {
        (Some(first), last) => (first, last.map_or(size, |last| last.saturating_add(1)).min(size)),
        (None, Some(length)) => (size.saturating_sub(length), size),
        (None, None) => panic!("{value:?} has no end"),
    };
    match range.resolve(size_bytes) {
        Ok(part) => {
            assert_eq!(
                (u128::from(part.start), u128::from(part.end)),
                (from, to),
                "{value:?} of {size_bytes}"
            );
            let told = fuzzing::content_range(&part, size_bytes);
            assert_eq!(told, format!("bytes {from}-{}/{size}", to - 1));
        }
        // The end of what can be numbered is one less than the end of what can be asked for.
        Err(_) => assert!(from >= to || size_bytes == u64::MAX, "{value:?} of {size_bytes}"),
    }
}

/// What holds of every request, whatever its conditions are.
fn decide(headers: &HeaderMap, info: &FileInfo) {
    let conditions = match Conditions::from_headers(headers) {
        Ok(conditions) => conditions,
        Err(problem) => return assert_eq!(problem.code().status(), 400),
    };
    let (read, write) = (conditions.allow_read(info), conditions.check_write(info));
    for problem in read.as_ref().err().into_iter().chain(write.as_ref().err()) {
        assert_eq!(problem.code().status(), 412);
    }
    assert!(read.is_ok() || write.is_err(), "what may not be read may be replaced");
    if conditions.is_empty() {
        assert!(matches!(read, Ok(true)) && write.is_ok() && conditions.range_counts(info));
    }
    // Whoever has this version is never sent it again.
    let mut known = headers.clone();
    known.append(IF_NONE_MATCH, HeaderValue::from_str(&fuzzing::etag(info)).expect("a header value"));
    if let Ok(conditions) = Conditions::from_headers(&known) {
        assert!(!matches!(conditions.allow_read(info), Ok(true)), "{known:?}");
        assert!(conditions.check_write(info).is_err(), "{known:?}");
    }
}

/// What holds of tags that are this version's.
fn decide_by_tags(headers: &HeaderMap, info: &FileInfo) {
    let tag = HeaderValue::from_str(&fuzzing::etag(info)).expect("a header value");
    let mut exact = headers.clone();
    exact.append(IF_MATCH, tag.clone());
    exact.insert(IF_RANGE, tag);
    exact.remove(IF_NONE_MATCH);
    // Where a tag is given, the date does not count.
    exact.append(IF_UNMODIFIED_SINCE, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    if let Ok(conditions) = Conditions::from_headers(&exact) {
        assert!(conditions.check_write(info).is_ok() && conditions.range_counts(info), "{exact:?}");
    }
}

/// Metadata that was understood is understood again when it is written as forms are.
fn is_written_again(metadata: &BTreeMap<String, String>) {
    let written = form_urlencoded::Serializer::new(String::new()).extend_pairs(metadata).finish();
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&written).expect("a header value");
    headers.insert("x-storage-metadata", value);
    assert_eq!(fuzzing::metadata(&headers).expect("well-formed").as_ref(), Some(metadata), "{written}");
}
