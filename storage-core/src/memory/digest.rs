//! Receiving a body: its bytes in one buffer, and every digest that the contract knows.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use futures_util::StreamExt;
use sha2::Digest;

use crate::error::{Error, ErrorKind, Result};
use crate::object::{Checksums, ETag};
use crate::stream::ByteStream;

/// The bytes of an object or a part, with their digests.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) checksums: Checksums,
    pub(super) etag: ETag,
}

impl Content {
    /// Reads a body to its end. One that comes as one buffer is kept without a copy.
    pub(super) async fn receive(mut body: ByteStream, limit_bytes: Option<u64>) -> Result<Self> {
        let limit_bytes = limit_bytes.unwrap_or(u64::MAX);
        let too_large = || {
            Error::new(ErrorKind::TooLarge, format!("the content is larger than {limit_bytes} bytes"))
                .with_context("limit_bytes", limit_bytes)
        };
        if body.length_bytes().is_some_and(|length| length > limit_bytes) {
            return Err(too_large());
        }
        let mut chunks = Vec::new();
        let mut size_bytes = 0;
        while let Some(chunk) = body.next().await.transpose()? {
            size_bytes += chunk.len() as u64;
            if size_bytes > limit_bytes {
                return Err(too_large());
            }
            chunks.push(chunk);
        }
        Ok(Self::join(&chunks))
    }

    /// Puts pieces together. A single one is not copied.
    pub(super) fn join(pieces: &[Bytes]) -> Self {
        let mut sha256 = sha2::Sha256::new();
        let mut md5 = md5::Md5::new();
        let mut crc32c = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
        let mut crc64nvme = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
        for piece in pieces {
            sha256.update(piece);
            md5.update(piece);
            crc32c.update(piece);
            crc64nvme.update(piece);
        }
        let bytes = match pieces {
            [one] => one.clone(),
            several => several.concat().into(),
        };
        let sha256: [u8; 32] = sha256.finalize().into();
        Self {
            bytes,
            etag: ETag::new(hex::encode(&sha256[..16])),
            checksums: Checksums {
                sha256: Some(sha256),
                md5: Some(md5.finalize().into()),
                // The library answers every CRC in 64 bits; of this one only 32 are set.
                crc32c: Some(crc32c.finalize() as u32),
                crc64nvme: Some(crc64nvme.finalize()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the CRC catalogue and of the standards, for the nine digits.
    #[test]
    fn digests_are_those_of_the_standards() {
        let content = Content::join(&[Bytes::from_static(b"12345"), Bytes::from_static(b"6789")]);
        let sums = content.checksums;
        assert_eq!(content.bytes, "123456789");
        assert_eq!(sums.crc32c, Some(0xe306_9283));
        assert_eq!(sums.crc64nvme, Some(0xae8b_1486_0a79_9888));
        assert_eq!(sums.md5.map(hex::encode).as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
        let sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
        assert_eq!(sums.sha256.map(hex::encode).as_deref(), Some(sha256));
    }
}
