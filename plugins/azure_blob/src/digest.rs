//! [`Digests`]: the CRC-64 of every content, and those digests that somebody asked for.
//!
//! Azure's CRC-64 is CRC-64/NVME: the service checks what it gets by it, and what it gives can be checked by it.

use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use storage_core::{Checksums, Result};

/// Computes digests while the content passes.
pub(crate) struct Digests {
    expected: Checksums,
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    crc32c: Option<Crc>,
    crc64: Crc,
}

impl Digests {
    /// Digests to compare with these.
    pub(crate) fn expecting(expected: Checksums) -> Self {
        Self {
            expected,
            sha256: expected.sha256.map(|_| Sha256::new()),
            md5: expected.md5.map(|_| Md5::new()),
            crc32c: expected.crc32c.map(|_| Crc::new(CrcAlgorithm::Crc32Iscsi)),
            crc64: Crc::new(CrcAlgorithm::Crc64Nvme),
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
        if let Some(crc32c) = &mut self.crc32c {
            crc32c.update(bytes);
        }
        self.crc64.update(bytes);
    }

    /// Compares with what was expected and gives the digests.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`.
    pub(crate) fn verify(self) -> Result<Checksums> {
        let actual = Checksums {
            sha256: self.sha256.map(|sha256| sha256.finalize().into()),
            md5: self.md5.map(|md5| md5.finalize().into()),
            // The CRC of 32 bits comes in the lower half.
            crc32c: self.crc32c.map(|crc| crc.finalize() as u32),
            crc64nvme: Some(self.crc64.finalize()),
        };
        self.expected.verify(&actual)?;
        Ok(actual)
    }
}

/// The CRC-64 of some bytes.
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// A CRC-64 in the form of Azure's headers: base64 of its bytes, lowest first.
pub(crate) fn crc64_header(crc: u64) -> String {
    azure_core::base64::encode(crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(verify(right).expect("right"), right);
        for wrong in [
            Checksums { sha256: Some([0; 32]), ..right },
            Checksums { md5: Some([0; 16]), ..right },
            Checksums { crc32c: Some(0), ..right },
            Checksums { crc64nvme: Some(0), ..right },
        ] {
            assert_eq!(verify(wrong).expect_err("wrong").kind(), storage_core::ErrorKind::ChecksumMismatch);
        }
    }

    #[test]
    fn headers_hold_the_lowest_byte_first() {
        // The check value of CRC-64/NVME, 0xae8b14860a799888.
        assert_eq!(crc64_header(crc64(b"123456789")), "iJh5CoYUi64=");
    }
}
