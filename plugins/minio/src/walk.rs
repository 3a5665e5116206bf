//! Listings in byte order from a server that lists by folder.
//!
//! Such a server gives `a`, then all of `a/…`, then `a b`, `a-b`: it compares names of folders where bytes say
//! that ` ` and `-` come before `/`. What it lists after a key follows that order too, so that no page of it can
//! be trusted to be complete. Therefore folders are read: one whose content fits into an answer is sorted here, and
//! a larger one is read name by name, each folder in it at its place in byte order.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use futures_util::future::BoxFuture;
use storage_core::{ListOptions, ListPage, ObjectMeta, Result};

use crate::error::fault;
use crate::list::{groups, objects};
use crate::options::MAX_PAGE;
use crate::store::Store;
use crate::token::Listing;

/// What a listing gives.
#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Object(Box<ObjectMeta>),
    /// A folder, with its slash.
    Folder(String),
}

/// Reads answers of the server until there are enough entries.
struct Walk<'a> {
    store: &'a Store,
    delimited: bool,
    /// So many entries are enough.
    enough: usize,
    entries: Vec<Entry>,
}

/// Lists keys in byte order.
///
/// # Errors
///
/// The server's.
pub(crate) async fn list_files(
    store: &Store,
    options: &ListOptions,
    place: Option<String>,
    limit: u32,
) -> Result<ListPage> {
    let after = place.or_else(|| options.start_after.clone()).unwrap_or_default();
    // A token that names a group goes on behind all that is in it; a key does not end in a slash.
    let skipped = options.page_token.is_some().then(|| after.clone()).filter(|after| after.ends_with('/'));
    let limit = limit as usize;
    let mut walk = Walk { store, delimited: options.delimited, enough: limit + 1, entries: Vec::new() };
    let is_over = after.as_str() > options.prefix.as_str() && !after.starts_with(&options.prefix);
    if !is_over {
        walk.folder(options.prefix.clone(), after, skipped).await?;
    }
    let more = walk.entries.len() > limit;
    walk.entries.truncate(limit);
    let mut page = ListPage::default();
    if let Some(last) = walk.entries.last().filter(|_| more) {
        let place = match last {
            Entry::Object(meta) => meta.key.as_str(),
            Entry::Folder(folder) => folder,
        };
        page.next_page_token = Some(Listing::Objects.token(&[place]));
    }
    for entry in walk.entries {
        match entry {
            Entry::Object(meta) => page.objects.push(*meta),
            Entry::Folder(folder) => page.common_prefixes.push(folder),
        }
    }
    Ok(page)
}

impl Walk<'_> {
    fn is_enough(&self) -> bool {
        self.entries.len() >= self.enough
    }

    /// Gives what is under a prefix and after a text; nothing of the folder that is to be skipped.
    fn folder<'a>(
        &'a mut self,
        prefix: String,
        after: String,
        skipped: Option<String>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if !self.delimited {
                let answer = ask(self.store, &prefix, None, false).await?;
                if answer.is_truncated() != Some(true) {
                    let mut found = objects(&answer);
                    found.retain(|meta| meta.key.as_str() > after.as_str());
                    found.sort_by(|one, other| one.key.cmp(&other.key));
                    self.entries.extend(found.into_iter().map(|meta| Entry::Object(Box::new(meta))));
                    return Ok(());
                }
            }
            self.names(prefix, after, skipped).await
        })
    }

    /// Gives what is under a prefix, name by name.
    async fn names(&mut self, prefix: String, after: String, skipped: Option<String>) -> Result<()> {
        let base = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]).to_owned();
        let mut pending = BTreeMap::new();
        for folder in earlier_folders(&base, &prefix, &after) {
            pending.insert(folder.clone(), Entry::Folder(folder));
        }
        let mut place = first_place(&base, &after);
        loop {
            let answer = ask(self.store, &prefix, place.as_deref(), true).await?;
            for meta in objects(&answer) {
                pending.insert(meta.key.as_str().to_owned(), Entry::Object(Box::new(meta)));
            }
            for group in groups(&answer) {
                pending.insert(group.clone(), Entry::Folder(group));
            }
            let last = last_name(&answer);
            let next =
                last.filter(|last| answer.is_truncated() == Some(true) && Some(last) != place.as_ref());
            while let Some(first) = pending.first_entry() {
                // What the server gives later has a name after the last one, and so a key after it.
                if next.as_ref().is_some_and(|last| first.key() > last) {
                    break;
                }
                let entry = first.remove();
                self.give(entry, &after, skipped.as_deref()).await?;
                if self.is_enough() {
                    return Ok(());
                }
            }
            if next.is_none() {
                return Ok(());
            }
            place = next;
        }
    }

    /// Gives an entry, or what is in it, unless it comes before the place.
    async fn give(&mut self, entry: Entry, after: &str, skipped: Option<&str>) -> Result<()> {
        match entry {
            Entry::Object(meta) if meta.key.as_str() > after => self.entries.push(Entry::Object(meta)),
            Entry::Object(_) => {}
            Entry::Folder(folder) if Some(folder.as_str()) == skipped => {}
            Entry::Folder(folder) => {
                let is_inside = after.starts_with(&folder);
                if folder.as_str() < after && !is_inside {
                    return Ok(());
                }
                let after = if is_inside { after.to_owned() } else { String::new() };
                if !self.delimited {
                    return self.folder(folder, after, None).await;
                }
                // A folder is a group where it has a key after the place; some servers list empty ones.
                let mut inner = Walk { store: self.store, delimited: false, enough: 1, entries: Vec::new() };
                inner.folder(folder.clone(), after, None).await?;
                if !inner.entries.is_empty() {
                    self.entries.push(Entry::Folder(folder));
                }
            }
        }
        Ok(())
    }
}

