//! [`ByteStream`]: the bytes of an object on their way, whole or in chunks.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use crate::error::{Error, ErrorKind, Result};

/// A good size for a chunk of a stream, in bytes.
///
/// The cost of a hop (between threads, over the plugin boundary) is paid per chunk, so that small
/// chunks are slow; large ones hold memory. Backends yield chunks of 64 KiB to 1 MiB.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// The bytes of an object: one buffer, or a stream of chunks.
///
/// A stream is pulled: nothing is read ahead of the consumer but what the producer chooses to buffer.
/// Where a length is declared, the stream enforces it: a source that ends early or goes on too long
/// yields a `LengthMismatch` error and then ends. After an error the stream is over. Dropping it
/// cancels the work behind it.
pub struct ByteStream {
    inner: Inner,
    length_bytes: Option<u64>,
}

enum Inner {
    Buffer(Bytes),
    Chunks { chunks: BoxStream<'static, Result<Bytes>>, seen_bytes: u64 },
    Done,
}

impl ByteStream {
    /// A stream without a byte.
    pub fn empty() -> Self {
        Self::from_bytes(Bytes::new())
    }

    /// One buffer, which is handed on without a copy.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { length_bytes: Some(bytes.len() as u64), inner: Inner::Buffer(bytes) }
    }

    /// A stream of chunks; `length_bytes` is the exact length of them all, where it is known.
    pub fn from_stream(
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
        length_bytes: Option<u64>,
    ) -> Self {
        Self { inner: Inner::Chunks { chunks: chunks.boxed(), seen_bytes: 0 }, length_bytes }
    }

    /// The declared length of the whole stream, in bytes.
    pub fn length_bytes(&self) -> Option<u64> {
        self.length_bytes
    }

    /// The buffer, where the stream is one and nothing was read of it yet. Such a stream can be replayed.
    pub fn as_buffer(&self) -> Option<&Bytes> {
        match &self.inner {
            Inner::Buffer(bytes) => Some(bytes),
            Inner::Chunks { .. } | Inner::Done => None,
        }
    }

    /// Reads the whole stream into one buffer. A stream that is one buffer is not copied.
    ///
    /// # Errors
    ///
    /// The first error of the stream; `TooLarge` as soon as more than `limit_bytes` arrive.
    pub async fn collect(mut self, limit_bytes: u64) -> Result<Bytes> {
        let too_large =
            || Error::new(ErrorKind::TooLarge, format!("the content is larger than {limit_bytes} bytes"));
        if self.length_bytes.is_some_and(|length| length > limit_bytes) {
            return Err(too_large());
        }
        let Some(first) = self.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        if first.len() as u64 > limit_bytes {
            return Err(too_large());
        }
        if self.length_bytes == Some(first.len() as u64) {
            // The end is polled all the same, since it may be an error.
            return match self.next().await.transpose()? {
                None => Ok(first),
                Some(_) => Err(too_large()),
            };
        }
        let mut whole = BytesMut::from(first);
        while let Some(chunk) = self.next().await.transpose()? {
            if (whole.len() + chunk.len()) as u64 > limit_bytes {
                return Err(too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let (chunks, seen_bytes) = match &mut this.inner {
            Inner::Chunks { chunks, seen_bytes } => (chunks, seen_bytes),
            Inner::Done => return Poll::Ready(None),
            Inner::Buffer(bytes) => {
                let bytes = std::mem::take(bytes);
                this.inner = Inner::Done;
                return Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)));
            }
        };
        loop {
            let item = match std::task::ready!(chunks.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(chunk)) => {
                    *seen_bytes += chunk.len() as u64;
                    match this.length_bytes {
                        Some(length) if *seen_bytes > length => Some(Err(length_mismatch(length, "more"))),
                        _ => Some(Ok(chunk)),
                    }
                }
                Some(Err(error)) => Some(Err(error)),
                None => match this.length_bytes {
                    Some(length) if *seen_bytes < length => {
                        let error =
                            length_mismatch(length, "less").with_context("received_bytes", *seen_bytes);
                        Some(Err(error))
                    }
                    _ => None,
                },
            };
            if !matches!(item, Some(Ok(_))) {
                this.inner = Inner::Done;
            }
            return Poll::Ready(item);
        }
    }
}

fn length_mismatch(length: u64, what: &str) -> Error {
    Error::new(
        ErrorKind::LengthMismatch,
        format!("the source gave {what} than the {length} bytes it declared"),
    )
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("length_bytes", &self.length_bytes)
            .field("buffered", &self.as_buffer().is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Into<Bytes>> From<T> for ByteStream {
    fn from(bytes: T) -> Self {
        Self::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn chunks(parts: &[&'static str], length: Option<u64>) -> ByteStream {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        ByteStream::from_stream(stream::iter(parts), length)
    }

    #[tokio::test]
    async fn a_declared_length_is_enforced_both_ways() {
        assert_eq!(chunks(&["ab", "", "c"], Some(3)).collect(9).await.expect("whole"), "abc");
        for parts in [&["ab"][..], &["ab", "cd"]] {
            let error = chunks(parts, Some(3)).collect(9).await.expect_err("wrong length");
            assert_eq!(error.kind(), ErrorKind::LengthMismatch);
        }
        let mut short = chunks(&["ab"], Some(3));
        assert!(short.next().await.expect("chunk").is_ok());
        assert!(short.next().await.expect("error").is_err());
        assert!(short.next().await.is_none(), "a stream is over after an error");
    }

    #[tokio::test]
    async fn collecting_one_buffer_copies_nothing_and_a_limit_holds() {
        let bytes = Bytes::from(vec![7; 100]);
        let whole = ByteStream::from_bytes(bytes.clone()).collect(100).await.expect("whole");
        assert_eq!(whole.as_ptr(), bytes.as_ptr());
        for stream in [ByteStream::from_bytes(bytes), chunks(&["ab", "cd"], None)] {
            assert_eq!(stream.collect(3).await.expect_err("large").kind(), ErrorKind::TooLarge);
        }
    }
}
