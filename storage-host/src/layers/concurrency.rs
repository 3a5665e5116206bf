//! [`Concurrency`]: no more calls at once than a backend is to be given.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use storage_core::{ByteStream, Error, ErrorKind, Result, Retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::layer::{Answer, Call, Effect, Layer};

/// Places for calls. A call takes one and, where it answers with a body, keeps it until that is read or dropped.
///
/// Reads and writes have places of their own: a copy reads with one call while it writes with another, and
/// enough of them at once would otherwise wait for each other.
pub(super) struct Concurrency {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    patience: Duration,
}

impl Concurrency {
    /// So many reads and so many writes at once; a call waits for its place at most as long as `patience`.
    pub(super) fn new(places: u32, patience: Duration) -> Self {
        let places = Semaphore::MAX_PERMITS.min(places.max(1) as usize);
        Self { reads: Arc::new(Semaphore::new(places)), writes: Arc::new(Semaphore::new(places)), patience }
    }

    async fn place(&self, effect: Effect) -> Result<Option<OwnedSemaphorePermit>> {
        let places = match effect {
            Effect::Read => &self.reads,
            Effect::Write | Effect::WriteOnce => &self.writes,
            Effect::Control => return Ok(None),
        };
        match tokio::time::timeout(self.patience, places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(Some(place)),
            // The semaphore is never closed, so that only the wait can have failed.
            Ok(Err(_)) | Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "the backend is busy with as many reads or writes as it is given at once (STORAGE_MAX_CONCURRENCY)",
            )
            .with_context("waited_ms", self.patience.as_millis())
            .with_retry(Retry::May)),
        }
    }
}

impl Layer for Concurrency {
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
        let place = self.place(call.effect).await?;
        let answer = next(body).await?;
        Ok(answer.map_body(|body| keep(body, place)))
    }
}

/// Keeps the place as long as the stream lives. A buffer has been read already.
fn keep(body: ByteStream, place: Option<OwnedSemaphorePermit>) -> ByteStream {
    if body.as_buffer().is_some() {
        return body;
    }
    let length_bytes = body.length_bytes();
    let chunks = body.inspect(move |_| {
        let _held = &place;
    });
    ByteStream::from_stream(chunks, length_bytes)
}

#[cfg(test)]
mod tests {
    use storage_core::{Backend, RetrieveOptions, SaveOptions};

    use super::*;
    use crate::layers::testing::{Fault, Faults, key};

    fn two_places() -> Concurrency {
        Concurrency::new(2, Duration::from_secs(5))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_place_waits_only_so_long() {
        let faults = Faults::new([Fault::Hang, Fault::Hang]);
        let backend = faults.below(two_places()).await;
        let read = async || backend.exists(&key()).await;
        let third = tokio::select! {
            biased;
            _ = futures_util::future::join(read(), read()) => unreachable!("both hang"),
            third = read() => third,
        };
        let error = third.expect_err("no place");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May));
        assert_eq!(faults.calls(), 2, "the third call never reached the backend");
        assert!(read().await.expect("the places are free again"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_keeps_its_place_until_it_is_dropped() {
        let faults = Faults::new([Fault::BreakBody(None), Fault::BreakBody(None)]);
        let backend = faults.below(two_places()).await;
        let open = async || backend.retrieve(&key(), RetrieveOptions::default()).await;
        let first = open().await.expect("answered");
        let _second = open().await.expect("answered");
        assert!(backend.exists(&key()).await.is_err(), "both places are taken");
        drop(first);
        assert!(backend.exists(&key()).await.expect("a place is free"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_read_to_its_end_gives_its_place_back() {
        let faults = Faults::new([Fault::BreakBody(Some(Retry::Never))]);
        let backend = faults.below(Concurrency::new(1, Duration::from_secs(5))).await;
        let mut body = backend.retrieve(&key(), RetrieveOptions::default()).await.expect("answered").body;
        while body.next().await.is_some() {}
        assert!(backend.exists(&key()).await.expect("the place is free"));
        drop(body);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_do_not_take_the_places_of_writes_and_a_probe_needs_none() {
        let faults = Faults::new([Fault::BreakBody(None), Fault::BreakBody(None)]);
        let backend = faults.below(two_places()).await;
        let open = async || backend.retrieve(&key(), RetrieveOptions::default()).await;
        let _bodies = (open().await.expect("answered"), open().await.expect("answered"));
        backend.save(&key(), "new".into(), SaveOptions::default()).await.expect("a write has its own place");
        backend.health().await.expect("a probe needs none");
    }
}
