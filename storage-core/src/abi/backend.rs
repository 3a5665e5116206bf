//! The mirror of [`crate::Backend`], method for method. `info` crosses once, when the backend opens.

use abi_stable::sabi_trait;
use abi_stable::std_types::{ROption, RStr, RString, RVec};
use async_ffi::FfiFuture;

use super::stream::AbiBody;
use super::value::*;

/// The future of an operation.
pub(crate) type Answer<T> = FfiFuture<Outcome<T>>;

/// An opened backend of a plugin. A method only makes a future; everything happens when that is polled.
///
/// New methods go to the end, below the last prefix field, with a body that answers `Unsupported`
/// (what a host runs where an older plugin lacks the method).
#[sabi_trait]
pub(crate) trait AbiBackend: Send + Sync {
    fn health(&self, call: AbiCall) -> Answer<AbiHealth>;
    fn save(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        body: AbiBody,
        options: AbiSaveOptions,
    ) -> Answer<AbiSaveResult>;
    fn retrieve(&self, call: AbiCall, key: RStr<'_>, options: AbiRetrieveOptions) -> Answer<AbiRetrieved>;
    fn delete(&self, call: AbiCall, key: RStr<'_>, options: AbiDeleteOptions) -> Answer<AbiDeleteResult>;
    fn delete_many(&self, call: AbiCall, keys: RVec<RString>) -> Answer<RVec<Outcome<AbiDeleteResult>>>;
    fn exists(&self, call: AbiCall, key: RStr<'_>) -> Answer<bool>;
    fn get_metadata(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        options: AbiMetadataOptions,
    ) -> Answer<AbiObjectMeta>;
    fn list_files(&self, call: AbiCall, options: AbiListOptions) -> Answer<AbiListPage>;
    fn copy(
        &self,
        call: AbiCall,
        from: RStr<'_>,
        to: RStr<'_>,
        options: AbiCopyOptions,
    ) -> Answer<AbiSaveResult>;
    fn presign(&self, call: AbiCall, request: AbiPresignRequest) -> Answer<AbiPresignedUrl>;
    fn begin_multipart(&self, call: AbiCall, key: RStr<'_>, options: AbiSaveOptions) -> Answer<RString>;
    fn upload_part(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        upload: RString,
        number: u32,
        body: AbiBody,
        options: AbiPartOptions,
    ) -> Answer<AbiPart>;
    fn complete_multipart(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        upload: RString,
        parts: RVec<AbiPart>,
        options: AbiCompleteOptions,
    ) -> Answer<AbiSaveResult>;
    fn abort_multipart(&self, call: AbiCall, key: RStr<'_>, upload: RString) -> Answer<AbiAbortResult>;
    fn list_parts(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        upload: RString,
        options: AbiListPartsOptions,
    ) -> Answer<AbiPartPage>;
    fn list_uploads(&self, call: AbiCall, options: AbiListUploadsOptions) -> Answer<AbiUploadPage>;
    fn list_versions(&self, call: AbiCall, options: AbiListVersionsOptions) -> Answer<AbiVersionPage>;
    fn set_tier(&self, call: AbiCall, key: RStr<'_>, tier: u32, options: AbiSetTierOptions) -> Answer<()>;
    fn restore(&self, call: AbiCall, key: RStr<'_>, options: AbiRestoreOptions) -> Answer<()>;
    fn restore_status(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        version: ROption<RString>,
    ) -> Answer<AbiRestoreStatus>;
    fn apply_lifecycle(&self, call: AbiCall, rules: RVec<AbiLifecycleRule>) -> Answer<AbiLifecycleReport>;
    #[sabi(last_prefix_field)]
    fn invoke(&self, call: AbiCall, name: RString, arguments: RString) -> Answer<RString>;
    /// A plugin without it has nothing to end.
    fn close(&self, call: AbiCall) -> Answer<()> {
        drop(call);
        FfiFuture::new(async { Outcome::ROk(()) })
    }
}
