//! What every command starts from: the configuration, and on demand the service.

use std::path::PathBuf;

use storage_core::Result;

use super::output::Output;
use crate::config::Loaded;
use crate::plugin::BackendRegistry;
use crate::service::{self, Actor, SimpleStorageService, Storage};
use crate::telemetry;

/// The level of the log that a service has where nobody says otherwise.
const SERVICE_LEVEL: &str = "info";

/// The same for every other command, whose answer is what counts.
const COMMAND_LEVEL: &str = "warn";

/// The configuration that was found, and how to answer.
pub(super) struct Context {
    pub(super) loaded: Loaded,
    pub(super) output: Output,
}

impl Context {
    /// Loads the configuration and sets up the log.
    pub(super) fn load(
        config_file: Option<PathBuf>,
        bind: Option<String>,
        output: Output,
        is_service: bool,
    ) -> Result<Self> {
        let mut builder = Storage::builder();
        if let Some(path) = config_file {
            builder = builder.config_file(path);
        }
        if let Some(bind) = bind {
            builder = builder.set("STORAGE_BIND", bind);
        }
        let loaded = builder.load()?;
        let mut log = loaded.config.log.clone();
        if !is_service && log.level == SERVICE_LEVEL {
            COMMAND_LEVEL.clone_into(&mut log.level);
        }
        telemetry::init(&log)?;
        Ok(Self { loaded, output })
    }

    /// The service. The audit log has its calls as those of the command line.
    pub(super) async fn service(&self) -> Result<SimpleStorageService> {
        let service = service::open(&self.loaded).await?;
        Ok(service.with_actor(Actor { name: "cli".to_owned(), remote: None }))
    }

    /// The plugins that are there.
    pub(super) fn registry(&self) -> BackendRegistry {
        BackendRegistry::discover(&self.loaded.config.plugin_dirs)
    }
}
