//! `copy`: the server copies, in one request or, beyond what one takes, in parts.

use std::sync::Arc;

use aws_sdk_s3::types::{CompletedPart, MetadataDirective, TaggingDirective};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use storage_core::{
    Checksums, CopyOptions, Error, ErrorKind, ObjectKey, ObjectMeta, Result, Retry, SaveOptions, SaveResult,
    WriteCondition,
};

use crate::client::TimeToMove;
use crate::error::convert;
use crate::meta::{etag, version};
use crate::save::{condition_fault, quoted};
use crate::store::{Store, copy_source};
use crate::upload::{self, Begun};
use crate::{attributes, options, piece, read};

/// The largest object that one request copies, in bytes.
const MAX_SINGLE_BYTES: u64 = 5 << 30;

/// The parts of a larger one: 5 TiB then have 5,120 of them.
const PART_BYTES: u64 = 1 << 30;

/// How many parts are copied at once.
const PARTS_AT_ONCE: usize = 4;

/// Copies an object inside the bucket.
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
    options::check_extra(&options.extra)?;
    options::check_condition(store, &options.condition)?;
    if options.condition != WriteCondition::Always {
        store.require(store.features.copy_conditions, "conditional copies", "save on condition instead")?;
    }
    if let Some(replace) = &options.replace {
        options::check_description(store, replace)?;
    }
    store.check_writable(to)?;
    let from_version = read::named_version(store, options.source_version.as_ref())?;
    let source = read::head(store, from, from_version.clone()).await?;
    if options.source_if_match.is_some() && options.source_if_match != source.etag {
        return Err(Error::new(ErrorKind::PreconditionFailed, "the source does not have the expected tag"));
    }
    let mut replace = options.replace;
    let is_large = source.size_bytes > MAX_SINGLE_BYTES;
    // A copy onto itself that changes nothing is refused by servers, and parts carry no attributes.
    if replace.is_none() && (from == to || is_large) {
        replace = Some(attributes_of(store, from, from_version.as_deref(), &source).await?);
    }
    let source_header = copy_source(store.bucket(), from, from_version.as_deref());
    let copied = if is_large {
        in_parts(store, to, &source, &source_header, replace.unwrap_or_default(), &options.condition).await
    } else {
        single(store, to, &source, source_header, replace, &options.condition).await
    };
    copied.map_err(|error| source_fault(error, options.source_if_match.is_some(), &options.condition))
}

/// The source changed between the question and the copy: with a condition on it that is the caller's affair.
fn source_fault(error: Error, conditional: bool, condition: &WriteCondition) -> Error {
    if error.kind() != ErrorKind::PreconditionFailed || *condition != WriteCondition::Always {
        return error;
    }
    if conditional {
        return Error::new(ErrorKind::PreconditionFailed, "the source does not have the expected tag");
    }
    Error::new(ErrorKind::Conflict, "the source was replaced while it was copied").with_retry(Retry::May)
}

/// The attributes of an object, as a save would give them.
async fn attributes_of(
    store: &Store,
    key: &ObjectKey,
    version: Option<&str>,
    meta: &ObjectMeta,
) -> Result<SaveOptions> {
    let tags = if store.features.tags { read::tags(store, key, version).await? } else { Default::default() };
    Ok(SaveOptions {
        content_type: meta.content_type.clone(),
        content_encoding: meta.content_encoding.clone(),
        content_language: meta.content_language.clone(),
        content_disposition: meta.content_disposition.clone(),
        cache_control: meta.cache_control.clone(),
        metadata: meta.metadata.clone(),
        tags,
        ..SaveOptions::default()
    })
}

async fn single(
    store: &Store,
    to: &ObjectKey,
    source: &ObjectMeta,
    source_header: String,
    replace: Option<SaveOptions>,
    condition: &WriteCondition,
) -> Result<SaveResult> {
    let request =
        store.client.copy_object().bucket(store.bucket()).key(to.as_str()).copy_source(source_header);
    let request = request.set_copy_source_if_match(source.etag.as_ref().map(|tag| quoted(tag.as_str())));
    let request = match condition {
        WriteCondition::Always => request,
        WriteCondition::IfAbsent => request.if_none_match("*"),
        WriteCondition::IfMatch(tag) => request.if_match(quoted(tag.as_str())),
    };
    let request = match replace {
        None => request,
        Some(replace) => {
            let tagged = store.features.tags.then_some(TaggingDirective::Replace);
            request
                .metadata_directive(MetadataDirective::Replace)
                .set_tagging_directive(tagged)
                .set_tagging(attributes::tagging(&replace.tags))
                .set_metadata(attributes::to_headers(&replace.metadata))
                .content_type(attributes::content_type(replace.content_type.as_ref()))
                .set_content_encoding(replace.content_encoding)
                .set_content_language(replace.content_language)
                .set_content_disposition(replace.content_disposition)
                .set_cache_control(replace.cache_control)
        }
    };
    let answer = request
        .customize()
        .interceptor(TimeToMove::AtServer(source.size_bytes))
        .send()
        .await
        .map_err(|error| condition_fault(convert("copy the object", error), condition))?;
    Ok(SaveResult {
        size_bytes: source.size_bytes,
        etag: etag(answer.copy_object_result().and_then(|result| result.e_tag())),
        version: version(store, answer.version_id()),
        checksums: source.checksums,
        ..SaveResult::default()
    })
}

async fn in_parts(
    store: &Arc<Store>,
    to: &ObjectKey,
    source: &ObjectMeta,
    source_header: &str,
    attributes: SaveOptions,
    condition: &WriteCondition,
) -> Result<SaveResult> {
    let mut begun = Begun::begin(store, to, &attributes).await?;
    let count = u32::try_from(source.size_bytes.div_ceil(PART_BYTES)).unwrap_or(u32::MAX);
    let id = begun.id().to_owned();
    let parts = stream::iter(1..=count).map(|number| {
        let id = id.as_str();
        async move { piece::repeated(|| copy_part(store, to, id, number, source, source_header)).await }
    });
    let parts: Vec<CompletedPart> = parts.buffered(PARTS_AT_ONCE).try_collect().await?;
    let checksums = Checksums { crc64nvme: source.checksums.crc64nvme, ..Checksums::default() };
    let saved = upload::finish(store, to, &id, parts, condition, source.size_bytes, &checksums).await?;
    begun.was_completed();
    Ok(SaveResult { checksums: source.checksums, ..saved })
}

async fn copy_part(
    store: &Store,
    to: &ObjectKey,
    id: &str,
    number: u32,
    source: &ObjectMeta,
    source_header: &str,
) -> Result<CompletedPart> {
    let start = u64::from(number - 1) * PART_BYTES;
    let end = source.size_bytes.min(start + PART_BYTES);
    let request = store.client.upload_part_copy().bucket(store.bucket()).key(to.as_str());
    let request = request
        .upload_id(id)
        .part_number(i32::try_from(number).unwrap_or(i32::MAX))
        .copy_source(source_header)
        .set_copy_source_if_match(source.etag.as_ref().map(|tag| quoted(tag.as_str())))
        .copy_source_range(format!("bytes={start}-{}", end - 1));
    let request = request.customize().interceptor(TimeToMove::AtServer(end - start));
    let answer = request.send().await.map_err(|error| convert("copy a part", error))?;
    let part = answer.copy_part_result();
    let crc = part.and_then(|part| part.checksum_crc64_nvme()).map(str::to_owned);
    Ok(upload::completed(number, part.and_then(|part| part.e_tag()), crc))
}
