//! The body of a read: the first answer's bytes, then the rest in ranges that are fetched side by side, in order
//! and from one version. What breaks is fetched again from where it broke.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream as Payload;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, ETag, Error, ErrorKind, ObjectKey, Result, Retry};
use tokio::task::JoinHandle;

use crate::error::convert;
use crate::pace::Pace;
use crate::piece;
use crate::save::quoted;
use crate::store::Store;

/// A chunk of so many bytes is handed on as it came; smaller ones are gathered, which costs a copy.
const LARGE_BYTES: usize = 64 * 1024;

/// One version of an object.
pub(crate) struct Pinned {
    pub(crate) store: Arc<Store>,
    pub(crate) key: ObjectKey,
    pub(crate) version: Option<String>,
    pub(crate) etag: Option<ETag>,
}

/// A range that is being fetched, whole, by a task that ends with this.
struct Fetch {
    task: JoinHandle<Result<(Vec<Bytes>, Duration)>>,
    range: Range<u64>,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A body on its way.
struct Download {
    pinned: Arc<Pinned>,
    /// The first answer, and how many of its bytes come before the wanted ones.
    first: Option<Payload>,
    skip_bytes: u64,
    /// Where the first answer's bytes end that are taken from it.
    first_end: u64,
    /// The next byte to give, the next one to fetch, and the end.
    at: u64,
    fetched_to: u64,
    end: u64,
    ready: VecDeque<Bytes>,
    fetches: VecDeque<Fetch>,
    pace: Pace,
    gathered: BytesMut,
    /// The CRC that the whole must have, and that of what was given.
    expected: Option<(u64, crc_fast::Digest)>,
}

/// The bytes of a range. `first` is the answer that told of the object, whose bytes begin at `first_start` and which
/// took so long to come.
/// Where the range is the whole and its CRC is known, the body ends with an error if the bytes do not have it.
pub(crate) fn body(
    pinned: Pinned,
    first: Payload,
    first_start: u64,
    range: Range<u64>,
    answered_after: Duration,
    expected_crc: Option<u64>,
) -> ByteStream {
    let part_bytes = pinned.store.config.part_bytes;
    let length_bytes = range.end - range.start;
    // Side by side pays only where there are several parts; the first answer gives one of them.
    let first_end = if length_bytes > 2 * part_bytes { range.start + part_bytes } else { range.end };
    let pace = Pace::of_read(pinned.store.config.memory_bytes, part_bytes, answered_after);
    let download = Download {
        pinned: Arc::new(pinned),
        first: Some(first),
        skip_bytes: range.start - first_start,
        first_end,
        at: range.start,
        fetched_to: first_end,
        end: range.end,
        ready: VecDeque::new(),
        fetches: VecDeque::new(),
        pace,
        gathered: BytesMut::new(),
        expected: expected_crc.map(|crc| (crc, crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme))),
    };
    let chunks = stream::try_unfold(download, |mut download| async move {
        Ok(download.next().await?.map(|chunk| (chunk, download)))
    });
    ByteStream::from_stream(chunks, Some(length_bytes))
}

impl Download {
    /// The next chunk; nothing at the end, once the digest is right.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.at == self.end {
            return self.verify().map(|()| None);
        }
        self.fetch_ahead();
        let chunk = match self.next_of_first().await {
            Some(chunk) => chunk,
            None => self.next_of_fetches().await?,
        };
        self.at += chunk.len() as u64;
        if let Some((_, crc)) = &mut self.expected {
            crc.update(&chunk);
        }
        if self.at == self.end {
            // The last chunk is not given away before the whole is known to be right.
            self.verify()?;
        }
        Ok(Some(chunk))
    }

    fn verify(&self) -> Result<()> {
        match &self.expected {
            Some((expected, crc)) if crc.finalize() != *expected => {
                Err(Error::new(ErrorKind::ChecksumMismatch, "the server gave other bytes than were stored")
                    .with_context("algorithm", "crc64nvme"))
            }
            _ => Ok(()),
        }
    }

    /// Keeps as many ranges under way as the pace allows.
    fn fetch_ahead(&mut self) {
        let part_bytes = self.pinned.store.config.part_bytes;
        while self.fetched_to < self.end && self.fetches.len() < self.pace.allowed() {
            let range = self.fetched_to..self.end.min(self.fetched_to + part_bytes);
            self.fetched_to = range.end;
            self.fetches.push_back(fetch(&self.pinned, range));
        }
    }

    /// The next chunk of the first answer; nothing once it is through, or broke.
    async fn next_of_first(&mut self) -> Option<Bytes> {
        let patience = self.pinned.store.patience();
        loop {
            let first = self.first.as_mut()?;
            let left = self.first_end - self.at - self.gathered.len() as u64;
            if left > 0 && self.gathered.len() < CHUNK_BYTES {
                match tokio::time::timeout(patience, first.next()).await {
                    Ok(Some(Ok(mut bytes))) => {
                        let skipped = self.skip_bytes.min(bytes.len() as u64);
                        self.skip_bytes -= skipped;
                        let mut bytes = bytes.split_off(skipped as usize);
                        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                        let is_enough = bytes.len() >= LARGE_BYTES || bytes.len() as u64 == left;
                        if is_enough && !bytes.is_empty() && self.gathered.is_empty() {
                            return Some(bytes);
                        }
                        self.gathered.extend_from_slice(&bytes);
                        continue;
                    }
                    // What is missing is fetched again; if that fails too, it says why.
                    broken => {
                        tracing::debug!(at = self.at, ended = matches!(broken, Ok(None)), "a body broke off");
                        self.first = None;
                        let from = self.at + self.gathered.len() as u64;
                        self.fetches.push_front(fetch(&self.pinned, from..self.first_end));
                    }
                }
            } else if left == 0 && self.gathered.len() <= 2 * CHUNK_BYTES {
                self.first = None;
            }
            if !self.gathered.is_empty() {
                let size = self.gathered.len().min(2 * CHUNK_BYTES);
                return Some(self.gathered.split_to(size).freeze());
            }
        }
    }

    async fn next_of_fetches(&mut self) -> Result<Bytes> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(chunk);
            }
            let Some(mut fetch) = self.fetches.pop_front() else {
                return Err(Error::new(ErrorKind::Internal, "nothing more is being fetched before the end"));
            };
            let (chunks, took) = (&mut fetch.task).await.map_err(|error| {
                Error::new(ErrorKind::Internal, "the task of a range ended").with_source(error)
            })??;
            self.pace.arrived(fetch.range.end - fetch.range.start, took);
            self.ready = chunks.into();
            self.fetch_ahead();
        }
    }
}

