//! What the catalog keeps: records, and the changes that are made to them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use storage_core::{ObjectKey, Tier};

use super::ids::{FileId, FileVersionId, UserId};

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// A BLAKE3 digest.
pub type Blake3 = [u8; 32];

/// The digests of one content: what it is compared with when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// What users see, and what proves the content to them.
    pub sha256: Sha256,
    /// What is several times as fast to compare a large content with. Small contents have none, and neither have those
    /// that an older program saved.
    pub blake3: Option<Blake3>,
}

impl From<Sha256> for Digests {
    fn from(sha256: Sha256) -> Self {
        Self { sha256, blake3: None }
    }
}

/// A file with its current version.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRecord {
    /// The file.
    pub id: FileId,
    /// Who owns it.
    pub user: UserId,
    /// When its first version was saved.
    pub created_at: SystemTime,
    /// The current version.
    pub current: VersionRecord,
}

/// One version of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRecord {
    /// The version.
    pub id: FileVersionId,
    /// Its number within the file: 1 for the first, rising, never used again.
    pub number: u64,
    /// The name that the file has in this version, as the user gave it, for display.
    pub filename: String,
    /// The content type, detected or given.
    pub content_type: String,
    /// The length, in bytes.
    pub size_bytes: u64,
    /// The digests of the content.
    pub digests: Digests,
    /// The user's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// When it was saved.
    pub created_at: SystemTime,
    /// Where its bytes are; the first is read first.
    pub placements: Vec<Placement>,
}

/// Which backend holds the bytes of a version, and under which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The name of the backend.
    pub backend: String,
    /// The key of the object.
    pub key: ObjectKey,
    /// The tier that was asked for.
    pub tier: Option<Tier>,
}

/// A version to be added to the catalog in one transaction: row, placement, usage, audit, event.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The file.
    pub file: FileId,
    /// Who owns it.
    pub user: UserId,
    /// The version; its key in the backend holds this id.
    pub version: FileVersionId,
    /// What the version takes the place of.
    pub base: Base,
    /// The name for display.
    pub filename: String,
    /// The content type.
    pub content_type: String,
    /// The length, in bytes.
    pub size_bytes: u64,
    /// The digests of the content.
    pub digests: Digests,
    /// The user's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// Where the bytes are.
    pub placement: Placement,
    /// The reservation that the commit uses up.
    pub reservation: Option<ReservationId>,
    /// When it was saved.
    pub created_at: SystemTime,
}

/// What a new version takes the place of. Decided inside the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the file must not exist.
    NewFile,
    /// Whatever is current: the file must exist and belong to the user.
    Current,
    /// This version, which must be the current one, else `PreconditionFailed`.
    Version(FileVersionId),
}

/// The name of a reservation of quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservationId(pub uuid::Uuid);

/// What a user may use. An absent limit is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The most bytes, all versions together.
    pub max_bytes: Option<u64>,
    /// The most files.
    pub max_files: Option<u64>,
}

/// What a user uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all versions.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Versions.
    pub versions: u64,
    /// Bytes that saves under way have reserved.
    pub reserved_bytes: u64,
    /// Files that saves under way have reserved.
    pub reserved_files: u64,
    /// The limits that hold for the user.
    pub quota: Quota,
}

/// What all users use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Versions.
    pub versions: u64,
    /// Bytes of all versions.
    pub bytes: u64,
    /// Users who have a file.
    pub users: u64,
}

/// By what a listing is ordered; equal ones by file id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// When the file's first version was saved.
    #[default]
    CreatedAt,
    /// When the file's current version was saved.
    UpdatedAt,
    /// The name, by Unicode code points.
    Filename,
    /// The length of the current version.
    Size,
}

/// Which files of a user to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileQuery {
    /// Only files whose name starts with this text.
    pub filename_prefix: String,
    /// The order.
    pub sort: SortBy,
    /// Whether the order is reversed.
    pub descending: bool,
    /// Goes on where the page that gave this cursor ended.
    pub cursor: Option<String>,
    /// The most files to answer: 1 to 1,000.
    pub limit: u32,
}

/// Some files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilePage {
    /// The files.
    pub files: Vec<FileRecord>,
    /// The cursor for the next page; absent on the last one.
    pub next_cursor: Option<String>,
}

/// An object that the catalog gave up and that is still to be removed from its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// The name of the backend.
    pub backend: String,
    /// The key of the object.
    pub key: ObjectKey,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: SystemTime,
    /// Who did it: `key:NAME`, `user:ID`, `link:KEY-ID`, `cli`, `embedder`.
    pub actor: String,
    /// Whose file it was.
    pub user: UserId,
    /// What was done: `save`, `retrieve`, `delete`, `link`, `copy`, `restore_version`, …
    pub action: String,
    /// The file, where there is one.
    pub file: Option<FileId>,
    /// The version, where there is one.
    pub version: Option<FileVersionId>,
    /// `ok`, or the name of the error's kind.
    pub outcome: String,
    /// The id that ties together all that one request caused.
    pub correlation_id: Option<String>,
    /// Where the request came from, where it is known.
    pub remote: Option<String>,
}

/// What a service key is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyScope {
    /// Files of any user, and nothing else.
    #[default]
    Files,
    /// The service itself (which backends there are and where new files go), and nobody's files.
    Admin,
}

impl KeyScope {
    /// The name that records and answers have.
    pub const fn name(self) -> &'static str {
        match self {
            KeyScope::Files => "files",
            KeyScope::Admin => "admin",
        }
    }
}

/// A service key as it is kept: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKeyRecord {
    /// The public part, by which it is found.
    pub id: String,
    /// What an administrator calls it.
    pub name: String,
    /// SHA-256 of the secret part, which is random and 256 bits long.
    pub secret_sha256: Sha256,
    /// What it is good for.
    pub scope: KeyScope,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it was revoked.
    pub revoked_at: Option<SystemTime>,
}

/// A key that signs download links. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkKeyRecord {
    /// Its public name, which every link carries.
    pub id: String,
    /// The secret.
    pub secret: Vec<u8>,
    /// When it was made; the newest that is not retired signs.
    pub created_at: SystemTime,
    /// From when on links that it signed are refused.
    pub retired_at: Option<SystemTime>,
}

impl std::fmt::Debug for LinkKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkKeyRecord").field("id", &self.id).finish_non_exhaustive()
    }
}
