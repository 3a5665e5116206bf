//! Uploads in parts: an object is sent in pieces, in any order, and appears when it is completed.

use std::time::SystemTime;

use crate::key::ObjectKey;
use crate::object::{Checksums, ETag, opaque_text};
use crate::request::{Extra, WriteCondition};
use std::fmt;

opaque_text! {
    /// The provider's name for an upload in progress.
    UploadId
}

/// What a part must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartOptions {
    /// Digests that the part must have, else `ChecksumMismatch` and the part is not kept.
    pub checksums: Checksums,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// A part that was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its place in the object: 1 to 10,000, gaps allowed.
    pub number: u32,
    /// Its length, in bytes.
    pub size_bytes: u64,
    /// Its identity, which completing the upload must name.
    pub etag: ETag,
    /// Digests of the part.
    pub checksums: Checksums,
}

/// How to complete an upload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompleteOptions {
    /// On what the appearance of the object depends.
    pub condition: WriteCondition,
    /// Digests that the whole must have, else `ChecksumMismatch`; the upload stays open.
    pub checksums: Checksums,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// What aborting an upload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbortResult {
    /// Whether there was an upload to abort.
    pub existed: bool,
}

/// Which parts to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPartsOptions {
    /// Only parts with a higher number.
    pub after: Option<u32>,
    /// The most parts to answer; the backend's own page size where absent.
    pub limit: Option<u32>,
}

/// Some parts of an upload, by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartPage {
    /// The parts.
    pub parts: Vec<Part>,
    /// The number after which the next page starts; absent on the last one.
    pub next_after: Option<u32>,
}

/// Which uploads in progress to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListUploadsOptions {
    /// Only uploads of keys that start with this text.
    pub prefix: String,
    /// Goes on where the page that gave this token ended.
    pub page_token: Option<String>,
    /// The most uploads to answer; the backend's own page size where absent.
    pub limit: Option<u32>,
}

/// An upload in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object that it will make.
    pub key: ObjectKey,
    /// Its name.
    pub id: UploadId,
    /// When it began.
    pub started_at: SystemTime,
}

/// Some uploads in progress, by key and then by start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadPage {
    /// The uploads.
    pub uploads: Vec<Upload>,
    /// The token for the next page; absent on the last one.
    pub next_page_token: Option<String>,
}
