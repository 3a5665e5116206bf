//! The host's side: makes a [`Backend`] out of a plugin's mirror.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use abi_stable::std_types::RBox;
use async_trait::async_trait;
use serde_json::Value;

use super::backend::AbiBackend_TO;
use super::guard::Guard;
use super::host::{self, Enter, HostSurroundings};
use super::manifest::Manifest;
use super::module::{AbiModule_Ref, AbiOpened};
use super::stream::AbiBody;
use super::value::{AbiCall, AbiRetrieved, Mirror, Outcome};
use crate::backend::{Backend, OpenRequest};
use crate::capability::{BackendInfo, Health};
use crate::config::ConfigSchema;
use crate::correlation;
use crate::error::Result;
use crate::key::ObjectKey;
use crate::multipart::{
    AbortResult, CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, PartPage,
    UploadId, UploadPage,
};
use crate::object::{ObjectMeta, VersionId};
use crate::request::{
    CopyOptions, DeleteOptions, DeleteResult, ListOptions, ListPage, MetadataOptions, PresignRequest,
    PresignedUrl, RetrieveOptions, Retrieved, SaveOptions, SaveResult,
};
use crate::stream::ByteStream;
use crate::tiering::{LifecycleReport, LifecycleRule, RestoreOptions, RestoreStatus, SetTierOptions, Tier};
use crate::versions::{ListVersionsOptions, VersionPage};

/// A loaded plugin, able to open any number of backends. It stays loaded for the life of the process.
#[derive(Clone)]
pub struct PluginModule {
    module: AbiModule_Ref,
    manifest: Manifest,
    schema: ConfigSchema,
    path: PathBuf,
    host: Arc<HostSurroundings>,
}

impl PluginModule {
    pub(super) fn new(module: AbiModule_Ref, manifest: Manifest, path: PathBuf) -> Result<Self> {
        module.connect()(host::log());
        let schema = Result::from_abi(module.schema()())??;
        Ok(Self { module, manifest, schema, path, host: Arc::new(HostSurroundings { enter: None }) })
    }

    /// What the library says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The keys of its configuration.
    pub fn schema(&self) -> ConfigSchema {
        self.schema.clone()
    }

    /// The file that it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `enter` around every poll of the bodies that this plugin's backends are given.
    ///
    /// A plugin may read a body on a thread of its own, where the host's runtime is not entered and a body
    /// that starts a timer or a file operation would panic. `enter` enters it and calls its argument once:
    /// `move |run| { let _entered = handle.enter(); run() }`.
    #[must_use]
    pub fn polling_bodies_within(mut self, enter: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Self {
        let enter: Arc<Enter> = Arc::new(enter);
        self.host = Arc::new(HostSurroundings { enter: Some(enter) });
        self
    }

    /// Opens a backend. The level of the plugin's events is that of the host's log at this moment.
    ///
    /// # Errors
    ///
    /// The plugin's own; `PluginPanicked` where it panicked.
    pub async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Backend>> {
        self.module.connect()(host::log());
        let opened: AbiOpened = receive(self.module.open()(AbiCall::current(), request.into_abi())).await?;
        let info = Arc::new(BackendInfo::from_abi(opened.info)?);
        Ok(Arc::new(Imported { plugin: opened.backend, info, host: Arc::clone(&self.host) }))
    }
}

impl fmt::Debug for PluginModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginModule")
            .field("path", &self.path)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

/// Awaits and reads an answer of the plugin.
async fn receive<T: Mirror>(answer: impl Future<Output = Outcome<T::Abi>>) -> Result<T> {
    Result::from_abi(answer.await)?
}

/// A plugin's backend as one of ours.
struct Imported {
    plugin: AbiBackend_TO<'static, RBox<()>>,
    info: Arc<BackendInfo>,
    host: Arc<HostSurroundings>,
}

impl Imported {
    fn body(&self, operation: &'static str, body: ByteStream) -> AbiBody {
        let guard = Guard { surroundings: self.host.clone(), correlation: correlation::current(), operation };
        AbiBody::new(body, guard)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Imported {
    fn info(&self) -> Arc<BackendInfo> {
        Arc::clone(&self.info)
    }

    async fn health(&self) -> Result<Health> {
        receive(self.plugin.health(AbiCall::current())).await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        let body = self.body("save", body);
        receive(self.plugin.save(AbiCall::current(), key.as_str().into(), body, options.into_abi())).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        let answer = self.plugin.retrieve(AbiCall::current(), key.as_str().into(), options.into_abi());
        receive::<AbiRetrieved>(answer).await?.into_native()
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        receive(self.plugin.delete(AbiCall::current(), key.as_str().into(), options.into_abi())).await
    }

    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        receive(self.plugin.delete_many(AbiCall::current(), keys.into_abi())).await
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        receive(self.plugin.exists(AbiCall::current(), key.as_str().into())).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        receive(self.plugin.get_metadata(AbiCall::current(), key.as_str().into(), options.into_abi())).await
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        receive(self.plugin.list_files(AbiCall::current(), options.into_abi())).await
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        let (from, to) = (from.as_str().into(), to.as_str().into());
        receive(self.plugin.copy(AbiCall::current(), from, to, options.into_abi())).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<PresignedUrl> {
        receive(self.plugin.presign(AbiCall::current(), request.into_abi())).await
    }

    async fn begin_multipart(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        receive(self.plugin.begin_multipart(AbiCall::current(), key.as_str().into(), options.into_abi()))
            .await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: PartOptions,
    ) -> Result<Part> {
        let (key, upload, body) =
            (key.as_str().into(), upload.clone().into_abi(), self.body("upload_part", body));
        let options = options.into_abi();
        receive(self.plugin.upload_part(AbiCall::current(), key, upload, number, body, options)).await
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
        options: CompleteOptions,
    ) -> Result<SaveResult> {
        let (key, upload, parts) = (key.as_str().into(), upload.clone().into_abi(), parts.into_abi());
        let options = options.into_abi();
        receive(self.plugin.complete_multipart(AbiCall::current(), key, upload, parts, options)).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        let (key, upload) = (key.as_str().into(), upload.clone().into_abi());
        receive(self.plugin.abort_multipart(AbiCall::current(), key, upload)).await
    }

    async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: ListPartsOptions,
    ) -> Result<PartPage> {
        let (key, upload) = (key.as_str().into(), upload.clone().into_abi());
        receive(self.plugin.list_parts(AbiCall::current(), key, upload, options.into_abi())).await
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        receive(self.plugin.list_uploads(AbiCall::current(), options.into_abi())).await
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        receive(self.plugin.list_versions(AbiCall::current(), options.into_abi())).await
    }

    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        let (key, tier) = (key.as_str().into(), tier.into_abi());
        receive(self.plugin.set_tier(AbiCall::current(), key, tier, options.into_abi())).await
    }

    async fn restore(&self, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
        receive(self.plugin.restore(AbiCall::current(), key.as_str().into(), options.into_abi())).await
    }

    async fn restore_status(&self, key: &ObjectKey, version: Option<VersionId>) -> Result<RestoreStatus> {
        receive(self.plugin.restore_status(AbiCall::current(), key.as_str().into(), version.into_abi())).await
    }

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        receive(self.plugin.apply_lifecycle(AbiCall::current(), rules.into_abi())).await
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        receive(self.plugin.invoke(AbiCall::current(), name.into(), arguments.into_abi())).await
    }

    async fn close(&self) -> Result<()> {
        receive(self.plugin.close(AbiCall::current())).await
    }
}
