//! [`Backend`]: what every provider can do, and how it behaves when it does.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::capability::{BackendInfo, Health};
use crate::config::ConfigValues;
use crate::error::{Error, Result};
use crate::key::ObjectKey;
use crate::multipart::{
    AbortResult, CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, PartPage,
    UploadId, UploadPage,
};
use crate::object::{ObjectMeta, VersionId};
use crate::request::{
    CopyOptions, DeleteOptions, DeleteResult, Extra, ListOptions, ListPage, MetadataOptions, PresignRequest,
    PresignedUrl, RetrieveOptions, Retrieved, SaveOptions, SaveResult,
};
use crate::stream::ByteStream;
use crate::tiering::{LifecycleReport, LifecycleRule, RestoreOptions, RestoreStatus, SetTierOptions, Tier};
use crate::versions::{ListVersionsOptions, VersionPage};

/// What a plugin gets to open a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenRequest {
    /// The backend's name in the host's configuration (`aws_hot`), for messages.
    pub name: String,
    /// The values of its configuration; defaults are not filled in (see [`crate::ConfigReader`]).
    pub config: ConfigValues,
    /// Options of newer hosts. A plugin ignores what it does not know.
    pub extra: Extra,
}

/// One configured and opened instance of a provider.
///
/// Implemented by plugins, by in-memory fakes, by the decorators of the host, and by a plugin that was
/// loaded from a library. What is said here holds for every one of them, and the conformance suite
/// checks it.
///
/// # For every operation
///
/// * **Capabilities.** An operation or option whose capability [`Backend::info`] does not declare gives
///   `Unsupported`. Nothing that was asked for is ever ignored.
/// * **Missing keys.** Reading what does not exist gives `NotFound`; deleting it succeeds and says so.
/// * **Cancellation.** Dropping the future, or the stream that it gave, stops the work and leaves nothing
///   half-done behind: no partial object, no forgotten upload. A write that was dropped has either
///   happened wholly or not at all.
/// * **Consistency.** After a write has answered, every read through the same backend sees it.
/// * **Errors** carry their [`crate::Retry`]; an error that is retryable left nothing behind. `Unauthenticated`,
///   `PermissionDenied`, `RateLimited`, `Timeout`, `Unavailable`, `NoSpace` and `Internal` are possible everywhere
///   and not repeated below.
/// * **Time.** A backend bounds its connection attempts; the bounds of whole calls are the host's.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What the backend is and can do. Answers at once, from what was learnt when it opened.
    fn info(&self) -> Arc<BackendInfo>;

    /// Asks the provider whether it would serve now, with these credentials, reads and writes alike.
    ///
    /// # Errors
    ///
    /// Why it would not.
    async fn health(&self) -> Result<Health>;

    /// Stores bytes under a key, in place of what was there.
    ///
    /// Atomic: at any moment a reader sees the old content or the new one, whole, and a failed or
    /// dropped save leaves the old. Once it answers, the content is as durable as the provider makes it.
    /// Of two concurrent saves one wins wholly.
    /// The body is consumed; where it declares a length it gives exactly that many bytes.
    ///
    /// # Errors
    ///
    /// * the body's own error, where it fails; `LengthMismatch` where it is too short or too long
    /// * `AlreadyExists` or `PreconditionFailed`, as the condition has it
    /// * `ChecksumMismatch` where the content has not the expected digest
    /// * `ObjectArchived` where an archived object is there and the provider wants it deleted or restored first
    /// * `TooLarge`, `ObjectLocked`, `ReadOnly`
    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult>;

    /// Reads an object, or a range of it, from one version of it.
    ///
    /// Answers as soon as the metadata is known; the bytes follow as the stream is pulled.
    /// Where the connection breaks midway the stream yields an error; it never just ends early.
    ///
    /// # Errors
    ///
    /// * `NotFound` (also for a version that does not exist, and for a delete marker)
    /// * `RangeNotSatisfiable`, with the object's `size_bytes` as context
    /// * `NotModified` or `PreconditionFailed`, as the condition has it; a condition is decided before the range
    /// * `ObjectArchived`, saying how to restore it
    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved>;

    /// Removes an object, or one version of it for good.
    ///
    /// A missing key or version is a success with `existed: false`, which on a backend with versions makes
    /// no delete marker.
    ///
    /// # Errors
    ///
    /// * `PreconditionFailed` where `if_match` does not hold, missing objects included
    /// * `ObjectLocked`, `ReadOnly`
    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult>;

    /// Removes many objects, in any order, each as [`Backend::delete`] without options would.
    /// Gives one result per key, in the order of the keys.
    ///
    /// # Errors
    ///
    /// Only what concerns the call as a whole; then some of the objects may be gone.
    async fn delete_many(&self, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
        let mut results = Vec::with_capacity(keys.len());
        for key in &keys {
            results.push(self.delete(key, DeleteOptions::default()).await);
        }
        Ok(results)
    }

    /// Whether an object is there (a delete marker is not).
    ///
    /// # Errors
    ///
    /// Only where the question could not be answered.
    async fn exists(&self, key: &ObjectKey) -> Result<bool>;

    /// Describes an object: everything that was given at the save, and what the provider knows besides.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta>;

    /// Lists keys in byte order, a page at a time.
    ///
    /// An object that exists throughout the walk over all pages is listed exactly once; one that comes or
    /// goes meanwhile may be missing or there. A prefix without objects gives an empty page.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a page token that this backend did not give, or together with `start_after`,
    /// and for a limit of 0.
    async fn list_files(&self, options: ListOptions) -> Result<ListPage>;

    /// Copies an object inside the backend, without the bytes passing through the caller. Atomic as a save is.
    /// Copying an object onto itself with `replace` changes its metadata.
    ///
    /// # Errors
    ///
    /// `NotFound` for the source; else as [`Backend::save`]. `Unsupported` without `COPY`.
    async fn copy(&self, from: &ObjectKey, to: &ObjectKey, options: CopyOptions) -> Result<SaveResult> {
        let _ = (from, to, options);
        Err(Error::unsupported("copy"))
    }

    /// Signs a URL with which somebody without credentials may read or write one object for a while.
    /// Nothing is asked of the provider: the object need not exist.
    ///
    /// # Errors
    ///
    /// `Unsupported` without `PRESIGN_GET` or `PRESIGN_PUT`, or where the provider cannot bind what is asked;
    /// `InvalidArgument` for an expiry of zero or beyond the limit.
    async fn presign(&self, request: PresignRequest) -> Result<PresignedUrl> {
        let _ = request;
        Err(Error::unsupported("presign"))
    }

    /// Begins an upload in parts. Nothing can be read under the key before it is completed, and what was
    /// there stays. The upload survives a restart of the host. The condition is that of
    /// [`CompleteOptions`], not of these options, where it is `InvalidArgument`, as are digests.
    ///
    /// # Errors
    ///
    /// `Unsupported` without `MULTIPART`; `InvalidArgument`.
    async fn begin_multipart(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        let _ = (key, options);
        Err(Error::unsupported("begin_multipart"))
    }

    /// Sends one part. Parts may come in any order and at the same time; one that is sent again replaces
    /// the former.
    ///
    /// # Errors
    ///
    /// * `NotFound` for an upload that does not exist (completed and aborted ones included)
    /// * `InvalidArgument` for a number outside of 1 to 10,000
    /// * `TooLarge`; `ChecksumMismatch`; what the body gives
    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: PartOptions,
    ) -> Result<Part> {
        let _ = (key, upload, number, body, options);
        Err(Error::unsupported("upload_part"))
    }

    /// Makes the object from these parts, in the order of their numbers. Atomic as a save is.
    /// Parts that were sent and are not named are dropped.
    ///
    /// # Errors
    ///
    /// After each of these the upload is still open:
    /// * `NotFound` for the upload
    /// * `InvalidArgument` where a named part was not sent, its tag is another, the numbers do not ascend,
    ///   there is no part, or one that is not the last is below the smallest size
    /// * `AlreadyExists` or `PreconditionFailed`, as the condition has it; `ChecksumMismatch`
    async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
        options: CompleteOptions,
    ) -> Result<SaveResult> {
        let _ = (key, upload, parts, options);
        Err(Error::unsupported("complete_multipart"))
    }

    /// Ends an upload and drops its parts. An upload that does not exist is a success with `existed: false`.
    ///
    /// # Errors
    ///
    /// `Unsupported` without `MULTIPART`.
    async fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        let _ = (key, upload);
        Err(Error::unsupported("abort_multipart"))
    }

    /// Lists the parts of an upload by number.
    ///
    /// # Errors
    ///
    /// `NotFound` for the upload; `Unsupported` without `MULTIPART`.
    async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: ListPartsOptions,
    ) -> Result<PartPage> {
        let _ = (key, upload, options);
        Err(Error::unsupported("list_parts"))
    }

    /// Lists uploads in progress, so that forgotten ones can be found.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a foreign page token; `Unsupported` without `MULTIPART`.
    async fn list_uploads(&self, options: ListUploadsOptions) -> Result<UploadPage> {
        let _ = options;
        Err(Error::unsupported("list_uploads"))
    }

    /// Lists versions and delete markers, by key and, within a key, newest first.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a foreign page token; `Unsupported` without `VERSIONS`.
    async fn list_versions(&self, options: ListVersionsOptions) -> Result<VersionPage> {
        let _ = options;
        Err(Error::unsupported("list_versions"))
    }

    /// Moves an object to another tier; its content, tag and time of change stay where the provider allows it.
    ///
    /// # Errors
    ///
    /// `NotFound`; `ObjectArchived` where it must be restored first; `Unsupported` without `TIERS` or for a tier
    /// that this backend does not have.
    async fn set_tier(&self, key: &ObjectKey, tier: Tier, options: SetTierOptions) -> Result<()> {
        let _ = (key, tier, options);
        Err(Error::unsupported("set_tier"))
    }

    /// Asks for an archived object to be made readable, which may take hours. Asking again while it is under
    /// way succeeds.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidArgument` for an object that is not archived; `Unsupported` without `RESTORE`.
    async fn restore(&self, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
        let _ = (key, options);
        Err(Error::unsupported("restore"))
    }

    /// Whether an object can be read now.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Unsupported` without `RESTORE`.
    async fn restore_status(&self, key: &ObjectKey, version: Option<VersionId>) -> Result<RestoreStatus> {
        let _ = (key, version);
        Err(Error::unsupported("restore_status"))
    }

    /// Puts these rules in the place of those that an earlier call set; rules that others made stay.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, naming the rule; `Unsupported` without `LIFECYCLE`.
    async fn apply_lifecycle(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        let _ = rules;
        Err(Error::unsupported("apply_lifecycle"))
    }

    /// Calls a provider's own operation, as [`BackendInfo::extensions`] describes it: a JSON object in, JSON out.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a name that is not listed, naming those that are; `InvalidArgument` for arguments that are
    /// missing, unknown or of another form.
    async fn invoke(&self, name: &str, arguments: Value) -> Result<Value> {
        let _ = arguments;
        Err(Error::unsupported("invoke").with_context("extension", name))
    }

    /// Ends the backend's own background work and waits for it. Calls made afterwards may fail with `Unavailable`.
    ///
    /// # Errors
    ///
    /// What could not be brought to an end.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
