//! `retrieve` and `get_metadata`.

use futures_util::stream;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, MetadataOptions, ObjectKey, ObjectMeta, Result, RetrieveOptions, Retrieved};

use crate::options;
use crate::store::Store;

/// Reads an object or a range of it. The condition is decided before the range.
///
/// # Errors
///
/// As [`storage_core::Backend::retrieve`].
pub(crate) fn retrieve(store: &Store, key: &ObjectKey, options: &RetrieveOptions) -> Result<Retrieved> {
    options::check_extra(&options.extra)?;
    options::check_version(options.version.as_ref())?;
    let object = store.get(key)?;
    let meta = object.meta.clone();
    options.condition.check(meta.etag.as_ref(), meta.last_modified)?;
    let range = match options.range {
        Some(range) => range.resolve(meta.size_bytes)?,
        None => 0..meta.size_bytes,
    };
    // The chunks are slices of the object: nothing is copied, and an overwrite does not touch them.
    let content = object.content.slice(range.start as usize..range.end as usize);
    let length_bytes = content.len();
    let chunks = (0..length_bytes)
        .step_by(CHUNK_BYTES)
        .map(move |start| Ok(content.slice(start..length_bytes.min(start + CHUNK_BYTES))));
    let body = ByteStream::from_stream(stream::iter(chunks), Some(length_bytes as u64));
    Ok(Retrieved { meta, range, body })
}

/// Describes an object.
///
/// # Errors
///
/// As [`storage_core::Backend::get_metadata`].
pub(crate) fn get_metadata(store: &Store, key: &ObjectKey, options: &MetadataOptions) -> Result<ObjectMeta> {
    options::check_extra(&options.extra)?;
    options::check_version(options.version.as_ref())?;
    Ok(store.get(key)?.meta.clone())
}
