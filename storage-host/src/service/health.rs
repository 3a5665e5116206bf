//! Whether the service can serve, and how much it holds.

use storage_core::Result;

use super::SimpleStorageService;
use super::types::{BackendHealth, StorageHealth};
use crate::manager::Probe;

impl SimpleStorageService {
    /// Probes every backend and counts what there is.
    ///
    /// # Errors
    ///
    /// Those of the catalog; a backend that does not answer is part of the answer.
    pub async fn health(&self) -> Result<StorageHealth> {
        let (probes, totals) = tokio::join!(self.inner.manager.health(), self.inner.catalog.totals());
        let totals = totals?;
        Ok(StorageHealth {
            backends: probes.into_iter().map(|(name, probe)| (name, BackendHealth::of(probe))).collect(),
            primary_backend: self.inner.manager.primary().name.clone(),
            total_files: totals.files,
            total_bytes: totals.bytes,
        })
    }
}

impl BackendHealth {
    fn of(probe: Probe) -> Self {
        let problems = match probe.result {
            Ok(health) => health.problems,
            Err(error) => vec![error.to_string()],
        };
        Self { healthy: problems.is_empty(), latency: probe.latency, problems }
    }
}
