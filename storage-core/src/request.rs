//! What each operation takes and answers: options, conditions, ranges, results.
//!
//! Option and result types are plain structs. Build them with `..Default::default()`, since a minor
//! version may add fields. Each carries `extra`: options and facts of one provider alone.
//! A backend refuses an `extra` option that it does not know, as it refuses every option that it
//! cannot honour: with `Unsupported`, never silently.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::object::{Checksums, ETag, ObjectMeta, VersionId, validate_metadata, validate_tags};
use crate::stream::ByteStream;
use crate::tiering::Tier;

/// Options or facts of one provider alone, by name.
pub type Extra = BTreeMap<String, String>;

/// On what a write depends. Decided by the provider in one step with the write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WriteCondition {
    /// On nothing: the last writer wins.
    #[default]
    Always,
    /// The key must not exist, else `AlreadyExists`.
    IfAbsent,
    /// The key must exist with this tag, else `PreconditionFailed`.
    IfMatch(ETag),
}

/// On what a read depends, with the meaning and precedence of RFC 9110, section 13.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadCondition {
    /// The object must have this tag, else `PreconditionFailed`.
    pub if_match: Option<ETag>,
    /// The object must have another tag, else `NotModified`.
    pub if_none_match: Option<ETag>,
    /// The object must have changed after this moment, else `NotModified`. Whole seconds are compared.
    pub if_modified_since: Option<SystemTime>,
    /// The object must not have changed after this moment, else `PreconditionFailed`. Whole seconds are compared.
    pub if_unmodified_since: Option<SystemTime>,
}

impl ReadCondition {
    /// Whether the read depends on nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Decides the condition for an object that exists, for backends whose provider does not.
    ///
    /// # Errors
    ///
    /// `PreconditionFailed` or `NotModified`.
    pub fn check(&self, etag: Option<&ETag>, last_modified: SystemTime) -> Result<()> {
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let changed_after = |moment: SystemTime| seconds(last_modified) > seconds(moment);
        let failed = |what: &'static str| {
            Err(Error::new(ErrorKind::PreconditionFailed, format!("the object does not satisfy {what}")))
        };
        if let Some(expected) = &self.if_match {
            if etag != Some(expected) {
                return failed("if_match");
            }
        } else if self.if_unmodified_since.is_some_and(changed_after) {
            return failed("if_unmodified_since");
        }
        let unchanged = match &self.if_none_match {
            Some(known) => etag == Some(known),
            None => self.if_modified_since.is_some_and(|moment| !changed_after(moment)),
        };
        if unchanged {
            return Err(Error::new(ErrorKind::NotModified, "the object has not changed"));
        }
        Ok(())
    }
}

/// Which bytes of an object are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first number up to, not including, the second; what lies beyond the end is cut off.
    Bounded(u64, u64),
    /// From this byte to the end.
    From(u64),
    /// The last so many bytes; the whole object where it is shorter.
    Suffix(u64),
}

impl ByteRange {
    /// The bytes of an object of this size that the range means.
    ///
    /// # Errors
    ///
    /// `RangeNotSatisfiable` for a range that starts at or beyond the end, is empty or is reversed,
    /// with the size as context (`size_bytes`), as RFC 9110, section 14, has it.
    pub fn resolve(self, size_bytes: u64) -> Result<Range<u64>> {
        let range = match self {
            ByteRange::Bounded(start, end) => start..end.min(size_bytes),
            ByteRange::From(start) => start..size_bytes,
            ByteRange::Suffix(length) => size_bytes.saturating_sub(length)..size_bytes,
        };
        if range.start < range.end {
            return Ok(range);
        }
        Err(Error::new(ErrorKind::RangeNotSatisfiable, format!("the range {self} is not within the object"))
            .with_context("size_bytes", size_bytes))
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByteRange::Bounded(start, end) => write!(f, "{start}..{end}"),
            ByteRange::From(start) => write!(f, "{start}.."),
            ByteRange::Suffix(length) => write!(f, "-{length}"),
        }
    }
}

/// How an object is to be stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaveOptions {
    /// On what the write depends.
    pub condition: WriteCondition,
    /// `Content-Type`, kept and answered as given.
    pub content_type: Option<String>,
    /// `Content-Encoding`, kept and answered as given; the bytes are not touched.
    pub content_encoding: Option<String>,
    /// `Content-Language`, kept and answered as given.
    pub content_language: Option<String>,
    /// `Content-Disposition`, kept and answered as given.
    pub content_disposition: Option<String>,
    /// `Cache-Control`, kept and answered as given.
    pub cache_control: Option<String>,
    /// The user's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// Digests that the content must have, else `ChecksumMismatch` and nothing is stored.
    pub checksums: Checksums,
    /// The tier to store in; the backend's default where absent.
    pub tier: Option<Tier>,
    /// Options of this provider alone.
    pub extra: Extra,
}

