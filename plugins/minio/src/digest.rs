//! Digests of bytes on their way, and the form in which headers carry them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use storage_core::Checksums;

/// Computes the digests that are wanted, and always CRC-64/NVME, which costs next to nothing.
pub(crate) struct Digester {
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    crc32c: Option<crc_fast::Digest>,
    crc64nvme: crc_fast::Digest,
}

impl Digester {
    /// Computes what there is an expectation of.
    pub(crate) fn for_expected(expected: &Checksums) -> Self {
        Self {
            sha256: expected.sha256.map(|_| Sha256::new()),
            md5: expected.md5.map(|_| Md5::new()),
            crc32c: expected.crc32c.map(|_| crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            crc64nvme: crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme),
        }
    }

    /// Takes the next bytes.
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
        self.crc64nvme.update(bytes);
    }

    /// The digests of what was taken.
    pub(crate) fn finish(&mut self) -> Checksums {
        Checksums {
            sha256: self.sha256.take().map(|digest| digest.finalize().into()),
            md5: self.md5.take().map(|digest| digest.finalize().into()),
            crc32c: self.crc32c.take().and_then(|digest| u32::try_from(digest.finalize()).ok()),
            crc64nvme: Some(self.crc64nvme.finalize()),
        }
    }
}

/// CRC-64/NVME of one buffer.
pub(crate) fn crc64nvme(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// A CRC as headers carry it.
pub(crate) fn crc64_header(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

/// A digest as headers carry it.
pub(crate) fn header(digest: &[u8]) -> String {
    STANDARD.encode(digest)
}

/// A digest of a known size from a header; nothing where it is not one of the whole object (`…-3`).
pub(crate) fn parse<const N: usize>(header: Option<&str>) -> Option<[u8; N]> {
    STANDARD.decode(header?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_published_vectors() {
        let all =
            Checksums { sha256: Some([0; 32]), md5: Some([0; 16]), crc32c: Some(0), crc64nvme: Some(0) };
        let mut digester = Digester::for_expected(&all);
        digester.update(b"1234");
        digester.update(b"56789");
        let found = digester.finish();
        assert_eq!(found.crc32c, Some(0xe306_9283));
        assert_eq!(found.crc64nvme, Some(0xae8b_1486_0a79_9888));
        assert_eq!(hex::encode(found.md5.expect("asked for")), "25f9e794323b453885f5181f1b624d0b");
        assert!(hex::encode(found.sha256.expect("asked for")).starts_with("15e2b0d3c33891eb"));
        assert_eq!(crc64nvme(b"123456789"), 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn a_digest_of_parts_is_not_taken_for_one_of_the_whole() {
        let header = crc64_header(7);
        assert_eq!(parse::<8>(Some(&header)), Some(7_u64.to_be_bytes()));
        for other in [format!("{header}-3"), "AAAA".to_owned(), "?".to_owned()] {
            assert_eq!(parse::<8>(Some(&other)), None, "{other}");
        }
    }
}
