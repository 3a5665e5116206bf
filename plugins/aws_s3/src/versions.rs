//! Listings of versions and delete markers.
//!
//! S3 answers versions and markers mixed, in order; the SDK gives them in two lists. Their times, of whole seconds,
//! cannot put them together again, so that the order of the two kinds is read from the answer itself.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use storage_core::{
    Error, ErrorKind, ListVersionsOptions, ObjectKey, ObjectMeta, ObjectVersion, Result, VersionId,
    VersionPage,
};

use crate::call::call;
use crate::list::legal_key;
use crate::meta::{etag, size_of, system_time};
use crate::options::page_size;
use crate::store::Store;
use crate::token::{self, Place};

/// Lists versions, a page at a time.
///
/// # Errors
///
/// `InvalidArgument`; `Unsupported`; what S3 answers.
pub(crate) async fn list_versions(store: &Store, options: ListVersionsOptions) -> Result<VersionPage> {
    store.require_versions()?;
    let limit = page_size(options.limit)?;
    let (key, version) = match options.page_token.as_deref().map(token::read).transpose()? {
        None => (None, None),
        Some(Place::Version { key, version }) => (Some(key), version),
        Some(_) => return Err(token::foreign()),
    };
    let (answer, order) = ask(store, &options.prefix, key, version, limit).await?;
    let is_more = answer.is_truncated() == Some(true);
    let next = answer.next_key_marker().filter(|_| is_more).map(|key| Place::Version {
        key: key.to_owned(),
        version: answer.next_version_id_marker().filter(|id| !id.is_empty()).map(str::to_owned),
    });
    Ok(VersionPage {
        versions: merge(store, &answer, &order)?,
        next_page_token: next.as_ref().map(token::write),
    })
}

/// Whether a version is the mark of a deletion.
///
/// # Errors
///
/// What S3 answers.
pub(crate) async fn has_marker(store: &Store, key: &ObjectKey, version: &VersionId) -> Result<bool> {
    let (mut key_marker, mut version_marker) = (None, None);
    loop {
        let (answer, _) = ask(store, key.as_str(), key_marker, version_marker, 1000).await?;
        let is_it =
            |id: Option<&str>, of: Option<&str>| id == Some(version.as_str()) && of == Some(key.as_str());
        if answer.delete_markers().iter().any(|marker| is_it(marker.version_id(), marker.key())) {
            return Ok(true);
        }
        // The keys that begin like this one come after it.
        let is_beyond = answer.next_key_marker().is_none_or(|next| next != key.as_str());
        if answer.is_truncated() != Some(true) || is_beyond {
            return Ok(false);
        }
        key_marker = answer.next_key_marker().map(str::to_owned);
        version_marker = answer.next_version_id_marker().map(str::to_owned);
    }
}

async fn ask(
    store: &Store,
    prefix: &str,
    key_marker: Option<String>,
    version_marker: Option<String>,
    limit: i32,
) -> Result<(ListObjectVersionsOutput, Vec<Kind>)> {
    let order = NoteOrder::default();
    let request = store
        .s3
        .list_object_versions()
        .bucket(&store.config.bucket)
        .set_prefix(Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()))
        .set_key_marker(key_marker)
        .set_version_id_marker(version_marker)
        .max_keys(limit)
        .customize()
        .interceptor(order.clone());
    let answer = call(store, "list the versions", 0, request.send()).await?;
    Ok((answer, order.take()))
}

/// Puts the two lists together in the order of the answer.
fn merge(store: &Store, answer: &ListObjectVersionsOutput, order: &[Kind]) -> Result<Vec<ObjectVersion>> {
    let (mut versions, mut markers) = (answer.versions().iter(), answer.delete_markers().iter());
    if order.len() != versions.len() + markers.len() {
        return Err(Error::new(ErrorKind::Internal, "the listing of versions cannot be read"));
    }
    let mut merged = Vec::with_capacity(order.len());
    for kind in order {
        let (is_latest, meta) = match kind {
            Kind::Version => {
                let Some(version) = versions.next() else { break };
                let Some(key) = version.key().and_then(legal_key) else { continue };
                let mut meta =
                    ObjectMeta::new(key, size_of(version.size()), system_time(version.last_modified()));
                let class = version.storage_class().map_or("STANDARD", |class| class.as_str());
                meta.etag = version.e_tag().map(etag);
                meta.version = version.version_id().map(VersionId::new);
                meta.tier = Some(store.config.tiers.tier(&class.into()));
                meta.storage_class = Some(class.to_owned());
                (version.is_latest(), meta)
            }
            Kind::Marker => {
                let Some(marker) = markers.next() else { break };
                let Some(key) = marker.key().and_then(legal_key) else { continue };
                let mut meta = ObjectMeta::new(key, 0, system_time(marker.last_modified()));
                meta.version = marker.version_id().map(VersionId::new);
                (marker.is_latest(), meta)
            }
        };
        let is_delete_marker = *kind == Kind::Marker;
        merged.push(ObjectVersion { meta, is_latest: is_latest == Some(true), is_delete_marker });
    }
    Ok(merged)
}

/// What an entry of the listing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Version,
    Marker,
}

/// Notes the order of the two kinds in an answer.
#[derive(Clone, Debug, Default)]
struct NoteOrder(Arc<Mutex<Vec<Kind>>>);

impl NoteOrder {
    fn take(&self) -> Vec<Kind> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for NoteOrder {
    fn name(&self) -> &'static str {
        "NoteOrder"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = order_of(&String::from_utf8_lossy(body));
        Ok(())
    }
}

/// The kinds of the entries of an answer, in its order. Keys cannot hold `<`: XML escapes it.
fn order_of(xml: &str) -> Vec<Kind> {
    let tags = xml.split('<').filter_map(|rest| rest.split(['>', ' ', '/']).next());
    tags.filter_map(|tag| match tag {
        "Version" => Some(Kind::Version),
        "DeleteMarker" => Some(Kind::Marker),
        _ => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_an_answer_is_read_from_it() {
        let xml = "<ListVersionsResult><Name>b</Name><DeleteMarker><Key>a</Key></DeleteMarker>\
                   <Version><Key>&lt;Version&gt;</Key><VersionId>1</VersionId></Version><DeleteMarker>\n<Key>a</Key>\
                   </DeleteMarker></ListVersionsResult>";
        assert_eq!(order_of(xml), [Kind::Marker, Kind::Version, Kind::Marker]);
    }
}
