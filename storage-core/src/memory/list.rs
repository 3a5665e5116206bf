//! Listings of objects, of versions and of uploads in progress.

use std::ops::Bound;

use crate::capability::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBackend;
use crate::memory::multipart::upload_id;
use crate::memory::state::{State, Version};
use crate::multipart::{ListUploadsOptions, Upload, UploadPage};
use crate::object::ObjectMeta;
use crate::request::{ListOptions, ListPage};
use crate::versions::{ListVersionsOptions, ObjectVersion, VersionPage};

impl MemoryBackend {
    pub(super) fn page_of_objects(&self, options: &ListOptions) -> Result<ListPage> {
        self.refuse_extra(&options.extra)?;
        let limit = self.page_limit(options.limit)?;
        let prefix = options.prefix.as_str();
        let mut from = match (&options.page_token, &options.start_after) {
            (Some(_), Some(_)) => {
                let message = "a page token and start_after exclude each other";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            (Some(token), None) => after_entry(self.place("objects", token)?),
            (None, Some(text)) => Bound::Excluded(text.clone()),
            (None, None) => Bound::Unbounded,
        };
        let starts_earlier =
            !matches!(&from, Bound::Included(text) | Bound::Excluded(text) if text.as_str() >= prefix);
        if starts_earlier {
            from = Bound::Included(prefix.to_owned());
        }

        let state = self.state();
        let mut page = ListPage::default();
        let mut last_entry = String::new();
        while let Some(version) = next_object(&state, &from, prefix) {
            if page.objects.len() + page.common_prefixes.len() == limit {
                page.next_page_token = Some(self.page_token("objects", &last_entry));
                break;
            }
            let key = version.meta.key.as_str();
            match options.delimited.then(|| group(key, prefix)).flatten() {
                Some(group) => {
                    last_entry = group.to_owned();
                    page.common_prefixes.push(group.to_owned());
                }
                None => {
                    last_entry = key.to_owned();
                    page.objects.push(self.listed(&version.meta));
                }
            }
            from = after_entry(&last_entry);
        }
        Ok(page)
    }

    /// What a listing tells of an object.
    fn listed(&self, meta: &ObjectMeta) -> ObjectMeta {
        if self.has(Capabilities::LIST_METADATA) {
            return meta.clone();
        }
        let bare = ObjectMeta::new(meta.key.clone(), meta.size_bytes, meta.last_modified);
        ObjectMeta { etag: meta.etag.clone(), tier: meta.tier, version: meta.version.clone(), ..bare }
    }

    pub(super) fn page_of_versions(&self, options: &ListVersionsOptions) -> Result<VersionPage> {
        self.require(Capabilities::VERSIONS, "list_versions")?;
        let limit = self.page_limit(options.limit)?;
        let after = self.numbered_place("versions", options.page_token.as_deref())?;
        let (key, number) = after.unwrap_or((&options.prefix, u64::MAX));
        let state = self.state();
        let listed = state.objects.range::<str, _>((Bound::Included(key), Bound::Unbounded));
        let listed = listed.take_while(|(key, _)| starts(key, &options.prefix));
        let mut entries = listed.flat_map(|(_, versions)| {
            versions.iter().rev().enumerate().map(|(age, version)| (age == 0, version))
        });
        let mut page = VersionPage::default();
        let mut last_number = 0;
        // Within a key the numbers fall; those of the key where the page before ended were given down to one.
        let is_new = |version: &Version| version.meta.key.as_str() != key || version.number < number;
        for (is_latest, version) in entries.by_ref().filter(|(_, version)| is_new(version)) {
            if page.versions.len() == limit {
                let last_key = page.versions.last().map_or("", |version| version.meta.key.as_str());
                page.next_page_token =
                    Some(self.page_token("versions", &format!("{last_number}/{last_key}")));
                break;
            }
            last_number = version.number;
            let is_delete_marker = version.bytes.is_none();
            page.versions.push(ObjectVersion { meta: version.meta.clone(), is_latest, is_delete_marker });
        }
        Ok(page)
    }

    pub(super) fn page_of_uploads(&self, options: &ListUploadsOptions) -> Result<UploadPage> {
        self.require(Capabilities::MULTIPART, "list_uploads")?;
        let limit = self.page_limit(options.limit)?;
        let after = self.numbered_place("uploads", options.page_token.as_deref())?;
        let state = self.state();
        let mut entries = state.uploads.iter().filter(|((key, number), _)| {
            starts(key, &options.prefix) && after.is_none_or(|after| (key.as_str(), *number) > after)
        });
        let taken: Vec<_> = entries.by_ref().take(limit).collect();
        let last = taken.last().map(|((key, number), _)| format!("{number}/{key}"));
        let uploads = taken.into_iter().map(|((key, number), upload)| Upload {
            key: key.clone(),
            id: upload_id(*number),
            started_at: upload.started_at,
        });
        let next_page_token = entries.next().and(last).map(|last| self.page_token("uploads", &last));
        Ok(UploadPage { uploads: uploads.collect(), next_page_token })
    }

    /// The place of a listing whose entries have a key and a number.
    fn numbered_place<'a>(&self, listing: &str, token: Option<&'a str>) -> Result<Option<(&'a str, u64)>> {
        let Some(token) = token else { return Ok(None) };
        let place = self.place(listing, token)?.split_once('/');
        Ok(place.and_then(|(number, key)| Some((key, number.parse().ok()?))))
    }
}

/// The first object at or after a place.
fn next_object<'a>(state: &'a State, from: &Bound<String>, prefix: &str) -> Option<&'a Version> {
    let from = from.as_ref().map(String::as_str);
    let keys = state.objects.range::<str, _>((from, Bound::Unbounded));
    let mut keys = keys.take_while(|(key, _)| starts(key, prefix));
    keys.find_map(|(key, _)| state.current(key)).map(AsRef::as_ref)
}

fn starts(key: &impl AsRef<str>, prefix: &str) -> bool {
    key.as_ref().starts_with(prefix)
}

/// The group of a delimited listing to which a key belongs, with its final slash.
fn group<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    let slash = key.get(prefix.len()..)?.find('/')?;
    key.get(..=prefix.len() + slash)
}

/// Where a listing goes on after an entry. Only a group ends with a slash, and `0` is the character that
/// follows it: all keys of the group lie before.
fn after_entry(entry: &str) -> Bound<String> {
    match entry.strip_suffix('/') {
        Some(group) => Bound::Included(format!("{group}0")),
        None => Bound::Excluded(entry.to_owned()),
    }
}
