//! Opens backends through their libraries, as the host does.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use storage_core::{Backend, ConfigValues, OpenRequest};

use crate::environment::Environment;

/// Opens the backend of a type with these settings.
///
/// # Errors
///
/// The plugin was not built, or does not open.
pub(crate) async fn open(
    environment: &Environment,
    backend_type: &str,
    settings: &[(&str, &str)],
) -> Result<Arc<dyn Backend>> {
    open_library(&environment.library(&format!("storage_backend_{backend_type}"))?, settings).await
}

/// Opens the backend of a library with these settings.
///
/// # Errors
///
/// The library cannot be loaded, or does not open.
pub(crate) async fn open_library(library: &Path, settings: &[(&str, &str)]) -> Result<Arc<dyn Backend>> {
    let module = storage_core::abi::load(library).map_err(|error| anyhow!("{error}"))?;
    let runtime = tokio::runtime::Handle::current();
    let module = module.polling_bodies_within(move |run| {
        let _entered = runtime.enter();
        run();
    });
    let mut config = ConfigValues::new();
    for (name, value) in settings {
        config.set(*name, *value, "the bench");
    }
    let request = OpenRequest { name: "bench".to_owned(), config, ..OpenRequest::default() };
    module.open(request).await.with_context(|| format!("opening {}", library.display()))
}

/// The local disk's backend on a folder, as it is by default: what it has acknowledged is on the disk.
///
/// # Errors
///
/// As [`open`].
pub(crate) async fn open_local(environment: &Environment, folder: &Path) -> Result<Arc<dyn Backend>> {
    open(environment, "local", &[("path", &folder.display().to_string())]).await
}
