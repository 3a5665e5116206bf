//! Uploads in parallel parts: begun, sent, completed; aborted when anything stands in the way.
//!
//! Whoever holds an [`OpenUpload`] owns an upload that S3 keeps, and is billed, until it ends. It ends when this is
//! dropped, if it did not before. What begins and completes one runs apart from the call, so that a call that is
//! dropped midway does not forget one of which it had not heard yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream as Body;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use storage_core::{
    Checksums, Error, ErrorKind, ObjectKey, Result, Retry, SaveOptions, SaveResult, UploadId, WriteCondition,
};
use tokio::task::JoinSet;

use crate::call::{call, call_within};
use crate::config::MAX_PARTS;
use crate::error::may_be_done;
use crate::meta::{NO_CONTENT_TYPE, etag, head, size_of, version};
use crate::options::{Wishes, condition, tagging};
use crate::pace::Pace;
use crate::retry::{self, is_throttled, repeat};
use crate::store::{Store, with_customer_key, with_encryption};
use crate::write::{in_doubt, unmet};
use crate::{digest, metadata};

/// How long S3 may take to complete an upload. It says that this may be several minutes, and answers when it is done.
const COMPLETION: Duration = Duration::from_secs(15 * 60);

/// An upload in progress, which is aborted when this is dropped.
pub(crate) struct OpenUpload {
    pub(crate) store: Arc<Store>,
    pub(crate) key: ObjectKey,
    /// Absent once the upload has ended or belongs to somebody else.
    id: Option<String>,
}

impl OpenUpload {
    /// Its name.
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// It is not to be aborted: it has ended, or the caller looks after it.
    pub(crate) fn release(mut self) -> Option<UploadId> {
        self.id.take().map(UploadId::new)
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let store = Arc::clone(&self.store);
            self.store.background.spawn(give_up(store, self.key.clone(), id));
        }
    }
}

/// Aborts an upload, however often that must be asked for.
async fn give_up(store: Arc<Store>, key: ObjectKey, id: String) {
    match repeat(|| abort(&store, &key, &id), |_| {}).await {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(error = %error.report(), %key, "an upload could not be aborted: it is swept later");
        }
        _ => tracing::debug!(%key, "an unfinished upload was aborted"),
    }
}

/// A part that S3 has.
#[derive(Clone, Debug)]
pub(crate) struct SentPart {
    pub(crate) number: u32,
    pub(crate) etag: Option<String>,
    pub(crate) crc64: Option<u64>,
}

/// Begins an upload.
///
/// # Errors
///
/// What S3 answers.
pub(crate) async fn begin(
    store: &Arc<Store>,
    key: &ObjectKey,
    options: SaveOptions,
    wishes: Wishes,
) -> Result<OpenUpload> {
    let (store, key) = (Arc::clone(store), key.clone());
    apart(async move {
        let request = store
            .s3
            .create_multipart_upload()
            .bucket(&store.config.bucket)
            .key(key.as_str())
            .set_tagging(tagging(&options))
            .set_metadata(Some(metadata::encode(&options.metadata)?))
            .content_type(options.content_type.as_deref().unwrap_or(NO_CONTENT_TYPE))
            .set_content_encoding(options.content_encoding)
            .set_content_language(options.content_language)
            .set_content_disposition(options.content_disposition)
            .set_cache_control(options.cache_control)
            .set_storage_class(wishes.class)
            .set_object_lock_mode(wishes.lock_mode)
            .set_object_lock_retain_until_date(wishes.retain_until)
            .set_object_lock_legal_hold_status(wishes.legal_hold)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject);
        let request = with_encryption!(request, store);
        let answer = call(&store, "begin the upload", 0, request.send()).await?;
        let id = answer.upload_id().filter(|id| !id.is_empty()).map(str::to_owned);
        let id =
            id.ok_or_else(|| Error::new(ErrorKind::Internal, "S3 began an upload and did not name it"))?;
        Ok(OpenUpload { store, key, id: Some(id) })
    })
    .await
}

/// Runs something that the call's end does not stop. What it gives is dropped where nobody waits any more.
///
/// # Errors
///
/// What it gives.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        // A panic goes on where it belongs: the plugin's boundary turns it into an error.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::new(ErrorKind::Cancelled, "the backend is closing")),
    }
}

