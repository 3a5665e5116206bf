//! The body of a save on its way to a backend: looked at, measured, digested, paid for.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use storage_core::{ByteStream, Result};

use super::digest::{self, Digester};
use super::lease::Lease;
use crate::catalog::{Digests, Sha256};

/// Bodies up to this size are taken into one buffer before they are sent on: their digest is known then, and a
/// failed attempt can be repeated. Small, since a thousand slow clients may each hold as much.
pub(crate) const BUFFERED_BYTES: usize = digest::SMALL_BYTES;

/// As much of a longer body as tells its type, however small the chunks are in which it comes.
const TELLING_BYTES: usize = 8 * 1024;

/// A body of which the beginning is known.
pub(crate) enum Upload {
    /// All of it, with its digests.
    Whole(Bytes, Digests),
    /// The beginning, and the rest behind it.
    Streaming {
        /// What was read to look at it.
        head: Bytes,
        /// What follows.
        rest: ByteStream,
    },
}

impl Upload {
    /// Reads as much of a body as tells what it is.
    pub(crate) async fn begin(mut body: ByteStream) -> Result<Self> {
        if let Some(bytes) = body.as_buffer() {
            return Ok(Self::Whole(bytes.clone(), digests(bytes.clone()).await));
        }
        let small = body.length_bytes().is_none_or(|length| length <= BUFFERED_BYTES as u64);
        let enough = if small { BUFFERED_BYTES + 1 } else { TELLING_BYTES };
        let mut head = BytesMut::new();
        while let Some(chunk) = body.next().await.transpose()? {
            if head.is_empty() && chunk.len() >= enough {
                return Ok(Self::Streaming { head: chunk, rest: body });
            }
            head.extend_from_slice(&chunk);
            if head.len() >= enough {
                return Ok(Self::Streaming { head: head.freeze(), rest: body });
            }
        }
        let whole = head.freeze();
        Ok(Self::Whole(whole.clone(), digests(whole).await))
    }

    /// The first bytes.
    pub(crate) fn head(&self) -> &[u8] {
        match self {
            Self::Whole(bytes, _) => bytes,
            Self::Streaming { head, .. } => head,
        }
    }

    /// The length, where it is known before all bytes are there.
    pub(crate) fn length_bytes(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes, _) => Some(bytes.len() as u64),
            Self::Streaming { rest, .. } => rest.length_bytes(),
        }
    }

    /// The digest, where it is known before all bytes are there.
    pub(crate) fn sha256(&self) -> Option<Sha256> {
        match self {
            Self::Whole(_, digests) => Some(digests.sha256),
            Self::Streaming { .. } => None,
        }
    }

    /// The body for the backend, and the tally that is complete when the body was read to its end.
    pub(crate) fn into_body(self, lease: Arc<Lease>) -> (ByteStream, Arc<Mutex<Tally>>) {
        match self {
            Self::Whole(bytes, digests) => {
                let tally = Tally { size_bytes: bytes.len() as u64, digest: DigestState::Done(digests) };
                (ByteStream::from_bytes(bytes), Arc::new(Mutex::new(tally)))
            }
            Self::Streaming { head, rest } => {
                let tally = Arc::new(Mutex::new(Tally::default()));
                let length = rest.length_bytes();
                let source = stream::once(std::future::ready(Ok(head))).chain(rest).boxed();
                let meter = Meter { source, tally: tally.clone(), lease };
                let metered =
                    stream::unfold(meter, |mut meter| async move { Some((meter.next().await?, meter)) });
                (ByteStream::from_stream(metered, length), tally)
            }
        }
    }
}

/// The digests of a buffer; a large one does not hold up its thread's other tasks.
async fn digests(bytes: Bytes) -> Digests {
    const INLINE_BYTES: usize = 1024 * 1024;
    if bytes.len() > INLINE_BYTES {
        let large = bytes.clone();
        if let Ok(digests) = tokio::task::spawn_blocking(move || digest::of_buffer(&large)).await {
            return digests;
        }
    }
    digest::of_buffer(&bytes)
}

/// What has passed of a body.
#[derive(Default)]
pub(crate) struct Tally {
    size_bytes: u64,
    digest: DigestState,
}

enum DigestState {
    Running(Digester),
    Done(Digests),
}

impl Default for DigestState {
    fn default() -> Self {
        Self::Running(Digester::large())
    }
}

impl Tally {
    fn add(&mut self, chunk: &[u8]) {
        self.size_bytes += chunk.len() as u64;
        if let DigestState::Running(digester) = &mut self.digest {
            digester.update(chunk);
        }
    }

    /// The length and the digests of all that passed.
    pub(crate) fn result(&self) -> (u64, Digests) {
        let digests = match &self.digest {
            DigestState::Running(digester) => digester.digests(),
            DigestState::Done(digests) => *digests,
        };
        (self.size_bytes, digests)
    }
}

/// Counts and digests chunks, and reserves room for them.
struct Meter {
    source: stream::BoxStream<'static, Result<Bytes>>,
    tally: Arc<Mutex<Tally>>,
    lease: Arc<Lease>,
}

impl Meter {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        let chunk = match self.source.next().await? {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(error)),
        };
        let size_bytes = {
            let mut tally = self.tally.lock();
            tally.add(&chunk);
            tally.size_bytes
        };
        if let Err(error) = self.lease.cover(size_bytes).await {
            return Some(Err(error));
        }
        Some(Ok(chunk))
    }
}
