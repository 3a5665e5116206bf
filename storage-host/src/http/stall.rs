//! Requests of HTTP/2 that are cut when their client does not take the answer.
//!
//! One connection carries many of them, and goes on being written to whatever becomes of a single one: what guards a
//! connection does not see a client that opens no window for an answer. So the body of each answer tells what it gave
//! and when it is asked for more, and the task of the request ends where that takes too long. Its end resets the stream,
//! and drops what the answer holds of a backend.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{self, Future};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// A client that takes its answer at this pace is not cut, however long one chunk of it takes. Many answers may share a
/// slow connection.
const SLOWEST_BYTES_PER_SECOND: u64 = 1024;

tokio::task_local! {
    /// The answer of the request whose task this is.
    static ANSWER: Answer;
}

struct Answer {
    idle_timeout: Duration,
    /// Until when the body must be asked for more; `None` while it is the one that is waited for.
    deadline: Cell<Option<Instant>>,
}

/// Follows a request until its answer was handed on, or its client has not taken what it was given in time.
pub(super) async fn until_stalled(idle_timeout: Duration, request: impl Future<Output = ()>) {
    // In a box: a future that is moved into another one takes its room twice.
    let mut request = Box::pin(request);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let followed = future::poll_fn(|cx| {
        if request.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(deadline) = ANSWER.with(|answer| answer.deadline.get()) else { return Poll::Pending };
        // Made only here: the client of most answers has taken them before anybody waits.
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        tracing::debug!("a client does not take its answer");
        Poll::Ready(())
    });
    ANSWER.scope(Answer { idle_timeout, deadline: Cell::new(None) }, followed).await;
}

/// Makes the body of an answer tell when it is asked for more.
pub(super) fn watched(
    answer: Result<Response<Body>, Infallible>,
) -> Result<Response<WatchedBody>, Infallible> {
    answer.map(|response| response.map(|inner| WatchedBody { inner, given_bytes: 0 }))
}

/// The body of an answer that [`until_stalled`] follows.
pub(super) struct WatchedBody {
    inner: Body,
    /// The length of the last chunk. It is on its way while the next one waits for its turn, which is asked for early.
    given_bytes: u64,
}

impl WatchedBody {
    fn time_to_take(&self, idle_timeout: Duration) -> Duration {
        idle_timeout + Duration::from_secs(self.given_bytes / SLOWEST_BYTES_PER_SECOND)
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        let given_bytes = match &polled {
            Poll::Ready(Some(Ok(frame))) => Some(frame.data_ref().map_or(0, Bytes::len) as u64),
            // Now the backend is waited for, or it was the end.
            Poll::Pending | Poll::Ready(None | Some(Err(_))) => None,
        };
        // Polled elsewhere, it is nobody's to follow.
        let _ = ANSWER.try_with(|answer| {
            let until = given_bytes.map(|_| Instant::now() + this.time_to_take(answer.idle_timeout));
            answer.deadline.set(until);
        });
        this.given_bytes = given_bytes.unwrap_or(this.given_bytes);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::BodyExt as _;

    const IDLE: Duration = Duration::from_secs(30);
    const CHUNK_BYTES: usize = 512 * 1024;

    /// An answer of this many chunks, each of which the backend takes this long for. It holds `place`.
    fn answer(chunks: usize, pause: Duration, place: Arc<()>) -> WatchedBody {
        let chunks = stream::iter(0..chunks).then(move |_| {
            let _held = Arc::clone(&place);
            async move {
                tokio::time::sleep(pause).await;
                Ok::<_, axum::Error>(Bytes::from(vec![1; CHUNK_BYTES]))
            }
        });
        let response = watched(Ok(Response::new(Body::from_stream(chunks))));
        response.unwrap_or_else(|never| match never {}).into_body()
    }

    /// After how many seconds a request ends whose client waits this long before it asks for each chunk, and how many
    /// chunks it got. Nothing of the answer may be left.
    async fn end_of(chunks: usize, pause: Duration, client: impl Fn(usize) -> Duration) -> (u64, usize) {
        let (place, taken) = (Arc::new(()), Cell::new(0));
        let mut body = answer(chunks, pause, Arc::clone(&place));
        let taken_there = &taken;
        let started = Instant::now();
        until_stalled(IDLE, async move {
            while body.frame().await.is_some() {
                taken_there.set(taken_there.get() + 1);
                tokio::time::sleep(client(taken_there.get())).await;
            }
        })
        .await;
        assert_eq!(Arc::strong_count(&place), 1, "the backend is free");
        (started.elapsed().as_secs(), taken.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_opens_no_window_is_cut_off_after_the_idle_timeout() {
        assert_eq!(end_of(9, Duration::ZERO, |_| Duration::MAX).await, (IDLE.as_secs(), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_in_the_middle_is_cut_off_once_a_slow_one_had_taken_the_chunk() {
        let stop = |taken| if taken < 3 { Duration::from_secs(1) } else { Duration::MAX };
        let (elapsed, taken) = end_of(9, Duration::ZERO, stop).await;
        assert_eq!((elapsed, taken), (2 + IDLE.as_secs() + CHUNK_BYTES as u64 / SLOWEST_BYTES_PER_SECOND, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_and_a_slow_backend_are_not_cut_off() {
        let slow = |taken| Duration::from_secs(if taken == 1 { 29 } else { 500 });
        assert_eq!(end_of(3, Duration::ZERO, slow).await, (29 + 500 + 500, 3));
        assert_eq!(end_of(3, IDLE * 10, |_| Duration::ZERO).await, (900, 3));
    }
}
