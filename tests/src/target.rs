//! The backends that the conformance suite is run against.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use futures_util::future::BoxFuture;
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, Capabilities, ConfigValues, Error, ErrorKind, Limits, OpenRequest};
use tempfile::TempDir;

use crate::plugins::plugin_path;

type Open = dyn Fn(PathBuf) -> BoxFuture<'static, storage_core::Result<Arc<dyn Backend>>> + Send + Sync;

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
        F: Future<Output = storage_core::Result<Arc<dyn Backend>>> + Send + 'static,
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
    /// Why it could not be opened.
    pub async fn open(&self) -> anyhow::Result<Instance> {
        let folder = TempDir::with_prefix("storage-conformance-").context("no temporary folder")?;
        let backend = self.open_in(folder.path()).await?;
        Ok(Instance { backend, target: self.clone(), folder })
    }

    async fn open_in(&self, folder: &Path) -> anyhow::Result<Arc<dyn Backend>> {
        let opened = (self.open)(folder.to_owned()).await;
        opened.map_err(|error| anyhow::anyhow!("{} cannot be opened: {}", self.name, error.report()))
    }
}

impl Instance {
    /// Opens another backend on the same content, as a restarted host does.
    ///
    /// # Errors
    ///
    /// Why it could not be opened.
    pub async fn reopen(&self) -> anyhow::Result<Arc<dyn Backend>> {
        self.target.open_in(self.folder.path()).await
    }

    /// What was opened.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// The reference backend, called directly.
pub fn memory() -> Target {
    native("memory", || MemoryBackend::new("memory"))
}

/// The reference backend without any optional family: the suite must see that it refuses them all.
pub fn memory_bare() -> Target {
    native("memory_bare", || MemoryBackend::new("bare").with_capabilities(Capabilities::none()))
}

/// The reference backend with tight limits, of which the suite must see that they hold.
pub fn memory_limited() -> Target {
    native("memory_limited", || {
        let backend = MemoryBackend::new("limited");
        let limits = Limits {
            max_object_bytes: Some(80 << 20),
            max_single_save_bytes: Some(72 << 20),
            min_part_bytes: Some(100 << 10),
            max_part_bytes: Some(9 << 20),
            max_parts: Some(20),
            max_list_page: Some(100),
            ..backend.info().limits.clone()
        };
        backend.with_limits(limits)
    })
}

/// The reference backend through the plugin boundary, which must change nothing.
pub fn memory_plugin() -> Target {
    plugin("memory_plugin", "memory", false, |_folder| Vec::new())
}

/// The local disk.
pub fn local() -> Target {
    plugin("local", "local", true, |folder| {
        vec![
            ("path", folder.join("storage").display().to_string()),
            ("versioning", "true".to_owned()),
            // What durability costs is no part of how a backend behaves, and thousands of files are saved here.
            ("fsync", "false".to_owned()),
        ]
    })
}

/// A plugin that the build made, opened with the values that `configure` gives.
fn plugin(
    name: &'static str,
    file: &'static str,
    keeps_content: bool,
    configure: fn(&Path) -> Vec<(&'static str, String)>,
) -> Target {
    Target::new(name, keeps_content, move |folder| async move {
        let host = tokio::runtime::Handle::current();
        let module = storage_core::abi::load(&plugin_path(file)).map_err(|error| {
            Error::new(ErrorKind::PluginLoad, "the plugin cannot be loaded").with_source(error)
        })?;
        let module = module.polling_bodies_within(move |run| {
            let _entered = host.enter();
            run();
        });
        let mut config = ConfigValues::new();
        for (key, value) in configure(&folder) {
            config.set(key, value, "the conformance suite");
        }
        module.open(OpenRequest { name: name.to_owned(), config, ..OpenRequest::default() }).await
    })
}

fn native(name: &str, make: fn() -> MemoryBackend) -> Target {
    Target::new(name, false, move |_folder| async move { Ok(Arc::new(make()) as Arc<dyn Backend>) })
}