/// One answer of the server.
async fn ask(
    store: &Store,
    prefix: &str,
    start_after: Option<&str>,
    delimited: bool,
) -> Result<ListObjectsV2Output> {
    let request = store.client.list_objects_v2().bucket(store.bucket()).prefix(prefix);
    let request = request
        .max_keys(i32::try_from(MAX_PAGE).unwrap_or(i32::MAX))
        .set_start_after(start_after.map(str::to_owned))
        .set_delimiter(delimited.then(|| "/".to_owned()));
    request.send().await.map_err(fault("list the objects"))
}

/// The last name of an answer in the server's order, without a folder's slash.
fn last_name(answer: &ListObjectsV2Output) -> Option<String> {
    let keys = answer.contents().iter().filter_map(|object| object.key());
    let folders = answer.common_prefixes().iter().filter_map(|group| group.prefix());
    keys.chain(folders).map(|name| name.trim_end_matches('/')).max().map(str::to_owned)
}

/// The name in the folder from which on the server must list: that of the place.
fn first_place(base: &str, after: &str) -> Option<String> {
    let rest = after.strip_prefix(base)?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    Some(format!("{base}{name}"))
}

/// The folders that the server lists no later than the place, although what is in them comes after it: that of
/// the place's own name, and those whose name it begins with, followed by a character before the slash.
fn earlier_folders(base: &str, prefix: &str, after: &str) -> Vec<String> {
    let Some(rest) = after.strip_prefix(base) else { return Vec::new() };
    let name = rest.split('/').next().unwrap_or_default();
    let ends = name.char_indices().skip(1).filter(|(_, c)| *c < '/').map(|(index, _)| index);
    let ends = ends.chain((!name.is_empty()).then_some(name.len()));
    ends.map(|end| format!("{base}{}/", &name[..end])).filter(|folder| folder.starts_with(prefix)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_that_a_place_may_have_passed_are_named() {
        assert_eq!(earlier_folders("p/", "p/", "p/a-b c"), ["p/a/", "p/a-b/", "p/a-b c/"]);
        assert_eq!(earlier_folders("p/", "p/a-", "p/a-b"), ["p/a-b/"]);
        assert_eq!(earlier_folders("p/", "p/", "p/a0/x"), ["p/a0/"]);
        assert_eq!(earlier_folders("", "", "-a"), ["-a/"]);
        assert!(earlier_folders("p/", "p/", "").is_empty() && earlier_folders("p/", "p/", "q").is_empty());
    }

    #[test]
    fn the_server_goes_on_at_the_name_of_the_place() {
        assert_eq!(first_place("p/", "p/a/b/c").as_deref(), Some("p/a"));
        assert_eq!(first_place("p/", "p/a").as_deref(), Some("p/a"));
        assert_eq!(first_place("p/", "p/"), None);
        assert_eq!(first_place("p/", "o"), None);
    }
}
