//! [`AzureBackend`]: hands each operation to the module that does it.

use std::sync::Arc;

use serde_json::Value;
use storage_core::{
    AbortResult, Backend, BackendInfo, ByteStream, CompleteOptions, CopyOptions, DeleteOptions, DeleteResult,
    Health, LifecycleReport, LifecycleRule, ListOptions, ListPage, ListPartsOptions, ListUploadsOptions,
    ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta, OpenRequest, Part, PartOptions, PartPage,
    PresignRequest, PresignedUrl, RestoreOptions, RestoreStatus, Result, RetrieveOptions, Retrieved,
    SaveOptions, SaveResult, SetTierOptions, Tier, UploadId, UploadPage, VersionId, VersionPage, async_trait,
};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::store::Shared;
use crate::{
    copy, delete, describe, extension, health, lifecycle, list, multipart, open, presign, retrieve, save,
    tier, uploads, versions,
};

/// A container of an account.
#[derive(Debug)]
pub(crate) struct AzureBackend {
    store: Shared,
    info: Arc<BackendInfo>,
    daily: JoinHandle<()>,
}

impl AzureBackend {
    /// Opens the container that the configuration describes, and makes it where it may.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault, also for a container that does not exist and may not be made;
    /// `Unauthenticated`, `PermissionDenied`, `Unavailable`.
    pub(crate) async fn open(request: OpenRequest) -> Result<Self> {
        let (store, info) = open::open(Config::read(&request)?).await?;
        let store = Arc::new(store);
        let daily = tokio::spawn(uploads::sweep_daily(Arc::clone(&store)));
        Ok(Self { store, info: Arc::new(info), daily })
    }

    fn store(&self) -> Shared {
        Arc::clone(&self.store)
    }
}

impl Drop for AzureBackend {
    fn drop(&mut self) {
        self.daily.abort();
    }
}

#[async_trait]
impl Backend for AzureBackend {
    fn info(&self) -> Arc<BackendInfo> {
        Arc::clone(&self.info)
    }

    async fn health(&self) -> Result<Health> {
        health::health(self.store()).await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        save::save(self.store(), key.clone(), body, options).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        retrieve::retrieve(self.store(), key.clone(), options).await
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        delete::delete(self.store(), key.clone(), options).await
    }

    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        delete::delete_many(self.store(), keys).await
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        describe::exists(self.store(), key.clone()).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        describe::get_metadata(self.store(), key.clone(), options).await
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        list::list_files(self.store(), options).await
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        copy::copy(self.store(), from.clone(), to.clone(), options).await
    }

    async fn begin_multipart(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        multipart::begin(self.store(), key.clone(), options).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: PartOptions,
    ) -> Result<Part> {
        multipart::upload_part(self.store(), key.clone(), upload.clone(), number, body, options).await
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
        options: CompleteOptions,
    ) -> Result<SaveResult> {
        multipart::complete(self.store(), key.clone(), upload.clone(), parts, options).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        multipart::abort(self.store(), key.clone(), upload.clone()).await
    }

    async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: ListPartsOptions,
    ) -> Result<PartPage> {
        multipart::list_parts(self.store(), key.clone(), upload.clone(), options).await
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        uploads::list_uploads(self.store(), options).await
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        versions::list_versions(self.store(), options).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<PresignedUrl> {
        presign::presign(self.store(), request).await
    }

    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        tier::set_tier(self.store(), key.clone(), tier, options).await
    }

    async fn restore(&self, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
        tier::restore(self.store(), key.clone(), options).await
    }

    async fn restore_status(&self, key: &ObjectKey, version: Option<VersionId>) -> Result<RestoreStatus> {
        tier::restore_status(self.store(), key.clone(), version).await
    }

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        lifecycle::apply_lifecycle(&self.store, &rules)
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        extension::invoke(self.store(), name, arguments).await
    }

    async fn close(&self) -> Result<()> {
        self.daily.abort();
        Ok(())
    }
}
