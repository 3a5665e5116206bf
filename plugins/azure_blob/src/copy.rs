//! `copy`: inside the service, without the bytes passing through here.
//!
//! A content of up to 256 MiB that keeps its attributes is one request. Everything else is staged from the source's
//! address in blocks and then listed, which takes new attributes and any size, and is atomic as well.

use std::time::{Duration, SystemTime};

use azure_core::Method;
use storage_core::{
    CopyOptions, Error, ErrorKind, ObjectKey, ObjectMeta, Result, Retry, SaveOptions, SaveResult, Tier,
    WriteCondition,
};

use crate::attributes::{condition_headers, quoted, tags_header};
use crate::blocks::{self, Source};
use crate::client::Call;
use crate::credential::Identity;
use crate::sas::{self, Grant, Moment};
use crate::save::refused;
use crate::store::{Shared, Store};
use crate::{attributes, describe, name, options, retry};

/// The largest content that `Copy Blob From URL` takes.
const MAX_DIRECT_BYTES: u64 = 256 << 20;
/// How long the service may read the source by its address.
const VALIDITY: Duration = Duration::from_secs(24 * 3600);
/// How often a copy is begun anew because another writer of the target finished first.
const ATTEMPTS: u32 = 12;

/// Copies an object inside the container.
///
/// # Errors
///
/// `NotFound` and `ObjectArchived` for the source; else as a save.
pub(crate) async fn copy(
    store: Shared,
    from: ObjectKey,
    to: ObjectKey,
    options: CopyOptions,
) -> Result<SaveResult> {
    options::check_extra(&options.extra)?;
    if let Some(replace) = &options.replace {
        options::check_description(replace)?;
    }
    let version = options::version(&store, options.source_version.as_ref())?;
    let described =
        storage_core::MetadataOptions { version: options.source_version.clone(), ..Default::default() };
    let meta = describe::get_metadata(Shared::clone(&store), from.clone(), described).await?;
    if let Some(expected) = &options.source_if_match
        && meta.etag.as_ref() != Some(expected)
    {
        return Err(Error::new(
            ErrorKind::PreconditionFailed,
            "the source has not the tag that the condition names",
        ));
    }
    if meta.tier == Some(Tier::Glacier) {
        return Err(Error::new(
            ErrorKind::ObjectArchived,
            "the source is archived: ask for its restore, which takes up to 15 hours",
        ));
    }
    let source = address(&store, &name::of_key(&from)?, version.map(Moment::Version), &meta).await?;
    let blob = name::of_key(&to)?;
    let direct = options.replace.is_none() && meta.size_bytes <= MAX_DIRECT_BYTES;
    let attributes = options.replace.unwrap_or_else(|| attributes_of(&meta));
    if direct {
        return copy_directly(&store, &blob, &source, &meta, &attributes, &options.condition).await;
    }
    compose(&store, &blob, &source, &meta, &attributes, &options.condition).await
}

/// The attributes of an object, as a save gives them.
pub(crate) fn attributes_of(meta: &ObjectMeta) -> SaveOptions {
    SaveOptions {
        content_type: meta.content_type.clone(),
        content_encoding: meta.content_encoding.clone(),
        content_language: meta.content_language.clone(),
        content_disposition: meta.content_disposition.clone(),
        cache_control: meta.cache_control.clone(),
        metadata: meta.metadata.clone(),
        tags: meta.tags.clone(),
        tier: meta.tier,
        ..SaveOptions::default()
    }
}

/// An address at which the service reads the source for us.
pub(crate) async fn address(
    store: &Store,
    blob: &str,
    moment: Option<Moment<'_>>,
    meta: &ObjectMeta,
) -> Result<Source> {
    let etag = meta.etag.as_ref().map(quoted).ok_or_else(|| crate::error::malformed("tag"))?;
    if let Identity::Sas(token) = &store.config.identity {
        // The signature that we have is the one that we can give.
        let mut url = store.client.blob_url(blob);
        url.set_query(Some(token.secret()));
        if let Some(moment) = &moment {
            sas::add_moment(&mut url, moment);
        }
        return Ok(Source { url, etag });
    }
    let grant = Grant {
        permissions: "r",
        blob,
        moment,
        expires_at: SystemTime::now() + VALIDITY,
        content_type: None,
        content_disposition: None,
    };
    Ok(Source { url: sas::sign(store, &grant).await?, etag })
}

async fn copy_directly(
    store: &Store,
    blob: &str,
    source: &Source,
    meta: &ObjectMeta,
    attributes: &SaveOptions,
    condition: &WriteCondition,
) -> Result<SaveResult> {
    let tags = (!attributes.tags.is_empty()).then(|| tags_header(&attributes.tags));
    let tier = meta.storage_class.clone().filter(|_| meta.tier.is_some());
    let call = Call::blob(Method::Put, blob)
        .header("x-ms-copy-source", source.url.as_str())
        .header("x-ms-requires-sync", "true")
        .header("x-ms-source-if-match", source.etag.as_str())
        .headers(tags.map(|tags| ("x-ms-tags".to_owned(), tags)))
        .headers(tier.map(|tier| ("x-ms-access-tier".to_owned(), tier)))
        .headers(condition_headers(condition))
        .moving(meta.size_bytes);
    let reply = store.client.send(&call).await.map_err(|error| refused(error, condition))?;
    Ok(blocks::saved(&reply, meta.size_bytes, meta.checksums))
}

/// Makes a blob of the first bytes of another. Blocks that another writer's success dropped are staged again.
///
/// # Errors
///
/// As a save.
pub(crate) async fn compose(
    store: &Store,
    blob: &str,
    source: &Source,
    meta: &ObjectMeta,
    attributes: &SaveOptions,
    condition: &WriteCondition,
) -> Result<SaveResult> {
    let headers = attributes::headers(attributes, &meta.checksums, store.config.tier.as_deref());
    let headers: Vec<_> = headers.into_iter().chain(condition_headers(condition)).collect();
    let mut tried = 0;
    loop {
        let names = blocks::stage_from(store, blob, source, meta.size_bytes).await?;
        let error = match blocks::commit(&store.client, blob, &names, headers.iter().cloned()).await {
            Ok(reply) => return Ok(blocks::saved(&reply, meta.size_bytes, meta.checksums)),
            Err(error) => error,
        };
        tried += 1;
        if error.kind() != ErrorKind::Conflict || !error.retry().is_allowed() || tried == ATTEMPTS {
            return Err(refused(error, condition));
        }
        tokio::time::sleep(retry::delay(tried, Retry::May)).await;
    }
}
