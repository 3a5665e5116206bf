//! `retrieve`, `get_metadata` and `exists`.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use storage_core::{
    ByteRange, Error, ErrorKind, MetadataOptions, ObjectKey, ObjectMeta, ReadCondition, Result,
    RetrieveOptions, Retrieved,
};

use crate::download::{self, Pinned};
use crate::error::{convert, not_found};
use crate::save::quoted;
use crate::store::Store;
use crate::{meta, options};

/// Reads an object, or a range of it.
///
/// # Errors
///
/// As [`storage_core::Backend::retrieve`].
pub(crate) async fn retrieve(
    store: &Arc<Store>,
    key: &ObjectKey,
    options: RetrieveOptions,
) -> Result<Retrieved> {
    options::check_extra(&options.extra)?;
    let version = named_version(store, options.version.as_ref())?;
    let range = options.range.unwrap_or(ByteRange::From(0));
    let header = match asked(options.range) {
        Asked::Everything => None,
        Asked::Some(header) => Some(header),
        // It is refused with the size, once the condition holds.
        Asked::Nothing => return Err(unsatisfied(store, key, version, range, &options.condition).await),
    };
    let asked_at = Instant::now();
    match get(store, key, version.as_deref(), header.as_deref(), &options.condition).await {
        Ok(answer) => opened(store, key, version, answer, asked_at.elapsed(), &options).await,
        Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
            Err(unsatisfied(store, key, version, range, &options.condition).await)
        }
        Err(error) => Err(error),
    }
}

/// Asks for the bytes.
async fn get(
    store: &Store,
    key: &ObjectKey,
    version: Option<&str>,
    range: Option<&str>,
    condition: &ReadCondition,
) -> Result<GetObjectOutput> {
    store.check_readable(key)?;
    let request = store.reads.get_object().bucket(store.bucket()).key(key.as_str());
    let request = request.set_version_id(version.map(str::to_owned)).set_range(range.map(str::to_owned));
    // The tags spare the bytes of what is not wanted; that the whole condition holds is decided here.
    let request = request
        .set_if_match(condition.if_match.as_ref().map(|tag| quoted(tag.as_str())))
        .set_if_none_match(condition.if_none_match.as_ref().map(|tag| quoted(tag.as_str())))
        .set_if_modified_since(alone(condition.if_modified_since, condition.if_none_match.is_none()))
        .set_if_unmodified_since(alone(condition.if_unmodified_since, condition.if_match.is_none()));
    request.send().await.map_err(|error| convert("read the object", error))
}

/// A time for a condition, where no tag takes its place.
fn alone(time: Option<SystemTime>, alone: bool) -> Option<DateTime> {
    time.filter(|_| alone).map(DateTime::from)
}

async fn opened(
    store: &Arc<Store>,
    key: &ObjectKey,
    version: Option<String>,
    mut answer: GetObjectOutput,
    answered_after: Duration,
    options: &RetrieveOptions,
) -> Result<Retrieved> {
    let length_bytes = meta::size(answer.content_length());
    let (range, size_bytes) = match answer.content_range().and_then(parse_content_range) {
        Some((range, size_bytes)) => (range, size_bytes),
        // Everything was asked for, or the server took no notice of the range.
        None => (0..length_bytes, length_bytes),
    };
    let mut found = meta::of_get(store, key, size_bytes, &answer);
    options.condition.check(found.etag.as_ref(), found.last_modified)?;
    if answer.tag_count().is_some_and(|count| count > 0) {
        found.tags = tags(store, key, version.as_deref()).await?;
    }
    let wanted = match options.range {
        None => range.clone(),
        Some(wanted) => wanted.resolve(size_bytes)?,
    };
    if wanted.start < range.start || wanted.end > range.end {
        return Err(Error::new(ErrorKind::Unavailable, "the server gave another range than was asked for"));
    }
    let pinned = Pinned {
        store: Arc::clone(store),
        key: key.clone(),
        version: version.or_else(|| found.version.as_ref().map(|version| version.as_str().to_owned())),
        etag: found.etag.clone(),
    };
    let whole = wanted == (0..size_bytes);
    let expected = found.checksums.crc64nvme.filter(|_| whole);
    let first = std::mem::take(&mut answer.body);
    let body = download::body(pinned, first, range.start, wanted.clone(), answered_after, expected);
    Ok(Retrieved { meta: found, range: wanted, body })
}

/// The error for a range that the object does not have, after its condition.
async fn unsatisfied(
    store: &Store,
    key: &ObjectKey,
    version: Option<String>,
    range: ByteRange,
    condition: &ReadCondition,
) -> Error {
    let found = match head(store, key, version).await {
        Ok(found) => found,
        Err(error) => return error,
    };
    if let Err(error) = condition.check(found.etag.as_ref(), found.last_modified) {
        return error;
    }
    match range.resolve(found.size_bytes) {
        Err(error) => error,
        Ok(_) => Error::new(ErrorKind::Conflict, "the object changed while it was opened")
            .with_retry(storage_core::Retry::May),
    }
}

/// What to ask for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Everything,
    Some(String),
    /// The range means no byte of any object.
    Nothing,
}

