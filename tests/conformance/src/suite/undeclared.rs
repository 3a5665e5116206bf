//! The counter-check: a family that a backend does not declare is refused as `Unsupported`, and what was
//! asked for with it does not happen.

use std::time::Duration;

use storage_core::{
    Capabilities, Checksums, DeleteOptions, ErrorKind, LifecycleRule, ListPartsOptions, ListUploadsOptions,
    ListVersionsOptions, MetadataOptions, PartOptions, PresignMethod, PresignRequest, RestoreOptions,
    RetrieveOptions, SaveOptions, SetTierOptions, Tier, UploadId, VersionId, WriteCondition,
};

use super::Checked;
use super::check::refused;
use crate::fixture::{Chunking, Content};

const OLD: Content = Content::new(1, 100);
const NEW: Content = Content::new(2, 200);

/// Whether there is a call that asks for this family. What a listing carries is not asked for.
pub(super) fn can_be_asked(capability: Capabilities) -> bool {
    capability != Capabilities::LIST_METADATA
}

/// Calls everything that belongs to the family, and sees each refused and nothing changed.
pub(super) async fn is_refused(checked: Checked, capability: Capabilities) {
    let key = checked.key("object");
    let tag = checked.save(&key, OLD).await.etag.expect("a save gives a tag");
    let version = Some(VersionId::new("1"));
    let backend = &checked.backend;
    let unsupported = ErrorKind::Unsupported;
    let sums = Content::checksums(NEW);
    let only = Checksums::default();
    match capability {
        Capabilities::WRITE_IF_ABSENT => {
            let condition = WriteCondition::IfAbsent;
            save_is_refused(&checked, SaveOptions { condition, ..SaveOptions::default() }).await;
        }
        Capabilities::WRITE_IF_MATCH => {
            let condition = WriteCondition::IfMatch(tag);
            save_is_refused(&checked, SaveOptions { condition, ..SaveOptions::default() }).await;
        }
        Capabilities::DELETE_IF_MATCH => {
            let options = DeleteOptions { if_match: Some(tag), ..DeleteOptions::default() };
            refused(backend.delete(&key, options).await, unsupported);
        }
        Capabilities::COPY => {
            refused(backend.copy(&key, &checked.key("copy"), Default::default()).await, unsupported);
        }
        Capabilities::PRESIGN_GET => presign_is_refused(&checked, PresignMethod::Get).await,
        Capabilities::PRESIGN_PUT => presign_is_refused(&checked, PresignMethod::Put).await,
        Capabilities::MULTIPART => {
            let upload = UploadId::new("1");
            refused(backend.begin_multipart(&key, SaveOptions::default()).await, unsupported);
            let body = NEW.body(Chunking::Buffer);
            refused(backend.upload_part(&key, &upload, 1, body, PartOptions::default()).await, unsupported);
            refused(checked.complete(&key, &upload, Vec::new()).await, unsupported);
            refused(backend.abort_multipart(&key, &upload).await, unsupported);
            refused(backend.list_parts(&key, &upload, ListPartsOptions::default()).await, unsupported);
            refused(backend.list_uploads(ListUploadsOptions::default()).await, unsupported);
        }
        Capabilities::VERSIONS => {
            refused(backend.list_versions(ListVersionsOptions::default()).await, unsupported);
            let options = RetrieveOptions { version: version.clone(), ..RetrieveOptions::default() };
            refused(backend.retrieve(&key, options).await, unsupported);
            let options = MetadataOptions { version: version.clone(), ..MetadataOptions::default() };
            refused(backend.get_metadata(&key, options).await, unsupported);
            let options = DeleteOptions { version, ..DeleteOptions::default() };
            refused(backend.delete(&key, options).await, unsupported);
        }
        Capabilities::TIERS => {
            refused(backend.set_tier(&key, Tier::Cold, SetTierOptions::default()).await, unsupported);
            save_is_refused(&checked, SaveOptions { tier: Some(Tier::Hot), ..SaveOptions::default() }).await;
        }
        Capabilities::RESTORE => {
            refused(backend.restore(&key, RestoreOptions::default()).await, unsupported);
            refused(backend.restore_status(&key, None).await, unsupported);
        }
        Capabilities::LIFECYCLE => {
            let rule = LifecycleRule {
                id: "conformance".to_owned(),
                prefix: checked.prefix.clone(),
                enabled: true,
                transitions: Vec::new(),
                expire_after: Some(Duration::from_secs(24 * 3600)),
                expire_old_versions_after: None,
                abort_uploads_after: None,
            };
            refused(backend.apply_lifecycle(vec![rule]).await, unsupported);
        }
        Capabilities::TAGS => {
            let tags = [("team".to_owned(), "a".to_owned())].into();
            save_is_refused(&checked, SaveOptions { tags, ..SaveOptions::default() }).await;
        }
        Capabilities::VERIFY_SHA256 => {
            digest_is_refused(&checked, Checksums { sha256: sums.sha256, ..only }).await;
        }
        Capabilities::VERIFY_MD5 => digest_is_refused(&checked, Checksums { md5: sums.md5, ..only }).await,
        Capabilities::VERIFY_CRC32C => {
            digest_is_refused(&checked, Checksums { crc32c: sums.crc32c, ..only }).await;
        }
        Capabilities::VERIFY_CRC64NVME => {
            digest_is_refused(&checked, Checksums { crc64nvme: sums.crc64nvme, ..only }).await;
        }
        other => panic!("there is no counter-check for {other:?}"),
    }
    checked.holds(&key, OLD).await;
    assert_eq!(checked.listed().await, ["object"]);
}

async fn save_is_refused(checked: &Checked, options: SaveOptions) {
    for name in ["object", "other"] {
        let body = NEW.body(Chunking::Buffer);
        let answer = checked.backend.save(&checked.key(name), body, options.clone()).await;
        refused(answer, ErrorKind::Unsupported);
    }
}

async fn digest_is_refused(checked: &Checked, checksums: Checksums) {
    save_is_refused(checked, SaveOptions { checksums, ..SaveOptions::default() }).await;
}

async fn presign_is_refused(checked: &Checked, method: PresignMethod) {
    let request = PresignRequest::new(checked.key("object"), method, Duration::from_secs(60));
    refused(checked.backend.presign(request).await, ErrorKind::Unsupported);
}
