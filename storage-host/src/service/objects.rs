//! Removal of objects that the catalog gave up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use storage_core::{Capabilities, DeleteOptions, ListVersionsOptions, ObjectKey, Result};

use super::{Inner, SimpleStorageService};
use crate::catalog::{Catalog, Garbage};
use crate::manager::{NamedBackend, StorageManager};

/// How many objects are removed at once.
const CONCURRENCY: usize = 16;

/// How many records one round takes.
const BATCH: u32 = 500;

/// Why an object is to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LeftOver {
    Deleted,
    Unfinished,
}

/// Removes an object for good: with the versions that the backend keeps of it, since the key is never used again
/// and the catalog is what keeps versions.
///
/// Where there are versions, each is removed as such: an ordinary delete would write a mark first, for which a full disk
/// has no room.
pub(crate) async fn remove_object(named: &NamedBackend, key: &ObjectKey) -> Result<()> {
    let backend = &named.backend;
    if !backend.info().capabilities.has(Capabilities::VERSIONS) {
        return backend.delete(key, DeleteOptions::default()).await.map(|_| ());
    }
    let removed = remove_versions(named, key).await;
    if removed.is_err() && backend.exists(key).await.unwrap_or_default() {
        // What is locked, for instance, stays for now. It shall not be seen at least; the error is that of the versions.
        let _ = backend.delete(key, DeleteOptions::default()).await;
    }
    removed
}

async fn remove_versions(named: &NamedBackend, key: &ObjectKey) -> Result<()> {
    let backend = &named.backend;
    let mut page_token = None;
    loop {
        let options = ListVersionsOptions { prefix: key.to_string(), page_token, limit: None };
        let page = backend.list_versions(options).await?;
        for version in page.versions {
            if version.meta.key == *key {
                let options = DeleteOptions { version: version.meta.version, ..DeleteOptions::default() };
                backend.delete(key, options).await?;
            }
        }
        page_token = page.next_page_token;
        if page_token.is_none() {
            return Ok(());
        }
    }
}

/// Removes garbage from the backends, and from the catalog what could be removed. The rest stays for a later round.
pub(super) async fn remove_garbage(
    manager: &StorageManager,
    catalog: &Arc<dyn Catalog>,
    garbage: Vec<Garbage>,
) -> u64 {
    let removed = remove_objects(manager, garbage).await;
    forget_garbage(catalog, &removed).await;
    removed.len() as u64
}

async fn forget_garbage(catalog: &Arc<dyn Catalog>, removed: &[Garbage]) {
    if !removed.is_empty()
        && let Err(error) = catalog.forget_garbage(removed).await
    {
        tracing::warn!(error = %error.report(), "removed objects could not be forgotten and will be removed again");
    }
}

/// Removes objects, several at a time, and answers those that are gone.
async fn remove_objects(manager: &StorageManager, objects: Vec<Garbage>) -> Vec<Garbage> {
    let remove = |object: Garbage| async move {
        let removed = match manager.backend(&object.backend) {
            Ok(named) => remove_object(&named, &object.key).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => Some(object),
            Err(error) => {
                tracing::warn!(error = %error.report(), key = %object.key, "an object could not be removed yet");
                None
            }
        }
    };
    stream::iter(objects)
        .map(remove)
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await
}

impl SimpleStorageService {
    /// Removes what deleted files and unfinished saves left behind in the backends, where it is older than `age`.
    /// Answers how many objects were removed.
    ///
    /// # Errors
    ///
    /// Those of the catalog. What a backend does not let go stays for the next call.
    pub async fn collect_garbage(&self, age: Duration) -> Result<u64> {
        let deleted = self.remove_left_over(LeftOver::Deleted, age).await?;
        Ok(deleted + self.remove_left_over(LeftOver::Unfinished, age).await?)
    }

    /// Goes through all records of a kind, so that what cannot be removed does not stand before what can. A backend
    /// that lets nothing of a page go is passed over until the next call, since each of its answers may take long.
    async fn remove_left_over(&self, kind: LeftOver, age: Duration) -> Result<u64> {
        let Inner { catalog, manager, .. } = &*self.inner;
        let mut removed = 0;
        let mut passed_over = BTreeSet::new();
        let mut after: Option<Garbage> = None;
        loop {
            let mut page = match kind {
                LeftOver::Deleted => catalog.garbage(age, after.as_ref(), BATCH).await?,
                LeftOver::Unfinished => catalog.unfinished_objects(age, after.as_ref(), BATCH).await?,
            };
            after = match page.last() {
                Some(last) => Some(last.clone()),
                None => return Ok(removed),
            };
            page.retain(|object| !passed_over.contains(&object.backend));
            let mut asked: BTreeSet<_> = page.iter().map(|object| object.backend.clone()).collect();
            let gone = remove_objects(manager, page).await;
            for object in &gone {
                asked.remove(&object.backend);
                if kind == LeftOver::Unfinished {
                    catalog.abandon_object(object).await?;
                }
            }
            if kind == LeftOver::Deleted {
                forget_garbage(catalog, &gone).await;
            }
            removed += gone.len() as u64;
            passed_over.append(&mut asked);
        }
    }
}
