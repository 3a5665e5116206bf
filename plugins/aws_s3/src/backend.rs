//! [`S3Backend`]: hands each operation to the module that does it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use storage_core::{
    AbortResult, Backend, BackendInfo, ByteStream, CompleteOptions, CopyOptions, DeleteOptions, DeleteResult,
    Error, ErrorKind, Health, LifecycleReport, LifecycleRule, ListOptions, ListPage, ListPartsOptions,
    ListUploadsOptions, ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta, OpenRequest, Part,
    PartOptions, PartPage, PresignRequest, PresignedUrl, RestoreOptions, RestoreStatus, Result,
    RetrieveOptions, Retrieved, SaveOptions, SaveResult, SetTierOptions, Tier, UploadId, UploadPage,
    VersionId, VersionPage, async_trait,
};

use crate::config::Config;
use crate::store::Store;
use crate::{
    copy, delete, extension, health, lifecycle, list, meta, multipart, open, presign, read, tiering, uploads,
    versions, write,
};

/// How long closing waits for uploads to be aborted.
const PATIENCE: Duration = Duration::from_secs(10);

/// A bucket of Amazon S3.
pub(crate) struct S3Backend {
    store: Arc<Store>,
    info: Arc<BackendInfo>,
}

impl S3Backend {
    /// Opens the bucket that the configuration names, and creates it where it may.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault, also for a bucket that does not exist and may not be created;
    /// `Unauthenticated`; what S3 answers.
    pub(crate) async fn open(request: OpenRequest) -> Result<Self> {
        let config = Config::read(&request)?;
        let (store, info) = Box::pin(open::open(request.name, config)).await?;
        Ok(Self { store, info: Arc::new(info) })
    }
}

impl Drop for S3Backend {
    fn drop(&mut self) {
        self.store.background.stop();
    }
}

#[async_trait]
impl Backend for S3Backend {
    fn info(&self) -> Arc<BackendInfo> {
        Arc::clone(&self.info)
    }

    async fn health(&self) -> Result<Health> {
        health::health(&self.store).await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        let saved = write::save(&self.store, key, body, options).await;
        self.store.walks.changed(key);
        saved
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        read::retrieve(&self.store, key, options).await
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        let deleted = delete::delete(&self.store, key, options).await;
        self.store.walks.changed(key);
        deleted
    }

    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        let named = keys.clone();
        let results = delete::delete_many(&self.store, keys).await;
        named.iter().for_each(|key| self.store.walks.changed(key));
        results
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        meta::exists(&self.store, key).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        meta::get_metadata(&self.store, key, options).await
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        list::list_files(&self.store, options).await
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        let copied = copy::copy(&self.store, from, to, options).await;
        self.store.walks.changed(to);
        copied
    }

    async fn presign(&self, request: PresignRequest) -> Result<PresignedUrl> {
        presign::presign(&self.store, request).await
    }

    async fn begin_multipart(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        multipart::begin(&self.store, key, options).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: PartOptions,
    ) -> Result<Part> {
        multipart::upload_part(&self.store, key, upload, number, body, options).await
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
        options: CompleteOptions,
    ) -> Result<SaveResult> {
        let completed = multipart::complete(&self.store, key, upload, parts, options).await;
        self.store.walks.changed(key);
        completed
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        multipart::abort(&self.store, key, upload).await
    }

    async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: ListPartsOptions,
    ) -> Result<PartPage> {
        uploads::list_parts(&self.store, key, upload, options).await
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        uploads::list_uploads(&self.store, options).await
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        versions::list_versions(&self.store, options).await
    }

    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        tiering::set_tier(&self.store, key, tier, options).await
    }

    async fn restore(&self, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
        tiering::restore(&self.store, key, options).await
    }

    async fn restore_status(&self, key: &ObjectKey, version: Option<VersionId>) -> Result<RestoreStatus> {
        tiering::restore_status(&self.store, key, version).await
    }

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        lifecycle::apply(&self.store, rules).await
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        extension::invoke(&self.store, name, arguments).await
    }

    async fn close(&self) -> Result<()> {
        if self.store.background.finish(PATIENCE).await {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Timeout,
            "uploads that were given up could not be aborted in time: they are swept later",
        ))
    }
}
