//! [`Faults`]: a backend around another one that fails on demand, operation by operation.
//!
//! Tests of the service put it between the service and a backend, and see what users get.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use storage_core::*;
use tokio::sync::Notify;

/// What becomes of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails before it reaches the backend.
    Error(ErrorKind, Retry),
    /// The backend does it, and the answer is an error all the same.
    ErrorAfter(ErrorKind, Retry),
    /// It never answers, and never reaches the backend.
    Stall,
    /// The backend does it and the answer never comes.
    StallAfter,
    /// It panics.
    Panic,
    /// It answers, and its body fails after so many bytes.
    BreakBody(u64, Retry),
    /// It answers, and its body ends after so many bytes as if that were all.
    EndBody(u64),
    /// It answers, and the byte at this place of its body is another one.
    AlterBody(u64),
    /// It answers, and the first chunk of its body has a byte more than it should.
    ExtendBody,
}

/// A backend that does what it is told and fails where it is told.
pub struct Faults {
    inner: Arc<dyn Backend>,
    plan: Mutex<Plan>,
    stalled: Notify,
}

#[derive(Default)]
struct Plan {
    faults: BTreeMap<&'static str, Vec<Fault>>,
    always: BTreeMap<&'static str, Fault>,
    calls: BTreeMap<&'static str, usize>,
    ranges: Vec<Option<ByteRange>>,
}

impl Faults {
    /// A wrapper without faults.
    pub fn around(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, plan: Mutex::default(), stalled: Notify::new() })
    }

    /// The backend below, without faults.
    pub fn inner(&self) -> &Arc<dyn Backend> {
        &self.inner
    }

    /// The next calls of an operation, as the trait names it, meet these faults, one each.
    pub fn next(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.plan().faults.entry(operation).or_default().extend(faults);
    }

    /// Every call of an operation meets this fault, until [`Faults::heal`].
    pub fn always(&self, operation: &'static str, fault: Fault) {
        self.plan().always.insert(operation, fault);
    }

    /// No call meets a fault any more.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.faults.clear();
        plan.always.clear();
    }

    /// How many calls of an operation came.
    pub fn calls(&self, operation: &str) -> usize {
        self.plan().calls.get(operation).copied().unwrap_or_default()
    }

    /// What the calls of `retrieve` asked for, in their order.
    pub fn ranges_read(&self) -> Vec<Option<ByteRange>> {
        self.plan().ranges.clone()
    }

    /// Waits until a call has stalled.
    pub async fn stalled(&self) {
        self.stalled.notified().await;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, operation: &'static str) -> Option<Fault> {
        let mut plan = self.plan();
        *plan.calls.entry(operation).or_default() += 1;
        match plan.faults.get_mut(operation) {
            Some(faults) if !faults.is_empty() => Some(faults.remove(0)),
            _ => plan.always.get(operation).cloned(),
        }
    }

    async fn around_call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<(T, Option<Fault>)> {
        let fault = self.fault(operation);
        match fault {
            Some(Fault::Error(kind, retry)) => Err(failure(kind, retry)),
            Some(Fault::ErrorAfter(kind, retry)) => {
                call.await?;
                Err(failure(kind, retry))
            }
            Some(Fault::Stall) => {
                self.stalled.notify_one();
                std::future::pending().await
            }
            Some(Fault::StallAfter) => {
                call.await?;
                self.stalled.notify_one();
                std::future::pending().await
            }
            Some(Fault::Panic) => panic!("the backend was told to panic"),
            Some(Fault::BreakBody(..) | Fault::EndBody(_) | Fault::AlterBody(_) | Fault::ExtendBody)
            | None => Ok((call.await?, fault)),
        }
    }

    async fn call<T>(&self, operation: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        Ok(self.around_call(operation, call).await?.0)
    }
}

fn failure(kind: ErrorKind, retry: Retry) -> Error {
    Error::new(kind, "the backend was told to fail").with_retry(retry)
}

