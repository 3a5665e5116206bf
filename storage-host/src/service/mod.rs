//! The one API that applications, HTTP and the command line share.
//!
//! Every operation names the user for whom it is done; nobody sees, changes or learns of anybody else's files.

mod audit;
mod browse;
mod content_type;
mod copy;
mod delete;
mod digest;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod lease;
mod link;
mod naming;
mod objects;
mod open;
mod reconcile;
mod retrieve;
mod save;
mod types;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use storage_core::Result;

use crate::catalog::Catalog;
use crate::config::LinkConfig;
use crate::manager::StorageManager;

pub use link::LINK_PATH;
pub use naming::{MAX_FILENAME_BYTES, check_filename, content_disposition};
pub(crate) use objects::remove_object;
pub use open::{Storage, StorageBuilder, open};
pub use reconcile::{
    BackendFindings, BackendRebuild, BackendScrub, Damage, DamagedObject, FsckOptions, FsckReport,
    MissingObject, RebuildReport, ScrubOptions, ScrubReport, WrongSize,
};
pub use types::{
    Actor, BackendHealth, BatchItem, CopyFileOptions, DeleteFileOptions, DownloadLink, FileContent, FileInfo,
    FileInfoPage, LinkOptions, Metadata, RetrieveFileOptions, SaveFileOptions, StorageHealth,
};

/// The service. Cloning is cheap; every clone is the same service.
///
/// Its futures may be dropped at any time: what was not acknowledged is then either done wholly or not at all.
/// They must be polled within a Tokio runtime.
#[derive(Clone)]
pub struct SimpleStorageService {
    inner: Arc<Inner>,
    actor: Arc<Actor>,
}

struct Inner {
    manager: StorageManager,
    catalog: Arc<dyn Catalog>,
    links: LinkConfig,
    public_url: String,
}

impl SimpleStorageService {
    /// A service over open backends and an open catalog. `public_url` is the base of the host's own links.
    pub fn new(
        manager: StorageManager,
        catalog: Arc<dyn Catalog>,
        links: LinkConfig,
        public_url: impl Into<String>,
    ) -> Self {
        let inner = Inner { manager, catalog, links, public_url: public_url.into() };
        let actor = Actor { name: "embedder".to_owned(), remote: None };
        Self { inner: Arc::new(inner), actor: Arc::new(actor) }
    }

    /// The same service, whose calls are done by somebody else as the audit log has it.
    #[must_use]
    pub fn with_actor(&self, actor: Actor) -> Self {
        Self { inner: self.inner.clone(), actor: Arc::new(actor) }
    }

    /// The open backends.
    pub fn manager(&self) -> &StorageManager {
        &self.inner.manager
    }

    /// The catalog.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.inner.catalog
    }

    /// Removes, again and again, what deleted files and unfinished saves left behind, until the future is dropped.
    /// A long-running host runs this beside its other work.
    pub async fn run_janitor(&self, interval: Duration) {
        /// Older than any claim that a save under way renews.
        const AGE: Duration = Duration::from_secs(15 * 60);
        loop {
            match self.collect_garbage(AGE).await {
                Ok(0) => {}
                Ok(removed) => {
                    tracing::info!(removed, "objects of deleted files and unfinished saves were removed")
                }
                Err(error) => tracing::warn!(error = %error.report(), "garbage could not be collected"),
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Closes the catalog, once all that it was given is written, and then the backends.
    ///
    /// # Errors
    ///
    /// What could not be written or brought to an end.
    pub async fn close(&self) -> Result<()> {
        let catalog = self.inner.catalog.close().await;
        self.inner.manager.close().await?;
        catalog
    }
}
