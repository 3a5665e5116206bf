//! `list_files`.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use storage_core::{ListOptions, ListPage, ObjectKey, ObjectMeta, Result};

use crate::error::{fault, invalid};
use crate::meta::{etag, size, time};
use crate::store::Store;
use crate::token::Listing;
use crate::{options, walk};

/// Lists keys in byte order, a page at a time.
///
/// # Errors
///
/// As [`storage_core::Backend::list_files`].
pub(crate) async fn list_files(store: &Store, options: ListOptions) -> Result<ListPage> {
    options::check_extra(&options.extra)?;
    let limit = options::page_size(options.limit)?;
    if options.page_token.is_some() && options.start_after.is_some() {
        return Err(invalid("a page token and start_after exclude each other"));
    }
    let place = options.page_token.as_deref().map(|token| Listing::Objects.place::<1>(token)).transpose()?;
    let place = place.map(|[place]| place);
    if store.product.lists_by_folder() {
        return walk::list_files(store, &options, place, limit).await;
    }
    let request = store.client.list_objects_v2().bucket(store.bucket()).prefix(&options.prefix);
    let request = request
        .max_keys(i32::try_from(limit).unwrap_or(i32::MAX))
        .set_start_after(options.start_after.filter(|_| place.is_none()))
        .set_continuation_token(place)
        .set_delimiter(options.delimited.then(|| "/".to_owned()));
    let answer = request.send().await.map_err(fault("list the objects"))?;
    let next = answer.next_continuation_token().filter(|_| answer.is_truncated() == Some(true));
    Ok(ListPage {
        next_page_token: next.map(|token| Listing::Objects.token(&[token])),
        common_prefixes: groups(&answer),
        objects: objects(&answer),
    })
}

/// The objects of an answer. What another program saved under a key that is none here (`folder/`) is left out.
pub(crate) fn objects(answer: &ListObjectsV2Output) -> Vec<ObjectMeta> {
    let described = answer.contents().iter().filter_map(|object| {
        let key = ObjectKey::new(object.key()?).ok()?;
        let mut meta = ObjectMeta::new(key, size(object.size()), time(object.last_modified()));
        meta.etag = etag(object.e_tag());
        meta.storage_class = object.storage_class().map(|class| class.as_str().to_owned());
        Some(meta)
    });
    described.collect()
}

/// The groups of an answer.
pub(crate) fn groups(answer: &ListObjectsV2Output) -> Vec<String> {
    answer.common_prefixes().iter().filter_map(|group| group.prefix().map(str::to_owned)).collect()
}
