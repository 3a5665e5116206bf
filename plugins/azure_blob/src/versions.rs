//! `list_versions`: Azure lists a blob's versions oldest first and on pages of its own; here they come newest first.
//!
//! Azure knows no delete markers: what was deleted has versions and no current one.

use azure_core::Method;
use storage_core::{ListVersionsOptions, ObjectVersion, Result, VersionId, VersionPage};

use crate::client::{Call, Target};
use crate::list::object;
use crate::store::{Shared, Store};
use crate::token::{self, Place};
use crate::xml::Element;
use crate::{name, options};

/// Lists versions by key and, within a key, newest first.
///
/// # Errors
///
/// `InvalidArgument` for a foreign page token and a limit of 0; `Unsupported` where versions are not kept.
pub(crate) async fn list_versions(store: Shared, options: ListVersionsOptions) -> Result<VersionPage> {
    if !store.config.versioning {
        return Err(storage_core::Error::unsupported("list_versions"));
    }
    let limit = options::page_size(options.limit)? as usize;
    let after = match options.page_token.as_deref().map(token::read).transpose()? {
        None => None,
        Some(Place::Version { marker, key, version }) => Some((marker, key, version)),
        Some(_) => return Err(token::foreign()),
    };
    let mut marker = after.as_ref().map(|(marker, ..)| marker.clone()).filter(|marker| !marker.is_empty());
    let mut walk = Walk { after: after.map(|(_, key, version)| (key, version)), ..Walk::default() };
    loop {
        let (versions, next) = ask(&store, &options.prefix, marker.as_deref()).await?;
        for version in versions {
            walk.take(version, marker.as_deref());
        }
        if next.is_none() {
            walk.finish_key();
        }
        if walk.found.len() > limit {
            return Ok(walk.page(limit));
        }
        match next {
            Some(next) => marker = Some(next),
            None => return Ok(walk.page(limit)),
        }
    }
}

/// Versions with the marker of the page on which their key began.
#[derive(Default)]
struct Walk {
    /// The last version that was given before.
    after: Option<(String, String)>,
    /// Those of one key, oldest first.
    of_key: Vec<ObjectVersion>,
    marker: String,
    found: Vec<(ObjectVersion, String)>,
}

impl Walk {
    fn take(&mut self, version: ObjectVersion, marker: Option<&str>) {
        if self.of_key.last().is_some_and(|last| last.meta.key != version.meta.key) {
            self.finish_key();
        }
        if self.of_key.is_empty() {
            self.marker = marker.unwrap_or_default().to_owned();
        }
        self.of_key.push(version);
    }

    fn finish_key(&mut self) {
        let mut versions = std::mem::take(&mut self.of_key);
        // Versions are named by their time.
        versions.sort_by(|one, other| other.meta.version.cmp(&one.meta.version));
        for version in versions {
            let name = version.meta.version.as_ref().map_or("", VersionId::as_str);
            let given = self.after.as_ref().is_some_and(|(key, last)| {
                version.meta.key.as_str() < key.as_str()
                    || (version.meta.key.as_str() == key && name >= last.as_str())
            });
            if !given {
                self.found.push((version, self.marker.clone()));
            }
        }
    }

    fn page(mut self, limit: usize) -> VersionPage {
        let more = self.found.len() > limit;
        self.found.truncate(limit);
        let last = self.found.last().filter(|_| more);
        let next_page_token = last.map(|(version, marker)| {
            token::write(&Place::Version {
                marker: marker.clone(),
                key: version.meta.key.as_str().to_owned(),
                version: version.meta.version.as_ref().map_or("", VersionId::as_str).to_owned(),
            })
        });
        VersionPage {
            versions: self.found.into_iter().map(|(version, _)| version).collect(),
            next_page_token,
        }
    }
}

async fn ask(
    store: &Store,
    prefix: &str,
    marker: Option<&str>,
) -> Result<(Vec<ObjectVersion>, Option<String>)> {
    let mut call = Call::new(Method::Get, Target::Container)
        .query("restype", "container")
        .query("comp", "list")
        .query("include", "versions,metadata");
    if !prefix.is_empty() {
        call = call.query("prefix", name::of_prefix(prefix));
    }
    if let Some(marker) = marker {
        call = call.query("marker", marker);
    }
    let root = Element::parse(&store.client.read(&call).await?.text().await?)?;
    let blobs = root.child("Blobs").into_iter().flat_map(Element::children);
    let versions = blobs.filter_map(|element| {
        let mut meta = object(element)?;
        meta.version = Some(VersionId::new(element.text_of("VersionId")?));
        let is_latest = element.text_of("IsCurrentVersion") == Some("true");
        Some(ObjectVersion { meta, is_latest, is_delete_marker: false })
    });
    let versions = versions.filter(|version| version.meta.key.as_str().starts_with(prefix)).collect();
    Ok((versions, root.text_of("NextMarker").map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use storage_core::{ObjectKey, ObjectMeta};

    use super::*;

    fn version(key: &str, name: &str) -> ObjectVersion {
        let mut meta = ObjectMeta::new(ObjectKey::new(key).expect("a key"), 1, SystemTime::UNIX_EPOCH);
        meta.version = Some(VersionId::new(name));
        ObjectVersion { meta, is_latest: false, is_delete_marker: false }
    }

    /// Azure's pages: keys ascend, and within a key versions do, a key's versions on two pages.
    fn walk(after: Option<(String, String)>) -> Walk {
        let mut walk = Walk { after, ..Walk::default() };
        walk.take(version("a", "1"), None);
        walk.take(version("b", "1"), None);
        walk.take(version("b", "2"), Some("second"));
        walk.take(version("c", "7"), Some("second"));
        walk.finish_key();
        walk
    }

    fn names(page: &VersionPage) -> Vec<String> {
        let name = |version: &ObjectVersion| {
            format!("{}{}", version.meta.key, version.meta.version.as_ref().expect("named"))
        };
        page.versions.iter().map(name).collect()
    }

    #[test]
    fn pages_of_every_size_give_each_version_once_and_newest_first() {
        for limit in 1..=5 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = walk(after.take()).page(limit);
                seen.extend(names(&page));
                let Some(token) = page.next_page_token else { break };
                let Ok(Place::Version { key, version, marker }) = token::read(&token) else {
                    panic!("a token of another kind")
                };
                assert!(marker.is_empty() || key == "c", "a key is read from the page where it begins");
                after = Some((key, version));
            }
            assert_eq!(seen, ["a1", "b2", "b1", "c7"], "pages of {limit}");
        }
    }
}
