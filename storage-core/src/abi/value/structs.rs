//! The structs of the contract, field by field. Bodies cross in [`super::super::stream`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RString};

use super::{Later, Mirror, mirror};
use crate::abi::stream::AbiBody;
use crate::backend::OpenRequest;
use crate::capability::{BackendInfo, Capabilities, Extension, ExtensionArgument, Health, Limits};
use crate::config::{ConfigField, ConfigKind, ConfigSchema, ConfigValues};
use crate::correlation;
use crate::error::Result;
use crate::key::ObjectKey;
use crate::multipart::{
    AbortResult, CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, PartPage, Upload,
    UploadId, UploadPage,
};
use crate::object::{Checksums, ETag, ObjectMeta, VersionId};
use crate::request::{
    ByteRange, CopyOptions, DeleteOptions, DeleteResult, Extra, ListOptions, ListPage, MetadataOptions,
    PresignMethod, PresignRequest, PresignedUrl, ReadCondition, RetrieveOptions, Retrieved, SaveOptions,
    SaveResult, WriteCondition,
};
use crate::tiering::{
    LifecycleReport, LifecycleRule, RestoreOptions, RestoreSpeed, RestoreStatus, SetTierOptions, Tier,
};
use crate::versions::{ListVersionsOptions, ObjectVersion, VersionPage};

/// What accompanies every call. What a newer host adds to it is no option and may be passed over.
#[repr(C)]
#[derive(StableAbi)]
pub(crate) struct AbiCall {
    /// The id of the work that the call belongs to.
    correlation: ROption<RString>,
    later: Later,
}

impl AbiCall {
    /// What accompanies a call that is made now.
    pub(crate) fn current() -> Self {
        Self { correlation: correlation::current().map(|id| RString::from(&*id)).into(), later: Later::new() }
    }

    /// The id of the work that the call belongs to.
    pub(crate) fn correlation(&self) -> Option<Arc<str>> {
        self.correlation.as_ref().map(|id| Arc::from(id.as_str())).into()
    }
}

