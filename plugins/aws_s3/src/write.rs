//! Saves: small content in one request, large content in parallel parts.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream as Body;
use bytes::Bytes;
use storage_core::{
    ByteStream, Checksums, Error, ErrorKind, ObjectKey, Result, Retry, SaveOptions, SaveResult,
    WriteCondition,
};

use crate::call::call;
use crate::meta::{NO_CONTENT_TYPE, etag, version};
use crate::options::{Wishes, condition, tagging, wishes};
use crate::pieces::{MAX_OBJECT_BYTES, Pieces, part_bytes, too_large};
use crate::store::{Store, with_encryption};
use crate::upload::{self, Sender};
use crate::{digest, metadata};

/// Up to so many parts' worth of a known length goes in one request: parts would gain nothing.
const SINGLE_PARTS: u64 = 2;

/// Stores bytes under a key.
///
/// # Errors
///
/// As [`storage_core::Backend::save`].
pub(crate) async fn save(
    store: &Arc<Store>,
    key: &ObjectKey,
    body: ByteStream,
    options: SaveOptions,
) -> Result<SaveResult> {
    let wishes = wishes(store, &options)?;
    let length_bytes = body.length_bytes();
    if length_bytes.is_some_and(|length| length > MAX_OBJECT_BYTES) {
        return Err(too_large());
    }
    let single_bytes = store.config.part_bytes * SINGLE_PARTS;
    let first_bytes = match length_bytes {
        Some(length) if length <= single_bytes => length,
        _ => part_bytes(&store.config, length_bytes, 1),
    };
    let mut pieces = Pieces::new(body, options.checksums);
    let (first, is_last) = pieces.next(first_bytes).await?;
    if is_last {
        let checksums = pieces.verify()?;
        return put(store, key, first, &options, wishes, checksums).await;
    }
    save_in_parts(store, key, first, pieces, length_bytes, options, wishes).await
}

async fn save_in_parts(
    store: &Arc<Store>,
    key: &ObjectKey,
    first: Bytes,
    mut pieces: Pieces,
    length_bytes: Option<u64>,
    options: SaveOptions,
    wishes: Wishes,
) -> Result<SaveResult> {
    let condition = options.condition.clone();
    let upload = upload::begin(store, key, options, wishes).await?;
    let mut sender = Sender::new(store, upload);
    sender.send(first).await?;
    loop {
        // Room is waited for before the bytes are pulled, so that no more of them are in memory than may be.
        sender.room().await?;
        let (piece, is_last) =
            pieces.next(part_bytes(&store.config, length_bytes, sender.next_number())).await?;
        sender.send(piece).await?;
        if is_last {
            break;
        }
    }
    let size_bytes = pieces.total_bytes();
    let checksums = pieces.verify()?;
    let (upload, parts) = sender.finish().await?;
    upload::complete(upload, parts, condition, size_bytes, checksums).await
}

/// Stores bytes in one request.
async fn put(
    store: &Store,
    key: &ObjectKey,
    bytes: Bytes,
    options: &SaveOptions,
    wishes: Wishes,
    checksums: Checksums,
) -> Result<SaveResult> {
    let size_bytes = bytes.len() as u64;
    let (if_match, if_none_match) = condition(&options.condition);
    let request = store
        .s3
        .put_object()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .set_if_match(if_match)
        .set_if_none_match(if_none_match)
        .content_type(options.content_type.as_deref().unwrap_or(NO_CONTENT_TYPE))
        .set_content_encoding(options.content_encoding.clone())
        .set_content_language(options.content_language.clone())
        .set_content_disposition(options.content_disposition.clone())
        .set_cache_control(options.cache_control.clone())
        .set_metadata(Some(metadata::encode(&options.metadata)?))
        .set_tagging(tagging(options))
        .set_storage_class(wishes.class)
        .set_object_lock_mode(wishes.lock_mode)
        .set_object_lock_retain_until_date(wishes.retain_until)
        .set_object_lock_legal_hold_status(wishes.legal_hold)
        .content_length(size_bytes as i64)
        .set_checksum_crc64_nvme(checksums.crc64nvme.map(|crc| digest::encode(crc.to_be_bytes())))
        .body(Body::from(bytes));
    let request = with_encryption!(request, store);
    let answer = call(store, "put the object", size_bytes, request.send()).await;
    let answer = answer.map_err(|error| unmet(&options.condition, error))?;
    Ok(SaveResult {
        size_bytes,
        etag: answer.e_tag().map(etag),
        version: version(store, answer.version_id()),
        checksums,
        ..SaveResult::default()
    })
}

/// The error of a conditional change that S3 may have carried out all the same. Made again it would meet its own work
/// and be refused for it, so that whoever asked for it must look first.
pub(crate) fn in_doubt(error: Error) -> Error {
    let message =
        "it is not known whether the change took effect: look at the object before it is made again";
    Error::new(error.kind(), message).with_retry(Retry::Never).with_source(error)
}

/// What a condition that does not hold means for this write.
pub(crate) fn unmet(condition: &WriteCondition, error: Error) -> Error {
    let kind = match (condition, error.kind()) {
        (WriteCondition::IfAbsent, ErrorKind::PreconditionFailed) => ErrorKind::AlreadyExists,
        // S3 has no object to compare with, and says so.
        (WriteCondition::IfMatch(_), ErrorKind::NotFound) => ErrorKind::PreconditionFailed,
        _ => return error,
    };
    let message = match kind {
        ErrorKind::AlreadyExists => "the object exists already",
        _ => "the object does not exist, so that it has not the expected tag",
    };
    Error::new(kind, message).with_retry(Retry::Never).with_source(error)
}
