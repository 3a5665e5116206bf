//! Faults on demand, for the tests of the layers: a layer itself, below the one that is tested.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, ByteStream, Error, ErrorKind, ObjectKey, Result, Retry, SaveOptions};

use super::layer::{Answer, Call, Layer};
use super::layered::Layered;

/// What becomes of one call.
pub(super) enum Fault {
    /// It fails before it reaches the backend.
    Error(Retry),
    /// It never answers.
    Hang,
    /// It takes one chunk of its content and then nothing more.
    HangInBody,
    /// It reads its content to the end and then never answers.
    HangAtEnd,
    /// It answers, and its body gives one chunk and then this error, or nothing more without one.
    BreakBody(Option<Retry>),
}

/// Does to each call what the script says; calls after its end succeed.
#[derive(Clone, Default)]
pub(super) struct Faults {
    script: Arc<Mutex<VecDeque<Fault>>>,
    calls: Arc<AtomicUsize>,
}

impl Faults {
    pub(super) fn new(script: impl IntoIterator<Item = Fault>) -> Self {
        Self { script: Arc::new(Mutex::new(script.into_iter().collect())), calls: Arc::default() }
    }

    /// How many calls came through.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// A backend in memory that holds `key()`, below these faults, below a layer.
    pub(super) async fn below<L: Layer>(&self, layer: L) -> Layered<(L, Faults)> {
        let memory = MemoryBackend::new("memory");
        memory.save(&key(), "content".into(), SaveOptions::default()).await.expect("saved");
        Layered { backend: Arc::new(memory), layer: (layer, self.clone()) }
    }
}

impl Layer for Faults {
    async fn around<T, F>(
        &self,
        _call: &Call<'_>,
        mut body: ByteStream,
        next: &(impl Fn(ByteStream) -> F + Sync),
    ) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<T>> + Send,
    {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = self.script.lock().pop_front();
        match fault {
            None => next(body).await,
            Some(Fault::Error(retry)) => Err(failure(retry)),
            Some(Fault::Hang) => pending().await,
            Some(Fault::HangInBody) => {
                let _first = body.next().await;
                pending().await
            }
            Some(Fault::HangAtEnd) => {
                while body.next().await.is_some() {}
                pending().await
            }
            Some(Fault::BreakBody(retry)) => Ok(next(body).await?.map_body(|body| {
                let length_bytes = body.length_bytes();
                let first = stream::iter([Ok(Bytes::from_static(b"con"))]);
                let chunks = first.chain(stream::once(async move {
                    match retry {
                        Some(retry) => Err(failure(retry)),
                        None => pending().await,
                    }
                }));
                ByteStream::from_stream(chunks, length_bytes)
            })),
        }
    }
}

pub(super) fn failure(retry: Retry) -> Error {
    Error::new(ErrorKind::Unavailable, "the provider did not answer").with_retry(retry)
}

/// The key of the object that is there.
pub(super) fn key() -> ObjectKey {
    ObjectKey::new("users/7/cv.pdf").expect("a legal key")
}

/// The content of two chunks, as a stream.
pub(super) fn streamed() -> ByteStream {
    let chunks = [Ok(Bytes::from_static(b"new ")), Ok(Bytes::from_static(b"text"))];
    ByteStream::from_stream(stream::iter(chunks), Some(8))
}
