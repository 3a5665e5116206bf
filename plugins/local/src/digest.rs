//! [`Digests`]: those digests of a content that somebody asked for, and no others.

use std::io::Read;

use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use storage_core::{Checksums, Result};

use crate::error::io_fault;

/// Computes the digests that are expected while the content passes.
pub(crate) struct Digests {
    expected: Checksums,
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    crc32c: Option<Crc>,
    crc64nvme: Option<Crc>,
}

impl Digests {
    /// Digests to compare with these.
    pub(crate) fn expecting(expected: Checksums) -> Self {
        Self {
            expected,
            sha256: expected.sha256.map(|_| Sha256::new()),
            md5: expected.md5.map(|_| Md5::new()),
            crc32c: expected.crc32c.map(|_| Crc::new(CrcAlgorithm::Crc32Iscsi)),
            crc64nvme: expected.crc64nvme.map(|_| Crc::new(CrcAlgorithm::Crc64Nvme)),
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
        for crc in [&mut self.crc32c, &mut self.crc64nvme].into_iter().flatten() {
            crc.update(bytes);
        }
    }

    /// Takes all the bytes that are left in a file, if any digest is expected.
    ///
    /// # Errors
    ///
    /// What reading gives.
    pub(crate) fn update_from(&mut self, mut file: impl Read) -> Result<()> {
        if self.expected.is_empty() {
            return Ok(());
        }
        let mut buffer = vec![0; storage_core::stream::CHUNK_BYTES];
        loop {
            match file.read(&mut buffer).map_err(io_fault("read the content back"))? {
                0 => return Ok(()),
                length => self.update(&buffer[..length]),
            }
        }
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
            crc64nvme: self.crc64nvme.map(|crc| crc.finalize()),
        };
        self.expected.verify(&actual)?;
        Ok(actual)
    }
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
            digests.update_from(&b"56789"[..]).expect("bytes");
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
        assert_eq!(verify(Checksums::default()).expect("nothing asked"), Checksums::default());
    }
}
