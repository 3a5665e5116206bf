//! Generations as versions. Google makes no delete markers, and lists the generations of a key in its own order.

use storage_core::{ListVersionsOptions, ObjectVersion, Result, VersionPage};

use crate::layout;
use crate::list::{FIELDS, key_of};
use crate::open::Store;
use crate::options::page_size;
use crate::resource::{Listing, Object};
use crate::token::{self, Place};

/// Lists a page of versions.
///
/// # Errors
///
/// As [`storage_core::Backend::list_versions`].
pub(crate) async fn list_versions(store: &Store, options: ListVersionsOptions) -> Result<VersionPage> {
    if !store.keeps_versions {
        return Err(storage_core::Error::unsupported("list_versions"));
    }
    let limit = page_size(options.limit)?;
    let after = match options.page_token.as_deref().map(token::read).transpose()? {
        None => None,
        Some(Place::Version { key, generation }) => Some((key, generation)),
        Some(_) => return Err(token::foreign()),
    };
    let mut walk =
        Walk { store, prefix: options.prefix, google_token: None, offset: String::new(), is_over: false };
    // The page goes on within the key: its generations are read again.
    walk.offset = after.as_ref().map(|(key, _)| key.clone()).unwrap_or_default();
    let (mut versions, mut key_group) = (Vec::new(), Vec::<Object>::new());
    let is_before = |object: &Object| -> Result<bool> {
        Ok(match &after {
            Some((key, generation)) => object.name == *key && object.generation()? >= *generation,
            None => false,
        })
    };
    // Of a key all generations must be known before the newest can be told.
    while versions.len() <= limit {
        let page = walk.next().await?;
        let is_over = page.is_none();
        for object in page.unwrap_or_default() {
            if key_group.last().is_some_and(|last| last.name != object.name) {
                take(&mut key_group, &mut versions, is_before)?;
            }
            key_group.push(object);
        }
        if is_over {
            take(&mut key_group, &mut versions, is_before)?;
            break;
        }
    }
    let goes_on = versions.len() > limit;
    versions.truncate(limit);
    let next_page_token = match versions.last().filter(|_| goes_on) {
        Some(last) => Some(place(last)?),
        None => None,
    };
    Ok(VersionPage { versions, next_page_token })
}

fn place(last: &ObjectVersion) -> Result<String> {
    let version = last.meta.version.as_ref().and_then(|version| version.as_str().parse().ok());
    let generation = version.ok_or_else(|| crate::error::bad_answer("a version without a generation"))?;
    Ok(token::write(&Place::Version { key: last.meta.key.as_str().to_owned(), generation }))
}

/// Moves the generations of one key, newest first, without those that an earlier page gave.
fn take(
    generations: &mut Vec<Object>,
    versions: &mut Vec<ObjectVersion>,
    is_before: impl Fn(&Object) -> Result<bool>,
) -> Result<()> {
    let mut ordered =
        generations.drain(..).map(|object| Ok((object.generation()?, object))).collect::<Result<Vec<_>>>()?;
    ordered.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
    for (_, object) in ordered {
        let Some(key) = key_of(&object) else { continue };
        if is_before(&object)? {
            continue;
        }
        versions.push(ObjectVersion {
            meta: object.meta(key, true)?,
            is_latest: object.time_deleted.is_none(),
            is_delete_marker: false,
        });
    }
    Ok(())
}

/// The pages of Google's listing.
struct Walk<'a> {
    store: &'a Store,
    prefix: String,
    google_token: Option<String>,
    offset: String,
    is_over: bool,
}

impl Walk<'_> {
    /// The next page; none after the last.
    async fn next(&mut self) -> Result<Option<Vec<Object>>> {
        if self.is_over {
            return Ok(None);
        }
        let mut query = vec![
            ("prefix", self.prefix.clone()),
            ("versions", "true".to_owned()),
            ("fields", FIELDS.to_owned()),
        ];
        if !self.offset.is_empty() {
            query.push(("startOffset", self.offset.clone()));
        }
        query.extend(self.google_token.take().map(|token| ("pageToken", token)));
        let client = &self.store.client;
        let page: Listing = client.get(&client.objects_url(), &query).await?;
        self.google_token = page.next_page_token;
        let is_own = |object: &Object| object.name.starts_with(layout::ROOT);
        if self.google_token.is_some() && page.items.last().is_some_and(is_own) {
            self.offset = layout::AFTER_ROOT.to_owned();
            self.google_token = None;
        } else {
            self.is_over = self.google_token.is_none();
        }
        Ok(Some(page.items))
    }
}
