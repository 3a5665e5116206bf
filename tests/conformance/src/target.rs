//! [`Target`]: a kind of backend that the suite can open, and [`Instance`]: one that it opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use storage_core::{Backend, Error, ErrorKind, Result};
use tempfile::TempDir;

type Open = dyn Fn(PathBuf) -> BoxFuture<'static, Result<Arc<dyn Backend>>> + Send + Sync;

/// A kind of backend that the suite can open.
#[derive(Clone)]
pub struct Target {
    name: String,
    open: Arc<Open>,
    keeps_content: bool,
}

/// An opened backend and the folder that it may use, which goes when this does.
pub struct Instance {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    target: Target,
    folder: TempDir,
}

impl Target {
    /// A target; `open` gets an empty folder of its own, which it may leave unused.
    /// `keeps_content` says that what is opened with the same folder again finds what was saved before.
    pub fn new<F>(
        name: impl Into<String>,
        keeps_content: bool,
        open: impl Fn(PathBuf) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Arc<dyn Backend>>> + Send + 'static,
    {
        Self { name: name.into(), open: Arc::new(move |folder| Box::pin(open(folder))), keeps_content }
    }

    /// The first part of the names of its trials.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a second instance can be opened on what a first one saved.
    pub fn keeps_content(&self) -> bool {
        self.keeps_content
    }

    /// Opens a backend.
    ///
    /// # Errors
    ///
    /// Why it could not be opened, or why there is no temporary folder for it.
    pub async fn open(&self) -> Result<Instance> {
        let folder = TempDir::with_prefix("storage-conformance-").map_err(|error| {
            Error::new(ErrorKind::Internal, "no temporary folder can be made").with_source(error)
        })?;
        let backend = self.open_in(folder.path()).await?;
        Ok(Instance { backend, target: self.clone(), folder })
    }

    async fn open_in(&self, folder: &Path) -> Result<Arc<dyn Backend>> {
        (self.open)(folder.to_owned()).await
    }
}

impl Instance {
    /// Opens another backend on the same content, as a restarted host does.
    ///
    /// # Errors
    ///
    /// Why it could not be opened.
    pub async fn reopen(&self) -> Result<Arc<dyn Backend>> {
        self.target.open_in(self.folder.path()).await
    }

    /// What was opened.
    pub fn target(&self) -> &Target {
        &self.target
    }
}
