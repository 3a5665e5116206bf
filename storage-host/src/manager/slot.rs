//! [`Slot`]: the place of a backend, which is open, will be, or was closed.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use storage_core::{BackendInfo, Error, ErrorKind, Result, Retry};

use super::NamedBackend;
use crate::plugin::Diagnosis;

/// The place of one backend. Once that is open, the place has it for good: a backend that is closed or opened anew
/// gets another place.
pub(super) struct Slot {
    name: String,
    opened: OnceLock<Arc<NamedBackend>>,
    closed: Mutex<Closed>,
}

/// What is known of a backend that is not open.
#[derive(Default)]
struct Closed {
    backend_type: String,
    reason: String,
}

impl Slot {
    pub(super) fn opened(backend: Arc<NamedBackend>) -> Self {
        let name = backend.name.clone();
        Self { name, opened: OnceLock::from(backend), closed: Mutex::default() }
    }

    pub(super) fn unavailable(name: &str, backend_type: &str, reason: impl Into<String>) -> Self {
        let closed = Closed { backend_type: backend_type.to_owned(), reason: reason.into() };
        Self { name: name.to_owned(), opened: OnceLock::new(), closed: Mutex::new(closed) }
    }

    /// Notes that another attempt to open it failed.
    pub(super) fn note(&self, diagnosis: &Diagnosis) {
        self.closed.lock().reason.clone_from(&diagnosis.cause);
    }

    /// Puts the backend into its place. The one task that opens it does so once.
    pub(super) fn fill(&self, backend: Arc<NamedBackend>) {
        self.opened.get_or_init(|| backend);
    }

    /// The backend, where it is open.
    pub(super) fn get(&self) -> Option<&Arc<NamedBackend>> {
        self.opened.get()
    }

    /// The backend.
    ///
    /// # Errors
    ///
    /// `Unavailable`, naming the backend and why it is not open, whatever the reason: for a file that lies there,
    /// all reasons mean the same.
    pub(super) fn backend(&self) -> Result<&Arc<NamedBackend>> {
        self.get().ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, self.closed.lock().reason.as_str())
                .with_backend(self.name.as_str())
                .with_retry(Retry::May)
        })
    }

    /// What the backend says of itself, and its status in words.
    pub(super) fn describe(&self) -> (Arc<BackendInfo>, String) {
        match self.get() {
            Some(named) => (named.backend.info(), "ready".to_owned()),
            None => {
                let closed = self.closed.lock();
                let info =
                    BackendInfo { backend_type: closed.backend_type.clone(), ..BackendInfo::default() };
                (Arc::new(info), format!("unavailable: {}", closed.reason))
            }
        }
    }
}
