//! Listings of files. What the plugin keeps for uploads is never listed.

use storage_core::{Error, ErrorKind, ListOptions, ListPage, ObjectKey, ObjectMeta, Result};

use crate::layout;
use crate::open::Store;
use crate::options::{check_extra, page_size};
use crate::resource::{Listing, Object};
use crate::token::{self, Place};

/// The fields of an object that a listing is for.
pub(crate) const FIELDS: &str = "nextPageToken,prefixes,items(name,size,generation,metageneration,contentType,\
    contentEncoding,contentLanguage,contentDisposition,cacheControl,storageClass,timeCreated,timeDeleted,crc32c,md5Hash,\
    metadata,temporaryHold,eventBasedHold,retentionExpirationTime,customTime,componentCount,kmsKeyName,softDeleteTime,\
    hardDeleteTime)";

/// A control character, which no key holds: a key and this is the first text after the key.
const NEXT: char = '\u{1}';

/// What a page may hold.
enum Entry {
    Object(Box<ObjectMeta>),
    Group(String),
}

impl Entry {
    fn text(&self) -> &str {
        match self {
            Entry::Object(meta) => meta.key.as_str(),
            Entry::Group(group) => group,
        }
    }
}

/// Where a listing begins.
pub(crate) struct Start {
    /// The first text that may be listed.
    pub(crate) offset: String,
    /// A key that is not listed though it may be the first.
    skipped: Option<String>,
}

impl Start {
    /// After a key. One that is so long that no text follows it within Google's bounds is left out by hand.
    pub(crate) fn after_key(key: &str) -> Self {
        match key.len() < ObjectKey::MAX_BYTES {
            true => Self { offset: format!("{key}{NEXT}"), skipped: None },
            false => {
                let mut bound = ObjectKey::MAX_BYTES;
                while !key.is_char_boundary(bound) {
                    bound -= 1;
                }
                Self { offset: key[..bound].to_owned(), skipped: Some(key.to_owned()) }
            }
        }
    }

    /// After all keys of a group, which ends in a slash: `0` follows it.
    fn after_group(group: &str) -> Self {
        Self { offset: format!("{}0", group.strip_suffix('/').unwrap_or(group)), skipped: None }
    }

    /// Whether this start leaves a key out.
    pub(crate) fn skips(&self, key: &str) -> bool {
        self.skipped.as_ref().is_some_and(|skipped| key <= skipped.as_str())
    }

    fn read(options: &ListOptions) -> Result<Self> {
        match (&options.page_token, &options.start_after) {
            (Some(_), Some(_)) => Err(Error::new(
                ErrorKind::InvalidArgument,
                "a page token says where to go on; start_after cannot be given with it",
            )),
            (Some(token), None) => match token::read(token)? {
                Place::Key(key) => Ok(Self::after_key(&key)),
                Place::Group(group) => Ok(Self::after_group(&group)),
                Place::Version { .. } | Place::Upload { .. } => Err(token::foreign()),
            },
            (None, Some(key)) => Ok(Self::after_key(key)),
            (None, None) => Ok(Self { offset: String::new(), skipped: None }),
        }
    }
}

/// Lists a page of files.
///
/// # Errors
///
/// As [`storage_core::Backend::list_files`].
pub(crate) async fn list_files(store: &Store, options: ListOptions) -> Result<ListPage> {
    check_extra(&options.extra)?;
    let limit = page_size(options.limit)?;
    let mut start = Start::read(&options)?;
    let (mut entries, mut google_token) = (Vec::new(), None);
    if let Some(group) = group_of_start(&options, &start) {
        if goes_on_in(store, &group, &start).await? {
            entries.push(Entry::Group(group.clone()));
        }
        start = Start::after_group(&group);
    }
    let goes_on = loop {
        let page = request(store, &options, &start, limit, google_token.take()).await?;
        let ends_within_own = page.items.last().is_some_and(|object| object.name.starts_with(layout::ROOT));
        let groups = page.prefixes.into_iter().filter(|group| is_group(group)).map(Entry::Group);
        entries.extend(groups);
        for object in &page.items {
            entries.extend(entry(store, object, &start)?);
        }
        google_token = page.next_page_token;
        if google_token.is_none() || entries.len() > limit {
            break google_token.is_some();
        }
        if entries.len() == limit {
            break true;
        }
        if ends_within_own {
            // Whatever else is there of the plugin's own is passed over in one step.
            (start, google_token) = (Start { offset: layout::AFTER_ROOT.to_owned(), skipped: None }, None);
        }
    };
    Ok(cut(entries, limit, goes_on))
}

