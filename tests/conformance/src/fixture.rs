//! Content to save, and bodies that give it: deterministic, of any size, and never held whole.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha2::Digest;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, Checksums, Error, Result};
use tokio::sync::Notify;

/// The largest chunk that a backend or a test gives, in bytes.
pub const MAX_CHUNK_BYTES: u64 = 1024 * 1024;

/// A prime, so that no multiple of a chunk's size is one of the period: a chunk that is lost, doubled or
/// out of its place is always seen.
const PERIOD: u64 = 2_097_143;

/// One period of noise, and a chunk more, so that a chunk may start anywhere in the period.
static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise: Vec<u8> = Vec::with_capacity((PERIOD + MAX_CHUNK_BYTES) as usize);
    while (noise.len() as u64) < PERIOD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(PERIOD as usize);
    noise.extend_from_within(..MAX_CHUNK_BYTES as usize);
    noise.into()
});

/// So many bytes of noise. Contents with different seeds differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    /// The length, in bytes.
    pub size_bytes: u64,
}

/// How a body gives its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// As one buffer.
    Buffer,
    /// In chunks of the usual size, with a declared length.
    Even,
    /// In chunks of awkward sizes, empty ones among them, with a declared length.
    Odd,
    /// In chunks of awkward sizes, without a declared length.
    Undeclared,
}

impl Chunking {
    /// Every way to give a body.
    pub const ALL: [Chunking; 4] = [Chunking::Buffer, Chunking::Even, Chunking::Odd, Chunking::Undeclared];

    /// The name, for the names of trials.
    pub fn name(self) -> &'static str {
        match self {
            Chunking::Buffer => "a_buffer",
            Chunking::Even => "even_chunks",
            Chunking::Odd => "odd_chunks",
            Chunking::Undeclared => "chunks_of_undeclared_length",
        }
    }
}

impl Content {
    /// The content with this seed and length.
    pub const fn new(seed: u64, size_bytes: u64) -> Self {
        Self { seed, size_bytes }
    }

    /// Some of its bytes, at most [`MAX_CHUNK_BYTES`]. Nothing is copied.
    pub fn slice(self, range: Range<u64>) -> Bytes {
        let start = ((self.seed.wrapping_mul(7_919) + range.start) % PERIOD) as usize;
        NOISE.slice(start..start + (range.end - range.start) as usize)
    }

    /// All its bytes in one buffer, which is a copy.
    pub fn bytes(self) -> Bytes {
        self.chunks(0..self.size_bytes, &[MAX_CHUNK_BYTES])
            .fold(Vec::new(), |mut all, chunk| {
                all.extend_from_slice(&chunk);
                all
            })
            .into()
    }

    /// Its bytes, as a body to save.
    pub fn body(self, chunking: Chunking) -> ByteStream {
        const ODD: &[u64] = &[1, 8_191, 0, 65_537, 524_287, 3, MAX_CHUNK_BYTES];
        let (sizes, length) = match chunking {
            Chunking::Buffer => return ByteStream::from_bytes(self.bytes()),
            Chunking::Even => (&[CHUNK_BYTES as u64][..], Some(self.size_bytes)),
            Chunking::Odd => (ODD, Some(self.size_bytes)),
            Chunking::Undeclared => (ODD, None),
        };
        ByteStream::from_stream(stream::iter(self.chunks(0..self.size_bytes, sizes).map(Ok)), length)
    }

    /// Some of its bytes, as a body to save.
    pub fn body_of(self, range: Range<u64>) -> ByteStream {
        let length = range.end - range.start;
        let chunks = self.chunks(range, &[CHUNK_BYTES as u64]).map(Ok);
        ByteStream::from_stream(stream::iter(chunks), Some(length))
    }

    /// The start of its bytes, followed by an error; the whole length is declared.
    pub fn body_that_fails(self, after_bytes: u64, error: Error) -> ByteStream {
        let start = stream::iter(self.chunks(0..after_bytes, &[65_537]).map(Ok));
        ByteStream::from_stream(start.chain(stream::once(async { Err(error) })), Some(self.size_bytes))
    }

