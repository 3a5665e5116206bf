//! [`Metrics`]: what requests did since it was last asked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use storage_core::{Error, ErrorKind};

/// Counts requests. Costs a lock for each, which none holds for longer than some additions.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Window>);

/// What happened in some span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Window {
    pub(crate) requests: u64,
    /// Requests that failed, but for those whose failure is an answer (not found, a condition that does not hold).
    pub(crate) errors: u64,
    pub(crate) throttled: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) total: Duration,
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl Metrics {
    /// Counts a request.
    pub(crate) fn count(&self, elapsed: Duration, bytes_sent: u64, error: Option<&Error>) {
        let is_answer = |error: &Error| {
            [ErrorKind::NotFound, ErrorKind::NotModified, ErrorKind::PreconditionFailed]
                .contains(&error.kind())
        };
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.shortest = if window.requests == 0 { elapsed } else { window.shortest.min(elapsed) };
        window.longest = window.longest.max(elapsed);
        window.total += elapsed;
        window.requests += 1;
        match error {
            None => window.bytes_sent += bytes_sent,
            Some(error) => {
                window.errors += u64::from(!is_answer(error));
                window.throttled += u64::from(error.kind() == ErrorKind::RateLimited);
            }
        }
    }

    /// Counts bytes of an object that were read.
    pub(crate) fn received(&self, bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes_received += bytes;
    }

    /// What happened since this was last called.
    pub(crate) fn take(&self) -> Window {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be told.
    pub(crate) fn put_back(&self, earlier: Window) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.shortest = match (window.requests, earlier.requests) {
            (0, _) => earlier.shortest,
            (_, 0) => window.shortest,
            _ => window.shortest.min(earlier.shortest),
        };
        window.longest = window.longest.max(earlier.longest);
        window.total += earlier.total;
        window.requests += earlier.requests;
        window.errors += earlier.errors;
        window.throttled += earlier.throttled;
        window.bytes_sent += earlier.bytes_sent;
        window.bytes_received += earlier.bytes_received;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_no_errors_and_what_was_not_told_is_told_later() {
        let metrics = Metrics::default();
        let milli = Duration::from_millis;
        metrics.count(milli(5), 100, None);
        metrics.count(milli(9), 100, Some(&Error::new(ErrorKind::NotFound, "missing")));
        metrics.count(milli(2), 100, Some(&Error::new(ErrorKind::RateLimited, "slow down")));
        metrics.received(7);
        let window = metrics.take();
        assert_eq!((window.requests, window.errors, window.throttled), (3, 1, 1));
        assert_eq!((window.bytes_sent, window.bytes_received), (100, 7));
        assert_eq!((window.shortest, window.longest, window.total), (milli(2), milli(9), milli(16)));
        assert_eq!(metrics.take(), Window::default());
        metrics.count(milli(1), 1, None);
        metrics.put_back(window);
        let all = metrics.take();
        assert_eq!((all.requests, all.shortest, all.longest), (4, milli(1), milli(9)));
    }
}
