//! `save`: a small content is one request, a large one several blocks at a time.

use azure_core::Method;
use bytes::Bytes;
use storage_core::{
    ByteStream, Error, ErrorKind, ObjectKey, Result, SaveOptions, SaveResult, WriteCondition,
};

use crate::blocks::{self, MAX_CONTENT_BYTES, Pieces};
use crate::client::Call;
use crate::digest::{Digests, crc64_header};
use crate::store::{Shared, Store};
use crate::{attributes, describe, error, name, options};

/// Stores a content under a key.
///
/// # Errors
///
/// The body's; `AlreadyExists`, `PreconditionFailed`, `ChecksumMismatch`, `TooLarge`; `Conflict` where another
/// writer of the key finished while a large content was on its way.
pub(crate) async fn save(
    store: Shared,
    key: ObjectKey,
    body: ByteStream,
    options: SaveOptions,
) -> Result<SaveResult> {
    options::check_extra(&options.extra)?;
    let blob = name::of_key(&key)?;
    if body.length_bytes().is_some_and(|length| length > MAX_CONTENT_BYTES) {
        return Err(Error::new(ErrorKind::TooLarge, "the content is larger than a blob can be")
            .with_context("limit_bytes", MAX_CONTENT_BYTES));
    }
    let mut digests = Digests::expecting(options.checksums);
    let mut pieces = Pieces::new(body);
    let first = pieces.next(store.config.transfer.single_bytes as usize).await?.unwrap_or_default();
    // A declared length is seen to be kept by the end of the body, which comes with the last piece.
    if pieces.is_over() || first.is_empty() {
        return put(&store, &blob, first, digests, &options).await;
    }
    check_early(&store, &key, &blob, &options.condition).await?;
    let staged = blocks::stage_body(&store, &blob, first, pieces, &mut digests).await?;
    let size_bytes = staged.size_bytes;
    let checksums = digests.verify()?;
    let headers = attributes::headers(&options, &checksums, store.config.tier.as_deref());
    let headers = headers.into_iter().chain(attributes::condition_headers(&options.condition));
    let reply = blocks::commit(&store.client, &blob, &staged.names, headers).await;
    let reply = reply.map_err(|error| refused(error, &options.condition))?;
    Ok(blocks::saved(&reply, size_bytes, checksums))
}

/// One request. Its bytes are checked by the service.
async fn put(
    store: &Store,
    blob: &str,
    bytes: Bytes,
    mut digests: Digests,
    options: &SaveOptions,
) -> Result<SaveResult> {
    digests.update(&bytes);
    let checksums = digests.verify()?;
    let size_bytes = bytes.len() as u64;
    // The service takes one digest to check by, and where an MD5 is given it wants to check that.
    let check = match (checksums.md5, checksums.crc64nvme) {
        (Some(md5), _) => Some(("content-md5".to_owned(), azure_core::base64::encode(md5))),
        (None, crc) => crc.map(|crc| ("x-ms-content-crc64".to_owned(), crc64_header(crc))),
    };
    let call = Call::blob(Method::Put, blob)
        .header("x-ms-blob-type", "BlockBlob")
        .headers(check)
        .headers(attributes::headers(options, &checksums, store.config.tier.as_deref()))
        .headers(attributes::condition_headers(&options.condition))
        .body(bytes);
    let reply = store.client.send(&call).await.map_err(|error| refused(error, &options.condition))?;
    Ok(blocks::saved(&reply, size_bytes, checksums))
}

/// A condition that does not hold now would be found out after all the bytes were sent: so it is looked at before.
/// What decides is still the write.
async fn check_early(store: &Store, key: &ObjectKey, blob: &str, condition: &WriteCondition) -> Result<()> {
    if *condition == WriteCondition::Always {
        return Ok(());
    }
    let found = match describe::head(store, key, blob, None, &[]).await {
        Ok(meta) => Some(meta),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match (condition, found) {
        (WriteCondition::IfAbsent, Some(_)) => Err(already_exists()),
        (WriteCondition::IfMatch(tag), found)
            if found.as_ref().and_then(|meta| meta.etag.as_ref()) != Some(tag) =>
        {
            Err(Error::new(
                ErrorKind::PreconditionFailed,
                "the object has not the tag that the condition names",
            ))
        }
        _ => Ok(()),
    }
}

fn already_exists() -> Error {
    Error::new(ErrorKind::AlreadyExists, "the object exists already")
}

/// What the service says of a condition in the contract's words: it has one code for both, and says of a missing
/// blob that it is missing. A write under a condition is not to be made again where it may have been done.
pub(crate) fn refused(error: Error, condition: &WriteCondition) -> Error {
    match (condition, error.kind()) {
        (WriteCondition::IfAbsent, ErrorKind::PreconditionFailed) => already_exists(),
        (WriteCondition::IfMatch(_), ErrorKind::NotFound) => {
            Error::new(ErrorKind::PreconditionFailed, "there is no object that the condition could hold for")
        }
        (_, ErrorKind::ObjectArchived) => Error::new(
            ErrorKind::ObjectArchived,
            "Azure does not replace an archived object: delete it first, or ask for its restore",
        )
        .with_source(error),
        (WriteCondition::Always, _) => error,
        _ => error::of_conditional(error),
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{ETag, Retry};

    use super::*;

    #[test]
    fn only_under_a_condition_a_lost_answer_forbids_another_attempt() {
        for (condition, retry) in [
            (WriteCondition::Always, Retry::May),
            (WriteCondition::IfAbsent, Retry::Never),
            (WriteCondition::IfMatch(ETag::new("a")), Retry::Never),
        ] {
            assert_eq!(refused(error::timed_out(), &condition).retry(), retry, "{condition:?}");
        }
    }
}
