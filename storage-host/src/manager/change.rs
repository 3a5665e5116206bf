//! What may be changed while the service runs: further backends are opened, backends are closed, new files go to
//! another one, the configuration is read again.
//!
//! One change is made at a time. Each is made wholly or not at all: what it needs is opened and asked how it is
//! first, while everything goes on as before. Reads and writes under way keep the backend that they began with.
//! A change concerns this process alone; only what the configuration says outlives it.

use std::sync::Arc;

use parking_lot::Mutex;
use storage_core::config::faults_to_error;
use storage_core::{ConfigValues, Error, ErrorKind, OpenRequest, Result, Retry};

use super::opening::{Attempt, Opening, prepare};
use super::probe::probe;
use super::slot::Slot;
use super::{Entry, NamedBackend, StorageManager};
use crate::config::{self, Loaded};
use crate::plugin::{BackendRegistry, Diagnoses, Diagnosis};

/// What backends are opened from.
pub(super) struct Workshop {
    /// The configuration that the host started with: its settings other than those of backends hold until it ends.
    pub(super) started: Arc<Loaded>,
    /// The configuration that was read last.
    pub(super) loaded: Arc<Loaded>,
    pub(super) registry: Arc<Mutex<BackendRegistry>>,
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The backend that new files go to now.
    pub primary: String,
    /// Backends that were opened, since they are new or have other settings than before.
    pub opened: Vec<String>,
    /// Backends that their providers did not let open; they are tried again until they do.
    pub waiting: Vec<String>,
    /// Backends that the configuration no longer names. They stay open until the process ends; files on them can
    /// be read until then.
    pub not_configured: Vec<String>,
    /// Other settings that are not as they were when the service started; they count from its next start on.
    pub after_restart: Vec<String>,
}

