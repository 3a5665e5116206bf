//! [`MinioBackend`]: hands each operation to the module that does it.

use std::sync::Arc;

use serde_json::Value;
use storage_core::{
    AbortResult, Backend, BackendInfo, ByteStream, Capabilities, CompleteOptions, CopyOptions, DeleteOptions,
    DeleteResult, Extra, Health, LifecycleReport, LifecycleRule, Limits, ListOptions, ListPage,
    ListPartsOptions, ListUploadsOptions, ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta,
    OpenRequest, Part, PartOptions, PartPage, PresignRequest, PresignedUrl, Result, RetrieveOptions,
    Retrieved, SaveOptions, SaveResult, UploadId, UploadPage, VersionPage, async_trait,
};
use tokio::task::JoinHandle;

use crate::config::{Config, MIN_PART_BYTES};
use crate::store::Store;
use crate::{
    copy, delete, extension, health, lifecycle, list, multipart, open, options, presign, read, save, upload,
    uploads, versions,
};

/// A bucket of a server that speaks S3.
#[derive(Debug)]
pub(crate) struct MinioBackend {
    store: Arc<Store>,
    info: Arc<BackendInfo>,
    sweep: Option<JoinHandle<()>>,
}

impl MinioBackend {
    /// Opens the bucket that the configuration describes, and makes it where it may.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault; what the server answers.
    pub(crate) async fn open(request: OpenRequest) -> Result<Self> {
        let config = Config::read(&request)?;
        let store = Arc::new(Box::pin(open::open(config)).await?);
        let info = Arc::new(describe(&store));
        let sweeps = !store.config.abort_uploads_after.is_zero();
        let sweep = sweeps.then(|| tokio::spawn(uploads::sweep_daily(Arc::clone(&store))));
        Ok(Self { store, info, sweep })
    }

    fn stop(&self) {
        if let Some(sweep) = &self.sweep {
            sweep.abort();
        }
    }
}

impl Drop for MinioBackend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn describe(store: &Store) -> BackendInfo {
    let features = &store.features;
    let optional = [
        (features.write_if_absent, Capabilities::WRITE_IF_ABSENT),
        (features.write_if_match, Capabilities::WRITE_IF_MATCH),
        (features.delete_if_match, Capabilities::DELETE_IF_MATCH),
        (features.tags, Capabilities::TAGS),
        (features.versions, Capabilities::VERSIONS),
        (features.lifecycle, Capabilities::LIFECYCLE),
    ];
    let always = Capabilities::COPY
        | Capabilities::MULTIPART
        | Capabilities::PRESIGN_GET
        | Capabilities::PRESIGN_PUT
        | Capabilities::VERIFY_SHA256
        | Capabilities::VERIFY_MD5
        | Capabilities::VERIFY_CRC32C
        | Capabilities::VERIFY_CRC64NVME;
    let has = optional.into_iter().filter(|(has, _)| *has).map(|(_, capability)| capability);
    let fact = |name: &str, value: bool| (name.to_owned(), value.to_string());
    BackendInfo {
        backend_type: "minio".to_owned(),
        location: format!("{}/{}", store.config.endpoint, store.bucket()),
        server: Some(store.product_name()),
        capabilities: has.fold(always, Capabilities::with),
        limits: Limits {
            max_object_bytes: Some(upload::max_object_bytes(store)),
            min_part_bytes: Some(MIN_PART_BYTES),
            max_part_bytes: Some(store.config.memory_bytes),
            max_parts: Some(upload::MAX_PARTS),
            max_delete_batch: u32::try_from(delete::MAX_BATCH).ok(),
            max_list_page: Some(options::MAX_PAGE),
            max_presign_expiry: Some(presign::MAX_EXPIRY),
            ..Limits::default()
        },
        extensions: extension::list(store),
        extra: Extra::from([
            fact("probed", store.config.probe),
            fact("digests_checked_by_server", features.crc64nvme),
            fact("conditional_copies", features.copy_conditions),
            fact("object_lock", features.object_lock),
        ]),
    }
}

#[async_trait]
impl Backend for MinioBackend {
    fn info(&self) -> Arc<BackendInfo> {
        Arc::clone(&self.info)
    }

    async fn health(&self) -> Result<Health> {
        health::health(&self.store).await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        save::save(&self.store, key, body, options).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        read::retrieve(&self.store, key, options).await
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        delete::delete(&self.store, key, options).await
    }

    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        delete::delete_many(&self.store, keys).await
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        read::exists(&self.store, key).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        read::get_metadata(&self.store, key, options).await
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        list::list_files(&self.store, options).await
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        copy::copy(&self.store, from, to, options).await
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
        multipart::complete(&self.store, key, upload, parts, options).await
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

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        lifecycle::apply(&self.store, rules).await
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        extension::invoke(&self.store, name, arguments).await
    }

    /// Waits for what goes on in the background: the aborts of uploads whose saves were dropped.
    async fn close(&self) -> Result<()> {
        self.stop();
        self.store.background.close();
        self.store.background.wait().await;
        Ok(())
    }
}
