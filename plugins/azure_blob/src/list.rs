//! `list_files`: Azure's pages of names, as keys and groups.
//!
//! Names sort as their keys do (see [`name`]), so a page of one is a page of the other. Two things are ours to do:
//! a slash that a name replaces is none to Azure, so that its groups are put together here; and text to start after
//! is asked for by `startFrom`, which an older service ignores, so that what lies before it is left out here.

use azure_core::Method;
use storage_core::{Error, ErrorKind, ListOptions, ListPage, ObjectKey, ObjectMeta, Result};

use crate::attributes::{self, unquoted};
use crate::client::{Call, Target};
use crate::store::{Shared, Store};
use crate::token::{self, Place};
use crate::xml::Element;
use crate::{name, options};

/// Lists keys in byte order.
///
/// # Errors
///
/// `InvalidArgument` for a foreign page token, one together with `start_after`, and a limit of 0.
pub(crate) async fn list_files(store: Shared, options: ListOptions) -> Result<ListPage> {
    options::check_extra(&options.extra)?;
    let limit = options::page_size(options.limit)?;
    let mut walk = Walk::start(&options)?;
    let mut page = ListPage::default();
    loop {
        let found = ask(&store, &walk, limit).await?;
        for entry in found.entries {
            walk.take(&store, entry, &mut page).await?;
        }
        let entries = page.objects.len() + page.common_prefixes.len();
        let Some(marker) = found.next else {
            return Ok(page);
        };
        walk.marker = Some(marker);
        // A page whose entries are none of ours says nothing: the next one is fetched at once.
        if entries > 0 {
            page.next_page_token = walk.token();
            return Ok(page);
        }
    }
}

/// Where a listing is.
struct Walk<'a> {
    prefix: &'a str,
    delimited: bool,
    /// Only keys after this text.
    start_after: Option<&'a str>,
    marker: Option<String>,
    /// The last entry that was given.
    last: Option<Last>,
}

#[derive(Clone, Debug)]
enum Last {
    Key(String),
    Group(String),
}

impl<'a> Walk<'a> {
    fn start(options: &'a ListOptions) -> Result<Self> {
        let mut walk = Self {
            prefix: &options.prefix,
            delimited: options.delimited,
            start_after: options.start_after.as_deref(),
            marker: None,
            last: None,
        };
        let Some(token) = &options.page_token else {
            return Ok(walk);
        };
        if options.start_after.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "start_after and a page token were given: the token knows where to go on",
            ));
        }
        let (marker, last) = match token::read(token)? {
            Place::Key { marker, key } => (marker, Last::Key(key)),
            Place::Group { marker, group } => (marker, Last::Group(group)),
            _ => return Err(token::foreign()),
        };
        (walk.marker, walk.last) = (Some(marker), Some(last));
        Ok(walk)
    }

    fn token(&self) -> Option<String> {
        let marker = self.marker.clone()?;
        Some(token::write(&match self.last.clone()? {
            Last::Key(key) => Place::Key { marker, key },
            Last::Group(group) => Place::Group { marker, group },
        }))
    }

    /// Adds an entry to the page, unless it was given already or lies before the start.
    async fn take(&mut self, store: &Store, entry: Entry, page: &mut ListPage) -> Result<()> {
        let text = entry.text();
        let group = match text[self.prefix.len()..].find('/') {
            Some(slash) if self.delimited => Some(text[..=self.prefix.len() + slash].to_owned()),
            _ => None,
        };
        let given = match &self.last {
            Some(Last::Key(key)) => text <= key.as_str(),
            Some(Last::Group(last)) => text <= last.as_str() || text.starts_with(last.as_str()),
            None => false,
        };
        if given {
            return Ok(());
        }
        if let Some(start) = self.start_after
            && text <= start
        {
            // Of a group that the start lies in, some keys may come after it.
            let Some(group) = group.as_deref().filter(|group| start.starts_with(group)) else {
                return Ok(());
            };
            if matches!(entry, Entry::Object(_)) || !has_keys_after(store, group, start).await? {
                return Ok(());
            }
        }
        match (group, entry) {
            (Some(group), _) => {
                self.last = Some(Last::Group(group.clone()));
                page.common_prefixes.push(group);
            }
            (None, Entry::Object(meta)) => {
                self.last = Some(Last::Key(meta.key.as_str().to_owned()));
                page.objects.push(*meta);
            }
            // Only a delimited listing gives groups.
            (None, Entry::Group(_)) => {}
        }
        Ok(())
    }
}

