//! A large save: its parts go up side by side, and nothing stays behind unless all of them did.

use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::primitives::ByteStream as Payload;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use storage_core::{
    Checksums, ETag, Error, ErrorKind, ObjectKey, Result, SaveOptions, SaveResult, UploadId, WriteCondition,
};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::client::TimeToMove;
use crate::config::MIN_PART_BYTES;
use crate::error::{convert, fault, with_unknown_outcome};
use crate::meta::{etag, version};
use crate::pace::Pace;
use crate::save::{condition_fault, quoted, unsigned};
use crate::source::Source;
use crate::store::Store;
use crate::{attributes, digest, piece, read};

/// The most parts of an upload.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// The largest object of S3, in bytes.
const MAX_OBJECT_BYTES: u64 = 5 << 40;

/// How many parts of an upload of unknown length go by before their size doubles.
const PARTS_OF_ONE_SIZE: u32 = 1_000;

/// The largest file that this configuration takes: every part must fit into the memory of a transfer.
pub(crate) fn max_object_bytes(store: &Store) -> u64 {
    (u64::from(MAX_PARTS) * store.config.memory_bytes).min(MAX_OBJECT_BYTES)
}

/// How large the parts of one upload are, so that there are never too many of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartSizes {
    first_bytes: u64,
    most_bytes: u64,
    grows: bool,
}

impl PartSizes {
    /// For a file of this length, or of one that shows only at its end.
    pub(crate) fn new(store: &Store, length_bytes: Option<u64>) -> Self {
        let (part_bytes, most_bytes) = (store.config.part_bytes, store.config.memory_bytes);
        let needed_bytes = length_bytes.unwrap_or(0).div_ceil(u64::from(MAX_PARTS)).next_multiple_of(1 << 20);
        let first_bytes = part_bytes.max(needed_bytes).min(most_bytes);
        let grows = length_bytes.is_none() && !store.product.wants_equal_parts();
        Self { first_bytes, most_bytes, grows }
    }

    /// The size of a part, by its number.
    pub(crate) fn of(self, number: u32) -> usize {
        let doublings = if self.grows { (number - 1) / PARTS_OF_ONE_SIZE } else { 0 };
        let size_bytes = self.first_bytes.saturating_mul(1 << doublings.min(20)).min(self.most_bytes);
        usize::try_from(size_bytes).unwrap_or(usize::MAX)
    }
}

/// An upload that is aborted when this goes, unless it was completed.
pub(crate) struct Begun {
    store: Arc<Store>,
    key: ObjectKey,
    id: String,
    is_open: bool,
}

impl Begun {
    /// Begins an upload in a task of its own: a caller who goes while the server answers leaves none behind.
    ///
    /// # Errors
    ///
    /// The server's.
    pub(crate) async fn begin(store: &Arc<Store>, key: &ObjectKey, options: &SaveOptions) -> Result<Self> {
        let (tracker, store, key, options) = (store, Arc::clone(store), key.clone(), options.clone());
        let (giver, taker) = oneshot::channel();
        tracker.background.spawn(async move {
            let begun = piece::repeated(|| begin(&store, &key, &options)).await;
            let begun = begun.map(|id| Self { store, key, id, is_open: true });
            // Where nobody takes it, it goes while this task is still waited for, which the abort then is as well.
            drop(giver.send(begun));
        });
        let ended = |error| Error::new(ErrorKind::Internal, "the upload's task ended").with_source(error);
        taker.await.unwrap_or_else(|error| Err(ended(error)))
    }

    /// The upload's name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// There is nothing to abort any more.
    pub(crate) fn was_completed(&mut self) {
        self.is_open = false;
    }

    /// It is not to be aborted: the caller looks after it.
    pub(crate) fn release(mut self) -> UploadId {
        self.is_open = false;
        UploadId::new(&self.id)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), UploadId::new(&self.id));
        let tracker = Arc::clone(&self.store);
        tracker.spawn(async move {
            let aborted = piece::repeated(|| abort(&store, &key, &id)).await;
            if let Err(error) = aborted.or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }) {
                tracing::warn!(error = %error.report(), key = %key, "an upload could not be aborted; it is swept later");
            }
        });
    }
}

