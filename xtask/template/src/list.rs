//! `list_files`: keys in byte order, a page at a time, as they are or in groups.

use storage_core::{Error, ErrorKind, ListOptions, ListPage, ObjectMeta, Result};

use crate::options;
use crate::store::{Place, Store};

/// The most entries of a page.
pub(crate) const MAX_PAGE: u32 = 1000;

/// Lists objects.
///
/// # Errors
///
/// As [`storage_core::Backend::list_files`].
pub(crate) fn list_files(store: &Store, options: &ListOptions) -> Result<ListPage> {
    options::check_extra(&options.extra)?;
    let limit = match options.limit {
        Some(0) => return Err(Error::new(ErrorKind::InvalidArgument, "a page of no entries was asked for")),
        limit => limit.unwrap_or(MAX_PAGE).min(MAX_PAGE) as usize,
    };
    let mut place = match (&options.page_token, &options.start_after) {
        (Some(_), Some(_)) => {
            let message = "a page token and start_after exclude each other";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        (Some(token), None) => store.read_token(token)?,
        (None, Some(text)) => Place::After(text.clone()),
        (None, None) => Place::Start,
    };
    let prefix = options.prefix.as_str();
    let mut page = ListPage::default();
    while let Some(found) = store.next(prefix, &place) {
        if page.objects.len() + page.common_prefixes.len() == limit {
            page.next_page_token = Some(store.write_token(&place));
            break;
        }
        match options.delimited.then(|| group(found.key.as_str(), prefix)).flatten() {
            Some(group) => {
                place = Place::Beyond(group.clone());
                page.common_prefixes.push(group);
            }
            None => {
                place = Place::After(found.key.as_str().to_owned());
                page.objects.push(listed(&found));
            }
        }
    }
    Ok(page)
}

/// What a listing tells of an object, since `LIST_METADATA` is not declared.
fn listed(meta: &ObjectMeta) -> ObjectMeta {
    let bare = ObjectMeta::new(meta.key.clone(), meta.size_bytes, meta.last_modified);
    ObjectMeta { etag: meta.etag.clone(), ..bare }
}

/// The group to which a key belongs: up to the first slash after the prefix.
fn group(key: &str, prefix: &str) -> Option<String> {
    let slash = key.get(prefix.len()..)?.find('/')?;
    key.get(..=prefix.len() + slash).map(str::to_owned)
}
