//! Repeats the steps of a transfer that the host cannot repeat as a whole, since its source is gone.
//!
//! Single requests are not repeated here: the host repeats the call.

use std::time::Duration;

use storage_core::{Result, Retry};

use crate::error::Failure;

/// How often a step is tried.
const ATTEMPTS: u32 = 5;

/// The first pause; each further one is twice as long, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause, also where the service names a longer one: then the step has failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause before the next attempt; none where there is to be none.
pub(crate) fn pause(retry: Retry, failed_attempts: u32) -> Option<Duration> {
    if failed_attempts >= ATTEMPTS {
        return None;
    }
    match retry {
        Retry::May => {
            let full = FIRST_PAUSE * 2_u32.pow(failed_attempts.saturating_sub(1));
            Some(full.min(LONGEST_PAUSE).mul_f64(rand::random_range(0.5..1.0)))
        }
        Retry::After(pause) => (pause <= LONGEST_PAUSE).then_some(pause),
        Retry::Never | Retry::GaveUp => None,
    }
}

/// Does a step until it succeeds, cannot succeed, or was tried often enough. `step` gets whether an earlier attempt
/// may have been carried out.
pub(crate) async fn repeat<T, F>(mut step: impl FnMut(bool) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let (mut failed, mut is_ambiguous) = (0, false);
    loop {
        let failure = match step(is_ambiguous).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        failed += 1;
        is_ambiguous |= failure.is_ambiguous();
        let Some(pause) = pause(failure.error.retry(), failed) else {
            // The host may still repeat the call where it can.
            return Err(failure);
        };
        tracing::debug!(error = %failure.error, ?pause, "a step of a transfer is repeated");
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds_and_end() {
        for failed in 1..ATTEMPTS {
            let full = FIRST_PAUSE * 2_u32.pow(failed - 1);
            let pause = pause(Retry::May, failed).expect("another attempt");
            assert!(pause >= full / 2 && pause <= full, "{pause:?} after {failed}");
        }
        assert_eq!(pause(Retry::May, ATTEMPTS), None);
        assert_eq!(pause(Retry::Never, 1), None);
        let named = Duration::from_secs(3);
        assert_eq!(pause(Retry::After(named), 1), Some(named));
        assert_eq!(pause(Retry::After(Duration::from_secs(3600)), 1), None, "nobody waits that long");
    }
}