/// Sends one part once.
///
/// # Errors
///
/// What S3 answers.
pub(crate) async fn send_part(
    store: &Store,
    key: &ObjectKey,
    upload: &str,
    number: u32,
    bytes: Bytes,
) -> Result<SentPart> {
    let size_bytes = bytes.len() as u64;
    let crc64 = digest::crc64(&bytes);
    let request = store
        .s3
        .upload_part()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .upload_id(upload)
        .part_number(number as i32)
        .content_length(size_bytes as i64)
        .checksum_crc64_nvme(digest::encode(crc64.to_be_bytes()))
        .body(Body::from(bytes));
    let request = with_customer_key!(request, store);
    let answer = call(store, "send a part", size_bytes, request.send()).await?;
    Ok(SentPart { number, etag: answer.e_tag().map(str::to_owned), crc64: Some(crc64) })
}

/// Sends the parts of an upload, some at once. Where it is dropped, they are given up first, and then the upload is
/// aborted: a part that arrived after the end would be kept.
pub(crate) struct Sender {
    store: Arc<Store>,
    /// Absent once it was finished.
    upload: Option<OpenUpload>,
    tasks: JoinSet<Result<SentPart>>,
    pace: Arc<std::sync::Mutex<Pace>>,
    sent: Vec<SentPart>,
    next_number: u32,
}

impl Drop for Sender {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        let Some(id) = upload.id.take() else { return };
        let mut tasks = std::mem::take(&mut self.tasks);
        let (store, key) = (Arc::clone(&upload.store), upload.key.clone());
        self.store.background.spawn(async move {
            tasks.shutdown().await;
            give_up(store, key, id).await;
        });
    }
}

impl Sender {
    pub(crate) fn new(store: &Arc<Store>, upload: OpenUpload) -> Self {
        let pace = Pace::new(store.config.concurrency, Instant::now());
        Self {
            store: Arc::clone(store),
            upload: Some(upload),
            tasks: JoinSet::new(),
            pace: Arc::new(pace.into()),
            sent: Vec::new(),
            next_number: 1,
        }
    }

    /// The number of the part that comes next.
    pub(crate) fn next_number(&self) -> u32 {
        self.next_number
    }

    fn with_pace<T>(pace: &std::sync::Mutex<Pace>, act: impl FnOnce(&mut Pace) -> T) -> T {
        act(&mut pace.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Waits until one more part may be on its way. A part in hand counts as one.
    ///
    /// # Errors
    ///
    /// That of a part which failed for good.
    pub(crate) async fn room(&mut self) -> Result<()> {
        while self.tasks.len() >= Self::with_pace(&self.pace, |pace| pace.allowed()) {
            self.collect().await?;
        }
        Ok(())
    }

    /// Sends a part.
    ///
    /// # Errors
    ///
    /// `TooLarge` for a part too many.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> Result<()> {
        let number = self.next_number;
        if number > MAX_PARTS {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the content has more than the 10,000 parts of an upload: declare its length, and they are made larger",
            ));
        }
        self.next_number += 1;
        let upload = self.upload.as_ref().ok_or_else(ended)?;
        // Larger parts, fewer of them: the memory that a file takes stays the same.
        let budget = self.store.config.part_bytes * self.store.config.concurrency as u64;
        let most = usize::try_from(budget / (bytes.len() as u64).max(1)).unwrap_or(usize::MAX);
        Self::with_pace(&self.pace, |pace| pace.bound(most));
        let (store, pace) = (Arc::clone(&self.store), Arc::clone(&self.pace));
        let (key, id) = (upload.key.clone(), upload.id().to_owned());
        self.tasks.spawn(async move {
            let size_bytes = bytes.len() as u64;
            let attempt = || send_part(&store, &key, &id, number, bytes.clone());
            let failed = |error: &Error| {
                if is_throttled(error) {
                    Self::with_pace(&pace, |pace| pace.throttled(Instant::now()));
                }
            };
            let sent = repeat(attempt, failed).await?;
            Self::with_pace(&pace, |pace| pace.arrived(size_bytes, Instant::now()));
            Ok(sent)
        });
        Ok(())
    }

    async fn collect(&mut self) -> Result<()> {
        match self.tasks.join_next().await {
            None => Ok(()),
            Some(Ok(sent)) => {
                self.sent.push(sent?);
                Ok(())
            }
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => Err(Error::new(ErrorKind::Cancelled, "the backend is closing")),
        }
    }

    /// Waits for all parts and gives them by number.
    ///
    /// # Errors
    ///
    /// That of a part which failed for good.
    pub(crate) async fn finish(mut self) -> Result<(OpenUpload, Vec<SentPart>)> {
        while !self.tasks.is_empty() {
            self.collect().await?;
        }
        let mut sent = std::mem::take(&mut self.sent);
        sent.sort_by_key(|part| part.number);
        let upload = self.upload.take();
        Ok((upload.ok_or_else(ended)?, sent))
    }
}

/// The order of calls makes this impossible.
fn ended() -> Error {
    Error::new(ErrorKind::Internal, "the upload has ended already")
}

