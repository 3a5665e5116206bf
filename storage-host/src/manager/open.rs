//! Opens the backends that the configuration names, and tells everything that keeps them from it at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use storage_core::abi::PluginModule;
use storage_core::{ConfigSchema, Error, ErrorKind, OpenRequest, Retry};
use tokio_util::task::AbortOnDropHandle;

use super::slot::Slot;
use super::{NamedBackend, StorageManager};
use crate::config::{BackendConfig, CallConfig, Loaded};
use crate::layers;
use crate::plugin::{BackendRegistry, Diagnoses, Diagnosis};

/// How long to wait before a backend that did not open is tried again.
const REOPEN_PAUSE: Duration = Duration::from_secs(30);

impl StorageManager {
    /// Loads the plugins that the configuration names and opens all its backends at once.
    ///
    /// The primary backend must open. Another one that its provider does not let open is listed as unavailable
    /// and tried again every 30 seconds: nothing is written to it, and files that lie elsewhere can be served
    /// meanwhile. What only a change of configuration or plugins mends stops the host, whichever backend it
    /// concerns: whoever starts the host is there to mend it.
    ///
    /// # Errors
    ///
    /// Every diagnosis of every plugin and backend.
    pub async fn open(loaded: &Loaded, registry: &mut BackendRegistry) -> Result<Self, Diagnoses> {
        let mut faults = Vec::new();
        let modules = load_plugins(loaded, registry, &mut faults);
        check_values(loaded, registry, &modules, &mut faults);
        if loaded.require_sound().is_err() {
            // How long to wait for a provider is among what is not known now.
            return Err(Diagnoses::new(faults));
        }
        let attempts = openings(loaded, &modules).into_iter().map(|opening| async {
            let opened = opening.open().await;
            (opening, opened)
        });

        let mut primary = None;
        let mut backends = BTreeMap::new();
        let mut waiting = Vec::new();
        for (opening, opened) in join_all(attempts).await {
            let name = opening.request.name.clone();
            let slot = match opened {
                Ok(backend) => {
                    if name == loaded.config.primary_backend {
                        primary = Some(backend.clone());
                    }
                    Arc::new(Slot::opened(backend))
                }
                Err(diagnosis) if !diagnosis.may_pass() => {
                    faults.push(diagnosis);
                    continue;
                }
                Err(diagnosis) => {
                    let slot = Slot::unavailable(&name, &opening.module.manifest().backend_type, &diagnosis);
                    let slot = Arc::new(slot);
                    waiting.push((slot.clone(), opening, diagnosis));
                    slot
                }
            };
            backends.insert(name, slot);
        }

        if let Some(primary) = primary
            && faults.is_empty()
        {
            let reopening = waiting.into_iter().map(|(slot, opening, why)| keep_trying(slot, opening, &why));
            return Ok(Self { primary, reopening: reopening.collect(), backends });
        }
        // The primary backend is among those that wait, or there are other faults: then the others that wait,
        // though no reason to stop, are told with them.
        faults.extend(waiting.into_iter().map(|(.., diagnosis)| diagnosis));
        close_all(&backends).await;
        Err(Diagnoses::new(faults))
    }

    /// Loads the plugins that the configuration names and checks the whole configuration. Opens nothing.
    ///
    /// # Errors
    ///
    /// Every diagnosis of every plugin, and every fault of the configuration.
    pub fn check(loaded: &Loaded, registry: &mut BackendRegistry) -> Result<(), Diagnoses> {
        let mut faults = Vec::new();
        let modules = load_plugins(loaded, registry, &mut faults);
        check_values(loaded, registry, &modules, &mut faults);
        if faults.is_empty() { Ok(()) } else { Err(Diagnoses::new(faults)) }
    }
}

/// Loads the plugin of each backend type that the configuration names.
fn load_plugins(
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
fn check_values(
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
struct Opening {
    module: Arc<PluginModule>,
    request: OpenRequest,
    calls: CallConfig,
}

impl Opening {
    async fn open(&self) -> Result<Arc<NamedBackend>, Diagnosis> {
        let name = &self.request.name;
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
        Ok(Arc::new(NamedBackend { name: name.clone(), backend: layers::wrap(name, backend, &self.calls) }))
    }
}

/// Closes what was opened in vain.
async fn close_all(backends: &BTreeMap<String, Arc<Slot>>) {
    for named in backends.values().filter_map(|slot| slot.get()) {
        if let Err(error) = named.backend.close().await {
            tracing::warn!(error = %error.report(), "a backend did not close");
        }
    }
}

/// Says that a backend is missing, and tries to open it from now on.
fn keep_trying(slot: Arc<Slot>, opening: Opening, why: &Diagnosis) -> AbortOnDropHandle<()> {
    tracing::warn!(
        backend = opening.request.name,
        code = %why.code,
        next_step = why.next_step,
        "starting without a backend; files that lie on it cannot be read: {}",
        why.cause
    );
    let opening = Arc::new(opening);
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
        let slot = Arc::new(Slot::unavailable("cold", "memory", &diagnosis("connection refused")));
        let error = slot.backend().err().expect("it is not open");
        assert_eq!((error.kind(), error.backend()), (ErrorKind::Unavailable, Some("cold")));
        assert!(error.message().contains("connection refused"), "{error}");

        let attempts = AtomicUsize::new(0);
        let open = async || match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => Err(diagnosis("still starting")),
            _ => {
                assert!(slot.describe().1.contains("still starting"), "the latest reason is told");
                let backend = Arc::new(MemoryBackend::new("cold"));
                Ok(Arc::new(NamedBackend { name: "cold".to_owned(), backend }))
            }
        };
        let started = Instant::now();
        reopen(slot.clone(), open).await;
        assert_eq!(started.elapsed(), 2 * REOPEN_PAUSE);
        assert_eq!(slot.backend().expect("open").name, "cold");
        assert_eq!(slot.describe().1, "ready");
    }
}
