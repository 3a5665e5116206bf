//! The bytes of one generation: in one request where they are few, in parallel ranged requests where they are many.
//!
//! Each request names the generation, so that all bytes are of one content whatever is written meanwhile. A request
//! that breaks goes on from where it broke. A whole content is compared with its CRC-32C.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{Response, StatusCode};
use storage_core::{ByteStream, Error, ErrorKind, Result, Retry};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::digest::join;
use crate::error::{Failure, bad_answer, from_transport};
use crate::open::Store;
use crate::resource::Object;
use crate::retry::pause;

/// What one request gives of a large content, in bytes.
const PART_BYTES: u64 = 8 << 20;

/// Contents of this length and more are read in parallel.
const PARALLEL_FROM_BYTES: u64 = 3 * PART_BYTES;

/// The parts that are read at once to begin with.
const FIRST_PARALLEL: usize = 2;

/// The size of the pieces in which a slow connection gives its bytes.
const SMALLEST_PIECE_BYTES: u64 = 16 << 10;

/// The largest chunk that is handed on, in bytes.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// What is read of an object.
#[derive(Clone, Debug)]
struct Pinned {
    client: Client,
    name: String,
    generation: u64,
}

/// Opens a range, which is not empty, of a content. Answers when its first byte may be read.
///
/// # Errors
///
/// See [`crate::error`]; `NotFound` where this generation is gone.
pub(crate) async fn open(store: &Store, object: &Object, range: Range<u64>) -> Result<ByteStream, Failure> {
    let pinned =
        Pinned { client: store.client.clone(), name: object.name.clone(), generation: object.generation()? };
    let length_bytes = range.end - range.start;
    let is_large = length_bytes >= PARALLEL_FROM_BYTES;
    let first = if is_large { range.start..range.start + PART_BYTES } else { range.clone() };
    let answer = pinned.request(first.clone()).await?;
    let bytes = if is_large {
        let most = (store.config.transfer_memory_bytes / PART_BYTES).max(2) as usize;
        parallel(pinned, first, answer, range.end, most)
    } else {
        resumed(pinned, first, Some(answer))
    };
    let expected =
        object.checksums().crc32c.filter(|_| length_bytes == object.size_bytes().unwrap_or_default());
    let bytes = bytes.map_ok(|chunk| stream::iter(pieces(chunk).map(Ok))).try_flatten();
    let checked = match expected {
        Some(expected) => verified(bytes.boxed(), expected),
        None => bytes.boxed(),
    };
    Ok(ByteStream::from_stream(checked, Some(length_bytes)))
}

impl Pinned {
    async fn request(&self, range: Range<u64>) -> Result<Response, Failure> {
        let answer = self.client.open(&self.name, self.generation, range.clone()).await?;
        let is_whole = answer.status() == StatusCode::OK && range.start == 0;
        if answer.status() == StatusCode::PARTIAL_CONTENT || is_whole {
            return Ok(answer);
        }
        Err(bad_answer("a range that was not asked for").into())
    }
}

/// Cuts what is larger than a chunk may be.
fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || (!bytes.is_empty()).then(|| bytes.split_to(bytes.len().min(MAX_CHUNK_BYTES))))
}

/// A range that is being read, by as many requests as it takes.
struct Resumed {
    pinned: Pinned,
    rest: Range<u64>,
    body: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    failed: u32,
}

fn resumed(pinned: Pinned, range: Range<u64>, answer: Option<Response>) -> BoxStream<'static, Result<Bytes>> {
    let body = answer.map(|answer| answer.bytes_stream().boxed());
    stream::try_unfold(Resumed { pinned, rest: range, body, failed: 0 }, Resumed::next).boxed()
}

