//! What the backend holds: versions by key, uploads in progress, lifecycle rules and a clock.
//!
//! All of it lies behind one lock, which is held only for steps that neither wait nor fail midway:
//! that makes every write atomic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::digest::Content;
use crate::object::{ETag, ObjectMeta, VersionId};
use crate::request::{DeleteOptions, DeleteResult, SaveOptions, SaveResult, WriteCondition};
use crate::tiering::LifecycleRule;

/// Everything that the backend holds.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whether an overwrite or a delete keeps what was there.
    keeps_versions: bool,
    /// The versions of each key, oldest first; never an empty list.
    pub(super) objects: BTreeMap<ObjectKey, Vec<Arc<Version>>>,
    /// Uploads in progress, by key and number, which is the order of their start.
    pub(super) uploads: BTreeMap<(ObjectKey, u64), UploadInProgress>,
    /// The lifecycle rules, which are applied whenever the state is looked at.
    pub(super) rules: Vec<LifecycleRule>,
    /// How far the clock was put forward.
    pub(super) clock_ahead: Duration,
    last_number: u64,
}

/// One version of an object, or a delete marker.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// Ascends with every version of any key.
    pub(super) number: u64,
    pub(super) meta: ObjectMeta,
    /// The content; absent in a delete marker.
    pub(super) bytes: Option<Bytes>,
    /// The restore that was last asked for.
    pub(super) restore: Option<Restore>,
}

/// A copy of an archived object that can be read for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restore {
    pub(super) ready_at: SystemTime,
    pub(super) until: SystemTime,
}

/// An upload in progress.
#[derive(Debug)]
pub(super) struct UploadInProgress {
    pub(super) options: SaveOptions,
    pub(super) started_at: SystemTime,
    pub(super) parts: BTreeMap<u32, Content>,
}

/// An object that is complete but not yet under its key.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) meta: ObjectMeta,
    pub(super) bytes: Bytes,
}

impl Draft {
    /// An object with this content and the attributes that a save gave.
    pub(super) fn new(key: &ObjectKey, content: Content, options: SaveOptions) -> Self {
        let mut meta = ObjectMeta::new(key.clone(), content.bytes.len() as u64, SystemTime::UNIX_EPOCH);
        meta.etag = Some(content.etag);
        meta.checksums = content.checksums;
        meta.content_type = options.content_type;
        meta.content_encoding = options.content_encoding;
        meta.content_language = options.content_language;
        meta.content_disposition = options.content_disposition;
        meta.cache_control = options.cache_control;
        meta.metadata = options.metadata;
        meta.tags = options.tags;
        meta.tier = options.tier;
        Self { meta, bytes: content.bytes }
    }
}

impl State {
    /// Nothing yet.
    pub(super) fn new(keeps_versions: bool) -> Self {
        Self { keeps_versions, ..Self::default() }
    }

    /// The backend's time: the machine's, put forward by what a test asked for.
    pub(super) fn now(&self) -> SystemTime {
        SystemTime::now() + self.clock_ahead
    }

    /// A number that was never given before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The version that a read without a version gives, which is none where it is a delete marker.
    pub(super) fn current(&self, key: &ObjectKey) -> Option<&Arc<Version>> {
        self.objects.get(key)?.last().filter(|version| version.bytes.is_some())
    }

    /// The version that a read gives.
    pub(super) fn find(&self, key: &ObjectKey, version: Option<&VersionId>) -> Result<&Arc<Version>> {
        let found = match version {
            None => self.current(key),
            Some(wanted) => self.objects.get(key).and_then(|versions| {
                versions.iter().find(|one| one.meta.version.as_ref() == Some(wanted) && one.bytes.is_some())
            }),
        };
        found.ok_or_else(|| match version {
            None => Error::new(ErrorKind::NotFound, "there is no such object"),
            Some(version) => Error::new(ErrorKind::NotFound, "there is no such version of the object")
                .with_context("version", version),
        })
    }

    /// The same for a change in place.
    pub(super) fn find_mut(&mut self, key: &ObjectKey, version: Option<&VersionId>) -> Result<&mut Version> {
        let number = self.find(key, version)?.number;
        let versions = self.objects.get_mut(key);
        let found = versions.and_then(|versions| versions.iter_mut().find(|one| one.number == number));
        found.map(Arc::make_mut).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such object"))
    }

    /// Decides the condition of a write.
    pub(super) fn check(&self, key: &ObjectKey, condition: &WriteCondition) -> Result<()> {
        let current = self.current(key);
        match condition {
            WriteCondition::Always => Ok(()),
            WriteCondition::IfAbsent if current.is_none() => Ok(()),
            WriteCondition::IfAbsent => {
                Err(Error::new(ErrorKind::AlreadyExists, "there is an object under this key"))
            }
            WriteCondition::IfMatch(tag) => must_match(current, tag),
        }
    }

    /// Puts an object under its key, if the condition holds.
    pub(super) fn put(&mut self, draft: Draft, condition: &WriteCondition) -> Result<SaveResult> {
        self.check(&draft.meta.key, condition)?;
        let mut meta = draft.meta;
        meta.last_modified = self.now();
        let saved = self.push(meta, Some(draft.bytes));
        Ok(SaveResult {
            size_bytes: saved.size_bytes,
            etag: saved.etag,
            version: saved.version,
            checksums: saved.checksums,
            ..SaveResult::default()
        })
    }

    /// Deletes an object or a version.
    pub(super) fn delete(&mut self, key: &ObjectKey, options: &DeleteOptions) -> Result<DeleteResult> {
        if let Some(tag) = &options.if_match {
            must_match(self.find(key, options.version.as_ref()).ok(), tag)?;
        }
        let deletes_for_good = options.version.is_some() || !self.keeps_versions;
        let doomed = |version: &Arc<Version>| match &options.version {
            Some(wanted) => version.meta.version.as_ref() == Some(wanted),
            None => true,
        };
        if deletes_for_good {
            let removed = self.objects.get_mut(key).and_then(|versions| {
                let place = versions.iter().rposition(doomed)?;
                Some(versions.remove(place))
            });
            if self.objects.get(key).is_some_and(Vec::is_empty) {
                self.objects.remove(key);
            }
            return Ok(DeleteResult {
                existed: removed.is_some(),
                version: removed.and_then(|version| version.meta.version.clone()),
                delete_marker: false,
            });
        }
        if self.current(key).is_none() {
            return Ok(DeleteResult::default());
        }
        let marker = self.push(ObjectMeta::new(key.clone(), 0, self.now()), None);
        Ok(DeleteResult { existed: true, version: marker.version, delete_marker: true })
    }

    fn push(&mut self, mut meta: ObjectMeta, bytes: Option<Bytes>) -> ObjectMeta {
        let number = self.next_number();
        meta.version = self.keeps_versions.then(|| VersionId::new(format!("v{number:08}")));
        let version = Arc::new(Version { number, meta: meta.clone(), bytes, restore: None });
        let versions = self.objects.entry(meta.key.clone()).or_default();
        if !self.keeps_versions {
            versions.clear();
        }
        versions.push(version);
        meta
    }
}

fn must_match(found: Option<&Arc<Version>>, tag: &ETag) -> Result<()> {
    match found {
        Some(version) if version.meta.etag.as_ref() == Some(tag) => Ok(()),
        Some(_) => Err(Error::new(ErrorKind::PreconditionFailed, "the object has another tag")),
        None => Err(Error::new(ErrorKind::PreconditionFailed, "there is no object that could have the tag")),
    }
}
