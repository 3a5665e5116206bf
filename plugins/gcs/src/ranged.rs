//! The bytes of one generation: in one request where they are few, in parallel ranged requests where they are many.
//!
//! The first request may be sent before the generation is known ([`Window`]); its answer names it. Each further one
//! asks for that generation, so that all bytes are of one content whatever is written meanwhile. A request that breaks
//! goes on from where it broke. A whole content is compared with its CRC-32C.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{Response, StatusCode};
use storage_core::{ByteRange, ByteStream, Error, ErrorKind, Result, Retry};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::{Client, range_header};
use crate::digest::Crc32c;
use crate::error::{Failure, bad_answer};
use crate::open::Store;
use crate::resource::Object;
use crate::retry::pause;
use crate::save::MAX_OBJECT_BYTES;

/// What one request gives of a large content, in bytes.
const PART_BYTES: u64 = 8 << 20;

/// The parts that are read at once to begin with.
const FIRST_PARALLEL: usize = 2;

/// The size of the pieces in which a slow connection gives its bytes.
const SMALLEST_PIECE_BYTES: u64 = 16 << 10;

/// The largest chunk that is handed on, in bytes.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// The header by which an answer with bytes tells of which generation they are.
const GENERATION: &str = "x-goog-generation";

/// The first bytes of a range, as they can be asked for before the object's size is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The header of the request.
    range: String,
    starts_at_zero: bool,
}

impl Window {
    /// The window of a range, or of the whole; none for a range that must be seen beside the size first.
    pub(crate) fn of(range: Option<ByteRange>) -> Option<Self> {
        let (start, end) = match range {
            None => (0, PART_BYTES),
            Some(ByteRange::From(start)) if start < MAX_OBJECT_BYTES => (start, start + PART_BYTES),
            Some(ByteRange::Bounded(start, end)) if start < end && start < MAX_OBJECT_BYTES => {
                (start, end.min(start + PART_BYTES))
            }
            Some(ByteRange::Suffix(length)) if (1..=PART_BYTES).contains(&length) => {
                return Some(Self { range: format!("bytes=-{length}"), starts_at_zero: false });
            }
            Some(_) => return None,
        };
        Some(Self { range: range_header(&(start..end)), starts_at_zero: start == 0 })
    }
}

/// Asks for the bytes of a window. No answer is given where the service did not keep to it.
///
/// # Errors
///
/// See [`crate::error`].
pub(crate) async fn begin(
    store: &Store,
    name: &str,
    generation: Option<u64>,
    window: Window,
) -> Result<Option<Response>, Failure> {
    let answer = store.client.download(name, generation, &window.range).await?;
    Ok(Some(answer).filter(|answer| is_as_asked(answer, window.starts_at_zero)))
}

/// Whether an answer's bytes are of this very content.
pub(crate) fn is_of(answer: &Response, object: &Object) -> bool {
    let told = answer.headers().get(GENERATION).and_then(|value| value.to_str().ok()?.parse().ok());
    told.is_some() && told == object.generation().ok()
}

fn is_as_asked(answer: &Response, starts_at_zero: bool) -> bool {
    // A service that ignores ranges gives the whole from its beginning.
    let is_whole = answer.status() == StatusCode::OK && starts_at_zero;
    answer.status() == StatusCode::PARTIAL_CONTENT || is_whole
}

/// What is read of an object.
#[derive(Clone, Debug)]
struct Pinned {
    client: Client,
    name: String,
    generation: u64,
}

/// Opens a range, which is not empty, of a content, whose [`Window`] may have been answered already. Answers when its
/// first byte may be read.
///
/// # Errors
///
/// See [`crate::error`]; `NotFound` where this generation is gone.
pub(crate) async fn open(
    store: &Store,
    object: &Object,
    range: Range<u64>,
    begun: Option<Response>,
) -> Result<ByteStream, Failure> {
    let pinned =
        Pinned { client: store.client.clone(), name: object.name.clone(), generation: object.generation()? };
    let length_bytes = range.end - range.start;
    let first = range.start..range.end.min(range.start + PART_BYTES);
    let answer = match begun {
        Some(answer) => answer,
        None => pinned.request(first.clone()).await?,
    };
    let bytes = if first.end < range.end {
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
        if is_as_asked(&answer, range.start == 0) {
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
    body: Option<BoxStream<'static, Result<Bytes>>>,
    failed: u32,
}

fn resumed(pinned: Pinned, range: Range<u64>, answer: Option<Response>) -> BoxStream<'static, Result<Bytes>> {
    let body = answer.map(|answer| pinned.client.chunks(answer));
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
                self.body.insert(self.pinned.client.chunks(answer))
            }
        };
        match body.next().await {
            Some(Ok(chunk)) if chunk.len() as u64 <= self.rest.end - self.rest.start => Ok(chunk),
            Some(Ok(_)) => Err(bad_answer("more bytes than were asked for")),
            Some(Err(error)) => Err(error),
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
    let begun = (bytes, Crc32c::new());
    stream::try_unfold(begun, move |(bytes, crc32c)| compared(bytes, crc32c, expected)).boxed()
}

async fn compared(
    mut bytes: BoxStream<'static, Result<Bytes>>,
    mut crc32c: Crc32c,
    expected: u32,
) -> Result<Option<(Bytes, (BoxStream<'static, Result<Bytes>>, Crc32c))>> {
    if let Some(chunk) = bytes.try_next().await? {
        crc32c.update(&chunk);
        return Ok(Some((chunk, (bytes, crc32c))));
    }
    if crc32c.finish() == expected {
        return Ok(None);
    }
    Err(Error::new(ErrorKind::ChecksumMismatch, "the bytes that came are not those that are stored")
        .with_retry(Retry::May)
        .with_context("algorithm", "crc32c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_the_beginning_of_its_range() {
        let asked = |range| Window::of(range).map(|window| (window.range, window.starts_at_zero));
        let told = |text: &str, starts_at_zero| Some((text.to_owned(), starts_at_zero));
        assert_eq!(asked(None), told("bytes=0-8388607", true));
        assert_eq!(asked(Some(ByteRange::From(5))), told("bytes=5-8388612", false));
        assert_eq!(asked(Some(ByteRange::Bounded(0, 1))), told("bytes=0-0", true));
        assert_eq!(asked(Some(ByteRange::Bounded(1, u64::MAX))), told("bytes=1-8388608", false));
        assert_eq!(asked(Some(ByteRange::Suffix(7))), told("bytes=-7", false));
        for unseen in [
            ByteRange::From(u64::MAX),
            ByteRange::Bounded(3, 3),
            ByteRange::Bounded(4, 3),
            ByteRange::Suffix(0),
            // What its first bytes are depends on the size.
            ByteRange::Suffix(PART_BYTES + 1),
        ] {
            assert_eq!(asked(Some(unseen)), None, "{unseen}");
        }
    }
}
