//! Opens the service in this process, as programs that embed it do: plugins, layers, catalog, all as by default.

use std::path::Path;

use anyhow::{Context, Result};
use storage_host::service::{SimpleStorageService, Storage};

use crate::environment::Environment;

/// The service over the local disk in a folder, with a quota, so that room is reserved for every save.
///
/// # Errors
///
/// Something was not built, or does not open.
pub(crate) async fn open(
    environment: &Environment,
    folder: &Path,
    catalog: &Path,
) -> Result<SimpleStorageService> {
    std::fs::create_dir_all(folder)?;
    let storage = Storage::builder()
        .directory(folder)
        .set("PLUGIN_DIR", environment.plugins().display().to_string())
        .set("PRIMARY_BACKEND", "local")
        .set("LOCAL_STORAGE_PATH", folder.join("storage").display().to_string())
        .set("CATALOG_URL", format!("sqlite:{}", catalog.display()))
        .set("STORAGE_QUOTA_BYTES", "1TiB");
    storage.open().await.context("opening the service")
}
