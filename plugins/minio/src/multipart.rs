//! Uploads in parts that the caller leads: begin, send, complete, abort.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;
use storage_core::{
    AbortResult, ByteStream, Checksums, CompleteOptions, ETag, ErrorKind, ObjectKey, Part, PartOptions,
    Result, SaveOptions, SaveResult, UploadId,
};

use crate::error::{invalid, not_found};
use crate::source::Source;
use crate::store::Store;
use crate::upload::{self, Begun, MAX_PARTS};
use crate::{digest, options, piece, uploads};

/// Begins an upload.
///
/// # Errors
///
/// As [`storage_core::Backend::begin_multipart`].
pub(crate) async fn begin(store: &Arc<Store>, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
    options::check_description(store, &options)?;
    store.check_writable(key)?;
    // From here on the caller looks after it.
    Begun::begin(store, key, &options).await.map(Begun::release)
}

/// Sends one part. It is in memory whole before it leaves, so that one that breaks off or has another digest
/// never reaches the server, and so that it can be sent again.
///
/// # Errors
///
/// As [`storage_core::Backend::upload_part`].
pub(crate) async fn upload_part(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    number: u32,
    body: ByteStream,
    options: PartOptions,
) -> Result<Part> {
    options::check_extra(&options.extra)?;
    if !(1..=MAX_PARTS).contains(&number) {
        return Err(invalid(format!("the part number {number} is not 1 to {MAX_PARTS}")));
    }
    check_name(upload)?;
    let limit_bytes = store.config.memory_bytes;
    let too_large = || crate::source::too_large(limit_bytes).with_context("part", number);
    if body.length_bytes().is_some_and(|length| length > limit_bytes) {
        return Err(too_large());
    }
    let mut source = Source::new(body, &options.checksums, limit_bytes);
    let content = source.piece(usize::try_from(limit_bytes).unwrap_or(usize::MAX)).await?;
    if !source.is_at_end() {
        return Err(too_large());
    }
    let checksums = source.checksums();
    options.checksums.verify(&checksums)?;
    let size_bytes = content.len() as u64;
    let sent =
        piece::repeated(|| upload::send_part(store, key, upload.as_str(), number, content.clone())).await?;
    let etag = crate::meta::etag(sent.e_tag()).unwrap_or_else(|| ETag::new(""));
    if store.product.keeps_former_parts() {
        store.sent.note(upload, number, &etag);
    }
    Ok(Part { number, size_bytes, etag, checksums })
}

fn check_name(upload: &UploadId) -> Result<()> {
    if options::is_name(upload.as_str()) { Ok(()) } else { Err(not_found("upload")) }
}

/// Makes the object of these parts, after the server told that it has them: not every server looks.
///
/// # Errors
///
/// As [`storage_core::Backend::complete_multipart`].
pub(crate) async fn complete(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    parts: Vec<Part>,
    options: CompleteOptions,
) -> Result<SaveResult> {
    options::check_extra(&options.extra)?;
    options::check_condition(store, &options.condition)?;
    let expected = options.checksums;
    let other = Checksums { crc64nvme: None, ..expected };
    options::refuse_checksums(
        &other,
        "a whole that was sent in parts (CRC-64/NVME may be, with some servers)",
    )?;
    if !store.features.crc64nvme {
        options::refuse_checksums(&expected, "a whole that was sent in parts")?;
    }
    check_name(upload)?;
    // Some servers take the second of two completions for a success.
    let _alone = store.alone(upload.as_str()).await;
    let there = uploads::all_parts(store, key, upload).await?;
    let named = check_parts(&parts, there)?;
    let size_bytes = parts.iter().map(|part| part.size_bytes).sum();
    let saved =
        upload::finish(store, key, upload.as_str(), named, &options.condition, size_bytes, &expected).await?;
    store.sent.forget(upload);
    Ok(SaveResult { checksums: expected, ..saved })
}

