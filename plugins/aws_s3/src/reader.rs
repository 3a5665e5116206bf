//! [`Reader`]: the bytes of an object, in order, from one version of it.
//!
//! A short range is the one answer that is open already. Of a long one the answer gives the first piece, and the
//! pieces after it are fetched beside it, some at once, each kept in memory until its turn comes. Whatever breaks off
//! goes on where it broke. When the whole object was read, its digest is compared with the one that S3 keeps.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream as Body;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, stream};
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, Checksums, ETag, Error, ErrorKind, ObjectKey, Result, Retry, VersionId};
use tokio_util::task::AbortOnDropHandle;

use crate::call::call;
use crate::digest::Digests;
use crate::options::quoted;
use crate::pace::Pace;
use crate::read::get;
use crate::retry;
use crate::store::Store;

/// From so many pieces on, they are fetched at once.
const PARALLEL_PIECES: u64 = 2;

/// A chunk of so many bytes is handed on as it came; smaller ones are gathered, which costs a copy.
const LARGE_BYTES: usize = 64 * 1024;

/// Which version of which object is read.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    pub(crate) key: ObjectKey,
    pub(crate) version: Option<VersionId>,
    pub(crate) etag: Option<ETag>,
}

/// An object being read.
pub(crate) struct Reader {
    store: Arc<Store>,
    pin: Pin,
    /// What is read now, straight from S3.
    open: Segment,
    /// What comes after it: being fetched, in order.
    fetched: VecDeque<AbortOnDropHandle<Result<VecDeque<Bytes>>>>,
    /// The piece whose turn it is.
    piece: VecDeque<Bytes>,
    /// What was not asked for yet.
    ahead: Range<u64>,
    pace: Pace,
    digests: Option<Digests>,
}

impl Reader {
    /// Reads this range, whose answer is open, and took so long to come.
    pub(crate) fn new(
        store: &Arc<Store>,
        pin: Pin,
        body: Body,
        range: Range<u64>,
        answered_after: Duration,
        expected: Checksums,
    ) -> Self {
        let piece_bytes = store.config.part_bytes;
        let is_long = range.end - range.start > piece_bytes * PARALLEL_PIECES;
        let first_end = if is_long { range.start + piece_bytes } else { range.end };
        Self {
            store: Arc::clone(store),
            pin,
            open: Segment { body: Some(body), range: range.start..first_end },
            fetched: VecDeque::new(),
            piece: VecDeque::new(),
            ahead: first_end..range.end,
            pace: Pace::of_read(store.config.concurrency, answered_after, Instant::now()),
            digests: (!expected.is_empty()).then(|| Digests::expecting(expected)),
        }
    }

    /// The bytes as a stream.
    pub(crate) fn into_stream(self) -> ByteStream {
        let length_bytes = self.ahead.end - self.open.range.start;
        let chunks = stream::try_unfold(self, |mut reader| async move {
            let chunk = reader.next().await?;
            Ok(chunk.map(|chunk| (chunk, reader)))
        });
        ByteStream::from_stream(chunks, Some(length_bytes))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.read_ahead();
        let chunk = match self.open.next(&self.store, &self.pin).await? {
            Some(chunk) => Some(chunk),
            None => self.next_of_pieces().await?,
        };
        match chunk {
            Some(chunk) => {
                self.store.metrics.received(chunk.len() as u64);
                if let Some(digests) = &mut self.digests {
                    digests.update(&chunk);
                }
                Ok(Some(chunk))
            }
            None => {
                let digests = self.digests.take().map_or(Ok(Checksums::default()), Digests::verify);
                // Another reading may well bring the right bytes.
                digests.map(|_| None).map_err(|error| error.with_retry(Retry::May))
            }
        }
    }

    async fn next_of_pieces(&mut self) -> Result<Option<Bytes>> {
        while self.piece.is_empty() {
            let Some(fetch) = self.fetched.pop_front() else { return Ok(None) };
            let piece = match fetch.await {
                Ok(fetched) => fetched?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Err(Error::new(ErrorKind::Cancelled, "the backend is closing")),
            };
            let bytes: usize = piece.iter().map(Bytes::len).sum();
            self.pace.arrived(bytes as u64, Instant::now());
            self.piece = piece;
            self.read_ahead();
        }
        Ok(self.piece.pop_front())
    }