/// Completes an upload of this backend's own; it is aborted where that fails.
///
/// # Errors
///
/// `AlreadyExists`, `PreconditionFailed`; what S3 answers.
pub(crate) async fn complete(
    upload: OpenUpload,
    parts: Vec<SentPart>,
    condition: WriteCondition,
    size_bytes: u64,
    checksums: Checksums,
) -> Result<SaveResult> {
    apart(async move {
        let (store, key, id) = (&*upload.store, &upload.key, upload.id());
        let saved =
            complete_once_and_for_all(store, key, id, &parts, &condition, size_bytes, checksums).await?;
        // It has ended: there is nothing to abort.
        upload.release();
        Ok(saved)
    })
    .await
}

/// Completes an upload, again where it may help. Where an attempt broke off, S3 may have completed it all the same:
/// the next one then finds no upload, and the object itself tells.
///
/// # Errors
///
/// As [`complete`].
pub(crate) async fn complete_once_and_for_all(
    store: &Store,
    key: &ObjectKey,
    id: &str,
    parts: &[SentPart],
    condition: &WriteCondition,
    size_bytes: u64,
    checksums: Checksums,
) -> Result<SaveResult> {
    let (mut made, mut tells_whole, mut is_in_doubt) = (0, true, false);
    loop {
        made += 1;
        let told = if tells_whole { checksums } else { Checksums::default() };
        let completed_now = complete_once(store, key, id, parts, condition, size_bytes, told).await;
        let error = match completed_now {
            Ok(saved) => return Ok(SaveResult { checksums, ..saved }),
            Err(error) => error,
        };
        // Some servers make a digest of the parts' digests and take it for that of the whole.
        if tells_whole && error.kind() == ErrorKind::ChecksumMismatch && store.config.endpoints.s3.is_some() {
            tells_whole = false;
            continue;
        }
        is_in_doubt |= may_be_done(&error);
        // S3 wants such an upload begun anew: this one may be gone already.
        let is_conflict = *condition != WriteCondition::Always && error.kind() == ErrorKind::Conflict;
        let is_refused = is_conflict || !error.retry().is_allowed();
        let is_last = is_refused || made == retry::ATTEMPTS;
        if is_in_doubt
            && is_last
            && let Some(saved) = completed(store, key, size_bytes, checksums).await
        {
            return Ok(saved);
        }
        if is_conflict && is_in_doubt {
            // It may be in conflict with the attempt before it.
            return Err(in_doubt(error));
        }
        if is_refused {
            return Err(error);
        }
        if made == retry::ATTEMPTS {
            return Err(error.with_context("attempts", made).with_retry(Retry::GaveUp));
        }
        tokio::time::sleep(retry::pause(made, &error)).await;
    }
}

/// What is under the key, if it is what the upload would have made.
async fn completed(
    store: &Store,
    key: &ObjectKey,
    size_bytes: u64,
    checksums: Checksums,
) -> Option<SaveResult> {
    let found = head(store, key, None).await.ok()?;
    let crc64 = digest::of_answer(None, None, found.checksum_crc64_nvme(), false).crc64nvme;
    let is_it =
        crc64.is_some() && crc64 == checksums.crc64nvme && size_of(found.content_length()) == size_bytes;
    is_it.then(|| SaveResult {
        size_bytes,
        etag: found.e_tag().map(etag),
        version: version(store, found.version_id()),
        checksums,
        ..SaveResult::default()
    })
}

async fn complete_once(
    store: &Store,
    key: &ObjectKey,
    id: &str,
    parts: &[SentPart],
    wanted: &WriteCondition,
    size_bytes: u64,
    checksums: Checksums,
) -> Result<SaveResult> {
    let named = parts.iter().map(|part| {
        CompletedPart::builder()
            .part_number(part.number as i32)
            .set_e_tag(part.etag.clone())
            .set_checksum_crc64_nvme(part.crc64.map(|crc| digest::encode(crc.to_be_bytes())))
            .build()
    });
    let (if_match, if_none_match) = condition(wanted);
    let request = store
        .s3
        .complete_multipart_upload()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .upload_id(id)
        .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(named.collect())).build())
        .set_checksum_type(checksums.crc64nvme.map(|_| ChecksumType::FullObject))
        .set_checksum_crc64_nvme(checksums.crc64nvme.map(|crc| digest::encode(crc.to_be_bytes())))
        .mpu_object_size(size_bytes as i64)
        .set_if_match(if_match)
        .set_if_none_match(if_none_match);
    let request = with_customer_key!(request, store);
    // A second more for each GiB.
    let patience = store.config.read_timeout.max(COMPLETION) + Duration::from_secs(size_bytes >> 30);
    let answer = call_within(store, "complete the upload", patience, request.send()).await;
    let answer = answer.map_err(|error| match wanted {
        // What is missing may be the upload as well as the object.
        WriteCondition::IfMatch(_) if error.context().any(|fact| fact == ("code", "NoSuchUpload")) => error,
        _ => unmet(wanted, error),
    })?;
    Ok(SaveResult {
        size_bytes,
        etag: answer.e_tag().map(etag),
        version: version(store, answer.version_id()),
        checksums,
        ..SaveResult::default()
    })
}

