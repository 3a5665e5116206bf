//! Which backends are open, which of them is used, and whether they are healthy. Knows nothing of users.
//!
//! [`StorageManager::open`] makes backends of what the configuration names. It is called once, when a host starts;
//! the service asks for backends by name and never learns where they come from.

mod open;
mod probe;
mod slot;

use std::collections::BTreeMap;
use std::sync::Arc;

use storage_core::{Backend, BackendInfo, Error, ErrorKind, Result};
use tokio_util::task::AbortOnDropHandle;

pub use probe::Probe;

use slot::Slot;

/// Every backend that the configuration names, by name.
pub struct StorageManager {
    primary: Arc<NamedBackend>,
    backends: BTreeMap<String, Arc<Slot>>,
    /// Tasks that try to open what did not open; they end with the manager.
    reopening: Vec<AbortOnDropHandle<()>>,
}

/// An open backend.
pub struct NamedBackend {
    /// Its name in the configuration.
    pub name: String,
    /// The backend, wrapped in the host's layers.
    pub backend: Arc<dyn Backend>,
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
        let slots = backends.into_iter().map(|(name, backend)| {
            let slot = Slot::opened(Arc::new(NamedBackend { name: name.clone(), backend }));
            (name, Arc::new(slot))
        });
        let backends = slots.collect();
        let primary = find(&backends, primary)?.backend()?.clone();
        Ok(Self { primary, backends, reopening: Vec::new() })
    }

    /// The backend that new files go to.
    pub fn primary(&self) -> &Arc<NamedBackend> {
        &self.primary
    }

    /// The backend of this name.
    ///
    /// # Errors
    ///
    /// * `ConfigInvalid`, naming those that there are
    /// * `Unavailable` for one that could not be opened yet, with the reason
    pub fn backend(&self, name: &str) -> Result<&Arc<NamedBackend>> {
        find(&self.backends, name)?.backend()
    }

    /// Every backend, by name.
    pub fn list_backends(&self) -> BTreeMap<String, BackendStatus> {
        let status = |(name, slot): (&String, &Arc<Slot>)| {
            let (info, status) = slot.describe();
            (name.clone(), BackendStatus { info, status, is_primary: *name == self.primary.name })
        };
        self.backends.iter().map(status).collect()
    }
}

fn find<'a>(backends: &'a BTreeMap<String, Arc<Slot>>, name: &str) -> Result<&'a Arc<Slot>> {
    backends.get(name).ok_or_else(|| {
        let known = backends.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Error::new(ErrorKind::ConfigInvalid, format!("no backend is named {name:?}"))
            .with_context("backends", known)
    })
}
