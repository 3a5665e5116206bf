//! The bytes of an object on their way: the first answer as it comes, the rest in ranges fetched ahead, in order.
//!
//! All of them are asked for with the tag of the first answer, so that they are of one content. A range whose
//! connection breaks is gone on with from where it broke.

use std::collections::VecDeque;
use std::ops::Range;

use azure_core::ResponseBody;
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use futures_util::{StreamExt as _, stream};
use md5::{Digest as _, Md5};
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, Checksums, Error, ErrorKind, Result, Retry};
use tokio::task::JoinHandle;

use crate::pace::MAX_HELD_BYTES;
use crate::retrieve::get;
use crate::store::Shared;
use crate::{error, retry};

/// A piece of so many bytes is handed on as it came; smaller ones are gathered, which costs a copy.
const LARGE_BYTES: usize = 64 * 1024;

/// Where the bytes come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) store: Shared,
    pub(crate) blob: String,
    pub(crate) version: Option<String>,
    /// The tag of the content, as headers have it.
    pub(crate) etag: String,
}

/// The bytes of a range, of which `first` is what `body` gives. Digests that are expected are compared at the end.
pub(crate) fn stream(
    source: Source,
    body: ResponseBody,
    first: Range<u64>,
    range: Range<u64>,
    expected: Checksums,
) -> ByteStream {
    let transfer = &source.store.config.transfer;
    let part_bytes = transfer.block_bytes;
    let most = (MAX_HELD_BYTES / part_bytes).clamp(1, transfer.concurrency as u64) as usize;
    let length_bytes = range.end - range.start;
    let reading = Reading {
        next: first.end,
        current: Part::new(source.clone(), Some(body), first),
        ready: VecDeque::new(),
        ahead: VecDeque::new(),
        ahead_limit: most.min(2),
        most,
        part_bytes,
        end: range.end,
        check: Check::new(expected),
        source,
    };
    let chunks = stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|chunk| (chunk, reading)))
    });
    ByteStream::from_stream(chunks, Some(length_bytes))
}

/// A body being read.
struct Reading {
    source: Source,
    /// What is streamed: the first answer.
    current: Part,
    /// What is left of a part that was fetched ahead.
    ready: VecDeque<Bytes>,
    ahead: VecDeque<Ahead>,
    ahead_limit: usize,
    most: usize,
    part_bytes: u64,
    /// Where the next part to fetch starts.
    next: u64,
    end: u64,
    check: Check,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.fetch_ahead();
        let chunk = match self.current.chunk().await? {
            Some(chunk) => Some(chunk),
            None => self.next_of_parts().await?,
        };
        match &chunk {
            Some(chunk) => self.check.update(chunk),
            None => self.check.compare()?,
        }
        Ok(chunk)
    }

    async fn next_of_parts(&mut self) -> Result<Option<Bytes>> {
        while self.ready.is_empty() {
            let Some(mut part) = self.ahead.pop_front() else {
                return Ok(None);
            };
            // A reader that waits is faster than the parts come; one that finds them ready needs fewer.
            self.ahead_limit = match part.0.is_finished() {
                true => (self.ahead_limit - 1).max(self.most.min(2)),
                false => (self.ahead_limit + 1).min(self.most),
            };
            self.fetch_ahead();
            self.ready = (&mut part.0).await.map_err(|error| {
                Error::new(ErrorKind::Internal, "the fetching of a part ended early").with_source(error)
            })??;
        }
        Ok(self.ready.pop_front())
    }

    fn fetch_ahead(&mut self) {
        while self.ahead.len() < self.ahead_limit && self.next < self.end {
            let range = self.next..self.end.min(self.next + self.part_bytes);
            self.next = range.end;
            let part = Part::new(self.source.clone(), None, range);
            self.ahead.push_back(Ahead(tokio::spawn(part.whole())));
        }
    }
}