/// Ends an upload and drops its parts.
///
/// # Errors
///
/// The server's; `NotFound` where there is no such upload, if the server tells.
pub(crate) async fn abort(store: &Store, key: &ObjectKey, id: &UploadId) -> Result<()> {
    let request = store.client.abort_multipart_upload().bucket(store.bucket()).key(key.as_str());
    request.upload_id(id.as_str()).send().await.map(drop).map_err(fault("abort the upload"))
}

/// Begins an upload with the attributes of the object that it will make.
///
/// # Errors
///
/// The server's.
pub(crate) async fn begin(store: &Store, key: &ObjectKey, options: &SaveOptions) -> Result<String> {
    let request = store.client.create_multipart_upload().bucket(store.bucket()).key(key.as_str());
    let request = request
        .content_type(attributes::content_type(options.content_type.as_ref()))
        .set_content_encoding(options.content_encoding.clone())
        .set_content_language(options.content_language.clone())
        .set_content_disposition(options.content_disposition.clone())
        .set_cache_control(options.cache_control.clone())
        .set_metadata(attributes::to_headers(&options.metadata))
        .set_tagging(attributes::tagging(&options.tags))
        .set_checksum_algorithm(store.features.crc64nvme.then_some(ChecksumAlgorithm::Crc64Nvme))
        .set_checksum_type(store.features.crc64nvme.then_some(ChecksumType::FullObject));
    let begun = request.send().await.map_err(fault("begin the upload"))?;
    match begun.upload_id {
        Some(id) if !id.is_empty() => Ok(id),
        _ => Err(Error::new(ErrorKind::Unavailable, "the server began an upload without a name")),
    }
}

/// Sends one part, once.
///
/// # Errors
///
/// The server's.
pub(crate) async fn send_part(
    store: &Store,
    key: &ObjectKey,
    id: &str,
    number: u32,
    content: Bytes,
) -> Result<CompletedPart> {
    let crc = store.features.crc64nvme.then(|| digest::crc64_header(digest::crc64nvme(&content)));
    let request = store.client.upload_part().bucket(store.bucket()).key(key.as_str());
    let request = request
        .upload_id(id)
        .part_number(i32::try_from(number).unwrap_or(i32::MAX))
        .set_checksum_crc64_nvme(crc.clone())
        .body(Payload::from(content));
    let mut request = request.customize();
    if unsigned(store) {
        request = request.disable_payload_signing();
    }
    let sent = request.send().await.map_err(|error| convert("send a part", error))?;
    Ok(completed(number, sent.e_tag(), crc))
}

/// What a completion says of a part.
pub(crate) fn completed(number: u32, tag: Option<&str>, crc: Option<String>) -> CompletedPart {
    CompletedPart::builder()
        .part_number(i32::try_from(number).unwrap_or(i32::MAX))
        .set_e_tag(tag.map(str::to_owned))
        .set_checksum_crc64_nvme(crc)
        .build()
}

/// Sends a body that is larger than one part, whose first part was taken already.
///
/// # Errors
///
/// As a save; the upload is aborted then.
pub(crate) async fn in_parts(
    store: &Arc<Store>,
    key: &ObjectKey,
    first: Bytes,
    mut source: Source,
    sizes: PartSizes,
    options: SaveOptions,
) -> Result<SaveResult> {
    let mut begun = Begun::begin(store, key, &options).await?;
    let mut parts = send_all(store, &begun, first, &mut source, sizes).await?;
    let checksums = source.checksums();
    options.checksums.verify(&checksums)?;
    parts.sort_by_key(|part| part.part_number());
    let size_bytes = source.taken_bytes();
    let saved = finish(store, key, &begun.id, parts, &options.condition, size_bytes, &checksums).await?;
    begun.was_completed();
    Ok(SaveResult { checksums, ..saved })
}