/// Whether a group holds a key after this text, which lies in it.
async fn has_keys_after(store: &Store, group: &str, start: &str) -> Result<bool> {
    let mut walk =
        Walk { prefix: group, delimited: false, start_after: Some(start), marker: None, last: None };
    loop {
        let found = ask(store, &walk, 2).await?;
        let later = |entry: &Entry| matches!(entry, Entry::Object(meta) if meta.key.as_str() > start);
        if found.entries.iter().any(later) {
            return Ok(true);
        }
        match found.next {
            Some(marker) => walk.marker = Some(marker),
            None => return Ok(false),
        }
    }
}

/// One entry of a page.
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

/// What the service answered.
struct Found {
    entries: Vec<Entry>,
    next: Option<String>,
}

async fn ask(store: &Store, walk: &Walk<'_>, limit: u32) -> Result<Found> {
    let mut call = Call::new(Method::Get, Target::Container)
        .query("restype", "container")
        .query("comp", "list")
        .query("include", "metadata")
        .query("maxresults", limit.to_string());
    if !walk.prefix.is_empty() {
        call = call.query("prefix", name::of_prefix(walk.prefix));
    }
    if walk.delimited {
        call = call.query("delimiter", "/");
    }
    if let Some(start) = walk.start_after.filter(|start| *start > walk.prefix) {
        call = call.query("startFrom", name::of_prefix(start));
    }
    if let Some(marker) = &walk.marker {
        call = call.query("marker", marker);
    }
    let root = Element::parse(&store.client.read(&call).await?.text().await?)?;
    let blobs = root.child("Blobs").into_iter().flat_map(Element::children);
    let entries = blobs.filter_map(|element| match element.name.as_str() {
        "Blob" => object(element).map(|meta| Entry::Object(Box::new(meta))),
        "BlobPrefix" => {
            let name = element.child("Name")?.name_text();
            // The folder of our own is none of keys.
            let own = name.strip_suffix('/') == Some(name::OWN);
            (!own).then(|| name::to_text(&name)).flatten().map(Entry::Group)
        }
        _ => None,
    });
    let entries = entries.filter(|entry| match entry {
        Entry::Object(meta) => meta.key.as_str().starts_with(walk.prefix),
        Entry::Group(group) => group.starts_with(walk.prefix),
    });
    let mut entries: Vec<_> = entries.collect();
    // Groups may come apart from the objects.
    entries.sort_by(|one, other| one.text().cmp(other.text()));
    Ok(Found { entries, next: root.text_of("NextMarker").map(str::to_owned) })
}

/// The object that an entry tells; nothing for a blob whose name is no key's.
pub(crate) fn object(element: &Element) -> Option<ObjectMeta> {
    let key: ObjectKey = name::to_key(&element.child("Name")?.name_text())?;
    let properties = element.child("Properties")?;
    let size_bytes = properties.text_of("Content-Length")?.parse().ok()?;
    let time = attributes::http_time(properties.text_of("Last-Modified")?)?;
    let text = |name| properties.text_of(name).map(str::to_owned);
    let mut meta = ObjectMeta::new(key, size_bytes, time);
    meta.etag = properties.text_of("Etag").map(unquoted);
    meta.content_type = text("Content-Type");
    meta.content_encoding = text("Content-Encoding");
    meta.content_language = text("Content-Language");
    meta.content_disposition = text("Content-Disposition");
    meta.cache_control = text("Cache-Control");
    meta.checksums.md5 = properties.text_of("Content-MD5").and_then(attributes::md5_from);
    meta.storage_class = text("AccessTier");
    meta.tier = meta.storage_class.as_deref().and_then(attributes::tier);
    meta.extra.extend(text("ArchiveStatus").map(|status| ("archive_status".to_owned(), status)));
    for entry in element.child("Metadata").into_iter().flat_map(Element::children) {
        attributes::take_metadata(&mut meta, &entry.name, entry.text());
    }
    Some(meta)
}
