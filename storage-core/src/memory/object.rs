//! Objects: save, retrieve, describe, copy, delete.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;

use crate::capability::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::MemoryBackend;
use crate::memory::digest::Content;
use crate::memory::state::{Draft, Version};
use crate::object::{ETag, ObjectMeta};
use crate::request::{
    CopyOptions, DeleteOptions, DeleteResult, MetadataOptions, RetrieveOptions, Retrieved, SaveOptions,
    SaveResult, WriteCondition,
};
use crate::stream::{ByteStream, CHUNK_BYTES};
use crate::tiering::Tier;

impl MemoryBackend {
    pub(super) async fn store(
        &self,
        key: &ObjectKey,
        body: ByteStream,
        mut options: SaveOptions,
    ) -> Result<SaveResult> {
        self.check_options(&options)?;
        self.require_condition(&options.condition)?;
        self.require_checksums(&options.checksums)?;
        let limits = &self.info.limits;
        let limit_bytes = limits.max_single_save_bytes.into_iter().chain(limits.max_object_bytes).min();
        let content = Content::receive(body, limit_bytes).await?;
        options.checksums.verify(&content.checksums)?;
        let condition = std::mem::take(&mut options.condition);
        let draft = Draft::new(key, content, self.with_default_tier(options));
        self.state().put(draft, &condition)
    }

    pub(super) fn read(&self, key: &ObjectKey, options: &RetrieveOptions) -> Result<Retrieved> {
        self.refuse_extra(&options.extra)?;
        self.require_version(options.version.as_ref())?;
        let (version, archived) = {
            let state = self.state();
            let version = Arc::clone(state.find(key, options.version.as_ref())?);
            let archived = version.must_be_readable(state.now());
            (version, archived)
        };
        let meta = version.meta.clone();
        options.condition.check(meta.etag.as_ref(), meta.last_modified)?;
        archived?;
        let range = match options.range {
            Some(range) => range.resolve(meta.size_bytes)?,
            None => 0..meta.size_bytes,
        };
        let body = content_of(&version).slice(range.start as usize..range.end as usize);
        Ok(Retrieved { meta, range, body: in_chunks(body) })
    }

    pub(super) fn describe(&self, key: &ObjectKey, options: &MetadataOptions) -> Result<ObjectMeta> {
        self.refuse_extra(&options.extra)?;
        self.require_version(options.version.as_ref())?;
        Ok(self.state().find(key, options.version.as_ref())?.meta.clone())
    }

    pub(super) fn remove(&self, key: &ObjectKey, options: &DeleteOptions) -> Result<DeleteResult> {
        self.refuse_extra(&options.extra)?;
        self.require_version(options.version.as_ref())?;
        if options.if_match.is_some() {
            self.require(Capabilities::DELETE_IF_MATCH, "if_match in delete")?;
        }
        self.state().delete(key, options)
    }

    pub(super) fn duplicate(
        &self,
        from: &ObjectKey,
        to: &ObjectKey,
        options: CopyOptions,
    ) -> Result<SaveResult> {
        self.require(Capabilities::COPY, "copy")?;
        self.refuse_extra(&options.extra)?;
        self.require_version(options.source_version.as_ref())?;
        self.require_condition(&options.condition)?;
        if let Some(replace) = &options.replace {
            self.check_options(replace)?;
            refuse_condition_and_checksums(replace, "a copy's replacement")?;
        }
        let mut state = self.state();
        let source = Arc::clone(state.find(from, options.source_version.as_ref())?);
        if options.source_if_match.as_ref().is_some_and(|tag| source.meta.etag.as_ref() != Some(tag)) {
            return Err(Error::new(ErrorKind::PreconditionFailed, "the source has another tag"));
        }
        source.must_be_readable(state.now())?;
        let draft = match options.replace {
            Some(replace) => {
                let content = Content {
                    bytes: content_of(&source),
                    checksums: source.meta.checksums,
                    etag: source.meta.etag.clone().unwrap_or_else(|| ETag::new("")),
                };
                Draft::new(to, content, self.with_default_tier(replace))
            }
            None => Draft {
                meta: ObjectMeta { key: to.clone(), ..source.meta.clone() },
                bytes: content_of(&source),
            },
        };
        state.put(draft, &options.condition)
    }

    /// Refuses attributes that it could not keep. Conditions and digests are the operation's to check.
    pub(super) fn check_options(&self, options: &SaveOptions) -> Result<()> {
        options.validate()?;
        self.refuse_extra(&options.extra)?;
        if !options.tags.is_empty() {
            self.require(Capabilities::TAGS, "tags")?;
        }
        options.tier.map_or(Ok(()), |tier| self.require_tier(tier))
    }

    pub(super) fn require_condition(&self, condition: &WriteCondition) -> Result<()> {
        match condition {
            WriteCondition::Always => Ok(()),
            WriteCondition::IfAbsent => self.require(Capabilities::WRITE_IF_ABSENT, "if_absent in writes"),
            WriteCondition::IfMatch(_) => self.require(Capabilities::WRITE_IF_MATCH, "if_match in writes"),
        }
    }

    pub(super) fn with_default_tier(&self, options: SaveOptions) -> SaveOptions {
        let default = self.has(Capabilities::TIERS).then_some(Tier::Hot);
        SaveOptions { tier: options.tier.or(default), ..options }
    }
}

/// Refuses what another call decides.
pub(super) fn refuse_condition_and_checksums(options: &SaveOptions, what: &str) -> Result<()> {
    if options.condition == WriteCondition::Always && options.checksums.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, format!("{what} takes neither a condition nor digests")))
}

/// The bytes of a version that was found, which is therefore no delete marker.
fn content_of(version: &Version) -> Bytes {
    version.bytes.clone().unwrap_or_default()
}

/// A body as a real provider would send it. The chunks are slices: nothing is copied.
fn in_chunks(body: Bytes) -> ByteStream {
    if body.len() <= CHUNK_BYTES {
        return ByteStream::from_bytes(body);
    }
    let length_bytes = body.len();
    let chunks = (0..length_bytes)
        .step_by(CHUNK_BYTES)
        .map(move |start| Ok(body.slice(start..length_bytes.min(start + CHUNK_BYTES))));
    ByteStream::from_stream(stream::iter(chunks), Some(length_bytes as u64))
}
