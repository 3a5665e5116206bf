//! Asking backends how they are, and closing them.

use std::collections::BTreeMap;
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
        let probes = self.backends.iter().map(|(name, slot)| async {
            let probe = match slot.backend() {
                Ok(named) => probe(named).await,
                Err(error) => Probe { result: Err(error), latency: Duration::ZERO },
            };
            (name.clone(), probe)
        });
        join_all(probes).await.into_iter().collect()
    }

    /// Closes every backend, and tries no longer to open one.
    ///
    /// # Errors
    ///
    /// The first one's that could not end its work; the others are closed all the same.
    pub async fn close(&self) -> Result<()> {
        for task in &self.reopening {
            task.abort();
        }
        let open = self.backends.values().filter_map(|slot| slot.get());
        join_all(open.map(|named| named.backend.close())).await.into_iter().collect()
    }
}

async fn probe(named: &NamedBackend) -> Probe {
    let begun = Instant::now();
    let result = tokio::time::timeout(PROBE_TIMEOUT, named.backend.health()).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, "the backend did not say how it is in time")
            .with_operation("health")
            .with_backend(named.name.clone())
            .with_retry(Retry::May))
    });
    Probe { result, latency: begun.elapsed() }
}
