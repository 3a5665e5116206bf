//! Digests: those that somebody expects, those that S3 keeps, and the forms in which it tells them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use storage_core::{Checksums, Result};

/// Computes the expected digests, and always the CRC-64/NVME, which S3 keeps, while the content passes.
pub(crate) struct Digests {
    expected: Checksums,
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    crc32c: Option<Crc>,
    crc64nvme: Crc,
}

impl Digests {
    /// Digests to compare with these.
    pub(crate) fn expecting(expected: Checksums) -> Self {
        Self {
            expected,
            sha256: expected.sha256.map(|_| Sha256::new()),
            md5: expected.md5.map(|_| Md5::new()),
            crc32c: expected.crc32c.map(|_| Crc::new(CrcAlgorithm::Crc32Iscsi)),
            crc64nvme: Crc::new(CrcAlgorithm::Crc64Nvme),
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
        if let Some(crc) = &mut self.crc32c {
            crc.update(bytes);
        }
        self.crc64nvme.update(bytes);
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
            crc64nvme: Some(self.crc64nvme.finalize()),
        };
        self.expected.verify(&actual)?;
        Ok(actual)
    }
}

/// The CRC-64/NVME of what follows from those of two pieces, the second of this length.
pub(crate) fn join_crc64(first: u64, second: u64, second_bytes: u64) -> u64 {
    crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, second_bytes)
}

/// The CRC-64/NVME of some bytes.
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::crc64_nvme(bytes)
}

/// The MD5 of some bytes.
pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// A digest as S3's headers have it.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

/// The digests of the whole content among those that S3 tells. Those of uploads may be digests of the parts'
/// digests, marked by a hyphen and the number of parts: they say nothing of the whole.
pub(crate) fn of_answer(
    sha256: Option<&str>,
    crc32c: Option<&str>,
    crc64nvme: Option<&str>,
    is_composite: bool,
) -> Checksums {
    fn decode<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
        BASE64.decode(text?).ok()?.try_into().ok()
    }
    if is_composite {
        return Checksums::default();
    }
    Checksums {
        sha256: decode(sha256),
        md5: None,
        crc32c: decode(crc32c).map(u32::from_be_bytes),
        crc64nvme: decode(crc64nvme).map(u64::from_be_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRC64: u64 = 0xAE8B_1486_0A79_9888;

    #[test]
    fn known_digests_verify_and_each_wrong_one_is_told() {
        // The check values of the algorithms for this text.
        let right = Checksums {
            sha256: Some(Sha256::digest(b"123456789").into()),
            md5: Some(md5(b"123456789")),
            crc32c: Some(0xE306_9283),
            crc64nvme: Some(CRC64),
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
    fn the_digest_of_a_whole_follows_from_those_of_its_parts() {
        assert_eq!(join_crc64(crc64(b"1234"), crc64(b"56789"), 5), CRC64);
        assert_eq!(join_crc64(crc64(b""), crc64(b"123456789"), 9), CRC64);
    }

    #[test]
    fn digests_of_digests_are_none_of_the_whole() {
        let text = encode(CRC64.to_be_bytes());
        assert_eq!(of_answer(None, None, Some(&text), false).crc64nvme, Some(CRC64));
        assert!(of_answer(None, None, Some(&text), true).is_empty());
        assert!(of_answer(Some("AAAA-2"), Some("x"), None, false).is_empty());
    }
}
