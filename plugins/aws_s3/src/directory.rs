//! Listings of directory buckets (S3 Express One Zone), which S3 gives in no order.
//!
//! Keys have an order nonetheless: what is under a prefix is read to its end, and so many of the first entries are
//! kept as memory allows. The pages are cut from these, and when they are used up, all is read once more for those
//! that come next. A walk over a million keys so reads them fifty times and not, as a page at a time would, a thousand
//! times. A walk that is not gone on with is forgotten when others need its place; its token then costs a reading.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage_core::{
    ListOptions, ListPage, ListUploadsOptions, ObjectKey, ObjectMeta, Result, Upload, UploadId, UploadPage,
};

use crate::call::call;
use crate::list::{legal_key, listed};
use crate::meta::system_time;
use crate::options::MAX_PAGE;
use crate::retry;
use crate::store::Store;
use crate::token::{self, Place};

/// So many entries are kept of one reading. An entry takes some hundred bytes.
const KEPT: usize = 20_000;
/// So many walks are remembered, the latest.
const WALKS: usize = 4;
/// So many folders are looked into at once.
const LOOKUPS: usize = 32;

/// What a listing gives.
#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Object(Box<ObjectMeta>),
    /// A folder, by its name with the slash.
    Folder,
}

/// The first entries after some place, in order.
#[derive(Debug, Default)]
struct Window {
    entries: BTreeMap<String, Entry>,
    /// Whether there may be more after them.
    is_cut: bool,
}

impl Window {
    /// Takes an entry among the first, of which there are at most so many.
    fn take(&mut self, name: String, entry: Entry, kept: usize) {
        self.entries.insert(name, entry);
        if self.entries.len() > kept {
            self.entries.pop_last();
            self.is_cut = true;
        }
    }
}

/// A listing that is under way.
#[derive(Debug)]
struct Walk {
    number: u64,
    prefix: String,
    delimited: bool,
    /// Where its last page ended.
    after: String,
    window: Window,
}

/// The listings that are under way.
#[derive(Debug, Default)]
pub(crate) struct Walks(Mutex<VecDeque<Walk>>);

impl Walks {
    /// The walk of this number, if it is remembered and ended its last page here.
    fn resume(&self, number: u64, options: &ListOptions, after: &str) -> Option<Window> {
        let mut walks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |walk: &Walk| {
            let is_same = walk.prefix == options.prefix && walk.delimited == options.delimited;
            walk.number == number && walk.after == after && is_same
        };
        let at = walks.iter().position(is_it)?;
        walks.remove(at).map(|walk| walk.window)
    }

    /// Takes note of a key that was, or may have been, written or deleted: what was read of its surroundings is read
    /// once more. A delete is no reason to strike the key out: somebody may have written it again meanwhile.
    pub(crate) fn changed(&self, key: &ObjectKey) {
        let key = key.as_str();
        let mut walks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        walks.retain(|walk| {
            let is_before_end =
                walk.window.entries.last_key_value().is_some_and(|(last, _)| key <= last.as_str());
            let is_within = !walk.window.is_cut || is_before_end;
            !(is_within && key > walk.after.as_str() && key.starts_with(&walk.prefix))
        });
    }

    fn remember(&self, walk: Walk) {
        let mut walks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        walks.push_back(walk);
        if walks.len() > WALKS {
            walks.pop_front();
        }
    }
}

/// Lists keys in byte order.
///
/// # Errors
///
/// What S3 answers.
pub(crate) async fn list_files(
    store: &Store,
    options: &ListOptions,
    place: Option<(String, u64)>,
    limit: usize,
) -> Result<ListPage> {
    let is_resumed = place.is_some();
    let (mut after, number) = match place {
        Some(place) => place,
        None => (options.start_after.clone().unwrap_or_default(), rand::random()),
    };
    // A token that names a folder goes on behind all that is in it.
    let mut is_behind_folder = is_resumed && after.ends_with('/');
    let remembered = is_resumed.then(|| store.walks.resume(number, options, &after)).flatten();
    let mut page = ListPage::default();
    let mut left = limit;
    let mut window = match remembered {
        Some(window) => window,
        None => read(store, options, &after, is_behind_folder, KEPT).await?,
    };
    loop {
        let mut batch = Vec::new();
        while batch.len() < left
            && let Some(entry) = window.entries.pop_first()
        {
            batch.push(entry);
        }
        if let Some((last, entry)) = batch.last() {
            is_behind_folder = *entry == Entry::Folder;
            after.clone_from(last);
        }
        left -= give(store, batch, &mut page).await?;
        let is_over = window.entries.is_empty() && !window.is_cut;
        if is_over {
            return Ok(page);
        }
        if left == 0 {
            let place = Place::Walk { after: after.clone(), walk: number };
            page.next_page_token = Some(token::write(&place));
            let (prefix, delimited) = (options.prefix.clone(), options.delimited);
            store.walks.remember(Walk { number, prefix, delimited, after, window });
            return Ok(page);
        }
        if window.entries.is_empty() {
            window = read(store, options, &after, is_behind_folder, KEPT).await?;
        }
    }
}

