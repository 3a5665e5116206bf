//! The operations of an exported backend, one by one: read the arguments, call, write the answer.

use abi_stable::std_types::{ROption, RStr, RString, RVec};
use serde_json::Value;

use super::Exported;
use crate::abi::backend::{AbiBackend, Answer};
use crate::abi::stream::AbiBody;
use crate::abi::value::*;
use crate::key::ObjectKey;
use crate::multipart::{CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, UploadId};
use crate::object::VersionId;
use crate::request::{
    CopyOptions, DeleteOptions, ListOptions, MetadataOptions, PresignRequest, RetrieveOptions, Retrieved,
    SaveOptions,
};
use crate::tiering::{LifecycleRule, RestoreOptions, SetTierOptions, Tier};
use crate::versions::ListVersionsOptions;

/// Reads an argument that came over the boundary. Keys are read before, since they are borrowed for the call alone.
macro_rules! read {
    ($($name:ident: $type:ty),+) => { $(let $name = <$type>::from_abi($name)?;)+ };
}

impl AbiBackend for Exported {
    fn health(&self, call: AbiCall) -> Answer<AbiHealth> {
        self.run(&call, "health", |backend, _| async move { backend.health().await })
    }

    fn save(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        body: AbiBody,
        options: AbiSaveOptions,
    ) -> Answer<AbiSaveResult> {
        let key = ObjectKey::new(key);
        self.run(&call, "save", |backend, _| async move {
            let key = key?;
            read!(options: SaveOptions);
            options.validate()?;
            backend.save(&key, body.into_stream()?, options).await
        })
    }

    fn retrieve(&self, call: AbiCall, key: RStr<'_>, options: AbiRetrieveOptions) -> Answer<AbiRetrieved> {
        let key = ObjectKey::new(key);
        self.run(&call, "retrieve", |backend, guard| {
            let guard = guard.clone();
            async move {
                let key = key?;
                read!(options: RetrieveOptions);
                let Retrieved { meta, range, body } = backend.retrieve(&key, options).await?;
                Ok(AbiRetrieved {
                    meta: meta.into_abi(),
                    range: range.into_abi(),
                    body: AbiBody::new(body, guard),
                    later: Later::new(),
                })
            }
        })
    }

    fn delete(&self, call: AbiCall, key: RStr<'_>, options: AbiDeleteOptions) -> Answer<AbiDeleteResult> {
        let key = ObjectKey::new(key);
        self.run(&call, "delete", |backend, _| async move {
            let key = key?;
            read!(options: DeleteOptions);
            backend.delete(&key, options).await
        })
    }

    fn delete_many(&self, call: AbiCall, keys: RVec<RString>) -> Answer<RVec<Outcome<AbiDeleteResult>>> {
        self.run(&call, "delete_many", |backend, _| async move {
            read!(keys: Vec<ObjectKey>);
            backend.delete_many(keys).await
        })
    }

    fn exists(&self, call: AbiCall, key: RStr<'_>) -> Answer<bool> {
        let key = ObjectKey::new(key);
        self.run(&call, "exists", |backend, _| async move {
            let key = key?;
            backend.exists(&key).await
        })
    }

    fn get_metadata(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        options: AbiMetadataOptions,
    ) -> Answer<AbiObjectMeta> {
        let key = ObjectKey::new(key);
        self.run(&call, "get_metadata", |backend, _| async move {
            let key = key?;
            read!(options: MetadataOptions);
            backend.get_metadata(&key, options).await
        })
    }

    fn list_files(&self, call: AbiCall, options: AbiListOptions) -> Answer<AbiListPage> {
        self.run(&call, "list_files", |backend, _| async move {
            read!(options: ListOptions);
            backend.list_files(options).await
        })
    }

    fn copy(
        &self,
        call: AbiCall,
        from: RStr<'_>,
        to: RStr<'_>,
        options: AbiCopyOptions,
    ) -> Answer<AbiSaveResult> {
        let (from, to) = (ObjectKey::new(from), ObjectKey::new(to));
        self.run(&call, "copy", |backend, _| async move {
            let (from, to) = (from?, to?);
            read!(options: CopyOptions);
            if let Some(replace) = &options.replace {
                replace.validate()?;
            }
            backend.copy(&from, &to, options).await
        })
    }

    fn presign(&self, call: AbiCall, request: AbiPresignRequest) -> Answer<AbiPresignedUrl> {
        self.run(&call, "presign", |backend, _| async move {
            read!(request: PresignRequest);
            backend.presign(request).await
        })
    }