/// Sends the parts, several at once; the rest is taken from the source as parts leave.
async fn send_all(
    store: &Arc<Store>,
    begun: &Begun,
    first: Bytes,
    source: &mut Source,
    sizes: PartSizes,
) -> Result<Vec<CompletedPart>> {
    let mut pace = Pace::within(store.config.memory_bytes, sizes.of(1) as u64);
    let mut under_way = JoinSet::new();
    let mut parts = Vec::new();
    let mut number = 1;
    spawn_part(&mut under_way, store, begun, number, first);
    loop {
        // The pace is that of the first size; larger parts take the room of several.
        let room = (store.config.memory_bytes / sizes.of(number + 1).max(1) as u64).max(1) as usize;
        let may_send = !source.is_at_end() && under_way.len() < pace.allowed().min(room);
        if !may_send && under_way.is_empty() {
            return Ok(parts);
        }
        tokio::select! {
            Some(sent) = under_way.join_next(), if !under_way.is_empty() => {
                let (part, bytes, took) = sent.map_err(|error| {
                    Error::new(ErrorKind::Internal, "the task of a part ended").with_source(error)
                })??;
                pace.arrived(bytes, took);
                parts.push(part);
            }
            next = source.piece(sizes.of(number + 1)), if may_send => {
                number += 1;
                let next = next?;
                // A body that ends with a part ends with an empty piece.
                if !next.is_empty() {
                    if number > MAX_PARTS {
                        return Err(crate::source::too_large(source.taken_bytes()));
                    }
                    spawn_part(&mut under_way, store, begun, number, next);
                }
            }
        }
    }
}

type Sent = Result<(CompletedPart, u64, std::time::Duration)>;

fn spawn_part(under_way: &mut JoinSet<Sent>, store: &Arc<Store>, begun: &Begun, number: u32, content: Bytes) {
    let (store, key, id) = (Arc::clone(store), begun.key.clone(), begun.id.clone());
    under_way.spawn(async move {
        let (start, bytes) = (Instant::now(), content.len() as u64);
        let part = piece::repeated(|| send_part(&store, &key, &id, number, content.clone())).await?;
        Ok((part, bytes, start.elapsed()))
    });
}

/// Makes the object of the parts.
///
/// # Errors
///
/// As [`storage_core::Backend::complete_multipart`].
pub(crate) async fn finish(
    store: &Store,
    key: &ObjectKey,
    id: &str,
    parts: Vec<CompletedPart>,
    condition: &WriteCondition,
    size_bytes: u64,
    checksums: &Checksums,
) -> Result<SaveResult> {
    let whole = checksums.crc64nvme.filter(|_| store.features.crc64nvme).map(digest::crc64_header);
    let named = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = || async {
        let request = store.client.complete_multipart_upload().bucket(store.bucket()).key(key.as_str());
        let request = request.upload_id(id).multipart_upload(named.clone());
        let request = match condition {
            WriteCondition::Always => request,
            WriteCondition::IfAbsent => request.if_none_match("*"),
            WriteCondition::IfMatch(tag) => request.if_match(quoted(tag.as_str())),
        };
        let request = request
            .set_checksum_type(store.features.crc64nvme.then_some(ChecksumType::FullObject))
            .set_checksum_crc64_nvme(whole.clone());
        request
            .customize()
            // Some servers put the parts together byte by byte.
            .interceptor(TimeToMove::AtServer(size_bytes))
            .send()
            .await
            .map_err(|error| condition_fault(convert("complete the upload", error), condition))
    };
    let _alone = store.alone_with_condition(key, *condition != WriteCondition::Always).await;
    let mut attempts = 0;
    let done = match condition {
        WriteCondition::Always => {
            piece::repeated(|| {
                attempts += 1;
                complete()
            })
            .await
        }
        // A repeated conditional write could meet its own first attempt.
        _ => complete().await,
    };
    match done {
        Ok(done) => Ok(SaveResult {
            size_bytes,
            etag: etag(done.e_tag()),
            version: version(store, done.version_id()),
            ..SaveResult::default()
        }),
        // The answer that was lost may have been that of a success: the next attempt then finds no upload.
        Err(error) if attempts > 1 && error.kind() == ErrorKind::NotFound => {
            let made = made_of(store, key, named.parts(), size_bytes, checksums).await;
            made.ok_or_else(|| with_unknown_outcome(error))
        }
        Err(error) => Err(error),
    }
}

