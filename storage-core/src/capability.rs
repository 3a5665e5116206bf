//! What a backend can do and how much: capabilities, limits, extensions, health.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};
use std::time::Duration;

use crate::request::Extra;

/// The optional families of operations that a backend has: a set of bits.
///
/// Not declared means that a call gives `Unsupported`. Save, retrieve (with ranges and read conditions),
/// delete, exists, metadata, ordered listing and health are not optional.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u64);

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)+) => {
        impl Capabilities {
            $($(#[$doc])* pub const $name: Capabilities = Capabilities(1 << $bit);)+

            /// Every capability that this version names, with its name.
            pub const ALL: &'static [(Capabilities, &'static str)] = &[$((Capabilities::$name, $text)),+];
        }
    };
}

capabilities! {
    /// `save` and `complete_multipart` honour [`crate::WriteCondition::IfAbsent`].
    WRITE_IF_ABSENT = 0, "write_if_absent";
    /// `save` and `complete_multipart` honour [`crate::WriteCondition::IfMatch`].
    WRITE_IF_MATCH = 1, "write_if_match";
    /// `delete` honours `if_match`.
    DELETE_IF_MATCH = 2, "delete_if_match";
    /// `copy`.
    COPY = 3, "copy";
    /// `presign` for reads.
    PRESIGN_GET = 4, "presign_get";
    /// `presign` for writes.
    PRESIGN_PUT = 5, "presign_put";
    /// The multipart family.
    MULTIPART = 6, "multipart";
    /// Versions are kept: `list_versions`, and `version` in options.
    VERSIONS = 7, "versions";
    /// `set_tier`, and `tier` in save options.
    TIERS = 8, "tiers";
    /// `restore` and `restore_status`.
    RESTORE = 9, "restore";
    /// `apply_lifecycle`.
    LIFECYCLE = 10, "lifecycle";
    /// Tags are kept.
    TAGS = 11, "tags";
    /// Listings carry content type and metadata, so that a rebuild of the catalog need not ask for each object.
    LIST_METADATA = 12, "list_metadata";
    /// `save` refuses content whose SHA-256 is not the expected one.
    VERIFY_SHA256 = 13, "verify_sha256";
    /// `save` refuses content whose MD5 is not the expected one.
    VERIFY_MD5 = 14, "verify_md5";
    /// `save` refuses content whose CRC-32C is not the expected one.
    VERIFY_CRC32C = 15, "verify_crc32c";
    /// `save` refuses content whose CRC-64/NVME is not the expected one.
    VERIFY_CRC64NVME = 16, "verify_crc64nvme";
}

impl Capabilities {
    /// No optional family.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The set with these bits, whether or not this version names them.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits that cross the plugin boundary.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Capabilities) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    pub const fn has(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the members that this version knows.
    pub fn names(self) -> Vec<&'static str> {
        Self::ALL.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| *name).collect()
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for Capabilities {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.with(other);
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// How much a backend takes. An absent limit is none that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The largest object, in bytes.
    pub max_object_bytes: Option<u64>,
    /// The largest object that one `save` without parts takes, in bytes.
    pub max_single_save_bytes: Option<u64>,
    /// The smallest part of an upload but the last, in bytes.
    pub min_part_bytes: Option<u64>,
    /// The largest part of an upload, in bytes.
    pub max_part_bytes: Option<u64>,
    /// The most parts of an upload.
    pub max_parts: Option<u32>,
    /// The most keys that one `delete_many` sends to the provider at once.
    pub max_delete_batch: Option<u32>,
    /// The most entries of a listing's page.
    pub max_list_page: Option<u32>,
    /// The longest validity of a presigned URL.
    pub max_presign_expiry: Option<Duration>,
}

/// What a backend says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendInfo {
    /// The type that its plugin registers (`local`, `minio`, …).
    pub backend_type: String,
    /// Where the objects are, for people: a path, or endpoint and bucket. No secret.
    pub location: String,
    /// The product and version that answered, where it is known (`MinIO`, `SeaweedFS 4.48`, …).
    pub server: Option<String>,
    /// The optional families that it has, for this configuration and this server.
    pub capabilities: Capabilities,
    /// How much it takes.
    pub limits: Limits,
    /// What `invoke` can do.
    pub extensions: Vec<Extension>,
    /// More facts.
    pub extra: Extra,
}

/// A provider's own operation, called through `invoke`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// Its name, in `snake_case`.
    pub name: String,
    /// What it does, in one sentence.
    pub description: String,
    /// Whether it changes anything.
    pub mutates: bool,
    /// The members of the JSON object that it takes.
    pub arguments: Vec<ExtensionArgument>,
}

/// One argument of an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionArgument {
    /// Its name.
    pub name: String,
    /// What it means and which form it has.
    pub description: String,
    /// Whether it must be given.
    pub required: bool,
}

/// What a probe found of a backend that answered. One that does not answer gives an error instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What is wrong though the backend answers (a permission that is missing, a disk nearly full);
    /// empty for a healthy one.
    pub problems: Vec<String>,
    /// The room that is left, in bytes, where it is known.
    pub free_bytes: Option<u64>,
    /// More facts.
    pub extra: Extra,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_join_and_bits_of_newer_versions_survive() {
        let set = Capabilities::COPY | Capabilities::MULTIPART | Capabilities::from_bits(1 << 60);
        assert!(set.has(Capabilities::COPY) && !set.has(Capabilities::COPY | Capabilities::TIERS));
        assert_eq!(set.names(), ["copy", "multipart"]);
        assert_eq!(Capabilities::from_bits(set.bits()), set);
    }
}