impl StorageManager {
    /// Opens a further backend with these values, from a plugin that may have been put into its directory since the
    /// service started. New files go there only after [`StorageManager::switch_primary`].
    ///
    /// # Errors
    ///
    /// * `InvalidArgument` for a name that is none
    /// * `AlreadyExists`: a backend has the name, and was not closed
    /// * `Unsupported`: the program brought its own backends
    /// * `PluginLoad`, `ConfigInvalid`, those of the provider: why the backend cannot be opened, with code and next step
    pub async fn open_backend(&self, name: &str, backend_type: &str, values: ConfigValues) -> Result<()> {
        let changing = self.changing.lock().await;
        let workshop = changing.as_ref().ok_or_else(no_workshop)?;
        config::check_backend_name(name)?;
        if let Some(entry) = self.open.read().backends.get(name)
            && !entry.is_closed()
        {
            return Err(Error::new(ErrorKind::AlreadyExists, "a backend has this name").with_backend(name));
        }
        let request = OpenRequest { name: name.to_owned(), config: values, ..OpenRequest::default() };
        let opening = workshop.opening(backend_type, request).await?;
        let backend = opening.open().await?;
        let entry = Entry::opened(backend, Some(Arc::new(opening)));
        self.open.write().backends.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Closes a backend, once the last call on it has ended. Its name stays: files that lie on it answer that it is
    /// closed, until it is opened again.
    ///
    /// # Errors
    ///
    /// * `NotFound`: no backend has the name
    /// * `Conflict`: it is the one that new files go to
    pub async fn close_backend(&self, name: &str) -> Result<()> {
        let _changing = self.changing.lock().await;
        let mut open = self.open.write();
        let is_primary = open.primary.name == name;
        let entry = open.backends.get_mut(name).ok_or_else(|| unknown(name))?;
        if is_primary {
            return Err(Error::new(ErrorKind::Conflict, "new files go to this backend")
                .with_backend(name)
                .with_context("next_step", "let them go to another one first"));
        }
        let (info, _) = entry.slot.describe();
        let slot = Arc::new(Slot::unavailable(name, &info.backend_type, "it was closed by an administrator"));
        let former = std::mem::replace(entry, Entry { slot, opening: None, reopening: None });
        drop(open);
        self.retire(&former);
        Ok(())
    }

    /// Lets new files go to another backend from now on, once that has said that it is well. Files that were saved
    /// before stay where they are.
    ///
    /// # Errors
    ///
    /// * `NotFound`: no backend has the name
    /// * `Unavailable`: it is not open, or not well; new files go where they went before
    pub async fn switch_primary(&self, name: &str) -> Result<()> {
        let _changing = self.changing.lock().await;
        let backend = self.open.read().backends.get(name).map(|entry| entry.slot.backend().cloned());
        let backend = backend.ok_or_else(|| unknown(name))??;
        ensure_well(&backend).await?;
        let former = std::mem::replace(&mut self.open.write().primary, backend);
        self.tell_of_switch(&former);
        Ok(())
    }

    /// Reads the configuration again and does what it now says of backends: opens those that are new, opens those
    /// anew whose settings are others, and lets new files go to the primary one. The environment and the command
    /// line are those that the service was started with.
    ///
    /// # Errors
    ///
    /// Whatever would stop a start: every fault of the configuration, of its plugins and of their backends, and a
    /// primary backend that does not open or is not well. Nothing is changed then.
    pub async fn reload(&self) -> Result<Reloaded> {
        let mut changing = self.changing.lock().await;
        let workshop = changing.as_mut().ok_or_else(no_workshop)?;
        let loaded = Arc::new(workshop.loaded.again());
        workshop.search_again().await?;
        let (openings, mut faults) = prepare(&loaded, &workshop.registry).await;
        if loaded.require_sound().is_err() {
            return Err(Diagnoses::new(faults).into());
        }
        let changed = openings.into_iter().filter(|opening| !self.has_same(opening)).collect();
        let attempts = Attempt::all(changed).await;
        let failed = attempts.iter().filter_map(|attempt| attempt.opened.as_ref().err());
        faults.extend(failed.filter(|diagnosis| !diagnosis.may_pass()).cloned());
        let primary = match faults.is_empty() {
            true => self.next_primary(&loaded.config.primary_backend, &attempts).await,
            false => Err(Diagnoses::new(faults).into()),
        };
        let primary = match primary {
            Ok(primary) => primary,
            Err(why) => {
                Attempt::close_all(&attempts).await;
                return Err(why);
            }
        };
        let reloaded = self.apply(attempts, primary, &workshop.started, &loaded);
        workshop.loaded = loaded;
        Ok(reloaded)
    }

    /// Whether a backend is open, or waits to be, that is configured like this.
    fn has_same(&self, opening: &Opening) -> bool {
        let open = self.open.read();
        let present = open.backends.get(opening.name()).and_then(|entry| entry.opening.as_ref());
        present.is_some_and(|present| present.is_same(opening))
    }

    /// The backend that is to be the primary one: one of those that were opened just now, else one that was open.
    async fn next_primary(&self, name: &str, attempts: &[Attempt]) -> Result<Arc<NamedBackend>> {
        let backend = match attempts.iter().find(|attempt| attempt.name() == name) {
            Some(attempt) => attempt.opened.clone().map_err(Error::from)?,
            None => self.backend(name)?,
        };
        if !Arc::ptr_eq(&backend, &self.primary()) {
            ensure_well(&backend).await?;
        }
        Ok(backend)
    }

    /// Makes the change, of which nothing can fail any more.
    fn apply(
        &self,
        attempts: Vec<Attempt>,
        primary: Arc<NamedBackend>,
        started: &Loaded,
        loaded: &Loaded,
    ) -> Reloaded {
        let (mut opened, mut waiting, mut former) = (Vec::new(), Vec::new(), Vec::new());
        let mut open = self.open.write();
        for attempt in attempts {
            let name = attempt.name().to_owned();
            if attempt.opened.is_ok() { &mut opened } else { &mut waiting }.push(name.clone());
            former.extend(open.backends.insert(name, attempt.into_entry()));
        }
        let not_configured =
            open.backends.keys().filter(|name| !loaded.config.backends.contains_key(*name)).cloned();
        let reloaded = Reloaded {
            primary: primary.name.clone(),
            opened,
            waiting,
            not_configured: not_configured.collect(),
            after_restart: loaded.differences_for_restart(started),
        };
        let former_primary = std::mem::replace(&mut open.primary, primary);
        drop(open);
        self.tell_of_switch(&former_primary);
        former.iter().for_each(|entry| self.retire(entry));
        reloaded
    }

    fn tell_of_switch(&self, former: &NamedBackend) {
        let primary = self.primary();
        if former.name != primary.name {
            tracing::info!(
                from = former.name,
                to = primary.name,
                "new files go to another backend from now on"
            );
        }
    }
}

impl Workshop {
    /// All that it takes to open a backend of this type.
    async fn opening(&self, backend_type: &str, request: OpenRequest) -> Result<Opening> {
        self.search_again().await?;
        let (registry, wanted) = (self.registry.clone(), backend_type.to_owned());
        let module = in_background(move || registry.lock().load(&wanted)).await??;
        match module.schema().check(&request.config).as_slice() {
            [] => Ok(Opening { module, request, calls: self.loaded.config.calls.clone() }),
            faults => {
                let error = faults_to_error(&format!("the backend {}", request.name), faults);
                Err(Diagnosis::config_invalid(&error).into())
            }
        }
    }

    /// Looks again what lies in the plugin directories.
    async fn search_again(&self) -> Result<()> {
        let registry = self.registry.clone();
        in_background(move || registry.lock().search_again()).await
    }
}

impl Entry {
    /// Whether an administrator closed it.
    fn is_closed(&self) -> bool {
        self.slot.get().is_none() && self.reopening.is_none()
    }
}

/// Files are read, and libraries run, where that holds up nobody.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Diagnosis::load_ended(&error).into())
}

async fn ensure_well(named: &NamedBackend) -> Result<()> {
    let problems = match probe(named).await.result {
        Ok(health) => health.problems.join("; "),
        Err(error) => return Err(error),
    };
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unavailable, format!("the backend is not well: {problems}"))
        .with_backend(named.name.as_str())
        .with_retry(Retry::May))
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no backend has this name").with_backend(name)
}

fn no_workshop() -> Error {
    Error::new(ErrorKind::Unsupported, "the program that runs the service brought its own backends")
}
