//! The tasks, clocks and shared values of claims, where a scheduler decides.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use shuttle::future::JoinHandle;

use crate::catalog::schedules::sync::once_in;

pub(super) use crate::catalog::schedules::sync::{Mutex, spawn};
pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The way to the one executor that there is.
pub(super) struct Handle;

impl Handle {
    pub(super) fn current() -> Self {
        Self
    }

    pub(super) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn(work)
    }
}

/// A clock by which any time may have passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant;

impl Instant {
    pub(super) fn now() -> Self {
        Self
    }

    pub(super) fn elapsed(self) -> Duration {
        if once_in(16) { Duration::MAX } else { Duration::ZERO }
    }
}

/// The time was up before the work was done.
pub(super) struct Elapsed;

/// Awaits work, for a time that may be up whenever the work is not done.
pub(super) async fn timeout<T>(_: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Ok(answer)),
        Poll::Pending if once_in(8) => Poll::Ready(Err(Elapsed)),
        Poll::Pending => Poll::Pending,
    })
    .await
}