impl SaveOptions {
    /// Checks the parts whose rules hold for every provider. The boundary does so before each call.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` or `TooLarge`, naming the entry and the rule.
    pub fn validate(&self) -> Result<()> {
        validate_metadata(&self.metadata)?;
        validate_tags(&self.tags)?;
        let headers = [
            ("content_type", &self.content_type),
            ("content_encoding", &self.content_encoding),
            ("content_language", &self.content_language),
            ("content_disposition", &self.content_disposition),
            ("cache_control", &self.cache_control),
        ];
        for (name, value) in headers {
            if value.as_deref().is_some_and(|text| text.chars().any(|c| !matches!(c, ' '..='~'))) {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!("{name} holds a character other than printable ASCII"),
                ));
            }
        }
        Ok(())
    }
}

/// What was stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaveResult {
    /// The length of what was stored, in bytes.
    pub size_bytes: u64,
    /// The identity of the content.
    pub etag: Option<ETag>,
    /// The name of the new version, where the backend keeps versions.
    pub version: Option<VersionId>,
    /// Digests that the provider or the backend computed.
    pub checksums: Checksums,
    /// Facts of this provider alone.
    pub extra: Extra,
}

/// Which bytes to read, of which version, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetrieveOptions {
    /// The bytes wanted; all of them where absent.
    pub range: Option<ByteRange>,
    /// The version wanted; the current one where absent.
    pub version: Option<VersionId>,
    /// On what the read depends.
    pub condition: ReadCondition,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// An object being read.
#[derive(Debug)]
pub struct Retrieved {
    /// The object; its size and digests are those of the whole, whatever the range.
    pub meta: ObjectMeta,
    /// The bytes of the object that `body` gives.
    pub range: Range<u64>,
    /// The bytes. All of them come from one version of the object, whatever is written meanwhile.
    pub body: ByteStream,
}

/// Which version to describe, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataOptions {
    /// The version wanted; the current one where absent.
    pub version: Option<VersionId>,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// What to delete, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    /// Deletes this version for good. Without it the object disappears; a backend that keeps versions
    /// keeps those it has.
    pub version: Option<VersionId>,
    /// The object must exist with this tag, else `PreconditionFailed`.
    pub if_match: Option<ETag>,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// What a delete did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteResult {
    /// Whether there was something to delete.
    pub existed: bool,
    /// The version that was deleted or, for a delete that keeps versions, the delete marker that was made.
    pub version: Option<VersionId>,
    /// Whether the delete made a delete marker. A backend whose provider makes none, and then has no latest version
    /// of what was deleted, says so among its facts (`delete_markers: false` in [`crate::BackendInfo::extra`]).
    pub delete_marker: bool,
}

/// Which keys to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only keys that start with this text (a text, not a folder: `a/b` finds `a/bc`).
    pub prefix: String,
    /// Only keys after this text, in byte order. Not together with `page_token`.
    pub start_after: Option<String>,
    /// Goes on where the page that gave this token ended.
    pub page_token: Option<String>,
    /// The most entries to answer, objects and common prefixes together; the backend's own page size where absent.
    pub limit: Option<u32>,
    /// Groups keys by what stands between the prefix and the next `/`, as folders.
    pub delimited: bool,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// Some keys, in byte order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListPage {
    /// The objects. Key, size, time and, where the provider lists them, tag and tier are set; the rest may be absent.
    pub objects: Vec<ObjectMeta>,
    /// The groups of a delimited listing, each ending in `/`.
    pub common_prefixes: Vec<String>,
    /// The token for the next page; absent on the last one.
    pub next_page_token: Option<String>,
}

/// How to copy an object inside a backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CopyOptions {
    /// The version to copy; the current one where absent.
    pub source_version: Option<VersionId>,
    /// The source must have this tag, else `PreconditionFailed`.
    pub source_if_match: Option<ETag>,
    /// On what the write of the target depends.
    pub condition: WriteCondition,
    /// New headers, metadata, tags and tier; those of the source where absent. Conditions and digests in it are
    /// `InvalidArgument`.
    pub replace: Option<SaveOptions>,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// What a presigned URL allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresignMethod {
    /// One object may be read (`GET`, and `HEAD` where the provider allows it).
    Get,
    /// One object may be written (`PUT`).
    Put,
}

