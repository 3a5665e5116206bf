//! [`Retry`]: makes a call again that failed and may succeed.

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use storage_core::{ByteStream, Error, Result, Retry as Advice};

use super::layer::{Answer, Call, Effect, Layer};

/// The pause before the first repetition; each further one is twice as long, and up to as much again by chance,
/// so that callers who failed together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause that doubling leads to.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause that a provider may ask for. Beyond it the caller is told instead of kept waiting.
const MAX_NAMED_PAUSE: Duration = Duration::from_secs(30);

/// Repeats calls whose error says that a repetition may help: such an error left nothing behind.
///
/// Content that is a stream cannot be sent twice, so that such a call is made once; nor is a body resumed
/// that breaks off while it is read, since only the reader knows how much of it arrived.
pub(super) struct Retry {
    pub(super) max_retries: u32,
}

impl Layer for Retry {
    async fn around<T, F>(
        &self,
        call: &Call<'_>,
        body: ByteStream,
        next: &(impl Fn(ByteStream) -> F + Sync),
    ) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<T>> + Send,
    {
        let content = match body.as_buffer() {
            Some(buffer) if call.effect != Effect::Control => buffer.clone(),
            _ => return next(body).await,
        };
        let pauses = ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(self.max_retries as usize)
            .with_jitter();
        let mut attempts = 1;
        let answer = (|| next(ByteStream::from_bytes(content.clone())))
            .retry(pauses)
            .sleep(tokio::time::sleep)
            .when(|error| error.retry().is_allowed())
            .adjust(|error, pause| pause.and_then(|pause| stretch(pause, error.retry())))
            .notify(|error, pause| {
                attempts += 1;
                tracing::debug!(
                    operation = call.operation,
                    attempt = attempts,
                    pause_ms = pause.as_millis(),
                    error = %error.report(),
                    "repeating a call"
                );
            })
            .await;
        answer.map_err(|error| give_up(error, attempts))
    }
}

/// The pause that the provider named, where it is longer; none where it is longer than a caller is kept waiting.
fn stretch(pause: Duration, advice: Advice) -> Option<Duration> {
    match advice {
        Advice::After(named) => (named <= MAX_NAMED_PAUSE).then_some(named.max(pause)),
        _ => Some(pause),
    }
}

/// Tells the callers above that more attempts are no use. An error that names a pause too long to wait for
/// keeps it, for whoever has the time.
fn give_up(error: Error, attempts: u32) -> Error {
    let error = if attempts > 1 { error.with_context("attempts", attempts) } else { error };
    match error.retry() {
        Advice::May if attempts > 1 => error.with_retry(Advice::GaveUp),
        Advice::After(named) if attempts > 1 && named <= MAX_NAMED_PAUSE => error.with_retry(Advice::GaveUp),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{Backend, ErrorKind, RetrieveOptions, SaveOptions};
    use tokio::time::Instant;

    use super::*;
    use crate::layers::testing::{Fault, Faults, key, streamed};

    fn twice() -> Retry {
        Retry { max_retries: 2 }
    }

    fn failing(advice: Advice, times: usize) -> Faults {
        Faults::new((0..times).map(|_| Fault::Error(advice)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_may_succeed_is_repeated_until_it_does() {
        let faults = failing(Advice::May, 2);
        let backend = faults.below(twice()).await;
        let started = Instant::now();
        assert!(backend.exists(&key()).await.expect("the third attempt succeeds"));
        assert_eq!(faults.calls(), 3);
        let waited = started.elapsed();
        assert!(waited >= 3 * FIRST_PAUSE && waited <= 7 * FIRST_PAUSE, "waited {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_outlives_the_attempts_forbids_more_of_them() {
        let faults = failing(Advice::May, 3);
        let error = faults.below(twice()).await.exists(&key()).await.expect_err("it kept failing");
        assert_eq!(error.retry(), Advice::GaveUp);
        assert!(error.context().any(|fact| fact == ("attempts", "3")), "{error}");
        assert_eq!(faults.calls(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_stays_is_told_at_once() {
        for advice in [Advice::Never, Advice::GaveUp] {
            let faults = failing(advice, 1);
            let error = faults.below(twice()).await.exists(&key()).await.expect_err("refused");
            assert_eq!((error.retry(), faults.calls()), (advice, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_the_provider_names_is_kept_unless_it_is_too_long() {
        let faults = failing(Advice::After(Duration::from_secs(7)), 1);
        let started = Instant::now();
        assert!(faults.below(twice()).await.exists(&key()).await.expect("succeeds after the pause"));
        assert_eq!(started.elapsed().as_secs(), 7);

        let long = Advice::After(Duration::from_secs(600));
        let faults = failing(long, 1);
        let error = faults.below(twice()).await.exists(&key()).await.expect_err("too long to wait");
        assert_eq!((error.retry(), faults.calls()), (long, 1), "the caller is told the pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_save_is_repeated_with_the_same_bytes_while_they_are_at_hand() {
        let faults = failing(Advice::May, 1);
        let backend = faults.below(twice()).await;
        backend.save(&key(), "again".into(), SaveOptions::default()).await.expect("the second attempt");
        let found = backend.retrieve(&key(), RetrieveOptions::default()).await.expect("saved");
        assert_eq!(found.body.collect(9).await.expect("content"), "again");

        let faults = failing(Advice::May, 1);
        let backend = faults.below(twice()).await;
        let error = backend.save(&key(), streamed(), SaveOptions::default()).await.expect_err("sent once");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(
            (error.retry(), faults.calls()),
            (Advice::May, 1),
            "the owner of the source may try again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_tells_what_it_found_the_first_time() {
        let faults = failing(Advice::May, 1);
        assert!(faults.below(twice()).await.health().await.is_err());
        assert_eq!(faults.calls(), 1);
    }
}
