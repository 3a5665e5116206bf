//! The reference backend: everything in memory, every optional family supported.
//!
//! It shows what the contract means, serves tests and examples, and is what the conformance suite is
//! tried on first. It loses everything when it is dropped and sets no bound to what it holds: it is
//! no place for real files.
//!
//! # Time
//!
//! Restores, the expiry of URLs and lifecycle rules follow a clock that can be put forward, by
//! [`MemoryBackend::advance_clock`] or by the extension `advance_clock`, so that a test need not wait.
//!
//! # Example
//!
//! ```
//! use storage_core::memory::MemoryBackend;
//! use storage_core::{Backend, ByteRange, ObjectKey, RetrieveOptions, SaveOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> storage_core::Result<()> {
//! let backend = MemoryBackend::new("scratch");
//! let key = ObjectKey::new("users/7/résumé.txt")?;
//! backend.save(&key, "Ten years of Rust".into(), SaveOptions::default()).await?;
//!
//! let options = RetrieveOptions { range: Some(ByteRange::Suffix(4)), ..RetrieveOptions::default() };
//! let found = backend.retrieve(&key, options).await?;
//! assert_eq!(found.meta.size_bytes, 17);
//! assert_eq!(found.body.collect(1024).await?, "Rust");
//! # Ok(())
//! # }
//! ```

mod digest;
mod extension;
mod list;
mod multipart;
mod object;
mod presign;
mod state;
mod tiering;
mod token;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::backend::Backend;
use crate::capability::{BackendInfo, Capabilities, Health, Limits};
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::state::State;
use crate::multipart::{
    AbortResult, CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, PartPage,
    UploadId, UploadPage,
};
use crate::object::{Checksums, ObjectMeta, VersionId};
use crate::request::{
    CopyOptions, DeleteOptions, DeleteResult, Extra, ListOptions, ListPage, MetadataOptions, PresignRequest,
    PresignedUrl, RetrieveOptions, Retrieved, SaveOptions, SaveResult,
};
use crate::stream::ByteStream;
use crate::tiering::{LifecycleReport, LifecycleRule, RestoreOptions, RestoreStatus, SetTierOptions, Tier};
use crate::versions::{ListVersionsOptions, VersionPage};

/// A backend in memory. See the [module](self).
#[derive(Debug)]
pub struct MemoryBackend {
    name: String,
    info: Arc<BackendInfo>,
    secret: Secret,
    state: Mutex<State>,
}

/// Signs URLs and page tokens. `Debug` does not print it.
struct Secret([u8; 64]);

impl Secret {
    /// A secret of this process: the hasher's keys are the only randomness of the standard library.
    fn generate() -> Self {
        let mut bytes = [0; 64];
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
        }
        Self(bytes)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl MemoryBackend {
    /// The name of its backend type.
    pub const TYPE: &'static str = "memory";

    /// An empty backend that can do everything. The name is for error messages and URLs.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let capabilities =
            Capabilities::ALL.iter().fold(Capabilities::none(), |all, (one, _)| all.with(*one));
        let limits = Limits {
            max_parts: Some(10_000),
            max_list_page: Some(1_000),
            max_presign_expiry: Some(Duration::from_secs(7 * 24 * 3600)),
            ..Limits::default()
        };
        let info = BackendInfo {
            backend_type: Self::TYPE.to_owned(),
            location: format!("memory://{name}"),
            capabilities,
            limits,
            extensions: extension::list(capabilities),
            ..BackendInfo::default()
        };
        Self { name, info: Arc::new(info), secret: Secret::generate(), state: Mutex::new(State::new(true)) }
    }

