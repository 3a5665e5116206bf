//! `save`: takes the whole content first and puts it under its key in one step.

use bytes::BytesMut;
use futures_util::StreamExt as _;
use storage_core::{ByteStream, ObjectKey, Result, SaveOptions, SaveResult};

use crate::options;
use crate::store::Store;

/// Saves an object. Nothing of it is seen before all of it is there; where the body fails, or the caller gives up,
/// what arrived is dropped with this future.
///
/// # Errors
///
/// As [`storage_core::Backend::save`].
pub(crate) async fn save(
    store: &Store,
    key: &ObjectKey,
    mut body: ByteStream,
    options: SaveOptions,
) -> Result<SaveResult> {
    options::check_save(&options)?;
    let mut content = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        store.check_room(content.len() as u64 + chunk.len() as u64)?;
        content.extend_from_slice(&chunk);
    }
    let meta = store.put(key, content.freeze(), options)?;
    Ok(SaveResult { size_bytes: meta.size_bytes, etag: meta.etag, ..SaveResult::default() })
}