    /// All its bytes, with another declared length.
    pub fn body_that_declares(self, length_bytes: u64) -> ByteStream {
        let chunks = self.chunks(0..self.size_bytes, &[65_537]).map(Ok);
        ByteStream::from_stream(stream::iter(chunks), Some(length_bytes))
    }

    /// The start of its bytes, after which nothing comes any more; the notice is given when all of the
    /// start was taken.
    pub fn body_that_stalls(self, after_bytes: u64) -> (ByteStream, Arc<Notify>) {
        let taken = Arc::new(Notify::new());
        let notice = Arc::clone(&taken);
        let stall: stream::BoxStream<'static, Result<Bytes>> = stream::once(async move {
            notice.notify_one();
            std::future::pending().await
        })
        .boxed();
        let start = stream::iter(self.chunks(0..after_bytes, &[65_537]).map(Ok));
        (ByteStream::from_stream(start.chain(stall), Some(self.size_bytes)), taken)
    }

    /// SHA-256 of the whole and nothing else.
    pub fn sha256(self) -> [u8; 32] {
        let mut digest = sha2::Sha256::new();
        self.chunks(0..self.size_bytes, &[MAX_CHUNK_BYTES]).for_each(|chunk| digest.update(&chunk));
        digest.finalize().into()
    }

    /// MD5 of the whole.
    pub fn md5(self) -> [u8; 16] {
        let mut digest = md5::Md5::new();
        self.chunks(0..self.size_bytes, &[MAX_CHUNK_BYTES]).for_each(|chunk| digest.update(&chunk));
        digest.finalize().into()
    }

    /// Both CRCs of the whole.
    pub fn crcs(self) -> (u32, u64) {
        let mut crc32c = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut crc64nvme = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        for chunk in self.chunks(0..self.size_bytes, &[MAX_CHUNK_BYTES]) {
            crc32c.update(&chunk);
            crc64nvme.update(&chunk);
        }
        (crc32c.finalize() as u32, crc64nvme.finalize())
    }

    /// Every digest of the whole.
    pub fn checksums(self) -> Checksums {
        let (crc32c, crc64nvme) = self.crcs();
        Checksums {
            sha256: Some(self.sha256()),
            md5: Some(self.md5()),
            crc32c: Some(crc32c),
            crc64nvme: Some(crc64nvme),
        }
    }

    /// A part of it in chunks of these sizes, over and over.
    fn chunks(
        self,
        range: Range<u64>,
        sizes: &'static [u64],
    ) -> impl Iterator<Item = Bytes> + Send + 'static {
        let mut at = range.start;
        sizes.iter().cycle().map_while(move |size| {
            let start = at;
            at = range.end.min(at + size);
            (start < range.end).then(|| self.slice(start..at))
        })
    }

    /// Reads a body to its end and says how it differs from this part of the content, if it does.
    ///
    /// # Errors
    ///
    /// The difference, in words, or the body's own error.
    pub async fn compare(self, range: Range<u64>, mut body: ByteStream) -> Result<(), String> {
        let mut at = range.start;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| format!("the body failed at byte {at}: {}", error.report()))?;
            let end = at + chunk.len() as u64;
            if chunk.len() as u64 > MAX_CHUNK_BYTES {
                return Err(format!("a chunk of {} bytes is larger than 1 MiB", chunk.len()));
            }
            if end > range.end {
                return Err(format!(
                    "the body goes on after the {} bytes that it has",
                    range.end - range.start
                ));
            }
            if self.slice(at..end) != chunk {
                return Err(format!("the bytes differ somewhere from {at} to {end}"));
            }
            at = end;
        }
        if at == range.end { Ok(()) } else { Err(format!("the body ended at {at} and not at {}", range.end)) }
    }
}