fn fetch(pinned: &Arc<Pinned>, range: Range<u64>) -> Fetch {
    let (pinned, wanted) = (Arc::clone(pinned), range.clone());
    let task = tokio::spawn(async move {
        let start = Instant::now();
        let mut chunks = Vec::new();
        let mut failures = 0;
        let mut at = wanted.start;
        while at < wanted.end {
            match fetch_some(&pinned, at..wanted.end, &mut chunks).await {
                Ok(()) => at = wanted.end,
                Err((error, got_bytes)) => {
                    // What came is kept; the count of failures begins anew as long as something comes.
                    at += got_bytes;
                    failures = if got_bytes > 0 { 1 } else { failures + 1 };
                    match piece::pause(&error, failures).filter(|_| failures < 5) {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None if error.retry().is_allowed() => return Err(error.with_retry(Retry::GaveUp)),
                        None => return Err(error),
                    }
                }
            }
        }
        Ok((chunks, start.elapsed()))
    });
    Fetch { task, range }
}

/// Fetches a range; where it breaks off, tells how many bytes came.
async fn fetch_some(pinned: &Pinned, range: Range<u64>, chunks: &mut Vec<Bytes>) -> Result<(), (Error, u64)> {
    let store = &pinned.store;
    let request = store.client.get_object().bucket(store.bucket()).key(pinned.key.as_str());
    let request = request
        .set_version_id(pinned.version.clone())
        .set_if_match(pinned.etag.as_ref().map(|tag| quoted(tag.as_str())))
        .range(format!("bytes={}-{}", range.start, range.end - 1));
    let mut answer = request.send().await.map_err(|error| (replaced(convert("read a range", error)), 0))?;
    let tag = crate::meta::etag(answer.e_tag());
    if tag != pinned.etag {
        return Err((replaced(Error::new(ErrorKind::PreconditionFailed, "the tag is another")), 0));
    }
    let expected = format!("bytes {}-{}/", range.start, range.end - 1);
    if !answer.content_range().is_some_and(|given| given.starts_with(&expected)) {
        return Err((
            Error::new(ErrorKind::Unavailable, "the server gave another range than was asked for"),
            0,
        ));
    }
    let wanted_bytes = range.end - range.start;
    let (mut got_bytes, mut kept_bytes) = (0, 0);
    let mut gathered = BytesMut::new();
    let broke = loop {
        match tokio::time::timeout(store.patience(), answer.body.next()).await {
            Ok(Some(Ok(bytes))) => {
                got_bytes += bytes.len() as u64;
                if bytes.len() >= LARGE_BYTES {
                    kept_bytes = got_bytes;
                    keep(&mut gathered, chunks);
                    chunks.push(bytes);
                    continue;
                }
                gathered.extend_from_slice(&bytes);
                if gathered.len() >= CHUNK_BYTES {
                    kept_bytes = got_bytes;
                    keep(&mut gathered, chunks);
                }
                continue;
            }
            Ok(None) if got_bytes == wanted_bytes => break None,
            Ok(None) => break Some("the body ended early".to_owned()),
            Ok(Some(Err(error))) => break Some(error.to_string()),
            Err(_) => break Some("the server fell silent within the body".to_owned()),
        }
    };
    let Some(reason) = broke else {
        keep(&mut gathered, chunks);
        return Ok(());
    };
    let error =
        Error::new(ErrorKind::Unavailable, "the connection broke within the body").with_retry(Retry::May);
    Err((error.with_source(std::io::Error::other(reason)), kept_bytes))
}

/// Hands on what was gathered, in chunks of a size that the boundary likes.
fn keep(gathered: &mut BytesMut, chunks: &mut Vec<Bytes>) {
    while !gathered.is_empty() {
        let size = gathered.len().min(2 * CHUNK_BYTES);
        chunks.push(gathered.split_to(size).freeze());
    }
}

/// The object is another one by now: its bytes must not be mixed with those that were given.
fn replaced(error: Error) -> Error {
    if ![ErrorKind::PreconditionFailed, ErrorKind::NotFound].contains(&error.kind()) {
        return error;
    }
    Error::new(ErrorKind::Conflict, "the object was replaced or deleted while it was read")
        .with_retry(Retry::May)
        .with_source(std::io::Error::other(error.to_string()))
}
