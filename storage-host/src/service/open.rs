//! The way in for programs that embed the service: from the configuration to a service that is ready.

use std::path::PathBuf;

use storage_core::Result;

use super::SimpleStorageService;
use crate::catalog::{self, CatalogOptions, Quota};
use crate::config::{Config, LoadOptions, Loaded};
use crate::manager::StorageManager;
use crate::plugin::BackendRegistry;

/// Opens the service.
///
/// ```no_run
/// # async fn example(pdf: Vec<u8>) -> storage_core::Result<()> {
/// use storage_host::catalog::UserId;
/// use storage_host::service::{Metadata, Storage};
///
/// let storage = Storage::from_env().await?;
/// let user = UserId::new(42)?;
/// let file_id = storage.save(pdf, "resume.pdf", &user, Metadata::new()).await?;
/// let file = storage.retrieve(file_id, &user).await?.bytes().await?;
/// let link = storage.get_download_url(file_id, &user, None).await?;
/// storage.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct Storage;

impl Storage {
    /// A service as `.env`, `storage.toml` and the environment configure it.
    ///
    /// # Errors
    ///
    /// As [`StorageBuilder::open`].
    pub async fn from_env() -> Result<SimpleStorageService> {
        Self::builder().open().await
    }

    /// The same, with room to say otherwise.
    pub fn builder() -> StorageBuilder {
        StorageBuilder::default()
    }
}

/// What is to be different from the configuration that is found.
#[derive(Clone, Debug, Default)]
pub struct StorageBuilder {
    config_file: Option<PathBuf>,
    directory: Option<PathBuf>,
    overrides: Vec<(String, String)>,
}

impl StorageBuilder {
    /// Reads this file in place of `storage.toml`.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config_file = Some(path.into());
        self
    }

    /// Looks for `.env` and `storage.toml` in this directory in place of the working directory.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Sets a variable (`PRIMARY_BACKEND`, `MINIO_BUCKET_NAME`, …), whatever the environment says.
    #[must_use]
    pub fn set(mut self, variable: impl Into<String>, value: impl Into<String>) -> Self {
        self.overrides.push((variable.into(), value.into()));
        self
    }

    /// Loads the configuration.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault that can be known before plugins are.
    pub fn load(self) -> Result<Loaded> {
        Config::load(self.options()?)
    }

    /// Loads the configuration for a caller that goes on to load plugins: see [`Config::gather`].
    pub(crate) fn gather(self) -> Result<Loaded> {
        Ok(Config::gather(self.options()?))
    }

    fn options(self) -> Result<LoadOptions> {
        let mut options = LoadOptions::from_process()?;
        options.config_file = self.config_file.or(options.config_file);
        options.directory = self.directory.unwrap_or(options.directory);
        for (variable, value) in self.overrides {
            options.overrides.set(variable, value, "the program");
        }
        Ok(options)
    }

    /// Loads the configuration, the plugins that it names and the catalog, and opens every backend.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` with every fault at once; `PluginLoad`, with code, cause and next step; why a backend or the
    /// catalog could not be opened.
    pub async fn open(self) -> Result<SimpleStorageService> {
        open(&self.gather()?).await
    }
}

/// Opens the service that a configuration describes.
///
/// # Errors
///
/// As [`StorageBuilder::open`].
pub async fn open(loaded: &Loaded) -> Result<SimpleStorageService> {
    let config = &loaded.config;
    let manager = StorageManager::open(loaded, BackendRegistry::discover(&config.plugin_dirs)).await?;
    let default_quota =
        Quota { max_bytes: config.default_quota.max_bytes, max_files: config.default_quota.max_files };
    let options = CatalogOptions { default_quota, ..CatalogOptions::default() };
    let catalog = catalog::open(&config.catalog_url, options)?;
    let public_url = config.http.public_url.clone().unwrap_or_else(|| format!("http://{}", config.http.bind));
    Ok(SimpleStorageService::new(manager, catalog, config.links.clone(), public_url))
}
