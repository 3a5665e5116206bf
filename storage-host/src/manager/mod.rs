//! Which backends are open, which of them is used, and whether they are healthy. Knows nothing of users.
//!
//! [`StorageManager::open`] makes backends of what the configuration names. It is called once, when a host starts;
//! `change` holds what may be done afterwards. The service asks for backends by name and never learns where they
//! come from.

mod change;
mod open;
mod opening;
mod probe;
mod slot;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use storage_core::{Backend, BackendInfo, Error, ErrorKind, Result};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

pub use change::Reloaded;
pub(crate) use opening::load_plugins;
pub use probe::Probe;

use change::Workshop;
use opening::Opening;
use slot::Slot;

/// Every backend that there is, by name.
pub struct StorageManager {
    open: RwLock<Open>,
    /// Held by whoever changes which backends there are. Empty where the program brought the backends: then there
    /// is nothing to open others from.
    changing: tokio::sync::Mutex<Option<Workshop>>,
    /// Backends that are no longer given to anybody, and are closed when the last call on them has ended.
    retiring: TaskTracker,
    /// Cancelled when all is to be closed, whatever is still under way.
    ending: CancellationToken,
}

/// Which backends there are, and which one is used.
struct Open {
    primary: Arc<NamedBackend>,
    backends: BTreeMap<String, Entry>,
}

/// A backend of the manager.
struct Entry {
    slot: Arc<Slot>,
    /// What it was opened with, where the manager opened it.
    opening: Option<Arc<Opening>>,
    /// The task that tries to open what did not open; it ends with the entry.
    reopening: Option<AbortOnDropHandle<()>>,
}

impl Entry {
    fn opened(backend: Arc<NamedBackend>, opening: Option<Arc<Opening>>) -> Self {
        Self { slot: Arc::new(Slot::opened(backend)), opening, reopening: None }
    }
}

/// An open backend.
pub struct NamedBackend {
    /// Its name in the configuration.
    pub name: String,
    /// The backend, wrapped in the host's layers.
    pub backend: Arc<dyn Backend>,
    /// Tells, by being dropped, that nobody has the backend any longer.
    in_use: DropGuard,
}

impl NamedBackend {
    pub(crate) fn new(name: impl Into<String>, backend: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), backend, in_use: CancellationToken::new().drop_guard() })
    }

    /// Cancelled when nobody has the backend any longer.
    fn unused(&self) -> CancellationToken {
        self.in_use.token().clone()
    }
}

/// What `list_backends` answers of one backend.
#[derive(Clone, Debug)]
pub struct BackendStatus {
    /// What the backend says of itself; of one that is not open, its type alone.
    pub info: Arc<BackendInfo>,
    /// `ready`, or `unavailable:` and why.
    pub status: String,
    /// Whether new files go to it.
    pub is_primary: bool,
}

impl StorageManager {
    /// A manager of backends that are open already: for tests, and for programs that bring their own.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` where no backend has the primary one's name.
    pub fn from_backends(
        primary: &str,
        backends: impl IntoIterator<Item = (String, Arc<dyn Backend>)>,
    ) -> Result<Self> {
        let entries = backends
            .into_iter()
            .map(|(name, backend)| (name.clone(), Entry::opened(NamedBackend::new(name, backend), None)));
        let backends = entries.collect();
        let primary = find(&backends, primary)?.slot.backend()?.clone();
        Ok(Self::of(Open { primary, backends }, None))
    }

    fn of(open: Open, workshop: Option<Workshop>) -> Self {
        Self {
            open: RwLock::new(open),
            changing: tokio::sync::Mutex::new(workshop),
            retiring: TaskTracker::new(),
            ending: CancellationToken::new(),
        }
    }

    /// The backend that new files go to. It may be another one a moment later: whoever does several things on one
    /// backend keeps what this answered.
    pub fn primary(&self) -> Arc<NamedBackend> {
        self.open.read().primary.clone()
    }

    /// The backend of this name.
    ///
    /// # Errors
    ///
    /// * `ConfigInvalid`, naming those that there are
    /// * `Unavailable` for one that could not be opened yet, or was closed, with the reason
    pub fn backend(&self, name: &str) -> Result<Arc<NamedBackend>> {
        find(&self.open.read().backends, name)?.slot.backend().cloned()
    }

    /// Every backend, by name.
    pub fn list_backends(&self) -> BTreeMap<String, BackendStatus> {
        let open = self.open.read();
        let status = |(name, entry): (&String, &Entry)| {
            let (info, status) = entry.slot.describe();
            (name.clone(), BackendStatus { info, status, is_primary: *name == open.primary.name })
        };
        open.backends.iter().map(status).collect()
    }

    /// Closes a backend that is no longer given to anybody, once the last call on it has ended.
    fn retire(&self, entry: &Entry) {
        let Some(named) = entry.slot.get() else { return };
        let (name, backend, unused) = (named.name.clone(), named.backend.clone(), named.unused());
        let ending = self.ending.clone();
        self.retiring.spawn(async move {
            tokio::select! {
                () = unused.cancelled() => {}
                () = ending.cancelled() => {}
            }
            match backend.close().await {
                Ok(()) => tracing::info!(backend = name, "closed a backend"),
                Err(error) => tracing::warn!(error = %error.report(), "a backend did not close"),
            }
        });
    }
}

fn find<'a>(backends: &'a BTreeMap<String, Entry>, name: &str) -> Result<&'a Entry> {
    backends.get(name).ok_or_else(|| {
        let known = backends.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Error::new(ErrorKind::ConfigInvalid, format!("no backend is named {name:?}"))
            .with_context("backends", known)
    })
}
