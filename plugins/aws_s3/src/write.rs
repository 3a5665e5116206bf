//! Saves: small content in one request, large content in parallel parts.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream as Body;
use bytes::Bytes;
use storage_core::{
    ByteStream, Checksums, Error, ErrorKind, ObjectKey, Result, Retry, SaveOptions, SaveResult,
    WriteCondition,
};

use crate::call::call;
use crate::error::may_be_done;
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
    let answer = answer.map_err(|error| failed(&options.condition, error))?;
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

/// What the failure of a write in one request means.
pub(crate) fn failed(condition: &WriteCondition, error: Error) -> Error {
    if *condition != WriteCondition::Always && may_be_done(&error) {
        return in_doubt(error);
    }
    unmet(condition, error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Said, Seen, answer, key, scripted, store};

    async fn saves(store: Store, condition: WriteCondition) -> Error {
        let options = SaveOptions { condition, ..SaveOptions::default() };
        let (store, object) = (Arc::new(store), key("object"));
        let saved = save(&store, &object, ByteStream::from_bytes("content"), options);
        saved.await.expect_err("it fails")
    }

    #[tokio::test]
    async fn a_conditional_save_that_may_have_happened_is_not_made_again() {
        let broken = "<Error><Code>InternalError</Code></Error>";
        let slow = "<Error><Code>SlowDown</Code></Error>";
        for (status, body, is_in_doubt) in
            [(0, "", true), (500, broken, true), (502, "", true), (503, slow, false), (429, "", false)]
        {
            let says = move |_: &Seen| if status == 0 { Said::Nothing } else { answer(status, body) };
            let (store, _) = scripted(&[], says).await;
            let error = saves(store, WriteCondition::IfAbsent).await;
            let expected = if is_in_doubt { Retry::Never } else { Retry::May };
            assert_eq!(error.retry(), expected, "{status}: {}", error.report());
            assert_eq!(error.report().contains("not known"), is_in_doubt, "{status}: {}", error.report());
            let (store, _) = scripted(&[], says).await;
            let error = saves(store, WriteCondition::Always).await;
            assert_eq!(error.retry(), Retry::May, "{status}: what is replaced anyway may be sent again");
        }
    }

    #[tokio::test]
    async fn what_never_was_on_its_way_may_be_made_again() {
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let error = saves(store(&[("endpoint_url", &endpoint)]).await, WriteCondition::IfAbsent).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May), "{}", error.report());
    }
}
