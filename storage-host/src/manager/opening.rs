//! [`Opening`]: all that it takes to open one backend; how it comes out of a configuration, and how it is repeated.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use storage_core::abi::PluginModule;
use storage_core::{ConfigSchema, Error, ErrorKind, OpenRequest, Retry};
use tokio_util::task::AbortOnDropHandle;

use super::slot::Slot;
use super::{Entry, NamedBackend};
use crate::config::{BackendConfig, CallConfig, Loaded};
use crate::layers;
use crate::plugin::{BackendRegistry, Diagnosis};

/// How long to wait before a backend that did not open is tried again.
const REOPEN_PAUSE: Duration = Duration::from_secs(30);

/// Loads the plugins that a configuration names, and says which backends can be tried, and every fault besides.
///
/// Libraries are read and run on a thread on which that holds up nobody.
pub(super) async fn prepare(
    loaded: &Arc<Loaded>,
    registry: &Arc<Mutex<BackendRegistry>>,
) -> (Vec<Opening>, Vec<Diagnosis>) {
    let (loaded, registry) = (loaded.clone(), registry.clone());
    let work = move || {
        let mut registry = registry.lock();
        let mut faults = Vec::new();
        let modules = load_plugins(&loaded, &mut registry, &mut faults);
        check_values(&loaded, &registry, &modules, &mut faults);
        (openings(&loaded, &modules), faults)
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| (Vec::new(), vec![Diagnosis::load_ended(&error)]))
}

/// Loads the plugin of each backend type that the configuration names.
pub(crate) fn load_plugins(
    loaded: &Loaded,
    registry: &mut BackendRegistry,
    faults: &mut Vec<Diagnosis>,
) -> BTreeMap<String, Arc<PluginModule>> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, backend) in &loaded.config.backends {
        users.entry(&backend.backend_type).or_default().push(name);
    }
    let mut modules = BTreeMap::new();
    for (backend_type, names) in users {
        match registry.load(backend_type) {
            Ok(module) => {
                modules.insert(backend_type.to_owned(), module);
            }
            Err(diagnosis) => faults.push(diagnosis.with_fact("needed_by", names.join(", "))),
        }
    }
    modules
}

/// Checks the values of every backend, and that every variable is known to somebody.
pub(super) fn check_values(
    loaded: &Loaded,
    registry: &BackendRegistry,
    modules: &BTreeMap<String, Arc<PluginModule>>,
    faults: &mut Vec<Diagnosis>,
) {
    let schemas: Vec<_> = modules.iter().map(|(name, module)| (name.as_str(), module.schema())).collect();
    let schemas: Vec<(&str, &ConfigSchema)> = schemas.iter().map(|(name, schema)| (*name, schema)).collect();
    // The variables of a plugin that is there and refused are not unknown: its fault is another.
    let installed = registry.list_all_backends().iter().filter_map(|found| found.backend_type.as_deref());
    if let Err(error) = loaded.check(&schemas, &installed.collect::<Vec<_>>()) {
        faults.push(Diagnosis::config_invalid(&error));
    }
}

/// The backends that can be tried: those with a plugin, and with values in which no fault was found.
fn openings(loaded: &Loaded, modules: &BTreeMap<String, Arc<PluginModule>>) -> Vec<Opening> {
    let opening = |(name, backend): (&String, &BackendConfig)| {
        let module = modules.get(&backend.backend_type)?.clone();
        let schema = module.schema();
        let config = loaded.backend_values(name, &schema).ok()?;
        let request = OpenRequest { name: name.clone(), config, ..OpenRequest::default() };
        let is_sound = schema.check(&request.config).is_empty();
        is_sound.then(|| Opening { module, request, calls: loaded.config.calls.clone() })
    };
    loaded.config.backends.iter().filter_map(opening).collect()
}

/// All that it takes to open a backend, as often as it must be tried.
pub(super) struct Opening {
    pub(super) module: Arc<PluginModule>,
    pub(super) request: OpenRequest,
    pub(super) calls: CallConfig,
}

impl Opening {
    pub(super) fn name(&self) -> &str {
        &self.request.name
    }

    pub(super) fn backend_type(&self) -> &str {
        &self.module.manifest().backend_type
    }

