//! [`Timeout`]: no call, and no body in either direction, may stand still for ever.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{self, poll_fn};
use futures_util::{StreamExt, ready};
use parking_lot::Mutex;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, Error, ErrorKind, Result, Retry};
use tokio::time::{Instant, timeout, timeout_at};

use super::layer::{Answer, Call, Effect, Layer};

/// Bounds the time of a call, and the time for which a body makes no progress.
///
/// A body that is a stream may take as long as it likes while it moves. One that is a buffer shows no progress,
/// so that its bound is that of a stream of as many chunks.
pub(super) struct Timeout {
    /// How long a call may take that moves no content.
    pub(super) call: Duration,
    /// How long a body may make no progress.
    pub(super) chunk: Duration,
}

impl Layer for Timeout {
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
        let budget = self.call.saturating_mul(call.weight);
        let answer = if let Some(buffer) = body.as_buffer() {
            let chunks = u32::try_from(buffer.len().div_ceil(CHUNK_BYTES)).unwrap_or(u32::MAX);
            let budget = budget.saturating_add(self.chunk.saturating_mul(chunks));
            let answer = timeout(budget, next(body)).await;
            answer.unwrap_or_else(|_| Err(abandoned(call, "the backend did not answer", budget)))?
        } else {
            let (body, turn) = Turn::watch(body);
            self.supervise(call, budget, &turn, next(body)).await?
        };
        Ok(answer.map_body(|body| self.bound(body)))
    }
}

impl Timeout {
    /// Waits for a call that sends a stream, as long as whoever's turn it is makes progress.
    async fn supervise<T>(
        &self,
        call: &Call<'_>,
        budget: Duration,
        turn: &Turn,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut work = pin!(work);
        loop {
            let (phase, since) = turn.now();
            let (allowed, complaint) = match phase {
                Phase::Opening => (budget, "the backend did not ask for the content"),
                // Whoever feeds the source has a bound of his own, and better words for it. This one only makes
                // sure that a save ends.
                Phase::Source => (self.chunk.saturating_mul(2), "the source of the content gave nothing"),
                Phase::Backend => (self.chunk, "the backend took no more of the content"),
                Phase::Closing => (budget, "the backend did not answer after the content's end"),
            };
            let deadline = since + allowed;
            // The turn may pass on meanwhile to somebody who is allowed less.
            let look_again = deadline.min(Instant::now() + self.chunk);
            if let Ok(answer) = timeout_at(look_again, &mut work).await {
                return answer;
            }
            if look_again == deadline && turn.now() == (phase, since) {
                let error = abandoned(call, complaint, allowed);
                // A source that stands still is none of the backend's faults.
                return Err(if phase == Phase::Source { error.with_retry(Retry::Never) } else { error });
            }
        }
    }

    /// Bounds the wait for each chunk. The time that the reader takes between them is its own.
    fn bound(&self, body: ByteStream) -> ByteStream {
        if body.as_buffer().is_some() {
            return body;
        }
        let allowed = self.chunk;
        let length_bytes = body.length_bytes();
        let chunks = stream::unfold(body, move |mut body| async move {
            let item = timeout(allowed, body.next()).await.unwrap_or_else(|_| {
                let error = timed_out("the backend gave no more of the content", allowed);
                Some(Err(error.with_retry(Retry::May)))
            });
            Some((item?, body))
        });
        ByteStream::from_stream(chunks, length_bytes)
    }
}

/// Whose turn it is while content is sent, and since when.
struct Turn(Mutex<(Phase, Instant)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The backend's: it has not asked for content yet.
    Opening,
    /// The source's: it was asked.
    Source,
    /// The backend's: it has a chunk.
    Backend,
    /// The backend's: it has everything.
    Closing,
}

impl Turn {
    fn watch(mut body: ByteStream) -> (ByteStream, Arc<Self>) {
        let turn = Arc::new(Self(Mutex::new((Phase::Opening, Instant::now()))));
        let length_bytes = body.length_bytes();
        let watched = turn.clone();
        let chunks = poll_fn(move |context| {
            watched.pass_to(Phase::Source);
            let item = ready!(body.poll_next_unpin(context));
            watched.pass_to(if matches!(item, Some(Ok(_))) { Phase::Backend } else { Phase::Closing });
            Poll::Ready(item)
        });
        (ByteStream::from_stream(chunks, length_bytes), turn)
    }

    fn now(&self) -> (Phase, Instant) {
        *self.0.lock()
    }

    /// A source that is asked again has had its turn since it was asked first.
    fn pass_to(&self, phase: Phase) {
        let mut turn = self.0.lock();
        if turn.0 != phase {
            *turn = (phase, Instant::now());
        }
    }
}

