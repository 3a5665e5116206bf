//! What the service's operations take and answer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use storage_core::{ByteRange, ByteStream, ETag, ReadCondition, Result, Tier};

use crate::catalog::{FileId, FileRecord, FileVersionId, Sha256, UserId, VersionRecord};

/// User metadata: names to values (see [`storage_core::object::validate_metadata`]).
pub type Metadata = BTreeMap<String, String>;

/// How a file is to be saved.
#[derive(Clone, Debug, Default)]
pub struct SaveFileOptions {
    /// The user's metadata.
    pub metadata: Metadata,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// The content type; detected from content and name where absent.
    pub content_type: Option<String>,
    /// The digest that the content must have, else `ChecksumMismatch` and nothing is saved.
    pub sha256: Option<Sha256>,
    /// Saves a new version of this file instead of a new file.
    pub replace: Option<FileId>,
    /// The version of `replace` that must be the current one, else `PreconditionFailed`.
    pub if_current: Option<FileVersionId>,
    /// The tier to store in.
    pub tier: Option<Tier>,
}

/// How a file is to be deleted.
#[derive(Clone, Debug, Default)]
pub struct DeleteFileOptions {
    /// The version that must be the current one, else `PreconditionFailed` and nothing is deleted.
    pub if_current: Option<FileVersionId>,
}

/// One file of a batch.
#[derive(Debug)]
pub struct BatchItem {
    /// The content.
    pub file: ByteStream,
    /// The name.
    pub filename: String,
    /// How it is to be saved.
    pub options: SaveFileOptions,
}

/// A file, or one version of it, as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct FileInfo {
    /// The file.
    pub id: FileId,
    /// Who owns it.
    pub user: UserId,
    /// The version that the rest describes.
    pub version: FileVersionId,
    /// Its number: 1 for the first.
    pub version_number: u64,
    /// Whether it is the current one.
    pub is_current: bool,
    /// The name, as the user gave it.
    pub filename: String,
    /// The content type.
    pub content_type: String,
    /// The length, in bytes.
    pub size_bytes: u64,
    /// The digest of the content.
    pub sha256: Sha256,
    /// The user's metadata.
    pub metadata: Metadata,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// When the file's first version was saved.
    pub created_at: SystemTime,
    /// When this version was saved.
    pub updated_at: SystemTime,
    /// The name of the backend that holds it.
    pub backend: String,
    /// The tier that was asked for.
    pub tier: Option<Tier>,
}

impl FileInfo {
    /// The entity tag of the content, without quotation marks: the digest in hexadecimal.
    pub fn etag(&self) -> ETag {
        ETag::new(hex::encode(self.sha256))
    }
}

/// Which bytes of a file to read, of which version, and when.
#[derive(Clone, Debug, Default)]
pub struct RetrieveFileOptions {
    /// The bytes wanted; all of them where absent.
    pub range: Option<ByteRange>,
    /// The version wanted; the current one where absent.
    pub version: Option<FileVersionId>,
    /// On what the read depends; tags are those of [`FileInfo::etag`].
    pub condition: ReadCondition,
}

/// A file being read.
#[derive(Debug)]
pub struct FileContent {
    /// The file.
    pub info: FileInfo,
    /// The bytes of the file that `body` gives.
    pub range: Range<u64>,
    /// The bytes. A read of the whole file ends in `ChecksumMismatch` where they are not those that were saved.
    pub body: ByteStream,
}

impl FileContent {
    /// The bytes in one buffer.
    ///
    /// # Errors
    ///
    /// Those of the body.
    pub async fn bytes(self) -> Result<Bytes> {
        self.body.collect(u64::MAX).await
    }
}

/// What a download link is to be.
#[derive(Clone, Debug, Default)]
pub struct LinkOptions {
    /// How long it works; the configured default where absent.
    pub expires_in: Option<Duration>,
    /// The version; where absent, the one that is current now.
    pub version: Option<FileVersionId>,
    /// Whether a browser shows the file instead of saving it.
    pub inline: bool,
}

/// A link that downloads one version of one file without further credentials. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct DownloadLink {
    /// The URL. Whoever has it may download the file: treat it as a secret.
    pub url: String,
    /// When it stops working.
    pub expires_at: SystemTime,
}

impl std::fmt::Debug for DownloadLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownloadLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How a file is to be copied.
#[derive(Clone, Debug, Default)]
pub struct CopyFileOptions {
    /// The version to copy; the current one where absent.
    pub version: Option<FileVersionId>,
    /// The name of the copy; that of the original where absent.
    pub filename: Option<String>,
    /// The metadata of the copy; those of the original where absent.
    pub metadata: Option<Metadata>,
}

/// Some files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileInfoPage {
    /// The files.
    pub files: Vec<FileInfo>,
    /// The cursor for the next page; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Who makes the calls, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `key:NAME`, `user:ID`, `link:KEY-ID`, `cli`, `embedder`.
    pub name: String,
    /// Where the request came from, where it is known.
    pub remote: Option<String>,
}

/// The state of the service, in the shape that `GET /health/storage` answers.
#[derive(Clone, Debug)]
pub struct StorageHealth {
    /// Every backend, by name.
    pub backends: BTreeMap<String, BackendHealth>,
    /// The backend that new files go to.
    pub primary_backend: String,
    /// Files of all users.
    pub total_files: u64,
    /// Bytes of all versions of all users.
    pub total_bytes: u64,
}

/// The state of one backend.
#[derive(Clone, Debug)]
pub struct BackendHealth {
    /// Whether it answers and nothing is wrong with it.
    pub healthy: bool,
    /// Whether it serves, be it with a warning such as a disk that is nearly full, or only what it holds already, as a
    /// full disk does.
    pub serving: bool,
    /// How long the probe took.
    pub latency: Duration,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

impl FileInfo {
    /// The file in its current version.
    pub(crate) fn current(record: FileRecord) -> Self {
        let FileRecord { id, user, created_at, current } = record;
        Self::of_version(id, user, created_at, true, current)
    }

    /// The file in one of its versions.
    pub(crate) fn of_version(
        id: FileId,
        user: UserId,
        created_at: SystemTime,
        is_current: bool,
        version: VersionRecord,
    ) -> Self {
        let placement = version.placements.first();
        Self {
            id,
            user,
            version: version.id,
            version_number: version.number,
            is_current,
            filename: version.filename,
            content_type: version.content_type,
            size_bytes: version.size_bytes,
            sha256: version.digests.sha256,
            metadata: version.metadata,
            tags: version.tags,
            created_at,
            updated_at: version.created_at,
            backend: placement.map(|placement| placement.backend.clone()).unwrap_or_default(),
            tier: placement.and_then(|placement| placement.tier),
        }
    }
}