    /// An empty backend with the same name and limits that has these capabilities alone.
    #[must_use]
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        let extensions = extension::list(capabilities);
        let info = BackendInfo { capabilities, extensions, ..BackendInfo::clone(&self.info) };
        let state = State::new(capabilities.has(Capabilities::VERSIONS));
        Self { info: Arc::new(info), state: Mutex::new(state), ..self }
    }

    /// The same backend with these limits, all of which it enforces.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let info = BackendInfo { limits, ..BackendInfo::clone(&self.info) };
        Self { info: Arc::new(info), ..self }
    }

    /// Puts the backend's clock forward: restores finish, URLs expire, lifecycle rules act.
    pub fn advance_clock(&self, by: Duration) {
        self.state().clock_ahead += by;
    }

    /// The state, after the lifecycle rules were applied. Every change of it is one step, so that it is
    /// sound even where a thread panicked while it held the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.apply_rules();
        state
    }

    fn has(&self, capability: Capabilities) -> bool {
        self.info.capabilities.has(capability)
    }

    fn require(&self, capability: Capabilities, what: &'static str) -> Result<()> {
        if self.has(capability) { Ok(()) } else { Err(Error::unsupported(what)) }
    }

    /// Refuses options of other providers.
    fn refuse_extra(&self, extra: &Extra) -> Result<()> {
        match extra.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::new(ErrorKind::Unsupported, "this backend has no options of its own")
                .with_context("option", name)),
        }
    }

    fn require_version(&self, version: Option<&VersionId>) -> Result<()> {
        if version.is_some() { self.require(Capabilities::VERSIONS, "versions") } else { Ok(()) }
    }

    /// Refuses expected digests that it could not check.
    fn require_checksums(&self, expected: &Checksums) -> Result<()> {
        let digests = [
            (expected.sha256.is_some(), Capabilities::VERIFY_SHA256, "expected sha256 digests"),
            (expected.md5.is_some(), Capabilities::VERIFY_MD5, "expected md5 digests"),
            (expected.crc32c.is_some(), Capabilities::VERIFY_CRC32C, "expected crc32c digests"),
            (expected.crc64nvme.is_some(), Capabilities::VERIFY_CRC64NVME, "expected crc64nvme digests"),
        ];
        digests
            .into_iter()
            .filter(|(given, ..)| *given)
            .try_for_each(|(_, capability, what)| self.require(capability, what))
    }

    /// How many entries a page has.
    fn page_limit(&self, wanted: Option<u32>) -> Result<usize> {
        if wanted == Some(0) {
            return Err(Error::new(ErrorKind::InvalidArgument, "a page of no entries was asked for"));
        }
        let largest = self.info.limits.max_list_page.unwrap_or(1_000);
        Ok(wanted.map_or(largest, |wanted| wanted.min(largest)) as usize)
    }

    /// Says in an error where it happened.
    fn located<T>(&self, operation: &'static str, key: Option<&ObjectKey>, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let error = error.with_operation(operation).with_backend(&*self.name);
            match key {
                Some(key) => error.with_key(key),
                None => error,
            }
        })
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn info(&self) -> Arc<BackendInfo> {
        Arc::clone(&self.info)
    }

    async fn health(&self) -> Result<Health> {
        let extra = Extra::from([("keys".to_owned(), self.state().objects.len().to_string())]);
        Ok(Health { extra, ..Health::default() })
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        self.located("save", Some(key), self.store(key, body, options).await)
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        self.located("retrieve", Some(key), self.read(key, &options))
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        self.located("delete", Some(key), self.remove(key, &options))
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        Ok(self.state().current(key).is_some())
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        self.located("get_metadata", Some(key), self.describe(key, &options))
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        self.located("list_files", None, self.page_of_objects(&options))
    }

    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        self.located("copy", Some(from), self.duplicate(from, to, options))
    }

    async fn presign(&self, request: PresignRequest) -> Result<PresignedUrl> {
        self.located("presign", Some(&request.key), self.sign(&request))
    }

    async fn begin_multipart(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        self.located("begin_multipart", Some(key), self.begin(key, options))
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: PartOptions,
    ) -> Result<Part> {
        let received = self.receive_part(key, upload, number, body, &options).await;
        self.located("upload_part", Some(key), received)
    }

    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
        options: CompleteOptions,
    ) -> Result<SaveResult> {
        self.located("complete_multipart", Some(key), self.complete(key, upload, &parts, &options))
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        self.located("abort_multipart", Some(key), self.abort(key, upload))
    }

    async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: ListPartsOptions,
    ) -> Result<PartPage> {
        self.located("list_parts", Some(key), self.page_of_parts(key, upload, &options))
    }

    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        self.located("list_uploads", None, self.page_of_uploads(&options))
    }

    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        self.located("list_versions", None, self.page_of_versions(&options))
    }

    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        self.located("set_tier", Some(key), self.change_tier(key, tier, &options))
    }

    async fn restore(&self, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
        self.located("restore", Some(key), self.begin_restore(key, &options))
    }

    async fn restore_status(&self, key: &ObjectKey, version: Option<VersionId>) -> Result<RestoreStatus> {
        self.located("restore_status", Some(key), self.status_of(key, version.as_ref()))
    }

    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        self.located("apply_lifecycle", None, self.set_rules(rules))
    }

    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        self.located("invoke", None, self.extension(name, arguments).await)
    }
}
