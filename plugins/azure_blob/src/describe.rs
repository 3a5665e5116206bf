//! `get_metadata` and `exists`: what is known of a blob without its content.

use azure_core::Method;
use storage_core::{ErrorKind, MetadataOptions, ObjectKey, ObjectMeta, Result};

use crate::client::{Call, Reply};
use crate::store::{Shared, Store};
use crate::xml::Element;
use crate::{attributes, error, name, options};

/// Describes an object.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn get_metadata(
    store: Shared,
    key: ObjectKey,
    options: MetadataOptions,
) -> Result<ObjectMeta> {
    options::check_extra(&options.extra)?;
    let version = options::version(&store, options.version.as_ref())?;
    let blob = name::of_key(&key)?;
    let reply = ask(&store, &blob, version, &[]).await?;
    let mut meta = from_reply(&key, &reply)?;
    add_tags(&store, &blob, version, &reply, &mut meta).await?;
    Ok(meta)
}

/// Whether an object is there.
///
/// # Errors
///
/// Only where the question could not be answered.
pub(crate) async fn exists(store: Shared, key: ObjectKey) -> Result<bool> {
    match ask(&store, &name::of_key(&key)?, None, &[]).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Describes a blob, without its tags, under conditions.
///
/// # Errors
///
/// `NotFound`; `NotModified` and `PreconditionFailed`, as the conditions have it.
pub(crate) async fn head(
    store: &Store,
    key: &ObjectKey,
    blob: &str,
    version: Option<&str>,
    conditions: &[(String, String)],
) -> Result<ObjectMeta> {
    from_reply(key, &ask(store, blob, version, conditions).await?)
}

async fn ask(
    store: &Store,
    blob: &str,
    version: Option<&str>,
    conditions: &[(String, String)],
) -> Result<Reply> {
    let call = of_version(Call::blob(Method::Head, blob), version).headers(conditions.iter().cloned());
    store.client.read(&call).await
}

fn from_reply(key: &ObjectKey, reply: &Reply) -> Result<ObjectMeta> {
    let size = reply.header("content-length").and_then(|text| text.parse().ok());
    let mut meta =
        attributes::from_headers(key, &reply.headers, size.ok_or_else(|| error::malformed("length"))?)?;
    note_secondary(reply, &mut meta);
    Ok(meta)
}

/// Says so where the secondary answered, which may be behind.
pub(crate) fn note_secondary(reply: &Reply, meta: &mut ObjectMeta) {
    if reply.from_secondary {
        meta.extra.insert("served_by".to_owned(), "secondary".to_owned());
    }
}

/// The same request about a version.
pub(crate) fn of_version(call: Call, version: Option<&str>) -> Call {
    match version {
        Some(version) => call.query("versionid", version),
        None => call,
    }
}

/// Adds the tags, which take a request of their own where there are any.
///
/// # Errors
///
/// `PermissionDenied` where the identity may not read tags.
pub(crate) async fn add_tags(
    store: &Store,
    blob: &str,
    version: Option<&str>,
    reply: &Reply,
    meta: &mut ObjectMeta,
) -> Result<()> {
    if reply.header("x-ms-tag-count").is_none_or(|count| count == "0") {
        return Ok(());
    }
    let call = of_version(Call::blob(Method::Get, blob), version).query("comp", "tags");
    let answer = store.client.read(&call).await?.text().await?;
    let root = Element::parse(&answer)?;
    let tags = root.child("TagSet").into_iter().flat_map(Element::children);
    meta.tags = tags
        .filter_map(|tag| {
            let value = tag.text_of("Value").unwrap_or_default().to_owned();
            Some((tag.text_of("Key")?.to_owned(), value))
        })
        .collect();
    Ok(())
}
