//! Removal of objects that the catalog gave up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use storage_core::{Capabilities, DeleteOptions, ListVersionsOptions, ObjectKey, Result};

use super::SimpleStorageService;
use crate::catalog::{Catalog, Garbage};
use crate::manager::{NamedBackend, StorageManager};

/// How many objects are removed at once.
const CONCURRENCY: usize = 16;

/// How many records one round takes.
const BATCH: u32 = 500;

/// Removes an object for good: with the versions that the backend keeps of it, since the key is never used again
/// and the catalog is what keeps versions.
pub(crate) async fn remove_object(named: &NamedBackend, key: &ObjectKey) -> Result<()> {
    let backend = &named.backend;
    backend.delete(key, DeleteOptions::default()).await?;
    if !backend.info().capabilities.has(Capabilities::VERSIONS) {
        return Ok(());
    }
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
    if !removed.is_empty()
        && let Err(error) = catalog.forget_garbage(&removed).await
    {
        tracing::warn!(error = %error.report(), "removed objects could not be forgotten and will be removed again");
    }
    removed.len() as u64
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
        let catalog = &self.inner.catalog;
        let mut removed = 0;
        loop {
            let garbage = catalog.garbage(age, BATCH).await?;
            let found = garbage.len();
            let gone = remove_garbage(&self.inner.manager, catalog, garbage).await;
            removed += gone;
            if gone == 0 || found < BATCH as usize {
                break;
            }
        }
        loop {
            let unfinished = catalog.unfinished_objects(age, BATCH).await?;
            let found = unfinished.len();
            let gone = remove_objects(&self.inner.manager, unfinished).await;
            for object in &gone {
                catalog.abandon_object(object).await?;
            }
            removed += gone.len() as u64;
            if gone.is_empty() || found < BATCH as usize {
                return Ok(removed);
            }
        }
    }
}