/// What is under the key, if it is what these parts make.
async fn made_of(
    store: &Store,
    key: &ObjectKey,
    parts: &[CompletedPart],
    size_bytes: u64,
    checksums: &Checksums,
) -> Option<SaveResult> {
    let found = piece::repeated(|| read::head(store, key, None)).await.ok()?;
    let is_it = match (checksums.crc64nvme, found.checksums.crc64nvme) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => found.etag.is_some() && found.etag == tag_of(parts),
    };
    (is_it && found.size_bytes == size_bytes).then(|| SaveResult {
        size_bytes,
        etag: found.etag,
        version: found.version,
        ..SaveResult::default()
    })
}

/// The tag that S3 gives to an object of these parts: the MD5 of their MD5s, and how many they are.
fn tag_of(parts: &[CompletedPart]) -> Option<ETag> {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(hex::decode(etag(part.e_tag())?.as_str()).ok()?);
    }
    Some(ETag::new(format!("{}-{}", hex::encode(md5.finalize()), parts.len())))
}

/// Whether parts of these sizes make an upload that every server takes.
pub(crate) fn is_too_small(size_bytes: u64, is_last: bool) -> bool {
    !is_last && size_bytes < MIN_PART_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, key, store};

    const CONTENT: &[u8] = b"content";

    /// Completes an upload of one part, where the first answer is lost, the second says that there is no upload, and
    /// the object is described like this.
    async fn completed_after_a_lost_answer(head: &'static str, checksums: &Checksums) -> Result<SaveResult> {
        let answers = vec![
            Answer::Breaks,
            Answer::refuses("404 Not Found", "NoSuchUpload"),
            Answer::Gives(head, String::new()),
        ];
        let (store, _requests) = store(answers);
        let parts = vec![completed(1, Some(&quoted(&hex::encode(Md5::digest(CONTENT)))), None)];
        let size_bytes = CONTENT.len() as u64;
        finish(&store, &key(), "id", parts, &WriteCondition::Always, size_bytes, checksums).await
    }

    #[tokio::test]
    async fn a_completion_whose_answer_was_lost_is_known_by_the_object() {
        let crc = Checksums { crc64nvme: Some(digest::crc64nvme(CONTENT)), ..Checksums::default() };
        let by_crc = "200 OK\r\netag: \"x-1\"\r\ncontent-length: 7\r\nx-amz-checksum-crc64nvme: lhVdXyVQTGE=";
        let by_tag = "200 OK\r\netag: \"73ad9750e8d5fcf7936433620b4baa21-1\"\r\ncontent-length: 7";
        for (head, checksums) in [(by_crc, &crc), (by_tag, &crc), (by_tag, &Checksums::default())] {
            let saved = completed_after_a_lost_answer(head, checksums).await.expect("it is there");
            assert_eq!(saved.size_bytes, 7);
            assert!(saved.etag.is_some_and(|tag| head.contains(tag.as_str())));
        }
    }

    #[tokio::test]
    async fn an_object_of_somebody_else_is_not_taken_for_what_was_completed() {
        let crc = Checksums { crc64nvme: Some(!digest::crc64nvme(CONTENT)), ..Checksums::default() };
        for head in [
            "200 OK\r\netag: \"x-1\"\r\ncontent-length: 7\r\nx-amz-checksum-crc64nvme: lhVdXyVQTGE=",
            "200 OK\r\netag: \"x-1\"\r\ncontent-length: 7",
            "200 OK\r\netag: \"73ad9750e8d5fcf7936433620b4baa21-1\"\r\ncontent-length: 8",
            "404 Not Found",
        ] {
            let error = completed_after_a_lost_answer(head, &crc).await.expect_err("another");
            assert_eq!(error.kind(), ErrorKind::NotFound, "{head}");
            assert!(error.to_string().contains("not known whether it took effect"), "{error}");
        }
    }
}
