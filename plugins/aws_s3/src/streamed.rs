//! Sends a part too large for memory as its bytes come, with its digest behind it.
//!
//! The last chunk is held back until the digests were compared, so that what does not match never arrives whole.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_s3::config::{Config, RequestChecksumCalculation};
use aws_sdk_s3::primitives::{ByteStream as Body, SdkBody};
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use storage_core::{ByteStream, Checksums, Error, ObjectKey, Part, Result, UploadId};

use crate::call::call;
use crate::digest::Digests;
use crate::meta::etag;
use crate::store::{Store, with_customer_key};

/// What is known when the body has ended: its digests, or what was wrong with it.
type Ending = Arc<Mutex<Option<Result<Checksums>>>>;

/// Sends a part of this length.
///
/// # Errors
///
/// What the body gives; `ChecksumMismatch`; what S3 answers.
pub(crate) async fn upload_part(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    number: u32,
    body: ByteStream,
    length_bytes: u64,
    expected: Checksums,
) -> Result<Part> {
    let ending = Ending::default();
    let request = store
        .s3
        .upload_part()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .upload_id(upload.as_str())
        .part_number(number as i32)
        .content_length(length_bytes as i64)
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .body(checked(body, expected, Arc::clone(&ending)));
    // Elsewhere digests are set by hand; here the SDK computes it on the way, which it else does where S3 insists.
    let digest = Config::builder().request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
    let request = with_customer_key!(request, store).customize().config_override(digest);
    let answer = call(store, "send a part", length_bytes, request.send()).await;
    let ending = ending.lock().unwrap_or_else(PoisonError::into_inner).take();
    // What was wrong with the body says more than that the request failed.
    let checksums = match ending {
        Some(Err(error)) => return Err(error),
        Some(Ok(checksums)) => Some(checksums),
        None => None,
    };
    let answer = answer?;
    let checksums = checksums
        .ok_or_else(|| Error::new(storage_core::ErrorKind::Internal, "S3 took a part before it had ended"))?;
    Ok(Part { number, size_bytes: length_bytes, etag: etag(answer.e_tag().unwrap_or_default()), checksums })
}

/// What is left to be sent.
struct Rest {
    body: ByteStream,
    digests: Option<Digests>,
    held_back: Option<Bytes>,
    ending: Ending,
}

impl Rest {
    /// The next chunk, one behind what the body gave.
    async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            match self.body.next().await {
                Some(Ok(chunk)) => {
                    if let Some(digests) = &mut self.digests {
                        digests.update(&chunk);
                    }
                    if let Some(before) = self.held_back.replace(chunk) {
                        return Some(Ok(before));
                    }
                }
                Some(Err(error)) => return self.end(Err(error)),
                None => {
                    let digests = self.digests.take()?;
                    return self.end(digests.verify());
                }
            }
        }
    }

    fn end(&mut self, result: Result<Checksums>) -> Option<Result<Bytes>> {
        let is_sound = result.is_ok();
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        if is_sound {
            return self.held_back.take().map(Ok);
        }
        self.held_back = None;
        Some(Err(Error::new(storage_core::ErrorKind::Cancelled, "the content is not sound")))
    }
}

fn checked(body: ByteStream, expected: Checksums, ending: Ending) -> Body {
    let rest = Rest { body, digests: Some(Digests::expecting(expected)), held_back: None, ending };
    let chunks = stream::unfold(rest, |mut rest| async move {
        let chunk = rest.next().await?;
        Some((chunk.map(Frame::data), rest))
    });
    // What makes the digest asks once more after the end.
    Body::new(SdkBody::from_body_1_x(Shared(Mutex::new(chunks.fuse().boxed()))))
}

/// A body that may be looked at from several threads, as the SDK wants it. Only its owner ever polls it, so that
/// the lock is never waited for.
struct Shared(Mutex<BoxStream<'static, Result<Frame<Bytes>>>>);

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let chunks = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        chunks.poll_next_unpin(cx)
    }
}
