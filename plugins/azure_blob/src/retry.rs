//! Repeats the requests that are parts of one call: a block of a large save, a range of a large read.
//!
//! Whole calls are the host's to repeat. A part that fails again and again says so (`GaveUp`), so that nobody above
//! multiplies the attempts.

use std::time::Duration;

use storage_core::{Error, Result, Retry};

/// How often a part is tried.
pub(crate) const ATTEMPTS: u32 = 4;

/// Runs it until it succeeds, fails for good or was tried often enough.
pub(crate) async fn part<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut tried = 0;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        tried += 1;
        pause(tried, error).await?;
    }
}

/// Waits before the next attempt, after so many that failed.
///
/// # Errors
///
/// The error itself, where another attempt cannot help.
pub(crate) async fn pause(tried: u32, error: Error) -> Result<()> {
    if !error.retry().is_allowed() {
        return Err(error);
    }
    if tried >= ATTEMPTS {
        return Err(error.with_retry(Retry::GaveUp).with_context("attempts", tried));
    }
    tracing::debug!(attempt = tried, error = %error, "a part of a transfer is tried again");
    tokio::time::sleep(delay(tried, error.retry())).await;
    Ok(())
}

/// What the provider asks for, else a doubling pause of which a random part is waited.
pub(crate) fn delay(tried: u32, retry: Retry) -> Duration {
    let usual = Duration::from_millis(100 << tried.min(6));
    match retry {
        Retry::After(asked) => asked.min(Duration::from_secs(30)),
        _ => usual.mul_f64(0.5 + rand::random::<f64>() / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use storage_core::ErrorKind;

    use super::*;

    async fn failing(times: u32, retry: Retry) -> (Result<u32>, u32) {
        let count = AtomicU32::new(0);
        let result = part(|| async {
            let now = count.fetch_add(1, Ordering::Relaxed);
            if now < times {
                Err(Error::new(ErrorKind::Unavailable, "broke").with_retry(retry))
            } else {
                Ok(now)
            }
        })
        .await;
        (result, count.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_tried_again_while_that_may_help() {
        assert_eq!(failing(2, Retry::May).await.0.expect("the third time"), 2);
        let (result, count) = failing(9, Retry::May).await;
        assert_eq!((result.expect_err("too often").retry(), count), (Retry::GaveUp, ATTEMPTS));
        let (result, count) = failing(9, Retry::Never).await;
        assert_eq!((result.expect_err("never").retry(), count), (Retry::Never, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_provider_says_how_long_to_wait() {
        let start = tokio::time::Instant::now();
        failing(1, Retry::After(Duration::from_secs(7))).await.0.expect("the second time");
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
