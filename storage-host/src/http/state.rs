//! What handlers share: the service, the settings, and who may call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use storage_core::Result;
use tokio::sync::{Mutex, Semaphore};

use super::auth::Authenticator;
use super::batch::MAX_HELD_FILES;
use crate::config::{AuthConfig, Config, HttpConfig};
use crate::service::{SimpleStorageService, StorageHealth};

/// How long a health report is answered again. The health routes are open to all, so that they must not let a
/// caller probe the backends at will.
const HEALTH_LIFETIME: Duration = Duration::from_secs(1);

/// The settings of the HTTP service.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address, limits and times.
    pub http: HttpConfig,
    /// Who may call, besides service keys.
    pub auth: AuthConfig,
    /// Whether error answers tell the causes of faults of the service.
    pub debug: bool,
}

impl From<&Config> for Options {
    fn from(config: &Config) -> Self {
        Self { http: config.http.clone(), auth: config.auth.clone(), debug: config.log.debug }
    }
}

/// What handlers share. Cloning is cheap.
#[derive(Clone)]
pub struct HttpState {
    inner: Arc<Inner>,
}

struct Inner {
    service: SimpleStorageService,
    options: Options,
    authenticator: Authenticator,
    draining: AtomicBool,
    health: Mutex<Option<(Instant, Arc<StorageHealth>)>>,
    batch_places: Arc<Semaphore>,
}

impl HttpState {
    /// The state for these settings. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for settings of the authentication that cannot work.
    pub fn new(options: Options, service: SimpleStorageService) -> Result<Self> {
        let authenticator = Authenticator::new(&options.auth, Arc::clone(service.catalog()))?;
        let draining = AtomicBool::new(false);
        Ok(Self {
            inner: Arc::new(Inner {
                service,
                options,
                authenticator,
                draining,
                health: Mutex::default(),
                batch_places: Arc::new(Semaphore::new(MAX_HELD_FILES)),
            }),
        })
    }

    /// From now on `/health/ready` answers that no request should be sent here.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Relaxed)
    }

    pub(super) fn service(&self) -> &SimpleStorageService {
        &self.inner.service
    }

    pub(super) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(super) fn authenticator(&self) -> &Authenticator {
        &self.inner.authenticator
    }

    /// The places for files of batches that are held while they are saved.
    pub(super) fn batch_places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.batch_places)
    }

    /// The health of the service, at most a second old. Concurrent callers share one probe.
    pub(super) async fn health(&self) -> Result<Arc<StorageHealth>> {
        let mut latest = self.inner.health.lock().await;
        if let Some((at, health)) = &*latest
            && at.elapsed() < HEALTH_LIFETIME
        {
            return Ok(Arc::clone(health));
        }
        let health = Arc::new(self.inner.service.health().await?);
        *latest = Some((Instant::now(), Arc::clone(&health)));
        Ok(health)
    }
}
