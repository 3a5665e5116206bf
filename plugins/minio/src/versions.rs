//! `list_versions`.
//!
//! S3 mixes versions and delete markers in one order, which the SDK's answer, with a list of each, has lost. The
//! order is read from the answer's text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use storage_core::{
    ListVersionsOptions, ObjectKey, ObjectMeta, ObjectVersion, Result, VersionId, VersionPage,
};

use crate::error::fault;
use crate::meta::{etag, size, time};
use crate::options;
use crate::store::Store;
use crate::token::Listing;

/// Keeps the place that each version has in the answer.
#[derive(Clone, Debug, Default)]
struct Order(Arc<Mutex<HashMap<String, usize>>>);

impl Intercept for Order {
    fn name(&self) -> &'static str {
        "OrderOfVersions"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(text) = context.response().body().bytes().and_then(|body| std::str::from_utf8(body).ok())
        {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = places(text);
        }
        Ok(())
    }
}

/// The versions of an answer, by where they stand in it.
fn places(text: &str) -> HashMap<String, usize> {
    let after_each = text.split("<VersionId>").skip(1);
    let names =
        after_each.filter_map(|rest| rest.split_once("</VersionId>").map(|(name, _)| name.to_owned()));
    names.enumerate().map(|(place, name)| (name, place)).collect()
}

/// Lists versions and delete markers, by key and, within a key, newest first.
///
/// # Errors
///
/// As [`storage_core::Backend::list_versions`].
pub(crate) async fn list_versions(store: &Store, options: ListVersionsOptions) -> Result<VersionPage> {
    store.require(
        store.features.versions,
        "versions of this bucket",
        "turn them on with `mc version enable ALIAS/BUCKET` and open the backend again",
    )?;
    let limit = options::page_size(options.limit)?;
    let place = options.page_token.as_deref().map(|token| Listing::Versions.place::<2>(token)).transpose()?;
    let request = store.client.list_object_versions().bucket(store.bucket()).prefix(&options.prefix);
    let request = request.max_keys(i32::try_from(limit).unwrap_or(i32::MAX));
    let request = match place {
        None => request,
        Some([key, version]) => {
            request.key_marker(key).set_version_id_marker((!version.is_empty()).then_some(version))
        }
    };
    let order = Order::default();
    let answer = request.customize().interceptor(order.clone()).send().await;
    let answer = answer.map_err(fault("list the versions"))?;
    let mut versions = Vec::new();
    for one in answer.versions() {
        let Some(mut version) = described(one.key(), one.version_id(), time(one.last_modified())) else {
            continue;
        };
        version.meta.size_bytes = size(one.size());
        version.meta.etag = etag(one.e_tag());
        version.meta.storage_class = one.storage_class().map(|class| class.as_str().to_owned());
        version.is_latest = one.is_latest() == Some(true);
        versions.push(version);
    }
    for one in answer.delete_markers() {
        let Some(mut version) = described(one.key(), one.version_id(), time(one.last_modified())) else {
            continue;
        };
        version.is_latest = one.is_latest() == Some(true);
        version.is_delete_marker = true;
        versions.push(version);
    }
    let places = order.0.lock().unwrap_or_else(PoisonError::into_inner);
    let place = |version: &ObjectVersion| {
        version.meta.version.as_ref().and_then(|name| places.get(name.as_str()).copied())
    };
    versions.sort_by(|one, other| (&one.meta.key, place(one)).cmp(&(&other.meta.key, place(other))));
    let next = answer.next_key_marker().filter(|_| answer.is_truncated() == Some(true));
    let next_version = answer.next_version_id_marker().unwrap_or_default();
    Ok(VersionPage {
        versions,
        next_page_token: next.map(|key| Listing::Versions.token(&[key, next_version])),
    })
}

fn described(key: Option<&str>, version: Option<&str>, time: std::time::SystemTime) -> Option<ObjectVersion> {
    let mut meta = ObjectMeta::new(ObjectKey::new(key?).ok()?, 0, time);
    meta.version = Some(VersionId::new(version?));
    Some(ObjectVersion { meta, is_latest: false, is_delete_marker: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_an_answer_is_kept() {
        let text = "<Version><Key>a</Key><VersionId>3</VersionId></Version><DeleteMarker><VersionId>2</VersionId>\
                    </DeleteMarker><Version><VersionId>1</VersionId></Version>";
        let places = places(text);
        assert_eq!(["3", "2", "1"].map(|name| places[name]), [0, 1, 2]);
    }
}