    /// Asks for as many pieces as may be on their way or wait for their turn.
    fn read_ahead(&mut self) {
        while !self.ahead.is_empty() && self.fetched.len() + 1 < self.pace.allowed().max(2) {
            let end = self.ahead.end.min(self.ahead.start + self.store.config.part_bytes);
            let range = self.ahead.start..end;
            self.ahead.start = end;
            let (store, pin) = (Arc::clone(&self.store), self.pin.clone());
            let fetch =
                tokio::spawn(async move { Segment { body: None, range }.collect(&store, &pin).await });
            self.fetched.push_back(AbortOnDropHandle::new(fetch));
        }
    }
}

/// Some bytes that are read one after the other, over as many answers as it takes.
struct Segment {
    body: Option<Body>,
    /// What is left to read.
    range: Range<u64>,
}

impl Segment {
    /// All of it, in chunks of a good size.
    async fn collect(mut self, store: &Store, pin: &Pin) -> Result<VecDeque<Bytes>> {
        let mut chunks = VecDeque::new();
        let mut small = BytesMut::new();
        while let Some(chunk) = self.next(store, pin).await? {
            if chunk.len() >= LARGE_BYTES {
                chunks.extend([small.split().freeze(), chunk]);
            } else {
                small.extend_from_slice(&chunk);
                if small.len() >= CHUNK_BYTES {
                    chunks.push_back(small.split().freeze());
                }
            }
        }
        chunks.push_back(small.freeze());
        chunks.retain(|chunk| !chunk.is_empty());
        Ok(chunks)
    }

    /// The next bytes: as many as are there, up to a good size of a chunk.
    async fn next(&mut self, store: &Store, pin: &Pin) -> Result<Option<Bytes>> {
        let mut made = 0;
        while !self.range.is_empty() {
            let error = match self.pull(store, pin).await {
                Ok(chunk) if !chunk.is_empty() => {
                    self.range.start += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                // An answer that ends early without saying so.
                Ok(_) => broken("the answer ended early"),
                Err(error) => error,
            };
            self.body = None;
            made += 1;
            if !error.retry().is_allowed() {
                return Err(error);
            }
            if made == retry::ATTEMPTS {
                return Err(error.with_context("attempts", made).with_retry(Retry::GaveUp));
            }
            tracing::debug!(error = %error.report(), at = self.range.start, "a read broke off and goes on");
            tokio::time::sleep(retry::pause(made, &error)).await;
        }
        // What the answer has beyond the segment is another's.
        self.body = None;
        Ok(None)
    }

    async fn pull(&mut self, store: &Store, pin: &Pin) -> Result<Bytes> {
        if self.body.is_none() {
            self.body = Some(self.ask(store, pin).await?);
        }
        let Some(body) = &mut self.body else { return Ok(Bytes::new()) };
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let patience = store.config.read_timeout;
        let first = match tokio::time::timeout(patience, body.next()).await {
            Err(_) => return Err(crate::error::timed_out("read the object", patience)),
            Ok(None) => return Ok(Bytes::new()),
            Ok(Some(Err(error))) => return Err(broken("the connection broke").with_source(error)),
            Ok(Some(Ok(first))) => first,
        };
        if first.len() >= LARGE_BYTES || first.len() >= left {
            return Ok(first.slice(..first.len().min(left)));
        }
        // Small chunks are dear, but none is waited for.
        let mut chunk = BytesMut::from(first);
        while chunk.len() < CHUNK_BYTES && chunk.len() < left {
            match body.next().now_or_never() {
                Some(Some(Ok(more))) => chunk.extend_from_slice(&more),
                // What went wrong is met again on the next pull.
                Some(Some(Err(_)) | None) => {
                    self.body = None;
                    break;
                }
                None => break,
            }
        }
        chunk.truncate(left);
        Ok(chunk.freeze())
    }

    /// Asks for what is left, of the version that the first answer had.
    async fn ask(&self, store: &Store, pin: &Pin) -> Result<Body> {
        let request = get(store, &pin.key, pin.version.as_ref())
            .range(format!("bytes={}-{}", self.range.start, self.range.end - 1))
            .set_if_match(pin.etag.as_ref().map(quoted));
        let answer = call(store, "go on reading the object", 0, request.send()).await.map_err(|error| {
            if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::NotFound) {
                return Error::new(
                    ErrorKind::Conflict,
                    "the object was replaced or deleted while it was read",
                )
                .with_retry(Retry::Never)
                .with_source(error);
            }
            error
        })?;
        let expected = format!("bytes {}-{}/", self.range.start, self.range.end - 1);
        if !answer.content_range().is_some_and(|range| range.starts_with(&expected)) {
            return Err(broken("the answer has other bytes than were asked for"));
        }
        Ok(answer.body)
    }
}

fn broken(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::May)
}