    fn begin_multipart(&self, call: AbiCall, key: RStr<'_>, options: AbiSaveOptions) -> Answer<RString> {
        let key = ObjectKey::new(key);
        self.run(&call, "begin_multipart", |backend, _| async move {
            let key = key?;
            read!(options: SaveOptions);
            options.validate()?;
            backend.begin_multipart(&key, options).await
        })
    }

    fn upload_part(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        upload: RString,
        number: u32,
        body: AbiBody,
        options: AbiPartOptions,
    ) -> Answer<AbiPart> {
        let key = ObjectKey::new(key);
        self.run(&call, "upload_part", |backend, _| async move {
            let key = key?;
            read!(upload: UploadId, options: PartOptions);
            backend.upload_part(&key, &upload, number, body.into_stream()?, options).await
        })
    }

    fn complete_multipart(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        upload: RString,
        parts: RVec<AbiPart>,
        options: AbiCompleteOptions,
    ) -> Answer<AbiSaveResult> {
        let key = ObjectKey::new(key);
        self.run(&call, "complete_multipart", |backend, _| async move {
            let key = key?;
            read!(upload: UploadId, parts: Vec<Part>, options: CompleteOptions);
            backend.complete_multipart(&key, &upload, parts, options).await
        })
    }

    fn abort_multipart(&self, call: AbiCall, key: RStr<'_>, upload: RString) -> Answer<AbiAbortResult> {
        let key = ObjectKey::new(key);
        self.run(&call, "abort_multipart", |backend, _| async move {
            let key = key?;
            read!(upload: UploadId);
            backend.abort_multipart(&key, &upload).await
        })
    }

    fn list_parts(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        upload: RString,
        options: AbiListPartsOptions,
    ) -> Answer<AbiPartPage> {
        let key = ObjectKey::new(key);
        self.run(&call, "list_parts", |backend, _| async move {
            let key = key?;
            read!(upload: UploadId, options: ListPartsOptions);
            backend.list_parts(&key, &upload, options).await
        })
    }

    fn list_uploads(&self, call: AbiCall, options: AbiListUploadsOptions) -> Answer<AbiUploadPage> {
        self.run(&call, "list_uploads", |backend, _| async move {
            read!(options: ListUploadsOptions);
            backend.list_uploads(options).await
        })
    }

    fn list_versions(&self, call: AbiCall, options: AbiListVersionsOptions) -> Answer<AbiVersionPage> {
        self.run(&call, "list_versions", |backend, _| async move {
            read!(options: ListVersionsOptions);
            backend.list_versions(options).await
        })
    }

    fn set_tier(&self, call: AbiCall, key: RStr<'_>, tier: u32, options: AbiSetTierOptions) -> Answer<()> {
        let key = ObjectKey::new(key);
        self.run(&call, "set_tier", |backend, _| async move {
            let key = key?;
            read!(tier: Tier, options: SetTierOptions);
            backend.set_tier(&key, tier, options).await
        })
    }

    fn restore(&self, call: AbiCall, key: RStr<'_>, options: AbiRestoreOptions) -> Answer<()> {
        let key = ObjectKey::new(key);
        self.run(&call, "restore", |backend, _| async move {
            let key = key?;
            read!(options: RestoreOptions);
            backend.restore(&key, options).await
        })
    }

    fn restore_status(
        &self,
        call: AbiCall,
        key: RStr<'_>,
        version: ROption<RString>,
    ) -> Answer<AbiRestoreStatus> {
        let key = ObjectKey::new(key);
        self.run(&call, "restore_status", |backend, _| async move {
            let key = key?;
            read!(version: Option<VersionId>);
            backend.restore_status(&key, version).await
        })
    }

    fn apply_lifecycle(&self, call: AbiCall, rules: RVec<AbiLifecycleRule>) -> Answer<AbiLifecycleReport> {
        self.run(&call, "apply_lifecycle", |backend, _| async move {
            read!(rules: Vec<LifecycleRule>);
            backend.apply_lifecycle(rules).await
        })
    }

    fn invoke(&self, call: AbiCall, name: RString, arguments: RString) -> Answer<RString> {
        self.run(&call, "invoke", |backend, _| async move {
            read!(arguments: Value);
            backend.invoke(&name, arguments).await
        })
    }

    fn close(&self, call: AbiCall) -> Answer<()> {
        self.run(&call, "close", |backend, _| async move { backend.close().await })
    }
}
