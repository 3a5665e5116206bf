//! Digests of contents: computed when they are saved, compared when they are read whole.
//!
//! A large content has two. SHA-256 is what users know it by, and a processor makes some 2 GiB of it in a second; BLAKE3
//! makes several times as many, so that it is what a large content is compared with. It does so by working on many
//! blocks at once, which a small content has not.

use sha2::Digest as _;
use storage_core::{Error, ErrorKind, Result};

use crate::catalog::{Blake3, Digests, Sha256};

/// Longer contents are large ones.
pub(super) const SMALL_BYTES: usize = 64 * 1024;

/// Computes the digests of a content that passes.
pub(super) struct Digester {
    sha256: sha2::Sha256,
    blake3: Option<Box<blake3::Hasher>>,
}

impl Digester {
    /// For a content of this length.
    pub(super) fn of_length(length_bytes: u64) -> Self {
        let is_large = length_bytes > SMALL_BYTES as u64;
        Self { sha256: sha2::Sha256::new(), blake3: is_large.then(Box::default) }
    }

    /// For a large content, of whatever length.
    pub(super) fn large() -> Self {
        Self::of_length(u64::MAX)
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(blake3) = &mut self.blake3 {
            blake3.update(bytes);
        }
    }

    /// The digests of what was taken so far.
    pub(super) fn digests(&self) -> Digests {
        Digests {
            sha256: self.sha256.clone().finalize().into(),
            blake3: self.blake3.as_ref().map(|blake3| blake3.finalize().into()),
        }
    }
}

/// The digests of a buffer.
pub(super) fn of_buffer(bytes: &[u8]) -> Digests {
    let mut digester = Digester::of_length(bytes.len() as u64);
    digester.update(bytes);
    digester.digests()
}

/// Compares a content that passes with what was saved, in the fastest way that the saved digests allow.
pub(super) enum Check {
    Sha256 { hasher: sha2::Sha256, saved: Sha256 },
    Blake3 { hasher: Box<blake3::Hasher>, saved: Blake3 },
}

impl Check {
    /// A comparison with these digests.
    pub(super) fn against(saved: &Digests) -> Self {
        match saved.blake3 {
            Some(saved) => Self::Blake3 { hasher: Box::default(), saved },
            None => Self::Sha256 { hasher: sha2::Sha256::new(), saved: saved.sha256 },
        }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256 { hasher, .. } => hasher.update(bytes),
            Self::Blake3 { hasher, .. } => drop(hasher.update(bytes)),
        }
    }

    /// Whether all that was taken is what was saved.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`, with both digests, whose names say how they were computed.
    pub(super) fn finish(&self) -> Result<()> {
        let (names, saved, found): (_, _, [u8; 32]) = match self {
            Self::Sha256 { hasher, saved } => {
                (["saved_sha256", "found_sha256"], saved, hasher.clone().finalize().into())
            }
            Self::Blake3 { hasher, saved } => {
                (["saved_blake3", "found_blake3"], saved, hasher.finalize().into())
            }
        };
        if found == *saved {
            return Ok(());
        }
        let [saved_name, found_name] = names;
        Err(Error::new(ErrorKind::ChecksumMismatch, "the bytes in the backend are not those that were saved")
            .with_context(saved_name, hex::encode(saved))
            .with_context(found_name, hex::encode(found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(saved: &Digests, chunks: &[&[u8]]) -> Result<()> {
        let mut check = Check::against(saved);
        chunks.iter().for_each(|chunk| check.update(chunk));
        check.finish()
    }

    #[test]
    fn digests_are_those_that_other_programs_compute() {
        // The input of that length among BLAKE3's published test vectors.
        let bytes: Vec<u8> = (0..102_400).map(|at| (at % 251) as u8).collect();
        let digests = of_buffer(&bytes);
        assert_eq!(
            hex::encode(digests.sha256),
            "74588b7f0bcc354ac14d9cf199fa3a20c05f0c7293b9075b2f2e146e718de800"
        );
        let blake3 = digests.blake3.expect("it is large");
        assert_eq!(hex::encode(blake3), "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085");
    }

    #[test]
    fn only_a_large_content_has_two_digests_and_they_do_not_depend_on_its_chunks() {
        for (length, is_large) in [(0, false), (SMALL_BYTES, false), (SMALL_BYTES + 1, true), (1 << 20, true)]
        {
            let bytes: Vec<u8> = (0..length).map(|at| (at / 251 + at) as u8).collect();
            let whole = of_buffer(&bytes);
            assert_eq!(whole.blake3.is_some(), is_large, "{length}");
            let mut digester = Digester::of_length(length as u64);
            bytes.chunks(10_007).for_each(|chunk| digester.update(chunk));
            assert_eq!(digester.digests(), whole, "{length}");
        }
    }

    #[test]
    fn a_check_uses_the_fast_digest_where_there_is_one_and_refuses_other_bytes_by_name() {
        let digests = of_buffer(&[7; SMALL_BYTES + 1]);
        let slow = Digests::from(digests.sha256);
        let sound: [&[u8]; 2] = [&[7; 1_000], &[7; SMALL_BYTES - 999]];
        // A wrong SHA-256 is not noticed, which shows that it is not computed.
        let fast = Digests { sha256: [0; 32], ..digests };
        for (saved, name) in [(fast, "found_blake3"), (slow, "found_sha256")] {
            checked(&saved, &sound).expect("it is what was saved");
            for other in [&[[7; 1_000].as_slice(), &[8; SMALL_BYTES - 999]][..], &sound[..1], &[]] {
                let error = checked(&saved, other).expect_err("it is something else");
                assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
                assert!(error.context().any(|(found, _)| found == name), "{}", error.report());
            }
        }
    }
}
