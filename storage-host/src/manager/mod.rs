//! Which backends are open, which of them is used, and whether they are healthy. Knows nothing of users.

mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;

use storage_core::{Backend, BackendInfo, Error, ErrorKind, Result};

pub use probe::Probe;

/// Every open backend, by name.
pub struct StorageManager {
    primary: String,
    backends: BTreeMap<String, Arc<NamedBackend>>,
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
    /// What the backend says of itself.
    pub info: Arc<BackendInfo>,
    /// `ready`, or why not.
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
        let backends = backends
            .into_iter()
            .map(|(name, backend)| (name.clone(), Arc::new(NamedBackend { name, backend })));
        let manager = Self { primary: primary.to_owned(), backends: backends.collect() };
        manager.backend(primary)?;
        Ok(manager)
    }

    /// The backend that new files go to.
    pub fn primary(&self) -> &Arc<NamedBackend> {
        &self.backends[&self.primary]
    }

    /// The backend of this name.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, naming those that there are.
    pub fn backend(&self, name: &str) -> Result<&Arc<NamedBackend>> {
        self.backends.get(name).ok_or_else(|| {
            let known = self.backends.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Error::new(ErrorKind::ConfigInvalid, format!("no backend is named {name:?}"))
                .with_context("backends", known)
        })
    }

    /// Every backend, by name.
    pub fn list_backends(&self) -> BTreeMap<String, BackendStatus> {
        let status = |named: &NamedBackend| BackendStatus {
            info: named.backend.info(),
            status: "ready".to_owned(),
            is_primary: named.name == self.primary,
        };
        self.backends.iter().map(|(name, named)| (name.clone(), status(named))).collect()
    }
}
