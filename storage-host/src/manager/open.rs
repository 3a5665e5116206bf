//! The start: opens the backends that the configuration names, and tells everything that keeps them from it at once.

use std::sync::Arc;

use parking_lot::Mutex;

use super::change::Workshop;
use super::opening::{Attempt, check_values, load_plugins, prepare};
use super::{Open, StorageManager};
use crate::config::Loaded;
use crate::plugin::{BackendRegistry, Diagnoses};

impl StorageManager {
    /// Loads the plugins that the configuration names and opens all its backends at once.
    ///
    /// The primary backend must open. Another one that its provider does not let open is listed as unavailable
    /// and tried again every 30 seconds: nothing is written to it, and files that lie elsewhere can be served
    /// meanwhile. What only a change of configuration or plugins mends, a missing plugin among it, stops the host,
    /// whichever backend it concerns: whoever starts the host is there to mend it.
    ///
    /// # Errors
    ///
    /// Every diagnosis of every plugin and backend.
    pub async fn open(loaded: &Loaded, registry: BackendRegistry) -> Result<Self, Diagnoses> {
        let loaded = Arc::new(loaded.clone());
        let registry = Arc::new(Mutex::new(registry));
        let (openings, mut faults) = prepare(&loaded, &registry).await;
        if loaded.require_sound().is_err() {
            // How long to wait for a provider is among what is not known now.
            return Err(Diagnoses::new(faults));
        }
        let attempts = Attempt::all(openings).await;
        let failed = || attempts.iter().filter_map(|attempt| attempt.opened.as_ref().err());
        faults.extend(failed().filter(|diagnosis| !diagnosis.may_pass()).cloned());

        let primary = attempts.iter().find(|attempt| attempt.name() == loaded.config.primary_backend);
        let primary = primary.and_then(|attempt| attempt.opened.as_ref().ok()).cloned();
        if let Some(primary) = primary
            && faults.is_empty()
        {
            let entries =
                attempts.into_iter().map(|attempt| (attempt.name().to_owned(), attempt.into_entry()));
            let open = Open { primary, backends: entries.collect() };
            return Ok(Self::of(open, Some(Workshop { started: loaded.clone(), loaded, registry })));
        }
        // The primary backend is among those that may open later, or there are other faults: then those, though no
        // reason to stop, are told with them. The primary one comes first: it is the reason where nothing else is.
        let (primary, others): (Vec<_>, Vec<_>) =
            attempts.iter().partition(|attempt| attempt.name() == loaded.config.primary_backend);
        let failed = primary.into_iter().chain(others).filter_map(|attempt| attempt.opened.as_ref().err());
        faults.extend(failed.filter(|diagnosis| diagnosis.may_pass()).cloned());
        Attempt::close_all(&attempts).await;
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
