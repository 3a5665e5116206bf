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
        let place = store.names.place(&key);
        let (version, found_bytes) = look(&store, &key, wanted.version.as_ref())?;
        let found_bytes = found_bytes.ok_or_else(|| missing_content(&place, &version))?;
        check_size(found_bytes, &version, &place)?;
        Ok(version.into_meta(key, store.is_versioned()))
    })
    .await
}

/// Whether an object is there, its content included.
///
/// # Errors
///
/// As [`storage_core::Backend::exists`].
pub(crate) async fn exists(store: Arc<Store>, key: ObjectKey) -> Result<bool> {
    blocking::run(store.gate(), move |_| match look(&store, &key, None) {
        Ok((_, found_bytes)) => Ok(found_bytes.is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    })
    .await
}

/// The current version of an object as its content is on the disk, of any length, for whoever has just read the
/// document. None where there is no object, or none but a description.
///
/// # Errors
///
/// Those of the file system; `Corrupted` for a damaged document.
pub(crate) fn as_found(store: &Store, key: &ObjectKey, document: Document) -> Result<Option<Version>> {
    let Some(version) = document.into_current() else {
        return Ok(None);
    };
    let found_bytes = content_bytes(store, &store.names.place(key), &version)?;
    let (version, found_bytes) = match found_bytes {
        Some(_) => (version, found_bytes),
        // Replaced since, or lost.
        None => match look(store, key, None) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            looked => looked?,
        },
    };
    Ok(found_bytes.map(|size_bytes| Version { size_bytes, ..version }))
}

/// A version, and the length of its content on the disk: none where that is missing.
///
/// # Errors
///
/// `NotFound`; those of the file system.
fn look(store: &Store, key: &ObjectKey, wanted: Option<&VersionId>) -> Result<(Version, Option<u64>)> {
    let place = store.names.place(key);
    let mut missing = None;
    for _ in 0..ATTEMPTS {
        let version = find(store.load(key, &place)?, wanted)?;
        let found_bytes = content_bytes(store, &place, &version)?;
        // As in `open`: what is missing may have been replaced, but not twice by the same.
        if found_bytes.is_some() || missing.as_ref() == Some(&version.version) {
            return Ok((version, found_bytes));
        }
        missing = Some(version.version);
    }
    Err(replaced_again_and_again())
}

fn content_bytes(store: &Store, place: &Place, version: &Version) -> Result<Option<u64>> {
    let path = place.path(&place.content(&version.version));
    store.objects.file_bytes(&path).map_err(fault("look at the content"))
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
                let size_bytes = rustix::fs::fstat(&file).map_err(fault("look at the content"))?.st_size;
                check_size(u64::try_from(size_bytes).unwrap_or(0), &version, &place)?;
                return Ok((version, file));
            }
            // It was replaced and removed after the document was read, so that a newer document tells of
            // another. The same once more is another matter.
            Err(Errno::NOENT) if missing.as_ref() != Some(&version.version) => {
                missing = Some(version.version);
            }
            Err(Errno::NOENT) => return Err(missing_content(&place, &version)),
            Err(errno) => return Err(fault("open the content")(errno)),
        }
    }
    Err(replaced_again_and_again())
}

fn replaced_again_and_again() -> Error {
    Error::new(ErrorKind::Conflict, "the object was replaced again and again while it was opened")
        .with_retry(storage_core::Retry::May)
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

fn check_size(found_bytes: u64, version: &Version, place: &Place) -> Result<()> {
    if found_bytes == version.size_bytes {
        return Ok(());
    }
    Err(lost(place, version, "the content of an object has not the size that its document tells")
        .with_context("expected_bytes", version.size_bytes)
        .with_context("found_bytes", found_bytes))
}

fn missing_content(place: &Place, version: &Version) -> Error {
    lost(place, version, "the content of an object is missing")
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
