//! [`Pieces`]: cuts the bytes of a save into parts, and computes digests on the way.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use storage_core::{ByteStream, Checksums, Error, ErrorKind, Result};

use crate::config::{Config, MAX_PART_BYTES, MAX_PARTS};
use crate::digest::Digests;

/// The largest object that S3 keeps, 48.8 TiB: the most parts of the largest size.
pub(crate) const MAX_OBJECT_BYTES: u64 = MAX_PARTS as u64 * MAX_PART_BYTES;

/// After so many parts of one size, an upload of unknown length goes on with parts twice as large.
const PARTS_OF_ONE_SIZE: u32 = 1000;

/// The size of the part with this number (from 1), of a content of this length.
pub(crate) fn part_bytes(config: &Config, length_bytes: Option<u64>, number: u32) -> u64 {
    let wanted = match length_bytes {
        // Rounded up to a MiB, which divides the length evenly enough.
        Some(length) => {
            length.div_ceil(u64::from(MAX_PARTS)).next_multiple_of(1 << 20).max(config.part_bytes)
        }
        None => config.part_bytes << ((number - 1) / PARTS_OF_ONE_SIZE).min(10),
    };
    wanted.min(MAX_PART_BYTES)
}

/// The bytes of a save, cut.
pub(crate) struct Pieces {
    body: ByteStream,
    /// What was pulled and not yet given.
    rest: Bytes,
    digests: Digests,
    total_bytes: u64,
}

impl Pieces {
    /// The bytes of this body, whose digests must be these.
    pub(crate) fn new(body: ByteStream, expected: Checksums) -> Self {
        Self { body, rest: Bytes::new(), digests: Digests::expecting(expected), total_bytes: 0 }
    }

    /// The next piece, of this length but for the last, and whether it is the last. A body without bytes is one
    /// piece without bytes.
    ///
    /// # Errors
    ///
    /// What the body gives; `TooLarge`.
    pub(crate) async fn next(&mut self, length_bytes: u64) -> Result<(Bytes, bool)> {
        let wanted = usize::try_from(length_bytes).unwrap_or(usize::MAX);
        let mut piece = Vec::new();
        let mut have = 0;
        while have < wanted {
            if self.rest.is_empty() && !self.pull().await? {
                break;
            }
            let chunk = self.rest.split_to(self.rest.len().min(wanted - have));
            have += chunk.len();
            piece.push(chunk);
        }
        // One chunk more tells whether this was the last piece; an error beyond the end is an error all the same.
        let is_last = self.rest.is_empty() && !self.pull().await?;
        self.total_bytes += have as u64;
        if self.total_bytes > MAX_OBJECT_BYTES {
            return Err(too_large());
        }
        for chunk in &piece {
            self.digests.update(chunk);
        }
        Ok((join(piece, have), is_last))
    }

    /// How many bytes were given.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The digests of all bytes, after the last piece.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`.
    pub(crate) fn verify(self) -> Result<Checksums> {
        self.digests.verify()
    }

    /// Pulls a chunk. False at the end.
    async fn pull(&mut self) -> Result<bool> {
        match self.body.next().await.transpose()? {
            Some(chunk) => {
                self.rest = chunk;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// One buffer of some chunks; a single one is not copied.
fn join(mut chunks: Vec<Bytes>, length: usize) -> Bytes {
    if chunks.len() == 1 {
        return chunks.swap_remove(0);
    }
    let mut whole = BytesMut::with_capacity(length);
    chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
    whole.freeze()
}

/// More than S3 keeps.
pub(crate) fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "the content is larger than the 48.8 TiB that an object may have")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use storage_core::{ConfigValues, OpenRequest};

    use super::*;

    fn config() -> Config {
        let mut config = ConfigValues::new();
        config.set("bucket_name", "b", "test");
        Config::read(&OpenRequest { config, ..OpenRequest::default() }).expect("sound")
    }

    #[test]
    fn no_length_needs_too_many_parts() {
        let config = config();
        for length in [1, 80 << 30, 100 << 30, MAX_OBJECT_BYTES] {
            let part = part_bytes(&config, Some(length), 1);
            assert!(length.div_ceil(part) <= u64::from(MAX_PARTS), "{length}");
            assert!((config.part_bytes..=MAX_PART_BYTES).contains(&part));
        }
        let all: u64 = (1..=MAX_PARTS).map(|number| part_bytes(&config, None, number)).sum();
        assert!(all >= 7 << 40, "an unknown length may be great");
    }

    #[tokio::test]
    async fn pieces_are_cut_to_size_and_the_last_is_told() {
        let chunks = ["abc", "", "defg", "h"].map(|text| Ok(Bytes::from_static(text.as_bytes())));
        let mut pieces =
            Pieces::new(ByteStream::from_stream(stream::iter(chunks), None), Checksums::default());
        for (expected, last) in [("abcd", false), ("efgh", true)] {
            assert_eq!(pieces.next(4).await.expect("a piece"), (Bytes::from(expected), last));
        }
        assert_eq!(pieces.total_bytes(), 8);
        assert_eq!(pieces.verify().expect("no digest").crc64nvme, Some(crate::digest::crc64(b"abcdefgh")));
        let mut empty = Pieces::new(ByteStream::empty(), Checksums::default());
        assert_eq!(empty.next(4).await.expect("a piece"), (Bytes::new(), true));
    }

    #[tokio::test]
    async fn a_body_that_is_one_buffer_is_not_copied() {
        let buffer = Bytes::from(vec![7; 1000]);
        let mut pieces = Pieces::new(ByteStream::from_bytes(buffer.clone()), Checksums::default());
        let (piece, is_last) = pieces.next(1000).await.expect("a piece");
        assert!(is_last && piece.as_ptr() == buffer.as_ptr());
    }
}