/// Ends an upload and drops its parts.
///
/// # Errors
///
/// `NotFound`; what S3 answers.
pub(crate) async fn abort(store: &Store, key: &ObjectKey, id: &str) -> Result<()> {
    let request =
        store.s3.abort_multipart_upload().bucket(&store.config.bucket).key(key.as_str()).upload_id(id);
    call(store, "abort the upload", 0, request.send()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::testing::{Said, Script, Seen, answer, key, scripted};

    const DONE: &str = "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>";
    const CONTENT: &[u8] = b"content";

    /// Completes an upload of which S3 says this, by the number of the attempt. Under the key is what the upload
    /// would have made, or something else.
    async fn completes(
        condition: WriteCondition,
        is_made: bool,
        says: fn(u32) -> Said,
    ) -> (Result<SaveResult>, Script) {
        let crc64 = digest::crc64(CONTENT);
        let there = digest::encode(if is_made { crc64 } else { crc64 + 1 }.to_be_bytes());
        let made = AtomicU32::new(0);
        let (store, script) = scripted(&[], move |seen: &Seen| {
            if seen.method != "HEAD" {
                return says(made.fetch_add(1, Ordering::Relaxed));
            }
            let length = ("content-length", CONTENT.len().to_string());
            let headers =
                vec![("x-amz-checksum-crc64nvme", there.clone()), ("etag", "\"y\"".to_owned()), length];
            Said::Answer(200, headers, "")
        })
        .await;
        let parts = [SentPart { number: 1, etag: Some("\"x\"".to_owned()), crc64: Some(crc64) }];
        let checksums = Checksums { crc64nvme: Some(crc64), ..Checksums::default() };
        let (object, size_bytes) = (key("object"), CONTENT.len() as u64);
        let completed =
            complete_once_and_for_all(&store, &object, "upload", &parts, &condition, size_bytes, checksums);
        (completed.await, script)
    }

    fn attempts(script: &Script) -> usize {
        script.requests("POST", "uploadId=upload").len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_completion_may_take_minutes() {
        let late = |_| Said::Late(COMPLETION - Duration::from_secs(1), DONE);
        let (saved, script) = completes(WriteCondition::Always, false, late).await;
        saved.expect("it was waited for");
        assert_eq!(attempts(&script), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_last_answer_is_lost_too_the_object_tells() {
        for (is_made, condition) in [(true, WriteCondition::Always), (false, WriteCondition::IfAbsent)] {
            let (saved, script) = completes(condition, is_made, |_| Said::Nothing).await;
            assert_eq!(attempts(&script), 4);
            match saved {
                Ok(saved) => assert!(is_made && saved.etag.is_some_and(|tag| tag.as_str() == "y")),
                Err(error) => assert!(!is_made && error.retry() == Retry::GaveUp, "{}", error.report()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_done_is_not_taken_for_done() {
        let exists = |made| match made {
            0 => answer(503, "<Error><Code>SlowDown</Code></Error>"),
            _ => answer(412, "<Error><Code>PreconditionFailed</Code></Error>"),
        };
        // Somebody else may have saved the same.
        let (saved, _) = completes(WriteCondition::IfAbsent, true, exists).await;
        assert_eq!(saved.expect_err("it is another's").kind(), ErrorKind::AlreadyExists);
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_the_whole_saves_to_repeat_unless_an_attempt_may_have_completed_it() {
        let conflict = |_| answer(409, "<Error><Code>ConditionalRequestConflict</Code></Error>");
        let (saved, script) = completes(WriteCondition::IfAbsent, false, conflict).await;
        let error = saved.expect_err("somebody else was at work");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::May), "{}", error.report());
        assert_eq!(attempts(&script), 1, "this upload is not completed again");
        let with_itself = |made| match made {
            0 => Said::Nothing,
            _ => answer(409, "<Error><Code>ConditionalRequestConflict</Code></Error>"),
        };
        let (saved, _) = completes(WriteCondition::IfAbsent, false, with_itself).await;
        let error = saved.expect_err("it is not known");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never), "{}", error.report());
    }
}