impl Resumed {
    /// The next bytes; a request that breaks is followed by one for the rest.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        while !self.rest.is_empty() {
            let error = match self.step().await {
                Ok(chunk) => {
                    self.rest.start += chunk.len() as u64;
                    self.failed = 0;
                    return Ok(Some((chunk, self)));
                }
                Err(error) => error,
            };
            self.body = None;
            self.failed += 1;
            let Some(pause) = pause(error.retry(), self.failed) else { return Err(error) };
            tracing::debug!(%error, ?pause, at = self.rest.start, "a read goes on from where it broke");
            tokio::time::sleep(pause).await;
        }
        Ok(None)
    }

    async fn step(&mut self) -> Result<Bytes> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let answer = self.pinned.request(self.rest.clone()).await.map_err(midway)?;
                self.body.insert(answer.bytes_stream().boxed())
            }
        };
        match body.next().await {
            Some(Ok(chunk)) if chunk.len() as u64 <= self.rest.end - self.rest.start => Ok(chunk),
            Some(Ok(_)) => Err(bad_answer("more bytes than were asked for")),
            Some(Err(error)) => Err(from_transport(error)),
            None => {
                let error = Error::new(ErrorKind::Unavailable, "the service ended its answer too early");
                Err(error.with_retry(Retry::May))
            }
        }
    }
}

/// What a failure after the first byte means: what was being read is gone, which is no missing object.
fn midway(failure: Failure) -> Error {
    if failure.is_missing() {
        return Error::new(ErrorKind::Conflict, "the object was replaced or deleted while it was being read")
            .with_retry(Retry::May)
            .with_source(failure.error);
    }
    failure.error
}

/// A part that is being read ahead.
struct Ahead {
    chunks: mpsc::Receiver<Result<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ahead {
    fn begin(pinned: &Pinned, range: Range<u64>, answer: Option<Response>) -> Self {
        // Room for a part, in the pieces in which it comes: usually far fewer than there are places.
        let (sender, chunks) = mpsc::channel((PART_BYTES / SMALLEST_PIECE_BYTES) as usize);
        let mut bytes = resumed(pinned.clone(), range, answer);
        let task = tokio::spawn(async move {
            while let Some(item) = bytes.next().await {
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        });
        Self { chunks, task }
    }
}

/// A long range, of which some parts are read ahead: more of them each time the reader had to wait.
struct Parallel {
    pinned: Pinned,
    ahead: VecDeque<Ahead>,
    next: u64,
    end: u64,
    limit: usize,
    most: usize,
}

fn parallel(
    pinned: Pinned,
    first: Range<u64>,
    answer: Response,
    end: u64,
    most: usize,
) -> BoxStream<'static, Result<Bytes>> {
    let ahead = VecDeque::from([Ahead::begin(&pinned, first.clone(), Some(answer))]);
    let state = Parallel { pinned, ahead, next: first.end, end, limit: FIRST_PARALLEL, most };
    stream::try_unfold(state, Parallel::next).boxed()
}

impl Parallel {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            while self.ahead.len() < self.limit && self.next < self.end {
                let range = self.next..(self.next + PART_BYTES).min(self.end);
                self.next = range.end;
                self.ahead.push_back(Ahead::begin(&self.pinned, range, None));
            }
            let Some(front) = self.ahead.front_mut() else { return Ok(None) };
            let item = match front.chunks.try_recv() {
                Ok(item) => Some(item),
                Err(_) => {
                    self.limit = (self.limit + 1).min(self.most);
                    front.chunks.recv().await
                }
            };
            match item {
                Some(chunk) => return Ok(Some((chunk?, self))),
                None => drop(self.ahead.pop_front()),
            }
        }
    }
}

/// The same bytes, and an error at their end where they have another CRC-32C.
fn verified(bytes: BoxStream<'static, Result<Bytes>>, expected: u32) -> BoxStream<'static, Result<Bytes>> {
    stream::try_unfold((bytes, 0), move |(bytes, crc32c)| compared(bytes, crc32c, expected)).boxed()
}

async fn compared(
    mut bytes: BoxStream<'static, Result<Bytes>>,
    crc32c: u32,
    expected: u32,
) -> Result<Option<(Bytes, (BoxStream<'static, Result<Bytes>>, u32))>> {
    if let Some(chunk) = bytes.try_next().await? {
        let crc32c = join(crc32c, crate::digest::crc32c(&chunk), chunk.len() as u64);
        return Ok(Some((chunk, (bytes, crc32c))));
    }
    if crc32c == expected {
        return Ok(None);
    }
    Err(Error::new(ErrorKind::ChecksumMismatch, "the bytes that came are not those that are stored")
        .with_retry(Retry::May)
        .with_context("algorithm", "crc32c"))
}
