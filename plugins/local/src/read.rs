//! `retrieve` and `get_metadata`: one blocking task, or none where the system has everything in its memory. What is
//! longer than a chunk is read as the consumer asks for it.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{
    ByteStream, Error, ErrorKind, MetadataOptions, ObjectKey, ObjectMeta, Result, RetrieveOptions, Retrieved,
    VersionId,
};

use crate::blocking;
use crate::cached;
use crate::chunks;
use crate::document::{Document, Version, system_time};
use crate::error::{corrupted, fault, not_found};
use crate::options;
use crate::path::Place;
use crate::store::Store;

/// How often a reader looks for content that was replaced and removed while it looked.
const ATTEMPTS: u32 = 100;

/// Reads an object.
///
/// # Errors
///
/// As [`storage_core::Backend::retrieve`].
pub(crate) async fn retrieve(
    store: Arc<Store>,
    key: ObjectKey,
    wanted: RetrieveOptions,
) -> Result<Retrieved> {
    options::check_extra(&wanted.extra)?;
    options::check_version(&store, wanted.version.as_ref())?;
    if let Some(found) = cached::retrieve(&store, &key, &wanted) {
        return Ok(found);
    }
    let (meta, range, body) = blocking::run(store.gate(), move |_| {
        let (version, file) = open(&store, &key, wanted.version.as_ref(), |version| {
            wanted.condition.check(Some(&version.etag()), system_time(version.stored_at))
        })?;
        let range = match wanted.range {
            Some(range) => range.resolve(version.size_bytes)?,
            None => 0..version.size_bytes,
        };
        let body = if range.end - range.start > CHUNK_BYTES as u64 {
            chunks::stream(file, range.clone())
        } else {
            ByteStream::from_bytes(read_whole(&file, &range)?)
        };
        Ok((version.into_meta(key, store.is_versioned()), range, body))
    })
    .await?;
    Ok(Retrieved { meta, range, body })
}

/// Describes an object.
///
/// # Errors
///
/// As [`storage_core::Backend::get_metadata`].
pub(crate) async fn get_metadata(
    store: Arc<Store>,
    key: ObjectKey,
    wanted: MetadataOptions,
) -> Result<ObjectMeta> {
    options::check_extra(&wanted.extra)?;
    options::check_version(&store, wanted.version.as_ref())?;
    blocking::run(store.gate(), move |_| {
        let document = store.load(&key, &store.names.place(&key))?;
        let version = find(document, wanted.version.as_ref())?;
        Ok(version.into_meta(key, store.is_versioned()))
    })
    .await
}

/// Whether an object is there.
///
/// # Errors
///
/// As [`storage_core::Backend::exists`].
pub(crate) async fn exists(store: Arc<Store>, key: ObjectKey) -> Result<bool> {
    blocking::run(store.gate(), move |_| {
        let document = store.load(&key, &store.names.place(&key))?;
        Ok(document.is_some_and(|document| document.current().is_some()))
    })
    .await
}

/// Opens the content of a version that passes the check. An open file stays readable whatever is written
/// or deleted meanwhile.
///
/// # Errors
///
/// `NotFound`; what the check gives; `Corrupted` where the content is not what the document tells.
pub(crate) fn open(
    store: &Store,
    key: &ObjectKey,
    wanted: Option<&VersionId>,
    check: impl Fn(&Version) -> Result<()>,
) -> Result<(Version, File)> {
    let place = store.names.place(key);
    let mut missing = None;
    for _ in 0..ATTEMPTS {
        let document = store.load(key, &place)?;
        let version = find(document, wanted)?;
        check(&version)?;
        match store.objects.open_file(&place.path(&place.content(&version.version))) {
            Ok(file) => {
                check_size(&file, &version, &place)?;
                return Ok((version, file));
            }
            // It was replaced and removed after the document was read, so that a newer document tells of
            // another. The same once more is another matter.
            Err(Errno::NOENT) if missing.as_ref() != Some(&version.version) => {
                missing = Some(version.version);
            }
            Err(Errno::NOENT) => return Err(lost(&place, &version, "the content of an object is missing")),
            Err(errno) => return Err(fault("open the content")(errno)),
        }
    }
    Err(Error::new(ErrorKind::Conflict, "the object was replaced again and again while it was opened")
        .with_retry(storage_core::Retry::May))
}

/// The version that a read gives.
///
/// # Errors
///
/// `NotFound`.
pub(crate) fn find(document: Option<Document>, wanted: Option<&VersionId>) -> Result<Version> {
    match wanted {
        None => document.and_then(Document::into_current).ok_or_else(|| not_found("object")),
        Some(id) => document
            .and_then(|document| document.into_version(id))
            .filter(|version| !version.deleted)
            .ok_or_else(|| not_found("version").with_context("version", id)),
    }
}

fn check_size(file: &File, version: &Version, place: &Place) -> Result<()> {
    let size_bytes = rustix::fs::fstat(file).map_err(fault("look at the content"))?.st_size;
    if u64::try_from(size_bytes) == Ok(version.size_bytes) {
        return Ok(());
    }
    Err(lost(place, version, "the content of an object has not the size that its document tells")
        .with_context("expected_bytes", version.size_bytes)
        .with_context("found_bytes", size_bytes))
}

fn lost(place: &Place, version: &Version, message: &str) -> Error {
    corrupted(message).with_context("file", place.path(&place.content(&version.version)))
}

/// Reads a range of a file that fits into a chunk.
fn read_whole(file: &File, range: &Range<u64>) -> Result<Bytes> {
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut buffer = Vec::with_capacity(length);
    while buffer.len() < length {
        let position = range.start + buffer.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut buffer), position) {
            Ok(0) => return Err(corrupted("the content ended early: something else shortened the file")),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(fault("read the content")(errno)),
        }
    }
    // The room may be larger than was asked for; what lies beyond the end is not wanted.
    buffer.truncate(length);
    Ok(Bytes::from(buffer))
}
