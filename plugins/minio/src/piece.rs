//! Repeats one piece of a transfer where that may help: the whole call could not be repeated, or only at the price
//! of everything that was already sent.

use std::time::Duration;

use storage_core::{Error, Result, Retry};

/// How often a piece is tried.
const ATTEMPTS: u32 = 4;

/// The pause after the first failure; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(150);

/// The longest pause that a server may ask for here; a longer one is left to the host.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Tries until it succeeds, fails for good, or was tried often enough; then the error says `GaveUp`.
///
/// # Errors
///
/// The last attempt's.
pub(crate) async fn repeated<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut failures = 0;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        failures += 1;
        let Some(pause) = pause(&error, failures) else { return Err(error) };
        if failures == ATTEMPTS {
            return Err(error.with_retry(Retry::GaveUp).with_context("attempts", failures));
        }
        tracing::debug!(error = %error.report(), failures, "a piece of a transfer is tried again");
        tokio::time::sleep(pause).await;
    }
}

/// How long to wait before the next attempt; nothing where none may help.
pub(crate) fn pause(error: &Error, failures: u32) -> Option<Duration> {
    match error.retry() {
        Retry::May => {
            let longest = FIRST_PAUSE * 2_u32.pow(failures.min(6) - 1);
            Some(longest.mul_f64(rand::random_range(0.5..1.0)))
        }
        Retry::After(pause) if pause <= LONGEST_PAUSE => Some(pause),
        Retry::After(_) | Retry::Never | Retry::GaveUp => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use storage_core::ErrorKind;

    use super::*;

    async fn attempts(retry: Retry, succeed_at: u32) -> (u32, Result<()>) {
        let count = AtomicU32::new(0);
        let answer = repeated(|| async {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            if number == succeed_at {
                return Ok(());
            }
            Err(Error::new(ErrorKind::Unavailable, "not now").with_retry(retry))
        })
        .await;
        (count.into_inner(), answer)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_help_is_repeated_and_not_for_ever() {
        assert!(matches!(attempts(Retry::May, 3).await, (3, Ok(()))));
        assert!(matches!(attempts(Retry::Never, 3).await, (1, Err(_))));
        let (count, answer) = attempts(Retry::After(Duration::from_secs(1)), 99).await;
        assert_eq!((count, answer.expect_err("gave up").retry()), (ATTEMPTS, Retry::GaveUp));
        let (count, answer) = attempts(Retry::After(Duration::from_secs(3600)), 99).await;
        assert_eq!(count, 1, "an hour is not waited here");
        assert_eq!(answer.expect_err("for the host").retry(), Retry::After(Duration::from_secs(3600)));
    }
}
