//! The parsers of headers and forms without a request around them: what the fuzz targets check.
//!
//! Compiled with the feature `fuzzing` only, which nothing that is shipped has.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue};
use storage_core::ByteRange;

use super::body::BodyFault;
use super::error::Problem;
use super::headers::condition::{self, Verdict};
use super::headers::{pairs, range};
use super::multipart::{self, Multipart};
use crate::service::FileInfo;

/// The one range that a `Range` header asks for.
pub fn range(header: &HeaderValue) -> Option<ByteRange> {
    range::parse(header)
}

/// The `Content-Range` of an answer.
pub fn content_range(range: &Range<u64>, size_bytes: u64) -> String {
    range::content_range(range, size_bytes)
}

/// The `ETag` of a file.
pub fn etag(info: &FileInfo) -> String {
    condition::etag(info)
}

/// The `Last-Modified` of a file.
pub fn last_modified(info: &FileInfo) -> String {
    condition::last_modified(info)
}

/// The pairs of `X-Storage-Metadata`.
///
/// # Errors
///
/// Text that is no list of pairs.
pub fn metadata(headers: &HeaderMap) -> Result<Option<BTreeMap<String, String>>, Problem> {
    pairs::parse(headers, &pairs::X_STORAGE_METADATA)
}

/// The conditions of a request.
pub struct Conditions(condition::Conditions);

impl Conditions {
    /// Reads the conditions.
    ///
    /// # Errors
    ///
    /// A malformed list of tags.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        condition::Conditions::from_headers(headers).map(Self)
    }

    /// Whether the request depends on nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a read of this file is to be answered; `false` where the client has it.
    ///
    /// # Errors
    ///
    /// 412.
    pub fn allow_read(&self, info: &FileInfo) -> Result<bool, Problem> {
        self.0.check_read(info).map(|verdict| verdict == Verdict::Proceed)
    }

    /// Decides a write that replaces this file.
    ///
    /// # Errors
    ///
    /// 412.
    pub fn check_write(&self, info: &FileInfo) -> Result<(), Problem> {
        self.0.check_write(info)
    }

    /// Whether a `Range` of the request counts.
    pub fn range_counts(&self, info: &FileInfo) -> bool {
        self.0.range_counts(info)
    }
}

/// A part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name of the field.
    pub name: String,
    /// The name of the file, where it is one.
    pub filename: Option<String>,
    /// The content type.
    pub content_type: Option<String>,
    /// The content, which the service itself never holds whole.
    pub content: Vec<u8>,
}

/// The boundary that a `Content-Type` names.
pub fn boundary(content_type: &str) -> Option<String> {
    multipart::boundary(content_type)
}

/// The parts of a form that arrives in these chunks.
///
/// # Errors
///
/// A form that is malformed or breaks off.
pub async fn form(chunks: Vec<Bytes>, boundary: &str) -> Result<Vec<Part>, Problem> {
    let source = stream::iter(chunks.into_iter().map(Ok)).boxed();
    let mut form = Multipart::new(source, boundary, BodyFault::default());
    let mut parts = Vec::new();
    while let Some(head) = form.next_part().await? {
        let mut content = Vec::new();
        while let Some(chunk) = form.chunk().await? {
            assert!(!chunk.is_empty(), "a chunk of content is empty");
            content.extend_from_slice(&chunk);
        }
        let multipart::PartHead { name, filename, content_type } = head;
        parts.push(Part { name, filename, content_type, content });
    }
    assert!(form.next_part().await?.is_none(), "a part follows the end");
    Ok(parts)
}