mirror! {
    request OpenRequest as AbiOpenRequest { name: String, config: ConfigValues, extra: Extra }
    answer ConfigSchema as AbiConfigSchema { fields: Vec<ConfigField> }
    answer ConfigField as AbiConfigField {
        key: String,
        variable: String,
        kind: ConfigKind,
        required: bool,
        secret: bool,
        default: Option<String>,
        description: String,
    }

    answer BackendInfo as AbiBackendInfo {
        backend_type: String,
        location: String,
        server: Option<String>,
        capabilities: Capabilities,
        limits: Limits,
        extensions: Vec<Extension>,
        extra: Extra,
    }
    answer Limits as AbiLimits {
        max_object_bytes: Option<u64>,
        max_single_save_bytes: Option<u64>,
        min_part_bytes: Option<u64>,
        max_part_bytes: Option<u64>,
        max_parts: Option<u32>,
        max_delete_batch: Option<u32>,
        max_list_page: Option<u32>,
        max_presign_expiry: Option<Duration>,
    }
    answer Extension as AbiExtension {
        name: String,
        description: String,
        mutates: bool,
        arguments: Vec<ExtensionArgument>,
    }
    answer ExtensionArgument as AbiExtensionArgument { name: String, description: String, required: bool }
    answer Health as AbiHealth { problems: Vec<String>, free_bytes: Option<u64>, extra: Extra }

    answer ObjectMeta as AbiObjectMeta {
        key: ObjectKey,
        size_bytes: u64,
        last_modified: SystemTime,
        etag: Option<ETag>,
        version: Option<VersionId>,
        content_type: Option<String>,
        content_encoding: Option<String>,
        content_language: Option<String>,
        content_disposition: Option<String>,
        cache_control: Option<String>,
        checksums: Checksums,
        tier: Option<Tier>,
        storage_class: Option<String>,
        metadata: BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
        extra: Extra,
    }

    request SaveOptions as AbiSaveOptions {
        condition: WriteCondition,
        content_type: Option<String>,
        content_encoding: Option<String>,
        content_language: Option<String>,
        content_disposition: Option<String>,
        cache_control: Option<String>,
        metadata: BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
        checksums: Checksums,
        tier: Option<Tier>,
        extra: Extra,
    }
    answer SaveResult as AbiSaveResult {
        size_bytes: u64,
        etag: Option<ETag>,
        version: Option<VersionId>,
        checksums: Checksums,
        extra: Extra,
    }
    request ReadCondition as AbiReadCondition {
        if_match: Option<ETag>,
        if_none_match: Option<ETag>,
        if_modified_since: Option<SystemTime>,
        if_unmodified_since: Option<SystemTime>,
    }
    request RetrieveOptions as AbiRetrieveOptions {
        range: Option<ByteRange>,
        version: Option<VersionId>,
        condition: ReadCondition,
        extra: Extra,
    }
    request MetadataOptions as AbiMetadataOptions { version: Option<VersionId>, extra: Extra }
    request DeleteOptions as AbiDeleteOptions {
        version: Option<VersionId>,
        if_match: Option<ETag>,
        extra: Extra,
    }
    answer DeleteResult as AbiDeleteResult {
        existed: bool,
        version: Option<VersionId>,
        delete_marker: bool,
    }
    request ListOptions as AbiListOptions {
        prefix: String,
        start_after: Option<String>,
        page_token: Option<String>,
        limit: Option<u32>,
        delimited: bool,
        extra: Extra,
    }
    answer ListPage as AbiListPage {
        objects: Vec<ObjectMeta>,
        common_prefixes: Vec<String>,
        next_page_token: Option<String>,
    }
    request CopyOptions as AbiCopyOptions {
        source_version: Option<VersionId>,
        source_if_match: Option<ETag>,
        condition: WriteCondition,
        replace: Option<SaveOptions>,
        extra: Extra,
    }
    request PresignRequest as AbiPresignRequest {
        key: ObjectKey,
        method: PresignMethod,
        expires_in: Duration,
        version: Option<VersionId>,
        content_type: Option<String>,
        content_disposition: Option<String>,
        content_length_bytes: Option<u64>,
        checksums: Checksums,
        extra: Extra,
    }
    answer PresignedUrl as AbiPresignedUrl {
        url: String,
        headers: Vec<(String, String)>,
        expires_at: SystemTime,
    }

    request PartOptions as AbiPartOptions { checksums: Checksums, extra: Extra }
    answer Part as AbiPart { number: u32, size_bytes: u64, etag: ETag, checksums: Checksums }
    request CompleteOptions as AbiCompleteOptions {
        condition: WriteCondition,
        checksums: Checksums,
        extra: Extra,
    }
    answer AbortResult as AbiAbortResult { existed: bool }
    request ListPartsOptions as AbiListPartsOptions { after: Option<u32>, limit: Option<u32> }
    answer PartPage as AbiPartPage { parts: Vec<Part>, next_after: Option<u32> }
    request ListUploadsOptions as AbiListUploadsOptions {
        prefix: String,
        page_token: Option<String>,
        limit: Option<u32>,
    }
    answer Upload as AbiUpload { key: ObjectKey, id: UploadId, started_at: SystemTime }
    answer UploadPage as AbiUploadPage { uploads: Vec<Upload>, next_page_token: Option<String> }

    request ListVersionsOptions as AbiListVersionsOptions {
        prefix: String,
        page_token: Option<String>,
        limit: Option<u32>,
    }
    answer ObjectVersion as AbiObjectVersion { meta: ObjectMeta, is_latest: bool, is_delete_marker: bool }
    answer VersionPage as AbiVersionPage { versions: Vec<ObjectVersion>, next_page_token: Option<String> }

    request SetTierOptions as AbiSetTierOptions {
        version: Option<VersionId>,
        speed: Option<RestoreSpeed>,
        extra: Extra,
    }
    request RestoreOptions as AbiRestoreOptions {
        version: Option<VersionId>,
        days: Option<u32>,
        speed: RestoreSpeed,
        extra: Extra,
    }
    request LifecycleRule as AbiLifecycleRule {
        id: String,
        prefix: String,
        enabled: bool,
        transitions: Vec<(Duration, Tier)>,
        expire_after: Option<Duration>,
        expire_old_versions_after: Option<Duration>,
        abort_uploads_after: Option<Duration>,
    }
    answer LifecycleReport as AbiLifecycleReport {
        applied: bool,
        document: Option<String>,
        notes: Vec<String>,
    }
}

/// The mirror of [`Retrieved`]. Its body goes with a guard, so that only the way in is a plain conversion.
#[repr(C)]
#[derive(StableAbi)]
pub(crate) struct AbiRetrieved {
    pub(crate) meta: AbiObjectMeta,
    pub(crate) range: <Range<u64> as Mirror>::Abi,
    pub(crate) body: AbiBody,
    pub(crate) later: Later,
}

impl AbiRetrieved {
    /// On the way in.
    ///
    /// # Errors
    ///
    /// As [`Mirror::from_abi`].
    pub(crate) fn into_native(self) -> Result<Retrieved> {
        Ok(Retrieved {
            meta: ObjectMeta::from_abi(self.meta)?,
            range: Range::from_abi(self.range)?,
            body: self.body.into_stream()?,
        })
    }
}

/// The mirror of [`RestoreStatus`].
pub(crate) type AbiRestoreStatus = <RestoreStatus as Mirror>::Abi;