/// Compares the parts that are named with those that are there.
fn check_parts(named: &[Part], there: Vec<Part>) -> Result<Vec<CompletedPart>> {
    if named.is_empty() {
        return Err(invalid("an upload is completed with one part at least"));
    }
    if !named.is_sorted_by(|one, next| one.number < next.number) {
        return Err(invalid("the part numbers do not ascend"));
    }
    let there: HashMap<u32, Part> = there.into_iter().map(|part| (part.number, part)).collect();
    let mut completed = Vec::with_capacity(named.len());
    for (index, part) in named.iter().enumerate() {
        let fault = |message: &str| Err(invalid(message).with_context("part", part.number));
        let Some(found) = there.get(&part.number) else { return fault("a part that is named was not sent") };
        if found.etag != part.etag {
            return fault("a part that is named has another tag; it was sent again since");
        }
        if upload::is_too_small(found.size_bytes, index + 1 == named.len()) {
            return fault("a part that is not the last is smaller than 5 MiB");
        }
        let crc = found.checksums.crc64nvme.map(digest::crc64_header);
        let tag = crate::save::quoted(found.etag.as_str());
        completed.push(upload::completed(part.number, Some(&tag), crc));
    }
    Ok(completed)
}

/// Ends an upload.
///
/// # Errors
///
/// The server's.
pub(crate) async fn abort(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
    if !options::is_name(upload.as_str()) {
        return Ok(AbortResult::default());
    }
    // Not every server tells whether there was something to abort.
    match uploads::some_parts(store, key, upload, None, 1).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(AbortResult::default()),
        Err(error) => return Err(error),
    }
    match upload::abort(store, key, upload).await {
        Ok(()) => {
            store.sent.forget(upload);
            Ok(AbortResult { existed: true })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(AbortResult::default()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Answer, key, store};

    const BEGUN: &str =
        "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>";

    #[tokio::test]
    async fn a_beginning_that_is_dropped_midway_leaves_no_upload() {
        let late = Answer::GivesAfter(Duration::from_millis(150), "200 OK", BEGUN.to_owned());
        let (store, requests) = store(vec![late, Answer::Gives("204 No Content", String::new())]);
        let key = key();
        let begun = begin(&store, &key, SaveOptions::default());
        tokio::time::timeout(Duration::from_millis(50), begun).await.expect_err("given up");
        store.background.close();
        store.background.wait().await;
        assert!(requests.try_recv().expect("it began").starts_with("POST /files/a/b?uploads"));
        let ended = requests.try_recv().expect("it was aborted");
        assert!(ended.starts_with("DELETE ") && ended.contains("uploadId=id"), "{ended}");
    }

    #[tokio::test]
    async fn an_upload_that_was_begun_is_the_callers() {
        let (store, requests) = store(vec![Answer::Gives("200 OK", BEGUN.to_owned())]);
        let upload = begin(&store, &key(), SaveOptions::default()).await.expect("begun");
        store.background.close();
        store.background.wait().await;
        assert_eq!(upload.as_str(), "id");
        assert_eq!(requests.iter().count(), 1, "nothing is aborted");
    }

    fn part(number: u32, size_bytes: u64, tag: &str) -> Part {
        Part { number, size_bytes, etag: ETag::new(tag), checksums: Checksums::default() }
    }

    #[test]
    fn parts_that_are_not_those_that_were_sent_are_refused() {
        let there = || vec![part(1, 5 << 20, "a"), part(2, 10, "b"), part(3, 10, "c")];
        let check = |named: &[Part]| check_parts(named, there()).map(|parts| parts.len());
        assert_eq!(check(&[part(1, 5 << 20, "a"), part(3, 10, "c")]).expect("sound"), 2);
        for (named, what) in [
            (vec![], "one part at least"),
            (vec![part(2, 10, "b"), part(1, 5 << 20, "a")], "ascend"),
            (vec![part(1, 5 << 20, "a"), part(1, 5 << 20, "a")], "ascend"),
            (vec![part(4, 10, "d")], "was not sent"),
            (vec![part(2, 10, "x")], "another tag"),
            (vec![part(2, 10, "b"), part(3, 10, "c")], "smaller than 5 MiB"),
        ] {
            let error = check(&named).expect_err(what);
            assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains(what), "{error}");
        }
    }
}
