//! [`Layered`]: a backend with a layer around each of its operations.
//!
//! Here, and only here, it is said of each operation what a layer may take it for.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use storage_core::{
    AbortResult, Backend, BackendInfo, ByteStream, CompleteOptions, CopyOptions, DeleteOptions, DeleteResult,
    Health, LifecycleReport, LifecycleRule, ListOptions, ListPage, ListPartsOptions, ListUploadsOptions,
    ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta, Part, PartOptions, PartPage, PresignRequest,
    PresignedUrl, RestoreOptions, RestoreStatus, Result, RetrieveOptions, Retrieved, SaveOptions, SaveResult,
    SetTierOptions, Tier, UploadId, UploadPage, VersionId, VersionPage, WriteCondition,
};

use super::layer::{Answer, Call, Effect, Layer};

/// How much longer than others a call may take during which the provider moves a whole object.
const WHOLE_OBJECT: u32 = 20;

/// How many keys may be deleted in the time of one ordinary call.
const KEYS_PER_CALL: usize = 100;

/// A backend, and the layer that every call of it passes.
pub(super) struct Layered<L> {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) layer: L,
}

impl<L: Layer> Layered<L> {
    /// Makes a call that sends no content.
    async fn call<T, F>(&self, call: Call<'_>, next: impl Fn() -> F + Sync) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<T>> + Send,
    {
        self.layer.around(&call, ByteStream::empty(), &|_| next()).await
    }

    /// Makes a call that sends content.
    async fn send<T, F>(
        &self,
        call: Call<'_>,
        body: ByteStream,
        next: impl Fn(ByteStream) -> F + Sync,
    ) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<T>> + Send,
    {
        self.layer.around(&call, body, &next).await
    }
}

/// A write under a condition fulfils or breaks the condition itself.
fn write(condition: &WriteCondition) -> Effect {
    match condition {
        WriteCondition::Always => Effect::Write,
        WriteCondition::IfAbsent | WriteCondition::IfMatch(_) => Effect::WriteOnce,
    }
}

#[deny(clippy::missing_trait_methods, reason = "a default method would bypass the backend's own")]
#[async_trait]
impl<L: Layer> Backend for Layered<L> {
    fn info(&self) -> Arc<BackendInfo> {
        self.backend.info()
    }

    async fn health(&self) -> Result<Health> {
        self.call(Call::new("health", Effect::Control), || self.backend.health()).await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        let call = Call::new("save", write(&options.condition)).on(key);
        self.send(call, body, |body| self.backend.save(key, body, options.clone())).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        let call = Call::new("retrieve", Effect::Read).on(key);
        self.call(call, || self.backend.retrieve(key, options.clone())).await
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        let effect = if options.if_match.is_some() { Effect::WriteOnce } else { Effect::Write };
        let call = Call::new("delete", effect).on(key);
        self.call(call, || self.backend.delete(key, options.clone())).await
    }

    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        let weight = u32::try_from(keys.len().div_ceil(KEYS_PER_CALL)).unwrap_or(u32::MAX).max(1);
        let call = Call::new("delete_many", Effect::Write).weighing(weight);
        self.call(call, || self.backend.delete_many(keys.clone())).await
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        let call = Call::new("exists", Effect::Read).on(key);
        self.call(call, || self.backend.exists(key)).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        let call = Call::new("get_metadata", Effect::Read).on(key);
        self.call(call, || self.backend.get_metadata(key, options.clone())).await
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        let call = Call::new("list_files", Effect::Read);
        self.call(call, || self.backend.list_files(options.clone())).await
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        let call = Call::new("copy", write(&options.condition)).on(from).weighing(WHOLE_OBJECT);
        self.call(call, || self.backend.copy(from, to, options.clone())).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<PresignedUrl> {
        let call = Call::new("presign", Effect::Read).on(&request.key);
        self.call(call, || self.backend.presign(request.clone())).await
    }

    async fn begin_multipart(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        // A second attempt would leave the first one's upload behind.
        let call = Call::new("begin_multipart", Effect::WriteOnce).on(key);
        self.call(call, || self.backend.begin_multipart(key, options.clone())).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: PartOptions,
    ) -> Result<Part> {
        let call = Call::new("upload_part", Effect::Write).on(key);
        self.send(call, body, |body| self.backend.upload_part(key, upload, number, body, options.clone()))
            .await
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
        options: CompleteOptions,
    ) -> Result<SaveResult> {
        // After one that succeeded there is no such upload any more.
        let call = Call::new("complete_multipart", Effect::WriteOnce).on(key).weighing(WHOLE_OBJECT);
        self.call(call, || self.backend.complete_multipart(key, upload, parts.clone(), options.clone())).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        let call = Call::new("abort_multipart", Effect::Write).on(key);
        self.call(call, || self.backend.abort_multipart(key, upload)).await
    }

    async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: ListPartsOptions,
    ) -> Result<PartPage> {
        let call = Call::new("list_parts", Effect::Read).on(key);
        self.call(call, || self.backend.list_parts(key, upload, options.clone())).await
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        let call = Call::new("list_uploads", Effect::Read);
        self.call(call, || self.backend.list_uploads(options.clone())).await
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        let call = Call::new("list_versions", Effect::Read);
        self.call(call, || self.backend.list_versions(options.clone())).await
    }

    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        let call = Call::new("set_tier", Effect::Write).on(key).weighing(WHOLE_OBJECT);
        self.call(call, || self.backend.set_tier(key, tier, options.clone())).await
    }

    async fn restore(&self, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
        let call = Call::new("restore", Effect::Write).on(key);
        self.call(call, || self.backend.restore(key, options.clone())).await
    }

    async fn restore_status(&self, key: &ObjectKey, version: Option<VersionId>) -> Result<RestoreStatus> {
        let call = Call::new("restore_status", Effect::Read).on(key);
        self.call(call, || self.backend.restore_status(key, version.clone())).await
    }

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        let call = Call::new("apply_lifecycle", Effect::Write);
        self.call(call, || self.backend.apply_lifecycle(rules.clone())).await
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        let info = self.backend.info();
        let reads = info.extensions.iter().any(|extension| extension.name == name && !extension.mutates);
        let effect = if reads { Effect::Read } else { Effect::WriteOnce };
        self.call(Call::new("invoke", effect), || self.backend.invoke(name, arguments.clone())).await
    }

    async fn close(&self) -> Result<()> {
        self.call(Call::new("close", Effect::Control), || self.backend.close()).await
    }
}