/// Puts entries on a page, but for folders in which there is nothing. Says how many there were.
async fn give(store: &Store, batch: Vec<(String, Entry)>, page: &mut ListPage) -> Result<usize> {
    // Uploads in progress make folders, too.
    let lookups: Vec<_> = batch
        .into_iter()
        .map(|(name, entry)| async move {
            let is_there = entry != Entry::Folder || holds_something(store, &name).await?;
            Ok::<_, storage_core::Error>((name, entry, is_there))
        })
        .collect();
    let found: Vec<_> = stream::iter(lookups).buffered(LOOKUPS).try_collect().await?;
    let mut given = 0;
    for (name, entry, _) in found.into_iter().filter(|(_, _, is_there)| *is_there) {
        given += 1;
        match entry {
            Entry::Object(meta) => page.objects.push(*meta),
            Entry::Folder => page.common_prefixes.push(name),
        }
    }
    Ok(given)
}

async fn holds_something(store: &Store, folder: &str) -> Result<bool> {
    let request = store.s3.list_objects_v2().bucket(&store.config.bucket).prefix(folder).max_keys(1);
    let answer = ask(store, &request).await?;
    Ok(!answer.contents().is_empty() || answer.is_truncated() == Some(true))
}

/// Makes one of the requests of a listing, of which there are many: one that fails shall not fail them all.
async fn ask(store: &Store, request: &ListObjectsV2FluentBuilder) -> Result<ListObjectsV2Output> {
    retry::repeat(|| call(store, "list the objects", 0, request.clone().send()), |_| {}).await
}

/// The part of a prefix that S3 takes: up to its last slash.
fn folder_of(prefix: &str) -> &str {
    prefix.rfind('/').map_or("", |slash| &prefix[..=slash])
}

/// The prefix to ask S3 for; none where it is all of the bucket.
fn asked_prefix(prefix: &str) -> Option<String> {
    Some(folder_of(prefix)).filter(|folder| !folder.is_empty()).map(str::to_owned)
}

/// Reads all that is under a prefix and keeps the first entries after a place.
async fn read(
    store: &Store,
    options: &ListOptions,
    after: &str,
    is_behind_folder: bool,
    kept: usize,
) -> Result<Window> {
    let mut window = Window::default();
    let mut token = None;
    loop {
        let request = store
            .s3
            .list_objects_v2()
            .bucket(&store.config.bucket)
            .set_prefix(asked_prefix(&options.prefix))
            .set_delimiter(options.delimited.then(|| "/".to_owned()))
            .set_continuation_token(token)
            .max_keys(MAX_PAGE as i32);
        let answer = ask(store, &request).await?;
        for object in answer.contents() {
            let is_next = |key: &&str| key.starts_with(&options.prefix) && *key > after;
            if object.key().filter(is_next).is_some()
                && let Some(meta) = listed(store, object)
            {
                window.take(meta.key.as_str().to_owned(), Entry::Object(Box::new(meta)), kept);
            }
        }
        let groups = answer.common_prefixes().iter().filter_map(|group| group.prefix());
        for folder in groups.filter(|folder| folder.starts_with(&options.prefix)) {
            if folder > after
                || (!is_behind_folder && after.starts_with(folder) && goes_on(store, folder, after).await?)
            {
                window.take(folder.to_owned(), Entry::Folder, kept);
            }
        }
        token = answer.next_continuation_token().map(str::to_owned);
        if token.is_none() || answer.is_truncated() != Some(true) {
            return Ok(window);
        }
    }
}

/// Whether there is an object after a place within its folder.
async fn goes_on(store: &Store, folder: &str, after: &str) -> Result<bool> {
    let options = ListOptions { prefix: folder.to_owned(), ..ListOptions::default() };
    let window = Box::pin(read(store, &options, after, false, 1)).await?;
    Ok(!window.entries.is_empty())
}

