//! Uploads whose parts the caller sends.

use std::sync::Arc;

use storage_core::{
    AbortResult, ByteStream, Checksums, CompleteOptions, Error, ErrorKind, ListPartsOptions, ObjectKey, Part,
    PartOptions, Result, Retry, SaveOptions, SaveResult, UploadId, WriteCondition,
};

use crate::config::{MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES};
use crate::error::{invalid, not_found, unsupported};
use crate::options::{only, only_description, quoted, wishes};
use crate::pieces::Pieces;
use crate::store::Store;
use crate::upload::{self, SentPart};
use crate::{digest, meta, streamed, uploads};

/// Begins an upload.
///
/// # Errors
///
/// As [`storage_core::Backend::begin_multipart`].
pub(crate) async fn begin(store: &Arc<Store>, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
    only_description(&options)?;
    let wishes = wishes(store, &options)?;
    let upload = upload::begin(store, key, options, wishes).await?;
    upload.release().ok_or_else(|| Error::new(ErrorKind::Internal, "the upload has no name"))
}

/// Sends one part: of a moderate size from memory, a large one as it comes.
///
/// # Errors
///
/// As [`storage_core::Backend::upload_part`].
pub(crate) async fn upload_part(
    store: &Arc<Store>,
    key: &ObjectKey,
    upload: &UploadId,
    number: u32,
    body: ByteStream,
    options: PartOptions,
) -> Result<Part> {
    only(&options.extra, &[])?;
    check_number(number)?;
    check_name(upload)?;
    let buffer_bytes = store.config.part_bytes * store.config.concurrency as u64;
    let length = body.length_bytes();
    if length.is_some_and(|length| length > MAX_PART_BYTES) {
        return Err(Error::new(ErrorKind::TooLarge, "the part is larger than the 5 GiB that S3 takes"));
    }
    if let Some(length) = length.filter(|length| *length > buffer_bytes) {
        return streamed::upload_part(store, key, upload, number, body, length, options.checksums).await;
    }
    let mut pieces = Pieces::new(body, options.checksums);
    let (bytes, is_last) = pieces.next(buffer_bytes).await?;
    if !is_last {
        return Err(invalid(format!(
            "a part of more than {buffer_bytes} bytes needs a declared length, since it is not held in memory"
        )));
    }
    let checksums = pieces.verify()?;
    let size_bytes = bytes.len() as u64;
    let sent = upload::send_part(store, key, upload.as_str(), number, bytes).await?;
    Ok(Part { number, size_bytes, etag: meta::etag(sent.etag.as_deref().unwrap_or_default()), checksums })
}

/// Makes the object.
///
/// # Errors
///
/// As [`storage_core::Backend::complete_multipart`].
pub(crate) async fn complete(
    store: &Arc<Store>,
    key: &ObjectKey,
    upload: &UploadId,
    parts: Vec<Part>,
    options: CompleteOptions,
) -> Result<SaveResult> {
    only(&options.extra, &[])?;
    check_name(upload)?;
    check_parts(&parts)?;
    if store.config.kind().is_directory() {
        check_consecutive(&parts)?;
    }
    find(store, key, upload).await?;
    let expected = options.checksums;
    if (Checksums { crc64nvme: None, ..expected }) != Checksums::default() {
        return Err(unsupported(
            "S3 knows the digest of a whole upload as CRC-64/NVME alone: give that one, or digests of the parts",
        ));
    }
    let crc64 = parts.iter().try_fold(0, |whole, part| {
        part.checksums.crc64nvme.map(|crc| digest::join_crc64(whole, crc, part.size_bytes))
    });
    let actual = Checksums { crc64nvme: crc64, ..Checksums::default() };
    expected.verify(&actual)?;
    if expected.crc64nvme.is_some() && crc64.is_none() {
        return Err(unsupported("the digest of the whole needs those of all parts"));
    }
    let size_bytes = parts.iter().map(|part| part.size_bytes).sum();
    let named: Vec<_> = parts
        .into_iter()
        .map(|part| SentPart {
            number: part.number,
            etag: Some(quoted(&part.etag)),
            crc64: part.checksums.crc64nvme,
        })
        .collect();
    let (store, key, id) = (Arc::clone(store), key.clone(), upload.as_str().to_owned());
    upload::apart(async move {
        let condition = &options.condition;
        let completed =
            upload::complete_once_and_for_all(&store, &key, &id, &named, condition, size_bytes, actual);
        completed.await.map_err(|error| conflicting(condition, error))
    })
    .await
}

/// S3 takes no upload again whose condition met another write. The caller alone can send its parts anew.
fn conflicting(condition: &WriteCondition, error: Error) -> Error {
    if *condition == WriteCondition::Always || error.kind() != ErrorKind::Conflict {
        return error;
    }
    error.with_retry(Retry::Never).with_context("next", "begin another upload and send the parts again")
}

/// Ends an upload.
///
/// # Errors
///
/// What S3 answers, but for `NotFound`.
pub(crate) async fn abort(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
    let aborted = match find(store, key, upload).await {
        Ok(()) => upload::abort(store, key, upload.as_str()).await,
        Err(error) => Err(error),
    };
    match aborted {
        Ok(()) => Ok(AbortResult { existed: true }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(AbortResult { existed: false }),
        Err(error) => Err(error),
    }
}

/// Looks for the upload. S3 forgets an upload that has ended some time after, and until then takes its end for done.
async fn find(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<()> {
    let options = ListPartsOptions { limit: Some(1), after: None };
    uploads::list_parts(store, key, upload, options).await.map(drop)
}

/// Refuses parts that a directory bucket would not take, in a way that leaves the upload open.
///
/// # Errors
///
/// `InvalidArgument`.
fn check_consecutive(parts: &[Part]) -> Result<()> {
    match parts.iter().zip(1..).find(|(part, number)| part.number != *number) {
        None => Ok(()),
        Some((part, number)) => {
            Err(invalid("a directory bucket takes parts numbered from 1 on without a gap")
                .with_context("number", part.number)
                .with_context("expected", number))
        }
    }
}

/// A name that cannot be one names nothing.
pub(crate) fn check_name(upload: &UploadId) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~=+".contains(&byte);
    let text = upload.as_str();
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    let is_name = has_letter && text.len() <= 1024 && text.bytes().all(legal);
    if is_name { Ok(()) } else { Err(not_found("upload")) }
}

fn check_number(number: u32) -> Result<()> {
    if (1..=MAX_PARTS).contains(&number) {
        return Ok(());
    }
    Err(invalid(format!("a part's number is 1 to {MAX_PARTS}")).with_context("number", number))
}

fn check_parts(parts: &[Part]) -> Result<()> {
    if parts.is_empty() {
        return Err(invalid("no part was named"));
    }
    parts.iter().try_for_each(|part| check_number(part.number))?;
    if let Some(pair) = parts.windows(2).find(|pair| pair[0].number >= pair[1].number) {
        return Err(
            invalid("the parts are not named in ascending order").with_context("number", pair[1].number)
        );
    }
    let before_last = &parts[..parts.len() - 1];
    match before_last.iter().find(|part| part.size_bytes < MIN_PART_BYTES) {
        None => Ok(()),
        Some(small) => Err(invalid("a part that is not the last is below the smallest size of 5 MiB")
            .with_context("number", small.number)
            .with_context("size_bytes", small.size_bytes)),
    }
}
