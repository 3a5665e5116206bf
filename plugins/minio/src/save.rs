//! `save`: a small file goes up in one request, a large one in parts.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream as Payload;
use bytes::Bytes;
use storage_core::{
    ByteStream, Checksums, Error, ErrorKind, ObjectKey, Result, SaveOptions, SaveResult, WriteCondition,
};

use crate::error::{convert, fault, of_conditional};
use crate::meta::{etag, version};
use crate::source::{Source, too_large};
use crate::store::Store;
use crate::{attributes, digest, options, piece, upload};

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
    options::check_save(store, &options)?;
    store.check_writable(key)?;
    let limit_bytes = upload::max_object_bytes(store);
    let length_bytes = body.length_bytes();
    if length_bytes.is_some_and(|length| length > limit_bytes) {
        return Err(too_large(limit_bytes));
    }
    // The host repeats a call whose body is one buffer; any other body can only be repeated here.
    let host_repeats = body.as_buffer().is_some();
    let mut source = Source::new(body, &options.checksums, limit_bytes);
    let sizes = upload::PartSizes::new(store, length_bytes);
    let first = source.piece(sizes.of(1)).await?;
    if !source.is_at_end() {
        return upload::in_parts(store, key, first, source, sizes, options).await;
    }
    let checksums = source.checksums();
    options.checksums.verify(&checksums)?;
    let _alone = store.alone_with_condition(key, options.condition != WriteCondition::Always).await;
    // A repeated conditional write could meet its own first attempt.
    if host_repeats || options.condition != WriteCondition::Always {
        return put(store, key, first, checksums, &options).await;
    }
    piece::repeated(|| put(store, key, first.clone(), checksums, &options)).await
}

/// Sends one object in one request.
async fn put(
    store: &Store,
    key: &ObjectKey,
    content: Bytes,
    checksums: Checksums,
    options: &SaveOptions,
) -> Result<SaveResult> {
    let size_bytes = content.len() as u64;
    let request = store.client.put_object().bucket(store.bucket()).key(key.as_str());
    let request = match &options.condition {
        WriteCondition::Always => request,
        WriteCondition::IfAbsent => request.if_none_match("*"),
        WriteCondition::IfMatch(tag) => request.if_match(quoted(tag.as_str())),
    };
    let request = request
        .content_type(attributes::content_type(options.content_type.as_ref()))
        .set_content_encoding(options.content_encoding.clone())
        .set_content_language(options.content_language.clone())
        .set_content_disposition(options.content_disposition.clone())
        .set_cache_control(options.cache_control.clone())
        .set_metadata(attributes::to_headers(&options.metadata))
        .set_tagging(attributes::tagging(&options.tags))
        .set_checksum_crc64_nvme(crc64_header(store, &checksums))
        .body(Payload::from(content));
    let mut request = request.customize();
    if unsigned(store) {
        request = request.disable_payload_signing();
    }
    let saved =
        request.send().await.map_err(|error| condition_fault(convert("save", error), &options.condition))?;
    Ok(SaveResult {
        size_bytes,
        etag: etag(saved.e_tag()),
        version: version(store, saved.version_id()),
        checksums,
        ..SaveResult::default()
    })
}

/// The header by which the server checks what arrives, where it does.
pub(crate) fn crc64_header(store: &Store, checksums: &Checksums) -> Option<String> {
    checksums.crc64nvme.filter(|_| store.features.crc64nvme).map(digest::crc64_header)
}

/// Whether a body need not be part of the signature: TLS protects it on the way and a CRC proves what
/// arrived. Otherwise the signature covers its SHA-256, which every server checks.
pub(crate) fn unsigned(store: &Store) -> bool {
    store.config.is_tls() && store.features.crc64nvme
}

/// A tag as headers carry it.
pub(crate) fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// A condition that fails is told by its own kind; a write under one is not to be made again where it may have been done.
pub(crate) fn condition_fault(error: Error, condition: &WriteCondition) -> Error {
    let kind = match (error.kind(), condition) {
        (ErrorKind::PreconditionFailed, WriteCondition::IfAbsent) => ErrorKind::AlreadyExists,
        // S3 and SeaweedFS say that the key is missing; the condition names a tag that it does not have.
        (ErrorKind::NotFound, WriteCondition::IfMatch(_)) => ErrorKind::PreconditionFailed,
        (_, WriteCondition::Always) => return error,
        _ => return of_conditional(error),
    };
    let message = match kind {
        ErrorKind::AlreadyExists => "there is an object under this key already",
        _ => "the object does not have the expected tag",
    };
    let renamed = Error::new(kind, message);
    error.context().fold(renamed, |renamed, (name, value)| renamed.with_context(name.to_owned(), value))
}

/// Removes what a probe or an interrupted write left under a key.
///
/// # Errors
///
/// The server's.
pub(crate) async fn remove(store: &Store, key: &str, version: Option<&str>) -> Result<()> {
    let request = store.client.delete_object().bucket(store.bucket()).key(key);
    let request = request.set_version_id(version.map(str::to_owned));
    request.send().await.map(drop).map_err(fault("remove the object"))
}

/// Whether there is something under a key of a probe.
///
/// # Errors
///
/// The server's.
pub(crate) async fn is_there(store: &Store, key: &str) -> Result<bool> {
    let answer = store.client.head_object().bucket(store.bucket()).key(key).send().await;
    match answer.map_err(fault("look for the object")) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{ETag, Retry};

    use super::*;
    use crate::error::has_unknown_outcome;
    use crate::testing::{Answer, key, store, store_at};

    async fn saved(store: &Arc<Store>, condition: WriteCondition) -> Error {
        let options = SaveOptions { condition, ..SaveOptions::default() };
        save(store, &key(), "text".into(), options).await.expect_err("it fails")
    }

    #[tokio::test]
    async fn a_save_under_a_condition_that_may_have_been_done_is_not_to_be_made_again() {
        let conditions = [WriteCondition::IfAbsent, WriteCondition::IfMatch(ETag::new("a"))];
        for condition in conditions {
            let answers = vec![Answer::Breaks, Answer::refuses("503 Slow Down", "SlowDown")];
            let (store, _requests) = store(answers);
            let lost = saved(&store, condition.clone()).await;
            assert_eq!(lost.retry(), Retry::Never, "{lost}");
            assert!(lost.to_string().contains("not known whether it took effect"), "{lost}");
            let throttled = saved(&store, condition).await;
            assert_eq!((throttled.kind(), throttled.retry()), (ErrorKind::RateLimited, Retry::May));
        }
    }

    #[tokio::test]
    async fn a_save_that_was_never_sent_may_be_made_again() {
        let mut store = store_at("http://127.0.0.1:1");
        store.features.write_if_absent = true;
        let error = saved(&Arc::new(store), WriteCondition::IfAbsent).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May), "{error}");
        assert!(!has_unknown_outcome(&error), "{error}");
    }

    #[tokio::test]
    async fn a_save_without_a_condition_may_be_made_again() {
        let (store, _requests) = store(vec![Answer::Breaks]);
        let error = saved(&store, WriteCondition::Always).await;
        assert_eq!(error.retry(), Retry::May, "{error}");
    }
}
