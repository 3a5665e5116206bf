//! Runs work that blocks on threads of its own: one task for a whole small operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storage_core::{Error, ErrorKind, Result, Retry};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

/// Tells work on another thread that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends work that nobody waits for. To be called last before what cannot be undone.
    ///
    /// # Errors
    ///
    /// `Cancelled`.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Cancelled, "the caller gave up"));
        }
        Ok(())
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

/// Lets so much work run at once.
pub(crate) fn gate(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places))
}

/// Runs work that blocks, when there is a place for it. A panic in it goes on in the caller.
///
/// # Errors
///
/// Those of the work; `Unavailable` where the backend is closing.
pub(crate) async fn run<T: Send + 'static>(
    gate: Arc<Semaphore>,
    work: impl FnOnce(&Cancel) -> Result<T> + Send + 'static,
) -> Result<T> {
    let cancel = Cancel::default();
    let _guard = CancelOnDrop(cancel.clone());
    let place = gate.acquire_owned().await.map_err(closing)?;
    join(tokio::task::spawn_blocking(move || {
        // The place is the work's: it runs on where the caller gave up.
        let _place = place;
        work(&cancel)
    }))
    .await
}

/// Waits for work that was started before.
///
/// # Errors
///
/// As [`run`].
pub(crate) async fn join<T>(work: JoinHandle<Result<T>>) -> Result<T> {
    outcome(work.await)
}

/// What work that was waited for has given. A panic in it goes on here.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn outcome<T>(ended: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    ended.unwrap_or_else(|error| Err(stopped(error)))
}

fn stopped(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => closing(error),
    }
}

fn closing(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, "the backend is closing").with_retry(Retry::May).with_source(cause)
}