/// A body, with what is to be wrong with it.
fn spoil(body: ByteStream, fault: Fault) -> ByteStream {
    let cut = match fault {
        Fault::BreakBody(at, _) | Fault::EndBody(at) => at,
        _ => u64::MAX,
    };
    let end = match fault {
        Fault::BreakBody(_, retry) => Some(Err(failure(ErrorKind::Unavailable, retry))),
        _ => None,
    };
    let chunks = body.scan(0, move |start, chunk| {
        let chunk = chunk.map(|chunk| {
            let here = *start..*start + chunk.len() as u64;
            *start = here.end;
            let chunk = chunk.slice(..cut.clamp(here.start, here.end).wrapping_sub(here.start) as usize);
            alter(chunk, here, &fault)
        });
        std::future::ready(match &chunk {
            Ok(chunk) if chunk.is_empty() => None,
            _ => Some(chunk),
        })
    });
    ByteStream::from_stream(chunks.chain(stream::iter(end)), None)
}

fn alter(chunk: Bytes, here: Range<u64>, fault: &Fault) -> Bytes {
    match fault {
        Fault::AlterBody(at) if here.contains(at) => {
            let mut altered = BytesMut::from(chunk.as_ref());
            altered[(at - here.start) as usize] ^= 1;
            altered.freeze()
        }
        Fault::ExtendBody if here.start == 0 => {
            let mut longer = BytesMut::from(chunk.as_ref());
            longer.extend_from_slice(b"!");
            longer.freeze()
        }
        _ => chunk,
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Faults {
    fn info(&self) -> Arc<BackendInfo> {
        self.inner.info()
    }

    async fn health(&self) -> Result<Health> {
        self.call("health", self.inner.health()).await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        self.call("save", self.inner.save(key, body, options)).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        self.plan().ranges.push(options.range);
        let (mut retrieved, fault) = self.around_call("retrieve", self.inner.retrieve(key, options)).await?;
        if let Some(fault) = fault {
            retrieved.body = spoil(retrieved.body, fault);
        }
        Ok(retrieved)
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        self.call("delete", self.inner.delete(key, options)).await
    }

    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        self.call("delete_many", self.inner.delete_many(keys)).await
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        self.call("exists", self.inner.exists(key)).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        self.call("get_metadata", self.inner.get_metadata(key, options)).await
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        self.call("list_files", self.inner.list_files(options)).await
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        self.call("copy", self.inner.copy(from, to, options)).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<PresignedUrl> {
        self.call("presign", self.inner.presign(request)).await
    }

    async fn begin_multipart(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        self.call("begin_multipart", self.inner.begin_multipart(key, options)).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: PartOptions,
    ) -> Result<Part> {
        self.call("upload_part", self.inner.upload_part(key, upload, number, body, options)).await
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
        options: CompleteOptions,
    ) -> Result<SaveResult> {
        self.call("complete_multipart", self.inner.complete_multipart(key, upload, parts, options)).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        self.call("abort_multipart", self.inner.abort_multipart(key, upload)).await
    }

    async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: ListPartsOptions,
    ) -> Result<PartPage> {
        self.call("list_parts", self.inner.list_parts(key, upload, options)).await
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        self.call("list_uploads", self.inner.list_uploads(options)).await
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        self.call("list_versions", self.inner.list_versions(options)).await
    }

    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        self.call("set_tier", self.inner.set_tier(key, tier, options)).await
    }

    async fn restore(&self, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
        self.call("restore", self.inner.restore(key, options)).await
    }

    async fn restore_status(&self, key: &ObjectKey, version: Option<VersionId>) -> Result<RestoreStatus> {
        self.call("restore_status", self.inner.restore_status(key, version)).await
    }

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        self.call("apply_lifecycle", self.inner.apply_lifecycle(rules)).await
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        self.call("invoke", self.inner.invoke(name, arguments)).await
    }

    async fn close(&self) -> Result<()> {
        self.call("close", self.inner.close()).await
    }
}
