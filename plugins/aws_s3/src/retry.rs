//! Repeats the requests of which a large file is made, so that one that fails does not fail the file.
//!
//! Whole calls are repeated by the host. What was given up here says so ([`Retry::GaveUp`]), lest the two multiply.

use std::time::Duration;

use rand::RngExt as _;
use storage_core::{Error, ErrorKind, Result, Retry};

/// How often a request is made in all.
pub(crate) const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Makes a request until it succeeds, fails for good or failed [`ATTEMPTS`] times. `failed` hears of each
/// failure that is followed by another attempt.
///
/// # Errors
///
/// That of the last attempt.
pub(crate) async fn repeat<T, F: Future<Output = Result<T>>>(
    mut attempt: impl FnMut() -> F,
    mut failed: impl FnMut(&Error),
) -> Result<T> {
    let mut made = 0;
    loop {
        made += 1;
        let error = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !error.retry().is_allowed() {
            return Err(error);
        }
        if made == ATTEMPTS {
            return Err(error.with_context("attempts", made).with_retry(Retry::GaveUp));
        }
        failed(&error);
        tracing::debug!(error = %error.report(), attempt = made, "a request failed and is made again");
        tokio::time::sleep(pause(made, &error)).await;
    }
}

/// How long to wait after so many attempts.
pub(crate) fn pause(made: u32, error: &Error) -> Duration {
    if let Retry::After(pause) = error.retry() {
        return pause.min(LONGEST_PAUSE);
    }
    let longest = FIRST_PAUSE.saturating_mul(1 << made.min(10)).min(LONGEST_PAUSE);
    // All of it is random, so that those who failed together do not come back together.
    longest.mul_f64(rand::rng().random_range(0.1..1.0))
}

/// Whether S3 asks to be called less.
pub(crate) fn is_throttled(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Timeout)
        || error.context().any(|(name, value)| name == "status" && value == "503")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_may_succeed_is_repeated_and_what_was_given_up_says_so() {
        let fail = |retry| Error::new(ErrorKind::Unavailable, "busy").with_retry(retry);
        for (retry, calls, last) in [(Retry::May, ATTEMPTS, Retry::GaveUp), (Retry::Never, 1, Retry::Never)] {
            let mut made = 0;
            let answer: Result<()> = repeat(
                || {
                    made += 1;
                    async move { Err(fail(retry)) }
                },
                |_| {},
            )
            .await;
            assert_eq!((made, answer.expect_err("it fails").retry()), (calls, last));
        }
        let mut made = 0;
        let answer = repeat(
            || {
                made += 1;
                let answer = if made < 3 { Err(fail(Retry::May)) } else { Ok(made) };
                async move { answer }
            },
            |_| {},
        );
        assert_eq!(answer.await.expect("the third succeeds"), 3);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let error = Error::new(ErrorKind::Unavailable, "busy").with_retry(Retry::May);
        for made in 1..40 {
            assert!(pause(made, &error) <= LONGEST_PAUSE);
        }
        let told = error.with_retry(Retry::After(Duration::from_secs(3600)));
        assert_eq!(pause(1, &told), LONGEST_PAUSE);
    }
}
