//! [`Layer`]: what one concern does around a call, whichever operation it is.

use std::future::Future;

use futures_util::TryStreamExt;
use storage_core::{
    AbortResult, ByteStream, DeleteResult, Error, Health, LifecycleReport, ListPage, ObjectKey, ObjectMeta,
    Part, PartPage, PresignedUrl, RestoreStatus, Result, Retrieved, SaveResult, UploadId, UploadPage,
    VersionPage,
};

/// One concern that all operations share.
pub(super) trait Layer: Send + Sync + 'static {
    /// Makes a call: `next` hands it on to the layer below, as often as this layer chooses.
    ///
    /// `body` is the content that the call sends. A call that sends none has an empty one, so that no layer
    /// need tell them apart.
    fn around<T, F>(
        &self,
        call: &Call<'_>,
        body: ByteStream,
        next: &(impl Fn(ByteStream) -> F + Sync),
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Answer,
        F: Future<Output = Result<T>> + Send;
}

/// Two layers are a layer, the first around the second.
impl<Outer: Layer, Inner: Layer> Layer for (Outer, Inner) {
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
        let (outer, inner) = self;
        outer.around(call, body, &|body| inner.around(call, body, next)).await
    }
}

/// What a layer knows of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// The operation, as the trait names it.
    pub(super) operation: &'static str,
    /// The object that it concerns, where it concerns one.
    pub(super) key: Option<&'a ObjectKey>,
    /// What it does to the backend.
    pub(super) effect: Effect,
    /// How many times longer than an ordinary call it may take.
    pub(super) weight: u32,
}

/// What a call does to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Read,
    /// It writes, and written twice is the same as written once.
    Write,
    /// It writes, and the second time would do or answer something else (a condition that it fulfilled itself).
    /// It must not be repeated where the outcome of the first attempt is unknown.
    WriteOnce,
    /// It concerns the backend itself: it is neither held back by other calls nor repeated.
    Control,
}

impl<'a> Call<'a> {
    pub(super) fn new(operation: &'static str, effect: Effect) -> Self {
        Self { operation, key: None, effect, weight: 1 }
    }

    /// The same call, for an object.
    pub(super) fn on(self, key: &'a ObjectKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The same call, which is so many times as much work as others.
    pub(super) fn weighing(self, weight: u32) -> Self {
        Self { weight, ..self }
    }
}

/// What a call answers, as far as a layer can see into it.
pub(super) trait Answer: Send + Sized {
    /// How many bytes the call stored.
    fn stored_bytes(&self) -> Option<u64> {
        None
    }

    /// Replaces the content that the answer carries, if it does: the call goes on until that is read.
    fn map_body(self, _replace: impl FnOnce(ByteStream) -> ByteStream) -> Self {
        self
    }

    /// Replaces the errors that the answer carries or will give.
    fn map_errors(self, _replace: impl Fn(Error) -> Error + Send + 'static) -> Self {
        self
    }
}

impl Answer for Retrieved {
    fn map_body(mut self, replace: impl FnOnce(ByteStream) -> ByteStream) -> Self {
        self.body = replace(self.body);
        self
    }

    fn map_errors(self, replace: impl Fn(Error) -> Error + Send + 'static) -> Self {
        self.map_body(|body| match body.as_buffer() {
            Some(_) => body,
            None => {
                let length_bytes = body.length_bytes();
                ByteStream::from_stream(body.map_err(replace), length_bytes)
            }
        })
    }
}

impl Answer for Vec<Result<DeleteResult>> {
    fn map_errors(self, replace: impl Fn(Error) -> Error + Send + 'static) -> Self {
        self.into_iter().map(|result| result.map_err(&replace)).collect()
    }
}

impl Answer for SaveResult {
    fn stored_bytes(&self) -> Option<u64> {
        Some(self.size_bytes)
    }
}

impl Answer for Part {
    fn stored_bytes(&self) -> Option<u64> {
        Some(self.size_bytes)
    }
}

macro_rules! plain_answers {
    ($($answer:ty),+ $(,)?) => { $(impl Answer for $answer {})+ };
}

plain_answers!(
    (),
    bool,
    serde_json::Value,
    AbortResult,
    DeleteResult,
    Health,
    LifecycleReport,
    ListPage,
    ObjectMeta,
    PartPage,
    PresignedUrl,
    RestoreStatus,
    UploadId,
    UploadPage,
    VersionPage,
);
