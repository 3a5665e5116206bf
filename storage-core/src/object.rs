//! What is known of an object: [`ObjectMeta`], its digests, its version.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::request::Extra;
use crate::tiering::Tier;

macro_rules! opaque_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Takes the provider's text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as the provider gave it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}
pub(crate) use opaque_text;

opaque_text! {
    /// The identity of the bytes under a key, without quotation marks.
    ///
    /// Equal tags of one key mean equal bytes. Nothing else may be read into it: it is no digest.
    ETag
}

opaque_text! {
    /// The provider's name for one version of an object.
    VersionId
}

/// Digests of an object's whole content. An absent digest is unknown, not wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// SHA-256 (FIPS 180-4).
    pub sha256: Option<[u8; 32]>,
    /// MD5 (RFC 1321), as in `Content-MD5`. Guards against accidents only.
    pub md5: Option<[u8; 16]>,
    /// CRC-32C (Castagnoli).
    pub crc32c: Option<u32>,
    /// CRC-64/NVME.
    pub crc64nvme: Option<u64>,
}

impl Checksums {
    /// Whether no digest is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Compares the digests that both sides know.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`, naming the first algorithm whose digests differ.
    pub fn verify(&self, actual: &Checksums) -> Result<()> {
        fn differ<T: PartialEq>(expected: Option<T>, actual: Option<T>) -> bool {
            matches!((expected, actual), (Some(expected), Some(actual)) if expected != actual)
        }
        let algorithm = if differ(self.sha256, actual.sha256) {
            "sha256"
        } else if differ(self.md5, actual.md5) {
            "md5"
        } else if differ(self.crc32c, actual.crc32c) {
            "crc32c"
        } else if differ(self.crc64nvme, actual.crc64nvme) {
            "crc64nvme"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::ChecksumMismatch, "the bytes do not match the expected digest")
            .with_context("algorithm", algorithm))
    }
}

/// What a backend knows of one object or one version of it.
///
/// Build one with [`ObjectMeta::new`] and set what is known; fields may be added in a minor version.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectMeta {
    /// The object's key.
    pub key: ObjectKey,
    /// The length of the content, in bytes.
    pub size_bytes: u64,
    /// When this content was stored.
    pub last_modified: SystemTime,
    /// The identity of the content.
    pub etag: Option<ETag>,
    /// This version's name, where the backend keeps versions.
    pub version: Option<VersionId>,
    /// `Content-Type`, as given at the save.
    pub content_type: Option<String>,
    /// `Content-Encoding`, as given at the save.
    pub content_encoding: Option<String>,
    /// `Content-Language`, as given at the save.
    pub content_language: Option<String>,
    /// `Content-Disposition`, as given at the save.
    pub content_disposition: Option<String>,
    /// `Cache-Control`, as given at the save.
    pub cache_control: Option<String>,
    /// Digests of the content.
    pub checksums: Checksums,
    /// The tier that the object is in, where the backend has tiers.
    pub tier: Option<Tier>,
    /// The provider's own name for it (`STANDARD_IA`, `Cool`, …).
    pub storage_class: Option<String>,
    /// The user's metadata (see [`validate_metadata`]).
    pub metadata: BTreeMap<String, String>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// Facts of this provider alone.
    pub extra: Extra,
}

impl ObjectMeta {
    /// An object of which nothing else is known.
    pub fn new(key: ObjectKey, size_bytes: u64, last_modified: SystemTime) -> Self {
        Self {
            key,
            size_bytes,
            last_modified,
            etag: None,
            version: None,
            content_type: None,
            content_encoding: None,
            content_language: None,
            content_disposition: None,
            cache_control: None,
            checksums: Checksums::default(),
            tier: None,
            storage_class: None,
            metadata: BTreeMap::new(),
            tags: BTreeMap::new(),
            extra: Extra::new(),
        }
    }
}

/// The largest user metadata, names and values together, in bytes: S3's limit, the shortest among the providers.
pub const MAX_METADATA_BYTES: usize = 2048;

/// The most tags that one object carries: S3's and Azure's limit.
pub const MAX_TAGS: usize = 10;

/// Checks user metadata against what every provider can keep: names of `a-z`, `0-9`, `_` and `-` that
/// start with a letter, at most 64 bytes long; values of any text without control characters;
/// [`MAX_METADATA_BYTES`] in all.
///
/// # Errors
///
/// `InvalidArgument`, naming the entry and the rule.
pub fn validate_metadata(metadata: &BTreeMap<String, String>) -> Result<()> {
    let invalid = |name: &str, rule: &str| {
        Err(Error::new(ErrorKind::InvalidArgument, format!("metadata {rule}"))
            .with_context("name", name.escape_debug()))
    };
    for (name, value) in metadata {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 64 || !name.chars().all(legal)
        {
            return invalid(name, "names are 1 to 64 of a-z, 0-9, _ and -, and start with a letter");
        }
        if value.chars().any(char::is_control) {
            return invalid(name, "values hold no control characters");
        }
    }
    let size_bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size_bytes > MAX_METADATA_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("metadata takes {size_bytes} bytes; at most {MAX_METADATA_BYTES} are kept"),
        ));
    }
    Ok(())
}

/// Checks tags against what every provider can keep: at most [`MAX_TAGS`], names of 1 to 128 and values of at
/// most 256 characters, both of ASCII letters, digits, space and `+-./:=_`.
///
/// # Errors
///
/// `InvalidArgument`, naming the tag and the rule.
pub fn validate_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    let legal = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " +-./:=_".contains(c));
    if tags.len() > MAX_TAGS {
        let message = format!("{} tags were given; an object carries at most {MAX_TAGS}", tags.len());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    for (name, value) in tags {
        if name.is_empty() || name.len() > 128 || value.len() > 256 || !legal(name) || !legal(value) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "tags are 1 to 128 (name) and 0 to 256 (value) ASCII letters, digits, spaces and +-./:=_",
            )
            .with_context("tag", name.escape_debug()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_known_to_both_sides_are_compared() {
        let expected = Checksums { crc32c: Some(1), md5: Some([0; 16]), ..Checksums::default() };
        assert!(expected.verify(&Checksums { crc32c: Some(1), ..Checksums::default() }).is_ok());
        let error =
            expected.verify(&Checksums { crc32c: Some(2), ..Checksums::default() }).expect_err("differs");
        assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
        assert_eq!(error.context().next(), Some(("algorithm", "crc32c")));
    }

    #[test]
    fn metadata_rules_name_the_entry() {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert!(validate_metadata(&one("job_id", "Ingénieur 日本")).is_ok());
        for (name, value) in [("", "x"), ("Job", "x"), ("a b", "x"), ("1a", "x"), ("a", "x\r\ny")] {
            let error = validate_metadata(&one(name, value)).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        assert_eq!(
            validate_metadata(&one("a", &"x".repeat(3000))).expect_err("large").kind(),
            ErrorKind::TooLarge
        );
    }
}