    /// Whether the backend would be the same one, wherever its settings came from.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let texts = |opening: &Self| -> Vec<(String, String)> {
            let values = opening.request.config.iter();
            values.map(|(key, value)| (key.to_owned(), value.text.clone())).collect()
        };
        self.name() == other.name()
            && self.backend_type() == other.backend_type()
            && texts(self) == texts(other)
    }

    pub(super) async fn open(&self) -> Result<Arc<NamedBackend>, Diagnosis> {
        let name = self.name();
        let patience = self.calls.call_timeout;
        let opened = tokio::time::timeout(patience, self.module.open(self.request.clone())).await;
        let opened = opened.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "the provider did not answer in time")
                .with_context("allowed_ms", patience.as_millis())
                .with_retry(Retry::May))
        });
        let backend = opened.map_err(|error| Diagnosis::open_failed(name, &error))?;
        let info = backend.info();
        tracing::info!(backend = %name, backend_type = info.backend_type, location = info.location, "opened a backend");
        Ok(NamedBackend::new(name, layers::wrap(name, backend, &self.calls)))
    }
}

/// A backend that was tried.
pub(super) struct Attempt {
    pub(super) opening: Arc<Opening>,
    pub(super) opened: Result<Arc<NamedBackend>, Diagnosis>,
}

impl Attempt {
    /// Tries all of them at once.
    pub(super) async fn all(openings: Vec<Opening>) -> Vec<Self> {
        let attempts = openings.into_iter().map(|opening| async move {
            let opened = opening.open().await;
            Self { opening: Arc::new(opening), opened }
        });
        join_all(attempts).await
    }

    pub(super) fn name(&self) -> &str {
        self.opening.name()
    }

    /// The entry of a manager. A backend that did not open is tried again from now on.
    pub(super) fn into_entry(self) -> Entry {
        match self.opened {
            Ok(backend) => Entry::opened(backend, Some(self.opening)),
            Err(diagnosis) => {
                let opening = self.opening;
                let slot = Slot::unavailable(opening.name(), opening.backend_type(), &*diagnosis.cause);
                let slot = Arc::new(slot);
                let reopening = Some(keep_trying(slot.clone(), opening.clone(), &diagnosis));
                Entry { slot, opening: Some(opening), reopening }
            }
        }
    }

    /// Closes what was opened in vain.
    pub(super) async fn close_all(attempts: &[Self]) {
        for named in attempts.iter().filter_map(|attempt| attempt.opened.as_ref().ok()) {
            if let Err(error) = named.backend.close().await {
                tracing::warn!(error = %error.report(), "a backend did not close");
            }
        }
    }
}

/// Says that a backend is missing, and tries to open it from now on.
fn keep_trying(slot: Arc<Slot>, opening: Arc<Opening>, why: &Diagnosis) -> AbortOnDropHandle<()> {
    tracing::warn!(
        backend = opening.name(),
        code = %why.code,
        next_step = why.next_step,
        "going on without a backend; files that lie on it cannot be read: {}",
        why.cause
    );
    let open = move || {
        let opening = opening.clone();
        async move { opening.open().await }
    };
    AbortOnDropHandle::new(tokio::spawn(reopen(slot, open)))
}

/// Tries to open a backend until it opens.
async fn reopen<F>(slot: Arc<Slot>, open: impl Fn() -> F)
where
    F: Future<Output = Result<Arc<NamedBackend>, Diagnosis>>,
{
    loop {
        tokio::time::sleep(REOPEN_PAUSE).await;
        match open().await {
            Ok(backend) => return slot.fill(backend),
            Err(diagnosis) => slot.note(&diagnosis),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use storage_core::memory::MemoryBackend;
    use tokio::time::Instant;

    use super::*;

    fn diagnosis(reason: &str) -> Diagnosis {
        Diagnosis::open_failed("cold", &Error::new(ErrorKind::Unavailable, reason))
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_did_not_open_is_tried_again_until_it_does() {
        let slot = Arc::new(Slot::unavailable("cold", "memory", "connection refused"));
        let error = slot.backend().err().expect("it is not open");
        assert_eq!((error.kind(), error.backend()), (ErrorKind::Unavailable, Some("cold")));
        assert!(error.message().contains("connection refused"), "{error}");

        let attempts = AtomicUsize::new(0);
        let open = async || match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => Err(diagnosis("still starting")),
            _ => {
                assert!(slot.describe().1.contains("still starting"), "the latest reason is told");
                Ok(NamedBackend::new("cold", Arc::new(MemoryBackend::new("cold"))))
            }
        };
        let started = Instant::now();
        reopen(slot.clone(), open).await;
        assert_eq!(started.elapsed(), 2 * REOPEN_PAUSE);
        assert_eq!(slot.backend().expect("open").name, "cold");
        assert_eq!(slot.describe().1, "ready");
    }
}
