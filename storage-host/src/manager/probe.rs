//! Asking backends how they are, and closing them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use storage_core::{Error, ErrorKind, Health, Result, Retry};

use super::{NamedBackend, StorageManager};

/// How long a backend may take to say how it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a probe of one backend found.
#[derive(Debug)]
pub struct Probe {
    /// The answer, or why there is none.
    pub result: Result<Health>,
    /// How long it took.
    pub latency: Duration,
}

impl StorageManager {
    /// Probes every backend at once. One that is not open answers why.
    pub async fn health(&self) -> BTreeMap<String, Probe> {
        let probes = self.every_backend().into_iter().map(|(name, backend)| async {
            let probe = match backend {
                Ok(named) => probe(&named).await,
                Err(error) => Probe { result: Err(error), latency: Duration::ZERO },
            };
            (name, probe)
        });
        join_all(probes).await.into_iter().collect()
    }

    fn every_backend(&self) -> Vec<(String, Result<Arc<NamedBackend>>)> {
        let open = self.open.read();
        open.backends.iter().map(|(name, entry)| (name.clone(), entry.slot.backend().cloned())).collect()
    }

    /// Takes every open backend, and ends the tasks that would open others.
    fn stop_opening(&self) -> Vec<Arc<NamedBackend>> {
        let mut open = self.open.write();
        for entry in open.backends.values_mut() {
            entry.reopening = None;
        }
        open.backends.values().filter_map(|entry| entry.slot.get().cloned()).collect()
    }

    /// Closes every backend, and tries no longer to open one.
    ///
    /// # Errors
    ///
    /// The first one's that could not end its work; the others are closed all the same.
    pub async fn close(&self) -> Result<()> {
        // Whoever is changing something ends first.
        let _changing = self.changing.lock().await;
        self.ending.cancel();
        self.retiring.close();
        let open = self.stop_opening();
        let closed = join_all(open.iter().map(|named| named.backend.close())).await;
        self.retiring.wait().await;
        closed.into_iter().collect()
    }
}

/// Asks a backend how it is.
pub(super) async fn probe(named: &NamedBackend) -> Probe {
    let begun = Instant::now();
    let result = tokio::time::timeout(PROBE_TIMEOUT, named.backend.health()).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, "the backend did not say how it is in time")
            .with_operation("health")
            .with_backend(named.name.clone())
            .with_retry(Retry::May))
    });
    Probe { result, latency: begun.elapsed() }
}