/// The group within which the listing starts, if it does: whether it has keys after the start must be asked apart,
/// since a group is compared with the start by its own name alone.
fn group_of_start(options: &ListOptions, start: &Start) -> Option<String> {
    let rest = start.offset.strip_prefix(&options.prefix).filter(|_| options.delimited)?;
    let slash = rest.find('/')?;
    Some(format!("{}{}", options.prefix, &rest[..=slash]))
}

/// Whether a group has keys after the start.
async fn goes_on_in(store: &Store, group: &str, start: &Start) -> Result<bool> {
    let within = ListOptions { prefix: group.to_owned(), ..ListOptions::default() };
    let page = request(store, &within, start, 1, None).await?;
    Ok(page.items.iter().filter_map(key_of).any(|key| !start.skips(key.as_str())))
}

async fn request(
    store: &Store,
    options: &ListOptions,
    start: &Start,
    limit: usize,
    google_token: Option<String>,
) -> Result<Listing> {
    let mut query = vec![
        ("prefix", options.prefix.clone()),
        ("maxResults", (limit + 1).min(1000).to_string()),
        ("fields", FIELDS.to_owned()),
    ];
    if options.delimited {
        query.push(("delimiter", "/".to_owned()));
    }
    if !start.offset.is_empty() {
        query.push(("startOffset", start.offset.clone()));
    }
    query.extend(google_token.map(|token| ("pageToken", token)));
    Ok(store.client.get(&store.client.objects_url(), &query).await?)
}

/// An object as an entry; none for what is no file, such as the folders that Google's console makes.
fn entry(store: &Store, object: &Object, start: &Start) -> Result<Option<Entry>> {
    match key_of(object) {
        Some(key) if !start.skips(key.as_str()) => {
            Ok(Some(Entry::Object(Box::new(object.meta(key, store.keeps_versions)?))))
        }
        _ => Ok(None),
    }
}

/// The key of an object that is a file.
pub(crate) fn key_of(object: &Object) -> Option<ObjectKey> {
    ObjectKey::new(&object.name).ok()
}

/// Whether a group may hold files: not what starts with a slash or has an empty name.
fn is_group(group: &str) -> bool {
    group.strip_suffix('/').is_some_and(|rest| ObjectKey::new(rest).is_ok())
}

/// Puts the entries in order and keeps as many as were asked for.
fn cut(mut entries: Vec<Entry>, limit: usize, goes_on: bool) -> ListPage {
    entries.sort_by(|one, other| one.text().cmp(other.text()));
    entries.dedup_by(|one, other| one.text() == other.text());
    let goes_on = goes_on || entries.len() > limit;
    entries.truncate(limit);
    let next_page_token = entries.last().filter(|_| goes_on).map(|last| {
        token::write(&match last {
            Entry::Object(meta) => Place::Key(meta.key.as_str().to_owned()),
            Entry::Group(group) => Place::Group(group.clone()),
        })
    });
    let mut page = ListPage { next_page_token, ..ListPage::default() };
    for entry in entries {
        match entry {
            Entry::Object(meta) => page.objects.push(*meta),
            Entry::Group(group) => page.common_prefixes.push(group),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_after_a_key_is_before_every_longer_key() {
        let start = Start::after_key("a");
        assert!(start.offset.as_str() > "a" && start.offset.as_str() < "a ");
        let longest = "k".repeat(ObjectKey::MAX_BYTES);
        let start = Start::after_key(&longest);
        assert!(start.offset.len() <= ObjectKey::MAX_BYTES && start.skips(&longest));
        assert_eq!(Start::after_group("a/").offset, "a0");
    }

    #[test]
    fn what_is_no_file_is_no_group() {
        assert!(is_group("a/") && is_group("a/b/"));
        assert!(!is_group("/") && !is_group("a//") && !is_group("/.storage/") && !is_group("../"));
    }
}