/// The error of an attempt that was given up. Whether it took effect is unknown.
fn abandoned(call: &Call<'_>, complaint: &str, allowed: Duration) -> Error {
    let retry = if call.effect == Effect::WriteOnce { Retry::Never } else { Retry::May };
    timed_out(complaint, allowed).with_retry(retry)
}

fn timed_out(complaint: &str, allowed: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("{complaint} in time"))
        .with_context("allowed_ms", allowed.as_millis())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use storage_core::{Backend, RetrieveOptions, SaveOptions, WriteCondition};

    use super::*;
    use crate::layers::testing::{Fault, Faults, key, streamed};

    const CALL: Duration = Duration::from_secs(60);
    const CHUNK: Duration = Duration::from_secs(10);

    fn bounds() -> Timeout {
        Timeout { call: CALL, chunk: CHUNK }
    }

    /// The error, and after how many seconds it came.
    async fn failed<T: std::fmt::Debug>(work: impl Future<Output = Result<T>>) -> (Error, u64) {
        let started = Instant::now();
        let error = work.await.expect_err("timed out");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        (error, started.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_answer_times_out_and_may_be_repeated_where_that_is_safe() {
        let backend = Faults::new([Fault::Hang, Fault::Hang]).below(bounds()).await;
        let (error, seconds) = failed(backend.exists(&key())).await;
        assert_eq!((error.retry(), seconds), (Retry::May, 60));

        let options = SaveOptions { condition: WriteCondition::IfAbsent, ..SaveOptions::default() };
        let (error, seconds) = failed(backend.save(&key(), ByteStream::empty(), options)).await;
        assert_eq!((error.retry(), seconds), (Retry::Never, 60), "it may have happened");
    }

    #[tokio::test(start_paused = true)]
    async fn a_buffer_is_given_the_time_of_as_many_chunks() {
        let backend = Faults::new([Fault::Hang]).below(bounds()).await;
        let content = vec![0; 2 * CHUNK_BYTES + 1];
        let (_, seconds) = failed(backend.save(&key(), content.into(), SaveOptions::default())).await;
        assert_eq!(seconds, 60 + 3 * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_streaming_save_names_who_stood_still() {
        let backend = Faults::new([Fault::Hang, Fault::HangInBody, Fault::HangAtEnd]).below(bounds()).await;
        let save = async |body| backend.save(&key(), body, SaveOptions::default()).await;
        for (complaint, expected) in [
            ("the backend did not ask for the content", 60),
            ("the backend took no more of the content", 10),
            ("the backend did not answer after the content's end", 60),
        ] {
            let (error, seconds) = failed(save(streamed())).await;
            assert!(error.message().starts_with(complaint), "{error}");
            assert_eq!((error.retry(), seconds), (Retry::May, expected), "{complaint}");
        }

        let first = stream::iter([Ok(Bytes::from_static(b"new "))]);
        let stalls = ByteStream::from_stream(first.chain(stream::pending()), None);
        let (error, seconds) = failed(save(stalls)).await;
        assert!(error.message().starts_with("the source of the content gave nothing"), "{error}");
        assert_eq!((error.retry(), seconds), (Retry::Never, 20));
        let found = backend.retrieve(&key(), RetrieveOptions::default()).await.expect("the old object");
        assert_eq!(found.body.collect(99).await.expect("content"), "content");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_save_that_moves_takes_as_long_as_it_needs() {
        let backend = Faults::default().below(bounds()).await;
        let chunks = stream::unfold(0, |sent| async move {
            tokio::time::sleep(CHUNK - Duration::from_secs(1)).await;
            (sent < 100).then(|| (Ok(Bytes::from_static(b"x")), sent + 1))
        });
        let body = ByteStream::from_stream(chunks, None);
        let saved = backend.save(&key(), body, SaveOptions::default()).await.expect("saved");
        assert_eq!(saved.size_bytes, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_fails_but_a_slow_reader_does_not() {
        let backend = Faults::new([Fault::BreakBody(None), Fault::BreakBody(None)]).below(bounds()).await;
        let open = async || backend.retrieve(&key(), RetrieveOptions::default()).await;
        let mut body = open().await.expect("answered").body;
        assert!(body.next().await.expect("a chunk").is_ok());
        tokio::time::sleep(10 * CHUNK).await;
        let (error, seconds) = failed(async { body.next().await.expect("an item") }).await;
        assert_eq!((error.retry(), seconds), (Retry::May, 10));
        assert!(body.next().await.is_none());
    }
}