/// Lists uploads in progress by key, start and name. S3 gives them in no order and knows no place among them that
/// outlives its own token, so that all are read for each page; they are few.
///
/// # Errors
///
/// What S3 answers.
pub(crate) async fn list_uploads(
    store: &Store,
    options: &ListUploadsOptions,
    place: Option<(String, Option<String>)>,
    limit: usize,
) -> Result<UploadPage> {
    let mut uploads: BTreeMap<(String, String), Upload> = BTreeMap::new();
    let after = place.map(|(key, upload)| (key, upload.unwrap_or_default()));
    let mut marker = None;
    loop {
        let request = store
            .s3
            .list_multipart_uploads()
            .bucket(&store.config.bucket)
            .set_prefix(asked_prefix(&options.prefix))
            .set_key_marker(marker)
            .max_uploads(MAX_PAGE as i32);
        let answer = call(store, "list the uploads", 0, request.send()).await?;
        for upload in answer.uploads() {
            let (Some(key), Some(id)) = (upload.key().and_then(legal_key), upload.upload_id()) else {
                continue;
            };
            let started_at = system_time(upload.initiated());
            let since = started_at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
            // Fixed in its width, so that texts have the order of the times.
            let place = (key.as_str().to_owned(), format!("{:020} {id}", since.as_millis()));
            if key.as_str().starts_with(&options.prefix) && after.as_ref().is_none_or(|after| place > *after)
            {
                uploads.insert(place, Upload { key, id: UploadId::new(id), started_at });
                // One more than is wanted tells that there are more.
                if uploads.len() > limit + 1 {
                    uploads.pop_last();
                }
            }
        }
        marker = answer.next_key_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
        if marker.is_none() || answer.is_truncated() != Some(true) {
            break;
        }
    }
    let is_more = uploads.len() > limit;
    if is_more {
        uploads.pop_last();
    }
    let last = uploads.last_key_value().filter(|_| is_more).map(|(place, _)| place.clone());
    let next = last.map(|(key, upload)| Place::Upload { key, upload: Some(upload) });
    Ok(UploadPage {
        uploads: uploads.into_values().collect(),
        next_page_token: next.as_ref().map(token::write),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entries_are_kept_in_whatever_order_they_come() {
        let mut window = Window::default();
        for name in ["d/", "a/", "c/", "b/"] {
            window.take(name.to_owned(), Entry::Folder, 3);
        }
        assert_eq!(window.entries.keys().collect::<Vec<_>>(), ["a/", "b/", "c/"]);
        assert!(window.is_cut, "there is more");
    }

    #[test]
    fn s3_is_asked_for_the_folder_of_a_prefix() {
        assert_eq!(["", "ab", "a/", "a/bc", "a/b/"].map(folder_of), ["", "", "a/", "a/", "a/b/"]);
    }

    #[test]
    fn a_walk_goes_on_once_and_the_oldest_is_forgotten() {
        let walks = Walks::default();
        let options = ListOptions { prefix: "a".to_owned(), ..ListOptions::default() };
        let walk = |number| Walk {
            number,
            prefix: "a".to_owned(),
            delimited: false,
            after: "ab".to_owned(),
            window: Window { is_cut: true, ..Window::default() },
        };
        (0..=WALKS as u64).for_each(|number| walks.remember(walk(number)));
        assert!(walks.resume(0, &options, "ab").is_none(), "others took its place");
        assert!(walks.resume(1, &options, "aa").is_none(), "its last page ended elsewhere");
        assert!(walks.resume(1, &ListOptions::default(), "ab").is_none(), "it is of another prefix");
        assert!(walks.resume(1, &options, "ab").is_some_and(|window| window.is_cut));
        assert!(walks.resume(1, &options, "ab").is_none(), "its window is with whoever goes on");
    }

    #[test]
    fn what_is_changed_meanwhile_is_read_again() {
        let key = |text: &str| ObjectKey::new(text).expect("a legal key");
        let object = |text: &str| {
            let meta = ObjectMeta::new(key(text), 1, std::time::SystemTime::UNIX_EPOCH);
            (text.to_owned(), Entry::Object(Box::new(meta)))
        };
        let options = ListOptions { prefix: "a".to_owned(), ..ListOptions::default() };
        let walks = Walks::default();
        let remember = |is_cut| {
            let window = Window { entries: ["ac", "ae"].map(object).into(), is_cut };
            let (prefix, after) = ("a".to_owned(), "ab".to_owned());
            walks.remember(Walk { number: 1, prefix, delimited: false, after, window });
        };
        let left = || {
            let window = walks.resume(1, &options, "ab");
            window.map(|window| window.entries.into_keys().collect::<Vec<_>>())
        };
        remember(true);
        ["ab", "af", "b"].iter().for_each(|text| walks.changed(&key(text)));
        assert_eq!(left(), Some(vec!["ac".to_owned(), "ae".to_owned()]));
        for (is_cut, changed) in [(true, "ac"), (true, "ad"), (false, "af")] {
            remember(is_cut);
            walks.changed(&key(changed));
            assert_eq!(left(), None, "{changed}");
        }
    }
}
