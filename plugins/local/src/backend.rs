//! [`LocalBackend`]: hands each operation to the module that does it.

use std::sync::Arc;

use serde_json::Value;
use storage_core::{
    AbortResult, Backend, BackendInfo, ByteStream, Capabilities, CompleteOptions, CopyOptions, DeleteOptions,
    DeleteResult, Error, ErrorKind, Health, Limits, ListOptions, ListPage, ListPartsOptions,
    ListUploadsOptions, ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta, OpenRequest, Part,
    PartOptions, PartPage, Result, RetrieveOptions, Retrieved, SaveOptions, SaveResult, UploadId, UploadPage,
    VersionPage, async_trait,
};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::store::Store;
use crate::{blocking, copy, delete, health, list, multipart, open, options, prune, read, uploads, write};

/// A folder on a local disk.
#[derive(Debug)]
pub(crate) struct LocalBackend {
    store: Arc<Store>,
    info: Arc<BackendInfo>,
    daily: Option<JoinHandle<()>>,
}

impl LocalBackend {
    /// Opens the store that the configuration describes, and makes it where it may.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault, also for a folder that does not exist and may not be made;
    /// `PermissionDenied`, `ReadOnly`, `NoSpace`; `Corrupted` for a store of a newer version.
    pub(crate) async fn open(request: OpenRequest) -> Result<Self> {
        let config = Config::read(&request)?;
        let store = Arc::new(blocking::run(blocking::gate(1), move |_| open::open(config)).await?);
        let info = Arc::new(describe(&store));
        // What cannot be written cannot be pruned.
        let daily = store.staging.is_some().then(|| tokio::spawn(prune::run_daily(Arc::clone(&store))));
        Ok(Self { store, info, daily })
    }

    fn stop(&self) {
        if let Some(daily) = &self.daily {
            daily.abort();
        }
    }

    fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }
}

impl Drop for LocalBackend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn describe(store: &Store) -> BackendInfo {
    let mut capabilities = Capabilities::WRITE_IF_ABSENT
        | Capabilities::WRITE_IF_MATCH
        | Capabilities::DELETE_IF_MATCH
        | Capabilities::COPY
        | Capabilities::MULTIPART
        | Capabilities::TAGS
        | Capabilities::LIST_METADATA
        | Capabilities::VERIFY_SHA256
        | Capabilities::VERIFY_MD5
        | Capabilities::VERIFY_CRC32C
        | Capabilities::VERIFY_CRC64NVME;
    if store.is_versioned() {
        capabilities |= Capabilities::VERSIONS;
    }
    let path = &store.config.path;
    BackendInfo {
        backend_type: "local".to_owned(),
        location: path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string(),
        capabilities,
        limits: Limits {
            max_parts: Some(multipart::MAX_PARTS),
            max_list_page: Some(options::MAX_PAGE),
            ..Limits::default()
        },
        extensions: vec![prune::extension()],
        ..BackendInfo::default()
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn info(&self) -> Arc<BackendInfo> {
        Arc::clone(&self.info)
    }

    async fn health(&self) -> Result<Health> {
        health::health(self.store()).await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        write::save(self.store(), key.clone(), body, options).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        read::retrieve(self.store(), key.clone(), options).await
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        delete::delete(self.store(), key.clone(), options).await
    }

    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        delete::delete_many(self.store(), keys).await
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        read::exists(self.store(), key.clone()).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        read::get_metadata(self.store(), key.clone(), options).await
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
        uploads::list_parts(self.store(), key.clone(), upload.clone(), options).await
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        uploads::list_uploads(self.store(), options).await
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        list::list_versions(self.store(), options).await
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        match name {
            prune::NAME => prune::invoke(self.store(), arguments).await,
            other => Err(Error::new(ErrorKind::Unsupported, "a local disk has no such extension")
                .with_context("extension", other.escape_debug())
                .with_context("available", prune::NAME)),
        }
    }

    async fn close(&self) -> Result<()> {
        self.stop();
        Ok(())
    }
}