/// A part that is fetched while others are read. Dropping it ends that.
struct Ahead(JoinHandle<Result<VecDeque<Bytes>>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A range that comes in one answer, or in several where the connection breaks.
struct Part {
    source: Source,
    body: Option<ResponseBody>,
    /// What is still to come.
    rest: Range<u64>,
    /// Attempts since the last byte came.
    tried: u32,
    held: BytesMut,
}

impl Part {
    fn new(source: Source, body: Option<ResponseBody>, rest: Range<u64>) -> Self {
        Self { source, body, rest, tried: 0, held: BytesMut::new() }
    }

    /// The next bytes as the connection gives them; nothing at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        while self.rest.start < self.rest.end {
            let error = match self.attempt().await {
                Ok(bytes) => {
                    self.rest.start += bytes.len() as u64;
                    self.tried = 0;
                    return Ok(Some(bytes));
                }
                Err(error) => error,
            };
            self.body = None;
            self.tried += 1;
            retry::pause(self.tried, error).await?;
        }
        Ok(None)
    }

    async fn attempt(&mut self) -> Result<Bytes> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let Source { store, blob, version, etag } = &self.source;
                let call = get(blob, version.as_deref(), &self.rest).header("if-match", etag);
                let reply = store.client.read(&call).await.map_err(replaced)?;
                self.body.insert(reply.body)
            }
        };
        match body.next().await {
            Some(Ok(bytes)) if bytes.len() as u64 > self.rest.end - self.rest.start => {
                Err(error::malformed("length"))
            }
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(error)) => Err(error::from_sdk(error)),
            None => Err(Error::new(ErrorKind::Unavailable, "the answer ended before all bytes came")
                .with_retry(Retry::May)),
        }
    }

    /// The next bytes in a chunk of about the usual size.
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while self.held.len() < CHUNK_BYTES {
            match self.piece().await? {
                Some(bytes) if bytes.len() >= LARGE_BYTES && self.held.is_empty() => return Ok(Some(bytes)),
                Some(bytes) => {
                    if self.held.is_empty() {
                        // What is gathered next, and no more: chunks that are fetched ahead are kept for a while.
                        let rest_bytes =
                            usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
                        self.held.reserve(bytes.len() + rest_bytes.min(CHUNK_BYTES + LARGE_BYTES));
                    }
                    self.held.extend_from_slice(&bytes);
                }
                None if self.held.is_empty() => return Ok(None),
                None => break,
            }
        }
        let size_bytes = (2 * CHUNK_BYTES).min(self.held.len());
        Ok(Some(self.held.split_to(size_bytes).freeze()))
    }

    async fn whole(mut self) -> Result<VecDeque<Bytes>> {
        let mut chunks = VecDeque::new();
        while let Some(chunk) = self.chunk().await? {
            chunks.push_back(chunk);
        }
        Ok(chunks)
    }
}

/// The content that is being read is not there any more.
fn replaced(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PreconditionFailed | ErrorKind::NotFound => Error::new(
            ErrorKind::Conflict,
            "the object was replaced or deleted while it was being read, and Azure keeps no version of it",
        )
        .with_source(error),
        _ => error,
    }
}

/// Compares the whole with the digest that is kept with it, if there is one.
enum Check {
    Crc64(Box<Crc>, u64),
    Md5(Box<Md5>, [u8; 16]),
    Nothing,
}

impl Check {
    fn new(expected: Checksums) -> Self {
        match (expected.crc64nvme, expected.md5) {
            (Some(crc), _) => Check::Crc64(Box::new(Crc::new(CrcAlgorithm::Crc64Nvme)), crc),
            (None, Some(md5)) => Check::Md5(Box::default(), md5),
            (None, None) => Check::Nothing,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Check::Crc64(crc, _) => crc.update(bytes),
            Check::Md5(md5, _) => md5.update(bytes),
            Check::Nothing => {}
        }
    }

    fn compare(&mut self) -> Result<()> {
        let same = match std::mem::replace(self, Check::Nothing) {
            Check::Crc64(crc, expected) => crc.finalize() == expected,
            Check::Md5(md5, expected) => <[u8; 16]>::from(md5.finalize()) == expected,
            Check::Nothing => true,
        };
        if same {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ChecksumMismatch,
            "the bytes do not match the digest that is kept with the object",
        )
        .with_retry(Retry::May))
    }
}
