//! Listings of objects.

use aws_sdk_s3::types::{Object, OptionalObjectAttributes};
use storage_core::{ListOptions, ListPage, ObjectKey, ObjectMeta, Result};

use crate::call::call;
use crate::directory;
use crate::error::invalid;
use crate::meta::{etag, size_of, system_time};
use crate::options::{only, page_size};
use crate::store::Store;
use crate::token::{self, Place};

/// Lists keys in byte order, a page at a time.
///
/// # Errors
///
/// `InvalidArgument`; what S3 answers.
pub(crate) async fn list_files(store: &Store, options: ListOptions) -> Result<ListPage> {
    only(&options.extra, &[])?;
    let limit = page_size(options.limit)?;
    if options.page_token.is_some() && options.start_after.is_some() {
        return Err(invalid("a page token and a start were given: the token says where to go on"));
    }
    let place = options.page_token.as_deref().map(token::read).transpose()?;
    if store.config.kind().is_directory() {
        let place = match place {
            None => None,
            Some(Place::Walk { after, walk }) => Some((after, walk)),
            Some(_) => return Err(token::foreign()),
        };
        return directory::list_files(store, &options, place, limit.unsigned_abs() as usize).await;
    }
    let token = match place {
        None => None,
        Some(Place::Listing(token)) => Some(token),
        Some(_) => return Err(token::foreign()),
    };
    let request = store
        .s3
        .list_objects_v2()
        .bucket(&store.config.bucket)
        .set_prefix(Some(options.prefix).filter(|prefix| !prefix.is_empty()))
        .set_start_after(options.start_after)
        .set_continuation_token(token)
        .set_delimiter(options.delimited.then(|| "/".to_owned()))
        .optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
        .max_keys(limit);
    let answer = call(store, "list the objects", 0, request.send()).await?;
    let next = answer.next_continuation_token().filter(|_| answer.is_truncated() == Some(true));
    Ok(ListPage {
        objects: answer.contents().iter().filter_map(|object| listed(store, object)).collect(),
        common_prefixes: answer
            .common_prefixes()
            .iter()
            .filter_map(|group| group.prefix().map(str::to_owned))
            .collect(),
        next_page_token: next.map(|token| token::write(&Place::Listing(token.to_owned()))),
    })
}

/// An entry. What others stored under keys that the service cannot have is none of its objects.
pub(crate) fn listed(store: &Store, object: &Object) -> Option<ObjectMeta> {
    let key = legal_key(object.key()?)?;
    let class = object.storage_class().map_or("STANDARD", |class| class.as_str());
    let mut meta = ObjectMeta::new(key, size_of(object.size()), system_time(object.last_modified()));
    meta.etag = object.e_tag().map(etag);
    meta.tier = Some(store.config.tiers.tier(&class.into()));
    meta.storage_class = Some(class.to_owned());
    if let Some(status) = object.restore_status() {
        let is_ongoing = status.is_restore_in_progress() == Some(true);
        meta.extra.insert("restore_in_progress".to_owned(), is_ongoing.to_string());
    }
    Some(meta)
}

/// A key of the listing, if the service can have it.
pub(crate) fn legal_key(text: &str) -> Option<ObjectKey> {
    ObjectKey::new(text).inspect_err(|error| tracing::debug!(%error, "a key of the bucket is left out")).ok()
}
