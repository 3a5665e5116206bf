//! Copies inside the bucket: small objects in one request, large ones in parallel parts.

use std::sync::Arc;

use aws_sdk_s3::types::{MetadataDirective, StorageClass, TaggingDirective};
use futures_util::{StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use storage_core::{
    Capabilities, Checksums, CopyOptions, ETag, Error, ErrorKind, ObjectKey, ObjectMeta, Result, Retry,
    SaveOptions, SaveResult, VersionId, WriteCondition,
};

use crate::bucket::Kind;
use crate::call::call_for;
use crate::error::{archived, not_found, unsupported};
use crate::meta::{NO_CONTENT_TYPE, describe, etag, facts, head, is_version_name, size_of, version};
use crate::options::{Wishes, condition, only, only_description, quoted, tagging, wishes};
use crate::retry::repeat;
use crate::store::{Store, with_customer_key, with_encryption};
use crate::upload::{self, OpenUpload, SentPart};
use crate::write::failed;
use crate::{class, digest, metadata, tiering};

/// What stands unencoded in the header that names the source.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Copies an object.
///
/// # Errors
///
/// As [`storage_core::Backend::copy`].
pub(crate) async fn copy(
    store: &Arc<Store>,
    from: &ObjectKey,
    to: &ObjectKey,
    options: CopyOptions,
) -> Result<SaveResult> {
    only(&options.extra, &[])?;
    store.require(Capabilities::COPY, "copy")?;
    let replacement = match options.replace {
        None => None,
        Some(replace) => {
            only_description(&replace)?;
            let wishes = wishes(store, &replace)?;
            Some((replace, wishes))
        }
    };
    if options.condition != WriteCondition::Always && store.config.endpoints.s3.is_some() {
        // Other servers take the condition of a copy and do not look at it.
        return Err(unsupported("conditions on the target of a copy are those of Amazon's own S3"));
    }
    if options.source_version.is_some() {
        store.require_versions()?;
    }
    let source = Source::find(store, from, options.source_version.as_ref()).await?;
    if let Some(wanted) = &options.source_if_match
        && source.meta.etag.as_ref() != Some(wanted)
    {
        return Err(Error::new(ErrorKind::PreconditionFailed, "the source has not the expected tag"));
    }
    // S3 refuses to copy an object onto itself where nothing is to change, unless it is told all of it anew.
    let is_onto_itself = from == to && options.source_version.is_none();
    let description = match replacement {
        Some((replace, wishes)) => Some((replace, wishes)),
        None if is_onto_itself => Some(source.description()),
        None => None,
    };
    source.copy_to(store, to, description, &options.condition).await
}

/// Gives an object another class, in its place.
///
/// # Errors
///
/// `ObjectArchived`; what S3 answers.
pub(crate) async fn change_class(store: &Arc<Store>, source: Source, class: &StorageClass) -> Result<()> {
    let (options, wishes) = source.description();
    let wishes = Wishes { class: Some(class.clone()), ..wishes };
    let key = source.key.clone();
    source.copy_to(store, &key, Some((options, wishes)), &WriteCondition::Always).await.map(drop)
}

/// What is copied.
pub(crate) struct Source {
    key: ObjectKey,
    /// The version that was found, so that no other is copied.
    version: Option<VersionId>,
    /// Whether no version was asked for, so that this is what is under the key.
    is_newest: bool,
    pub(crate) meta: ObjectMeta,
    pub(crate) class: StorageClass,
}

impl Source {
    /// Looks at the source.
    ///
    /// # Errors
    ///
    /// `NotFound`; `ObjectArchived`; what S3 answers.
    pub(crate) async fn find(store: &Store, key: &ObjectKey, wanted: Option<&VersionId>) -> Result<Self> {
        if wanted.is_some_and(|version| !is_version_name(version)) {
            return Err(not_found("version"));
        }
        let answer = head(store, key, wanted).await?;
        let class = class::of_answer(answer.storage_class());
        if !tiering::is_readable(&answer) {
            return Err(archived(class.as_str()));
        }
        let version = version(store, answer.version_id());
        let meta = describe(store, key, size_of(answer.content_length()), facts!(answer), true).await?;
        Ok(Self { key: key.clone(), version, is_newest: wanted.is_none(), meta, class })
    }

    /// Everything that the source was saved with.
    fn description(&self) -> (SaveOptions, Wishes) {
        let meta = &self.meta;
        let options = SaveOptions {
            content_type: meta.content_type.clone(),
            content_encoding: meta.content_encoding.clone(),
            content_language: meta.content_language.clone(),
            content_disposition: meta.content_disposition.clone(),
            cache_control: meta.cache_control.clone(),
            metadata: meta.metadata.clone(),
            tags: meta.tags.clone(),
            ..SaveOptions::default()
        };
        (options, Wishes { class: Some(self.class.clone()), ..Wishes::default() })
    }

    /// The header that names it.
    fn header(&self, store: &Store) -> String {
        let key = utf8_percent_encode(self.key.as_str(), PLAIN);
        let place = if store.config.kind() == Kind::AccessPoint {
            format!("{}/object/{key}", store.config.bucket)
        } else {
            format!("{}/{key}", store.config.bucket)
        };
        match &self.version {
            Some(version) => format!("{place}?versionId={}", utf8_percent_encode(version.as_str(), PLAIN)),
            None => place,
        }
    }

    /// The condition that S3 is told. What is copied onto itself must still be what it was when it was looked at, or the
    /// copy would undo a newer save.
    fn held(&self, store: &Store, to: &ObjectKey, wanted: &WriteCondition) -> WriteCondition {
        let is_onto_itself = self.is_newest && self.key == *to;
        match &self.meta.etag {
            // Other servers do not look at the condition of a copy.
            Some(tag)
                if is_onto_itself
                    && *wanted == WriteCondition::Always
                    && store.config.endpoints.s3.is_none() =>
            {
                WriteCondition::IfMatch(tag.clone())
            }
            _ => wanted.clone(),
        }
    }

    async fn copy_to(
        self,
        store: &Arc<Store>,
        to: &ObjectKey,
        description: Option<(SaveOptions, Wishes)>,
        wanted: &WriteCondition,
    ) -> Result<SaveResult> {
        if self.meta.size_bytes > store.config.copy_part_bytes {
            let (options, wishes) = description.unwrap_or_else(|| self.description());
            return self.copy_in_parts(store, to, options, wishes, wanted).await;
        }
        let (if_match, if_none_match) = condition(&self.held(store, to, wanted));
        let customer = store.customer_key();
        let request = store
            .s3
            .copy_object()
            .bucket(&store.config.bucket)
            .key(to.as_str())
            .copy_source(self.header(store))
            .set_copy_source_if_match(self.meta.etag.as_ref().map(quoted))
            .set_copy_source_sse_customer_algorithm(customer.algorithm())
            .set_copy_source_sse_customer_key(customer.key())
            .set_copy_source_sse_customer_key_md5(customer.md5())
            .set_if_match(if_match)
            .set_if_none_match(if_none_match);
        let request = match description {
            // S3 would store the copy in its own class of choice, not in the source's.
            None => request.storage_class(self.class.clone()),
            Some((options, wishes)) => request
                .metadata_directive(MetadataDirective::Replace)
                .tagging_directive(TaggingDirective::Replace)
                .set_tagging(tagging(&options))
                .set_metadata(Some(metadata::encode(&options.metadata)?))
                .content_type(options.content_type.as_deref().unwrap_or(NO_CONTENT_TYPE))
                .set_content_encoding(options.content_encoding)
                .set_content_language(options.content_language)
                .set_content_disposition(options.content_disposition)
                .set_cache_control(options.cache_control)
                .set_storage_class(wishes.class)
                .set_object_lock_mode(wishes.lock_mode)
                .set_object_lock_retain_until_date(wishes.retain_until)
                .set_object_lock_legal_hold_status(wishes.legal_hold),
        };
        let request = with_encryption!(request, store);
        // The bytes do not pass here, but S3 needs its time for them.
        let answer = call_for(store, "copy the object", self.meta.size_bytes, request.send()).await;
        let answer = answer.map_err(|error| self.changed(wanted, error))?;
        let result = answer.copy_object_result();
        Ok(SaveResult {
            size_bytes: self.meta.size_bytes,
            etag: result.and_then(|result| result.e_tag()).map(etag),
            version: version(store, answer.version_id()),
            checksums: result.map_or(Checksums::default(), |result| {
                let is_composite = crate::meta::is_composite(result.checksum_type());
                let crc64 = result.checksum_crc64_nvme();
                digest::of_answer(result.checksum_sha256(), result.checksum_crc32_c(), crc64, is_composite)
            }),
            ..SaveResult::default()
        })
    }

    /// A condition that does not hold is that of the target, or the source changed after it was looked at.
    fn changed(&self, wanted: &WriteCondition, error: Error) -> Error {
        if *wanted == WriteCondition::Always && error.kind() == ErrorKind::PreconditionFailed {
            return Error::new(ErrorKind::Conflict, "the source changed while it was copied")
                .with_retry(Retry::May)
                .with_source(error);
        }
        failed(wanted, error)
    }

    async fn copy_in_parts(
        &self,
        store: &Arc<Store>,
        to: &ObjectKey,
        options: SaveOptions,
        wishes: Wishes,
        wanted: &WriteCondition,
    ) -> Result<SaveResult> {
        let upload = upload::begin(store, to, options, wishes).await?;
        let size_bytes = self.meta.size_bytes;
        // The largest object has as many parts as an upload may have.
        let part_bytes =
            store.config.copy_part_bytes.max(size_bytes.div_ceil(u64::from(crate::config::MAX_PARTS)));
        let starts = (0..size_bytes).step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX));
        let copies: Vec<_> = starts
            .zip(1..)
            .map(|(start, number)| {
                let end = size_bytes.min(start + part_bytes);
                let upload = &upload;
                async move { repeat(|| self.copy_part(upload, number, start, end), |_| {}).await }
            })
            .collect();
        let parts: Vec<SentPart> =
            stream::iter(copies).buffered(store.config.concurrency).try_collect().await?;
        let crc64 = parts.iter().zip(0_u64..).try_fold(0, |whole, (part, at)| {
            let length = part_bytes.min(size_bytes - at * part_bytes);
            part.crc64.map(|crc| digest::join_crc64(whole, crc, length))
        });
        let checksums = Checksums { crc64nvme: crc64, ..Checksums::default() };
        // What S3 knows of the source must be what it made of the parts.
        self.meta.checksums.verify(&checksums)?;
        let held = self.held(store, to, wanted);
        let completed = upload::complete(upload, parts, held, size_bytes, checksums).await;
        completed.map_err(|error| self.changed(wanted, error))
    }

    async fn copy_part(&self, upload: &OpenUpload, number: u32, start: u64, end: u64) -> Result<SentPart> {
        let store = &*upload.store;
        let customer = store.customer_key();
        let request = store
            .s3
            .upload_part_copy()
            .bucket(&store.config.bucket)
            .key(upload.key.as_str())
            .upload_id(upload.id())
            .part_number(number as i32)
            .copy_source(self.header(store))
            .copy_source_range(format!("bytes={start}-{}", end - 1))
            .set_copy_source_if_match(self.meta.etag.as_ref().map(quoted))
            .set_copy_source_sse_customer_algorithm(customer.algorithm())
            .set_copy_source_sse_customer_key(customer.key())
            .set_copy_source_sse_customer_key_md5(customer.md5());
        let request = with_customer_key!(request, store);
        let answer = call_for(store, "copy a part", end - start, request.send()).await;
        let answer = answer.map_err(|error| self.changed(&WriteCondition::Always, error))?;
        let result = answer.copy_part_result();
        let crc64 = result.and_then(|result| result.checksum_crc64_nvme());
        Ok(SentPart {
            number,
            etag: result
                .and_then(|result| result.e_tag())
                .map(|tag| quoted(&ETag::new(tag.trim_matches('"')))),
            crc64: digest::of_answer(None, None, crc64, false).crc64nvme,
        })
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{SetTierOptions, Tier};

    use super::*;
    use crate::testing::{Said, Script, Seen, answer, key, scripted};

    const TAG: &str = "\"tag\"";
    const CHANGED: &str = "<Error><Code>PreconditionFailed</Code></Error>";

    /// A bucket in which there are objects of this size; a write onto them comes too late.
    async fn with_objects(size_bytes: u64) -> (Arc<Store>, Script) {
        let says = move |seen: &Seen| match (seen.method.as_str(), seen.url.as_str()) {
            ("HEAD", _) => {
                let length = ("content-length", size_bytes.to_string());
                Said::Answer(200, vec![("etag", TAG.to_owned()), length], "")
            }
            ("PUT", url) if url.contains("partNumber") => {
                answer(200, "<CopyPartResult><ETag>\"x\"</ETag></CopyPartResult>")
            }
            ("POST", url) if url.contains("uploads") => answer(
                200,
                "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>",
            ),
            _ if seen.if_match.is_some() => answer(412, CHANGED),
            _ => answer(200, "<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>"),
        };
        let (store, script) = scripted(&[("copy_part_size", "5MiB")], says).await;
        (Arc::new(store), script)
    }

    #[tokio::test]
    async fn a_move_between_tiers_does_not_undo_a_newer_save() {
        for size_bytes in [10, 12 << 20] {
            let (store, script) = with_objects(size_bytes).await;
            let object = key("object");
            let moved = tiering::set_tier(&store, &object, Tier::Cold, SetTierOptions::default());
            let error = moved.await.expect_err("it changed meanwhile");
            assert_eq!(
                (error.kind(), error.retry()),
                (ErrorKind::Conflict, Retry::May),
                "{}",
                error.report()
            );
            let (method, part) = if size_bytes == 10 { ("PUT", "object") } else { ("POST", "uploadId=") };
            assert_eq!(script.requests(method, part).len(), 1);
            assert_eq!(script.requests(method, part)[0].if_match.as_deref(), Some(TAG));
        }
    }

    #[tokio::test]
    async fn a_copy_to_another_key_replaces_what_is_there() {
        let (store, script) = with_objects(10).await;
        copy(&store, &key("from"), &key("to"), CopyOptions::default()).await.expect("copied");
        assert_eq!(script.requests("PUT", "to")[0].if_match, None);
        let error = copy(&store, &key("from"), &key("from"), CopyOptions::default()).await;
        assert_eq!(error.expect_err("it changed meanwhile").kind(), ErrorKind::Conflict);
    }
}
