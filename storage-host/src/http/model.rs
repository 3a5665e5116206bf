//! What the interface answers, as JSON. The service's own types are not serialised, so that they may change
//! without changing the interface.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::catalog::Usage;
use crate::service::{DownloadLink, FileInfo, FileInfoPage};

/// A file, or one version of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = File)]
pub(super) struct FileBody {
    /// The file.
    id: Uuid,
    /// Who owns it.
    #[schema(example = "42")]
    user_id: String,
    /// The version that the rest describes.
    version: Uuid,
    /// Its number: 1 for the first.
    #[schema(example = 1)]
    version_number: u64,
    /// Whether it is the current version.
    is_current: bool,
    /// The name.
    #[schema(example = "Résumé.pdf")]
    filename: String,
    /// The content type, given or detected.
    #[schema(example = "application/pdf")]
    content_type: String,
    /// The length, in bytes.
    #[schema(example = 48213)]
    size_bytes: u64,
    /// SHA-256 of the content, in hexadecimal. In quotation marks it is the `ETag` of the content.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    sha256: String,
    /// The metadata given when it was saved.
    metadata: BTreeMap<String, String>,
    /// The tags given when it was saved.
    tags: BTreeMap<String, String>,
    /// When the file's first version was saved (RFC 3339).
    #[schema(format = DateTime)]
    created_at: String,
    /// When this version was saved (RFC 3339).
    #[schema(format = DateTime)]
    updated_at: String,
    /// The name of the backend that holds it.
    #[schema(example = "local")]
    backend: String,
    /// The tier that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "hot")]
    tier: Option<&'static str>,
}

impl From<FileInfo> for FileBody {
    fn from(info: FileInfo) -> Self {
        Self {
            id: info.id.as_uuid(),
            user_id: info.user.into(),
            version: info.version.as_uuid(),
            version_number: info.version_number,
            is_current: info.is_current,
            filename: info.filename,
            content_type: info.content_type,
            size_bytes: info.size_bytes,
            sha256: hex::encode(info.sha256),
            metadata: info.metadata,
            tags: info.tags,
            created_at: rfc3339(info.created_at),
            updated_at: rfc3339(info.updated_at),
            backend: info.backend,
            tier: info.tier.map(storage_core::Tier::name),
        }
    }
}

/// Some files.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FileList)]
pub(super) struct FileListBody {
    /// The files of this page.
    files: Vec<FileBody>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<FileInfoPage> for FileListBody {
    fn from(page: FileInfoPage) -> Self {
        Self { files: page.files.into_iter().map(FileBody::from).collect(), next_cursor: page.next_cursor }
    }
}

/// Every version of a file, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VersionList)]
pub(super) struct VersionListBody {
    /// The versions.
    pub(super) versions: Vec<FileBody>,
}

/// A link that downloads a file without further credentials.
#[derive(Serialize, ToSchema)]
#[schema(as = DownloadLink)]
pub(super) struct LinkBody {
    /// The URL. Whoever has it may download the file.
    url: String,
    /// When it stops working (RFC 3339).
    #[schema(format = DateTime)]
    expires_at: String,
}

impl From<DownloadLink> for LinkBody {
    fn from(link: DownloadLink) -> Self {
        Self { url: link.url, expires_at: rfc3339(link.expires_at) }
    }
}

/// What a user uses and may use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(super) struct UsageBody {
    /// Bytes of all versions of all files.
    bytes: u64,
    /// Files.
    files: u64,
    /// Versions.
    versions: u64,
    /// Bytes that uploads under way have reserved.
    reserved_bytes: u64,
    /// Files that uploads under way have reserved.
    reserved_files: u64,
    /// The most bytes; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    /// The most files; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_files: Option<u64>,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        Self {
            bytes: usage.bytes,
            files: usage.files,
            versions: usage.versions,
            reserved_bytes: usage.reserved_bytes,
            reserved_files: usage.reserved_files,
            max_bytes: usage.quota.max_bytes,
            max_files: usage.quota.max_files,
        }
    }
}

/// The moment in UTC, to the microsecond.
fn rfc3339(moment: SystemTime) -> String {
    match Timestamp::try_from(moment) {
        Ok(timestamp) => format!("{timestamp:.6}"),
        // Beyond the year 9999, which no clock that saved a file showed.
        Err(_) => Timestamp::MAX.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::{FileId, FileVersionId, UserId};
    use std::time::Duration;

    /// A file for tests of what is made of one.
    pub(in crate::http) fn file_info() -> FileInfo {
        let saved = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        FileInfo {
            id: FileId::new(),
            user: UserId::new("anna").expect("a user"),
            version: FileVersionId::new(),
            version_number: 1,
            is_current: true,
            filename: "Résumé.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size_bytes: 10,
            sha256: [7; 32],
            metadata: BTreeMap::from([("job_id".to_owned(), "42".to_owned())]),
            tags: BTreeMap::new(),
            created_at: saved,
            updated_at: saved,
            backend: "local".to_owned(),
            tier: None,
        }
    }

    #[test]
    fn a_file_is_described_with_its_moments_and_digest_in_text() {
        let body = serde_json::to_value(FileBody::from(file_info())).expect("JSON");
        assert_eq!(body["created_at"], "2023-11-14T22:13:20.123456Z");
        assert_eq!(body["sha256"], "07".repeat(32));
        assert_eq!(body["metadata"]["job_id"], "42");
        assert!(body.get("tier").is_none());
    }
}
