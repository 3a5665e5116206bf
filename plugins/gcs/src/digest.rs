//! [`Digests`]: the digests of a content as it passes. The CRC-32C, which Google checks, is always among them.

use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use storage_core::{Checksums, Result};

/// Computes CRC-32C, and what is expected besides.
pub(crate) struct Digests {
    expected: Checksums,
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    crc32c: Crc32c,
    crc64nvme: Option<Crc>,
    size_bytes: u64,
}

/// What passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    /// Its length, in bytes.
    pub(crate) size_bytes: u64,
    /// Its CRC-32C.
    pub(crate) crc32c: u32,
    /// All digests that were computed.
    pub(crate) checksums: Checksums,
}

impl Digests {
    /// Digests to compare with these.
    pub(crate) fn expecting(expected: Checksums) -> Self {
        Self {
            expected,
            sha256: expected.sha256.map(|_| Sha256::new()),
            md5: expected.md5.map(|_| Md5::new()),
            crc32c: Crc32c::new(),
            crc64nvme: expected.crc64nvme.map(|_| Crc::new(CrcAlgorithm::Crc64Nvme)),
            size_bytes: 0,
        }
    }

    /// Takes the next bytes of the content.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.crc32c.update(bytes);
        if let Some(crc) = &mut self.crc64nvme {
            crc.update(bytes);
        }
        self.size_bytes += bytes.len() as u64;
    }

    /// Compares with what was expected and gives what passed.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`.
    pub(crate) fn verify(self) -> Result<Passed> {
        let crc32c = self.crc32c.finish();
        let checksums = Checksums {
            sha256: self.sha256.map(|sha256| sha256.finalize().into()),
            md5: self.md5.map(|md5| md5.finalize().into()),
            crc32c: Some(crc32c),
            crc64nvme: self.crc64nvme.map(|crc| crc.finalize()),
        };
        self.expected.verify(&checksums)?;
        Ok(Passed { size_bytes: self.size_bytes, crc32c, checksums })
    }
}

/// The CRC-32C of a content that passes in chunks. To join those of many small chunks would take longer.
pub(crate) struct Crc32c(Crc);

impl Crc32c {
    /// That of nothing.
    pub(crate) fn new() -> Self {
        Self(Crc::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Takes the next bytes of the content.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// That of all bytes so far.
    pub(crate) fn finish(&self) -> u32 {
        // The CRC of 32 bits comes in the lower half.
        self.0.finalize() as u32
    }
}

/// The CRC-32C of two contents, one after the other.
pub(crate) fn join(first: u32, second: u32, second_bytes: u64) -> u32 {
    crc_fast::checksum_combine(CrcAlgorithm::Crc32Iscsi, first.into(), second.into(), second_bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc32c(bytes: &[u8]) -> u32 {
        let mut crc32c = Crc32c::new();
        crc32c.update(bytes);
        crc32c.finish()
    }

    #[test]
    fn known_digests_verify_and_each_wrong_one_is_told() {
        // The check values of the algorithms for this text.
        let right = Checksums {
            sha256: Some(Sha256::digest(b"123456789").into()),
            md5: Some(Md5::digest(b"123456789").into()),
            crc32c: Some(0xE306_9283),
            crc64nvme: Some(0xAE8B_1486_0A79_9888),
        };
        let verify = |expected| {
            let mut digests = Digests::expecting(expected);
            digests.update(b"1234");
            digests.update(b"56789");
            digests.verify()
        };
        assert_eq!(verify(right).expect("right").checksums, right);
        for wrong in [
            Checksums { sha256: Some([0; 32]), ..right },
            Checksums { md5: Some([0; 16]), ..right },
            Checksums { crc32c: Some(0), ..right },
            Checksums { crc64nvme: Some(0), ..right },
        ] {
            assert_eq!(verify(wrong).expect_err("wrong").kind(), storage_core::ErrorKind::ChecksumMismatch);
        }
        assert_eq!(verify(Checksums::default()).expect("nothing asked").crc32c, 0xE306_9283);
    }

    #[test]
    fn the_crc_of_a_whole_is_joined_from_those_of_its_parts() {
        assert_eq!(join(crc32c(b"1234"), crc32c(b"56789"), 5), 0xE306_9283);
        assert_eq!(join(crc32c(b""), crc32c(b"123456789"), 9), 0xE306_9283);
        assert_eq!(join(crc32c(b"123456789"), crc32c(b""), 0), 0xE306_9283);
    }
}
