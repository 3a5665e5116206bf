//! What every command starts from: the configuration, and on demand the service.

use std::path::{Path, PathBuf};

use super::output::Output;
use crate::config::Loaded;
use crate::manager::StorageManager;
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
    /// The configuration file that the command line names.
    pub(super) config_file: Option<PathBuf>,
}

/// What the command is for, as far as it matters to how it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The service.
    Serve,
    /// A look at the configuration, faulty or not.
    ShowConfiguration,
    /// A look at plugins, which must not run the code of one only because the configuration is faulty.
    LookAtPlugins,
    /// Any other command.
    Other,
}

impl Context {
    /// Loads the configuration and sets up the log.
    pub(super) fn load(
        config_file: Option<PathBuf>,
        bind: Option<String>,
        mut output: Output,
        purpose: Purpose,
    ) -> storage_core::Result<Self> {
        let mut builder = Storage::builder();
        if let Some(path) = &config_file {
            builder = builder.config_file(path.as_path());
        }
        if let Some(bind) = bind {
            builder = builder.set("STORAGE_BIND", bind);
        }
        let loaded = builder.gather()?;
        let mut log = loaded.config.log.clone();
        if let Err(faults) = loaded.require_sound() {
            match purpose {
                // It is the way to find out where the faulty values come from.
                Purpose::ShowConfiguration => COMMAND_LEVEL.clone_into(&mut log.level),
                Purpose::LookAtPlugins => return Err(faults),
                Purpose::Serve | Purpose::Other => {
                    // One run tells all that is to be mended, the settings of plugins included.
                    let mut registry = BackendRegistry::discover(&loaded.config.plugin_dirs);
                    StorageManager::check(&loaded, &mut registry)?;
                    return Err(faults);
                }
            }
        }
        let is_service = purpose == Purpose::Serve;
        // What `.env` says is meant for the service that runs beside; who types a command says it in its environment.
        if !is_service && log.level == SERVICE_LEVEL && !is_from_environment(&loaded, "log.level") {
            COMMAND_LEVEL.clone_into(&mut log.level);
        }
        telemetry::init(&log)?;
        if is_service && log.json {
            // Whoever reads the log of a service by machine reads every line of it.
            output.quiet = true;
        }
        Ok(Self { loaded, output, config_file })
    }

    /// Opens the service, does the work, and closes the service whatever became of it, so that nothing is lost that
    /// waits to be written. The audit log has the calls as those of the command line.
    ///
    /// What goes wrong at the end is told and takes no answer back: whatever changed is durable by then, and of what was
    /// read, a full disk may have kept the audit line from being written.
    pub(super) async fn with_service<T, E: Into<anyhow::Error>>(
        &self,
        work: impl AsyncFnOnce(&SimpleStorageService) -> Result<T, E>,
    ) -> anyhow::Result<T> {
        let service = self.open().await?;
        let done = work(&service).await;
        let closed = service.close().await;
        if let Err(error) = closed {
            tracing::error!(error = %error.report(), "the service was not closed as it should be");
        }
        done.map_err(Into::into)
    }

    async fn open(&self) -> storage_core::Result<SimpleStorageService> {
        let catalog = self.new_catalog();
        let service = service::open(&self.loaded).await?;
        if let Some(path) = catalog {
            // One who stands in the wrong directory would otherwise wonder where the files are.
            self.output.remark(&format!("a new, empty catalog was made: {}", path.display()));
        }
        Ok(service.with_actor(Actor { name: "cli".to_owned(), remote: None }))
    }

    /// The file of the catalog, where there is none yet.
    fn new_catalog(&self) -> Option<&Path> {
        let path = self.loaded.config.catalog_url.strip_prefix("sqlite:")?;
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        matches!(path.try_exists(), Ok(false)).then_some(path)
    }

    /// The plugins that are there.
    pub(super) fn registry(&self) -> BackendRegistry {
        BackendRegistry::discover(&self.loaded.config.plugin_dirs)
    }
}

fn is_from_environment(loaded: &Loaded, key: &str) -> bool {
    let setting = loaded.describe(&[]).into_iter().find(|setting| setting.key == key);
    setting.and_then(|setting| setting.origin).is_some_and(|origin| origin == "environment")
}
