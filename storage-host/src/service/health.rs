//! Whether the service can serve, and how much it holds.

use storage_core::{ErrorKind, Result};

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
        let (serving, problems) = match probe.result {
            Ok(health) => (true, health.problems),
            Err(error) => (still_gives(error.kind()), vec![error.to_string()]),
        };
        Self { healthy: problems.is_empty(), serving, latency: probe.latency, problems }
    }
}

/// Whether a backend that takes nothing more for this reason still gives what it holds.
fn still_gives(why: ErrorKind) -> bool {
    matches!(why, ErrorKind::NoSpace | ErrorKind::QuotaExceeded | ErrorKind::ReadOnly)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage_core::{Error, Health};

    use super::*;

    fn of(result: Result<Health>) -> (bool, bool) {
        let health = BackendHealth::of(Probe { result, latency: Duration::ZERO });
        assert_eq!(health.problems.is_empty(), health.healthy);
        (health.healthy, health.serving)
    }

    #[test]
    fn a_backend_with_a_warning_is_not_well_and_serves_and_one_that_fails_does_neither() {
        let warned = Health { problems: vec!["little room is left".to_owned()], ..Health::default() };
        assert_eq!(of(Ok(Health::default())), (true, true));
        assert_eq!(of(Ok(warned)), (false, true));
        assert_eq!(of(Err(Error::new(ErrorKind::NoSpace, "the disk is full"))), (false, true));
        assert_eq!(of(Err(Error::new(ErrorKind::Unavailable, "connection refused"))), (false, false));
        assert_eq!(of(Err(Error::new(ErrorKind::PermissionDenied, "no access"))), (false, false));
    }
}
