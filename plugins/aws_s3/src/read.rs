//! Reads: what is asked of S3 first, and what its answer means. The bytes are [`crate::reader`]'s business.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ChecksumMode;
use storage_core::{
    ByteRange, Error, ErrorKind, ObjectKey, ReadCondition, Result, RetrieveOptions, Retrieved, VersionId,
};

use crate::call::call;
use crate::error::{archived, not_found};
use crate::meta::{
    describe, etag, facts, head, is_version_name, marker_is_missing, size_of, system_time, version_is_missing,
};
use crate::options::{only, quoted};
use crate::reader::{Pin, Reader};
use crate::store::{Store, with_customer_key};

/// Reads an object or a range of it.
///
/// # Errors
///
/// As [`storage_core::Backend::retrieve`].
pub(crate) async fn retrieve(
    store: &Arc<Store>,
    key: &ObjectKey,
    options: RetrieveOptions,
) -> Result<Retrieved> {
    only(&options.extra, &[])?;
    if let Some(version) = &options.version {
        store.require_versions()?;
        if !is_version_name(version) {
            return Err(not_found("version"));
        }
    }
    let Some(header) = options.range.map_or(Some(None), range_header) else {
        return Err(unsatisfiable(store, key, &options).await);
    };
    let is_ranged = header.is_some();
    let request = get(store, key, options.version.as_ref()).set_range(header);
    let request = conditioned(request, &options.condition).checksum_mode(ChecksumMode::Enabled);
    let asked_at = Instant::now();
    let answer = match call(store, "get the object", 0, request.send()).await {
        Ok(answer) => answer,
        Err(error) => return Err(refusal(store, key, &options, error).await),
    };
    let answered_after = asked_at.elapsed();
    let Some((range, size_bytes)) = extent(&answer, is_ranged) else {
        // What is answered for a range of an object without bytes need not be a range.
        return Err(unsatisfiable(store, key, &options).await);
    };
    let mut facts = facts!(answer);
    if range != (0..size_bytes) {
        // S3 may tell the digest of the part that the range happens to be.
        facts.checksums = storage_core::Checksums::default();
    }
    let checksums = facts.checksums;
    let meta = describe(store, key, size_bytes, facts, false).await?;
    let pin = Pin { key: key.clone(), version: meta.version.clone(), etag: meta.etag.clone() };
    let body = Reader::new(store, pin, answer.body, range.clone(), answered_after, checksums).into_stream();
    Ok(Retrieved { meta, range, body })
}

/// A request for an object.
pub(crate) fn get(store: &Store, key: &ObjectKey, version: Option<&VersionId>) -> GetObjectFluentBuilder {
    let request = store
        .s3
        .get_object()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .set_version_id(version.map(|version| version.as_str().to_owned()));
    with_customer_key!(request, store)
}

fn conditioned(request: GetObjectFluentBuilder, condition: &ReadCondition) -> GetObjectFluentBuilder {
    let date = |time: Option<SystemTime>| time.map(DateTime::from);
    request
        .set_if_match(condition.if_match.as_ref().map(quoted))
        .set_if_none_match(condition.if_none_match.as_ref().map(quoted))
        // A tag outweighs a time, which not every server knows.
        .set_if_modified_since(date(
            condition.if_modified_since.filter(|_| condition.if_none_match.is_none()),
        ))
        .set_if_unmodified_since(date(condition.if_unmodified_since.filter(|_| condition.if_match.is_none())))
}

/// Beyond the end of every object, and within what every server can count to.
const FAR: u64 = 1 << 50;

/// The header of a range; nothing for one that no object satisfies.
fn range_header(range: ByteRange) -> Option<Option<String>> {
    match range {
        ByteRange::Bounded(start, end) if start >= end => None,
        ByteRange::Suffix(0) => None,
        ByteRange::Bounded(start, end) => {
            Some(Some(format!("bytes={}-{}", start.min(FAR), (end - 1).min(FAR))))
        }
        ByteRange::From(start) => Some(Some(format!("bytes={}-", start.min(FAR)))),
        ByteRange::Suffix(length) => Some(Some(format!("bytes=-{}", length.min(FAR)))),
    }
}

/// Which bytes of an object of which size the answer has.
fn extent(answer: &GetObjectOutput, is_ranged: bool) -> Option<(Range<u64>, u64)> {
    let length = size_of(answer.content_length());
    match answer.content_range().filter(|_| is_ranged) {
        Some(text) => parse_content_range(text),
        None => Some((0..length, length)),
    }
}

/// `bytes 0-9/100`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size) = (first.parse().ok()?, last.parse::<u64>().ok()?, size.parse().ok()?);
    (first <= last && last < size).then_some((first..last + 1, size))
}

/// What a refusal means.
async fn refusal(store: &Store, key: &ObjectKey, options: &RetrieveOptions, error: Error) -> Error {
    let error = version_is_missing(options.version.as_ref(), marker_is_missing(error));
    match error.kind() {
        ErrorKind::RangeNotSatisfiable => unsatisfiable(store, key, options).await,
        ErrorKind::ObjectArchived => archived("GLACIER or DEEP_ARCHIVE").with_source(error),
        _ => error,
    }
}

/// The error of a range that the object does not have, unless a condition is to be told of first.
async fn unsatisfiable(store: &Store, key: &ObjectKey, options: &RetrieveOptions) -> Error {
    let answer = match head(store, key, options.version.as_ref()).await {
        Ok(answer) => answer,
        Err(error) => return error,
    };
    let tag = answer.e_tag().map(etag);
    if let Err(error) = options.condition.check(tag.as_ref(), system_time(answer.last_modified())) {
        return error;
    }
    let size_bytes = size_of(answer.content_length());
    let resolved = options.range.map_or(Ok(0..size_bytes), |range| range.resolve(size_bytes));
    match resolved {
        Err(error) => error,
        // The object has grown meanwhile.
        Ok(_) => Error::new(ErrorKind::Conflict, "the object changed while it was asked for")
            .with_retry(storage_core::Retry::May),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_their_header_and_answers_their_extent() {
        let header = |range| range_header(range).flatten();
        assert_eq!(header(ByteRange::Bounded(0, 10)).as_deref(), Some("bytes=0-9"));
        assert_eq!(header(ByteRange::From(7)).as_deref(), Some("bytes=7-"));
        assert_eq!(header(ByteRange::Suffix(5)).as_deref(), Some("bytes=-5"));
        assert_eq!(header(ByteRange::Bounded(0, u64::MAX)).as_deref(), Some("bytes=0-1125899906842624"));
        for none in [ByteRange::Bounded(4, 4), ByteRange::Bounded(5, 4), ByteRange::Suffix(0)] {
            assert!(range_header(none).is_none(), "{none}");
        }
        assert_eq!(parse_content_range("bytes 0-9/100"), Some((0..10, 100)));
        for odd in ["bytes */100", "bytes 9-0/100", "bytes 0-9/*", "0-9/100", "bytes 0-100/100"] {
            assert_eq!(parse_content_range(odd), None, "{odd}");
        }
    }
}