/// What to sign.
#[derive(Clone, Debug, PartialEq)]
pub struct PresignRequest {
    /// The object.
    pub key: ObjectKey,
    /// What the URL allows.
    pub method: PresignMethod,
    /// How long it allows it, from now on. At most the backend's `max_presign_expiry`.
    pub expires_in: Duration,
    /// The version to read.
    pub version: Option<VersionId>,
    /// Get: the `Content-Type` to answer. Put: the one that the writer must send.
    pub content_type: Option<String>,
    /// Get: the `Content-Disposition` to answer. Put: the one that the writer must send.
    pub content_disposition: Option<String>,
    /// Put: the exact length that the writer must send.
    pub content_length_bytes: Option<u64>,
    /// Put: digests that the writer must send.
    pub checksums: Checksums,
    /// Options of this provider alone.
    pub extra: Extra,
}

impl PresignRequest {
    /// A request that binds nothing but key, method and expiry.
    pub fn new(key: ObjectKey, method: PresignMethod, expires_in: Duration) -> Self {
        Self {
            key,
            method,
            expires_in,
            version: None,
            content_type: None,
            content_disposition: None,
            content_length_bytes: None,
            checksums: Checksums::default(),
            extra: Extra::new(),
        }
    }
}

/// A URL that carries its own permission. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct PresignedUrl {
    /// The URL. Whoever has it may use it: treat it as a secret.
    pub url: String,
    /// Headers that the request must carry as they are.
    pub headers: Vec<(String, String)>,
    /// When it stops working.
    pub expires_at: SystemTime,
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresignedUrl").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_resolve_as_rfc_9110_has_it() {
        let resolve = |range: ByteRange, size| range.resolve(size).map_err(|error| error.kind());
        assert_eq!(resolve(ByteRange::Bounded(0, 4), 10), Ok(0..4));
        assert_eq!(resolve(ByteRange::Bounded(8, 40), 10), Ok(8..10));
        assert_eq!(resolve(ByteRange::From(9), 10), Ok(9..10));
        assert_eq!(resolve(ByteRange::Suffix(3), 10), Ok(7..10));
        assert_eq!(resolve(ByteRange::Suffix(30), 10), Ok(0..10));
        let beyond =
            [(ByteRange::From(10), 10), (ByteRange::Bounded(4, 4), 10), (ByteRange::Bounded(5, 4), 10)];
        let empty = [(ByteRange::Suffix(0), 10), (ByteRange::Suffix(1), 0), (ByteRange::From(0), 0)];
        for (range, size) in beyond.into_iter().chain(empty) {
            assert_eq!(resolve(range, size), Err(ErrorKind::RangeNotSatisfiable), "{range} of {size}");
        }
    }

    #[test]
    fn read_conditions_follow_the_precedence_of_rfc_9110() {
        let tag = ETag::new("a");
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(5_500);
        let check =
            |condition: ReadCondition| condition.check(Some(&tag), then).map_err(|error| error.kind());
        let second = |s| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let none = ReadCondition::default();
        assert_eq!(check(none.clone()), Ok(()));
        assert_eq!(
            check(ReadCondition { if_match: Some(ETag::new("b")), ..none.clone() }),
            Err(ErrorKind::PreconditionFailed)
        );
        assert_eq!(
            check(ReadCondition { if_none_match: Some(tag.clone()), ..none.clone() }),
            Err(ErrorKind::NotModified)
        );
        assert_eq!(
            check(ReadCondition { if_modified_since: second(5), ..none.clone() }),
            Err(ErrorKind::NotModified)
        );
        assert_eq!(check(ReadCondition { if_modified_since: second(4), ..none.clone() }), Ok(()));
        assert_eq!(
            check(ReadCondition { if_unmodified_since: second(4), ..none.clone() }),
            Err(ErrorKind::PreconditionFailed)
        );
        let matched =
            ReadCondition { if_match: Some(tag.clone()), if_unmodified_since: second(1), ..none.clone() };
        assert_eq!(check(matched), Ok(()), "a tag outweighs a time");
        let other =
            ReadCondition { if_none_match: Some(ETag::new("b")), if_modified_since: second(9), ..none };
        assert_eq!(check(other), Ok(()), "a tag outweighs a time");
    }

    #[test]
    fn headers_hold_printable_ascii_only() {
        let options =
            SaveOptions { content_disposition: Some("a\r\nX: 1".to_owned()), ..SaveOptions::default() };
        assert_eq!(options.validate().expect_err("header").kind(), ErrorKind::InvalidArgument);
    }
}