/// How to ask for a range. Numbers that no object has are not sent: servers stumble over them.
fn asked(range: Option<ByteRange>) -> Asked {
    const MOST: u64 = 1 << 60;
    match range {
        None => Asked::Everything,
        Some(ByteRange::Suffix(length)) if length > MOST => Asked::Everything,
        Some(ByteRange::Bounded(start, _) | ByteRange::From(start)) if start > MOST => Asked::Nothing,
        Some(ByteRange::Bounded(start, end)) if start >= end => Asked::Nothing,
        Some(ByteRange::Suffix(0)) => Asked::Nothing,
        Some(ByteRange::Bounded(start, end)) if end <= MOST => {
            Asked::Some(format!("bytes={start}-{}", end - 1))
        }
        Some(ByteRange::Bounded(start, _) | ByteRange::From(start)) => Asked::Some(format!("bytes={start}-")),
        Some(ByteRange::Suffix(length)) => Asked::Some(format!("bytes=-{length}")),
    }
}

/// The range and the size of the whole from `bytes 5-9/100`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    Some((start..end.checked_add(1)?, size.parse().ok()?))
}

/// The version's name for a request.
///
/// # Errors
///
/// `Unsupported` where versions are not kept; `NotFound` for what cannot be the name of one.
pub(crate) fn named_version(
    store: &Store,
    version: Option<&storage_core::VersionId>,
) -> Result<Option<String>> {
    let version = options::check_version(store, version)?;
    match version {
        Some(name) if !options::is_name(&name) => Err(not_found("version")),
        version => Ok(version),
    }
}

/// Describes an object without its tags.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn head(store: &Store, key: &ObjectKey, version: Option<String>) -> Result<ObjectMeta> {
    let (found, _) = head_with_tag_count(store, key, version).await?;
    Ok(found)
}

async fn head_with_tag_count(
    store: &Store,
    key: &ObjectKey,
    version: Option<String>,
) -> Result<(ObjectMeta, Option<i32>)> {
    store.check_readable(key)?;
    let wants_version = version.is_some();
    let mode = store.features.crc64nvme.then_some(aws_sdk_s3::types::ChecksumMode::Enabled);
    let request = store.client.head_object().bucket(store.bucket()).key(key.as_str());
    let answer = request.set_version_id(version).set_checksum_mode(mode).send().await;
    let answer =
        answer.map_err(|error| version_fault(convert("describe the object", error), wants_version))?;
    Ok((meta::of_head(store, key, &answer), answer.tag_count()))
}

/// What a server says of a version that is a delete marker, or that it cannot read.
fn version_fault(error: Error, wants_version: bool) -> Error {
    let kinds = [ErrorKind::InvalidArgument, ErrorKind::Unsupported];
    if wants_version && kinds.contains(&error.kind()) { not_found("version") } else { error }
}

/// Describes an object, with its tags.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn get_metadata(
    store: &Store,
    key: &ObjectKey,
    options: MetadataOptions,
) -> Result<ObjectMeta> {
    options::check_extra(&options.extra)?;
    let version = named_version(store, options.version.as_ref())?;
    let (mut found, tag_count) = head_with_tag_count(store, key, version.clone()).await?;
    // Where the server counts them, no number means none; where it does not, they are asked for.
    let may_have_tags = tag_count.map_or(!store.features.counts_tags, |count| count > 0);
    if store.features.tags && may_have_tags {
        found.tags = tags(store, key, version.as_deref()).await?;
    }
    Ok(found)
}

/// The tags of an object.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn tags(
    store: &Store,
    key: &ObjectKey,
    version: Option<&str>,
) -> Result<std::collections::BTreeMap<String, String>> {
    let request = store.client.get_object_tagging().bucket(store.bucket()).key(key.as_str());
    let answer = request.set_version_id(version.map(str::to_owned)).send().await;
    let answer = answer.map_err(|error| convert("read the tags", error))?;
    Ok(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// Whether an object is there.
///
/// # Errors
///
/// Where the question could not be answered.
pub(crate) async fn exists(store: &Store, key: &ObjectKey) -> Result<bool> {
    match head(store, key, None).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_go_into_headers_and_come_from_them() {
        for (range, header) in [
            (ByteRange::Bounded(0, 4), "bytes=0-3"),
            (ByteRange::Bounded(5, u64::MAX), "bytes=5-"),
            (ByteRange::Suffix(4), "bytes=-4"),
            (ByteRange::From(4), "bytes=4-"),
        ] {
            assert_eq!(asked(Some(range)), Asked::Some(header.to_owned()));
        }
        assert_eq!(asked(Some(ByteRange::Suffix(u64::MAX))), Asked::Everything);
        let far = ByteRange::From(u64::MAX);
        for nothing in [ByteRange::Bounded(4, 4), ByteRange::Bounded(5, 4), ByteRange::Suffix(0), far] {
            assert_eq!(asked(Some(nothing)), Asked::Nothing, "{nothing}");
        }
        assert_eq!(parse_content_range("bytes 5-9/100"), Some((5..10, 100)));
        for other in ["bytes */100", "bytes 5-9/*", "5-9/100", ""] {
            assert_eq!(parse_content_range(other), None, "{other}");
        }
    }
}
