//! `list_files` and `list_versions`: pages of a [`Walk`].

use std::sync::Arc;

use storage_core::{
    Error, ErrorKind, ListOptions, ListPage, ListVersionsOptions, ObjectVersion, Result, VersionPage,
};

use crate::blocking;
use crate::options;
use crate::read;
use crate::store::Store;
use crate::token::{self, Place};
use crate::walk::{Bound, Walk};

/// Lists objects.
///
/// # Errors
///
/// As [`storage_core::Backend::list_files`].
pub(crate) async fn list_files(store: Arc<Store>, options: ListOptions) -> Result<ListPage> {
    options::check_extra(&options.extra)?;
    let limit = options::page_size(options.limit)?;
    let bound = match (&options.page_token, &options.start_after) {
        (Some(_), Some(_)) => {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "start_after and a page token exclude each other",
            ));
        }
        (Some(text), None) => match token::read(text)? {
            Place::Key(key) => Bound::After(key),
            Place::Group(group) => Bound::Beyond(group),
            Place::Version { .. } | Place::Upload { .. } => return Err(token::foreign()),
        },
        (None, Some(text)) => Bound::After(text.clone()),
        (None, None) => Bound::First,
    };
    blocking::run(store.gate(), move |cancel| {
        let mut page = ListPage::default();
        let mut last = None;
        let mut walk = Walk::new(&store, &options.prefix, bound);
        while let Some((key, document)) = walk.next()? {
            cancel.check()?;
            // A description without its content is no object, and one of a content that was changed behind the
            // store's back does not tell its length: whoever compares a listing with records must see both.
            let Some(version) = read::as_found(&store, &key, document)? else {
                continue;
            };
            if let Some(place) = last.take_if(|_| page.objects.len() + page.common_prefixes.len() == limit) {
                page.next_page_token = Some(token::write(&place));
                break;
            }
            if options.delimited
                && let Some(end) = key.as_str()[options.prefix.len()..].find('/')
            {
                let group = key.as_str()[..=options.prefix.len() + end].to_owned();
                walk.skip(&group);
                page.common_prefixes.push(group.clone());
                last = Some(Place::Group(group));
            } else {
                page.objects.push(version.into_meta(key.clone(), store.is_versioned()));
                last = Some(Place::Key(key.as_str().to_owned()));
            }
        }
        Ok(page)
    })
    .await
}

/// Lists versions and delete markers.
///
/// # Errors
///
/// As [`storage_core::Backend::list_versions`].
pub(crate) async fn list_versions(store: Arc<Store>, options: ListVersionsOptions) -> Result<VersionPage> {
    if !store.is_versioned() {
        return Err(Error::unsupported("list_versions"));
    }
    let limit = options::page_size(options.limit)?;
    let after = match &options.page_token {
        None => None,
        Some(text) => match token::read(text)? {
            Place::Version { key, version } => Some((key, version)),
            Place::Key(_) | Place::Group(_) | Place::Upload { .. } => return Err(token::foreign()),
        },
    };
    let bound = after.as_ref().map_or(Bound::First, |(key, _)| Bound::At(key.clone()));
    blocking::run(store.gate(), move |cancel| {
        let mut page = VersionPage::default();
        let mut walk = Walk::new(&store, &options.prefix, bound);
        while let Some((key, document)) = walk.next()? {
            cancel.check()?;
            for (index, version) in document.versions.into_iter().enumerate() {
                // Stamps ascend, so that the place of one that is gone is still known.
                if after.as_ref().is_some_and(|(last_key, last)| {
                    last_key == key.as_str() && version.version.as_str() >= last.as_str()
                }) {
                    continue;
                }
                if page.versions.len() == limit {
                    page.next_page_token = page.versions.last().map(|last| {
                        token::write(&Place::Version {
                            key: last.meta.key.as_str().to_owned(),
                            version: last.meta.version.as_ref().map_or_else(String::new, ToString::to_string),
                        })
                    });
                    return Ok(page);
                }
                page.versions.push(ObjectVersion {
                    is_latest: index == 0,
                    is_delete_marker: version.deleted,
                    meta: version.into_meta(key.clone(), true),
                });
            }
        }
        Ok(page)
    })
    .await
}
