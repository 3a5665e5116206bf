//! Versions that a backend keeps of an object.

use crate::object::ObjectMeta;

/// Which versions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListVersionsOptions {
    /// Only versions of keys that start with this text; a whole key lists that object (and longer keys).
    pub prefix: String,
    /// Goes on where the page that gave this token ended.
    pub page_token: Option<String>,
    /// The most versions to answer; the backend's own page size where absent.
    pub limit: Option<u32>,
}

/// One version of an object, or the mark that it was deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectVersion {
    /// The version; `version` is always set. Of a delete marker only key, time and version mean something.
    pub meta: ObjectMeta,
    /// Whether a read without a version gives this one.
    pub is_latest: bool,
    /// Whether it is the mark of a deletion.
    pub is_delete_marker: bool,
}

/// Some versions, by key in byte order and, within a key, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VersionPage {
    /// The versions.
    pub versions: Vec<ObjectVersion>,
    /// The token for the next page; absent on the last one.
    pub next_page_token: Option<String>,
}
