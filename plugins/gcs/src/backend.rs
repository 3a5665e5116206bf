//! [`GcsBackend`]: hands each operation to the module that does it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use storage_core::{
    AbortResult, Backend, BackendInfo, ByteStream, Capabilities, CompleteOptions, CopyOptions, DeleteOptions,
    DeleteResult, Health, LifecycleReport, LifecycleRule, Limits, ListOptions, ListPage, ListPartsOptions,
    ListUploadsOptions, ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta, OpenRequest, Part,
    PartOptions, PartPage, PresignRequest, PresignedUrl, Result, RetrieveOptions, Retrieved, SaveOptions,
    SaveResult, SetTierOptions, Tier, UploadId, UploadPage, VersionPage, async_trait,
};
use tokio::task::JoinHandle;

use crate::auth::Signer;
use crate::config::{Config, GOOGLE};
use crate::open::Store;
use crate::options::MAX_PAGE;
use crate::save::MAX_OBJECT_BYTES;
use crate::{
    copy, delete, extensions, health, lifecycle, list, multipart, open, presign, read, save, sweep, uploads,
    versions,
};

/// A bucket of Google Cloud Storage.
#[derive(Debug)]
pub(crate) struct GcsBackend {
    store: Store,
    info: Arc<BackendInfo>,
    daily: Option<JoinHandle<()>>,
}

impl GcsBackend {
    /// Opens the bucket that the configuration describes, and makes it where it may.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault, also for a bucket that does not exist and may not be made;
    /// `Unauthenticated`, `PermissionDenied`, `Unavailable`.
    pub(crate) async fn open(request: OpenRequest) -> Result<Self> {
        let store = open::open(Config::read(&request)?).await?;
        let info = Arc::new(describe(&store));
        // What cannot be written has no parts that could be forgotten.
        let may_write = store.allows_temporary && !store.client.auth().is_anonymous();
        let sweeps = may_write || store.config.endpoint != GOOGLE;
        let daily = sweeps.then(|| tokio::spawn(sweep::run_daily(store.clone())));
        Ok(Self { store, info, daily })
    }

    fn stop(&self) {
        if let Some(daily) = &self.daily {
            daily.abort();
        }
    }
}

impl Drop for GcsBackend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn describe(store: &Store) -> BackendInfo {
    let mut capabilities = Capabilities::WRITE_IF_ABSENT
        | Capabilities::WRITE_IF_MATCH
        | Capabilities::DELETE_IF_MATCH
        | Capabilities::COPY
        | Capabilities::TAGS
        | Capabilities::LIST_METADATA
        | Capabilities::VERIFY_SHA256
        | Capabilities::VERIFY_MD5
        | Capabilities::VERIFY_CRC32C
        | Capabilities::VERIFY_CRC64NVME;
    for (is_there, capability) in [
        (store.signer.is_some(), Capabilities::PRESIGN_GET | Capabilities::PRESIGN_PUT),
        (store.allows_temporary, Capabilities::MULTIPART | Capabilities::LIFECYCLE),
        (store.keeps_versions, Capabilities::VERSIONS),
        (store.has_tiers, Capabilities::TIERS),
    ] {
        if is_there {
            capabilities |= capability;
        }
    }
    let config = &store.config;
    let (is_google, bucket) = (config.endpoint == GOOGLE, &config.bucket);
    let location = if is_google { format!("gs://{bucket}") } else { format!("{}/{bucket}", config.endpoint) };
    let facts = [
        ("bucket_location", store.location.clone()),
        ("delete_markers", store.keeps_versions.then(|| "false".to_owned())),
        ("default_storage_class", store.default_class.clone()),
        ("autoclass", (!store.has_tiers).then(|| "true".to_owned())),
        (
            "uploads_in_parts",
            (!store.allows_temporary).then(|| "off: the bucket retains or holds".to_owned()),
        ),
    ];
    BackendInfo {
        backend_type: "gcs".to_owned(),
        location,
        server: is_google.then(|| "Google Cloud Storage".to_owned()),
        capabilities,
        limits: Limits {
            max_object_bytes: Some(MAX_OBJECT_BYTES),
            max_single_save_bytes: Some(MAX_OBJECT_BYTES),
            max_part_bytes: Some(MAX_OBJECT_BYTES),
            max_parts: Some(multipart::MAX_PARTS),
            max_list_page: Some(MAX_PAGE),
            max_presign_expiry: store.signer.as_ref().map(Signer::max_expiry),
            ..Limits::default()
        },
        extensions: extensions::all(store),
        extra: facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    }
}

/// How long ending waits for what is under way: removing temporary objects takes a second or two.
const LAST_WORK: Duration = Duration::from_secs(30);

#[async_trait]
impl Backend for GcsBackend {
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
        Ok(delete::delete_many(&self.store, keys).await)
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
        uploads::list_parts(&self.store, key, upload, &options).await
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        uploads::list_uploads(&self.store, options).await
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        versions::list_versions(&self.store, options).await
    }

    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        copy::set_tier(&self.store, key, tier, options).await
    }

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        lifecycle::apply(&self.store, rules).await
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        extensions::invoke(&self.store, name, arguments).await
    }

    async fn close(&self) -> Result<()> {
        self.stop();
        self.store.tracker.close();
        if tokio::time::timeout(LAST_WORK, self.store.tracker.wait()).await.is_err() {
            tracing::warn!("temporary objects are left in the bucket; a later sweep removes them");
        }
        Ok(())
    }
}
