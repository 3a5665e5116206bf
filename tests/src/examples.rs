//! One value of every type that crosses the plugin boundary, with no field left at its default.
//!
//! Compiled into the tests and, by path, into the `probe` plugin, so that both sides can compare what arrived
//! with what was sent.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use storage_core::*;

/// A key with everything that a key may hold.
pub fn key() -> ObjectKey {
    ObjectKey::new("users/7/a b/résumé 日本.pdf").expect("a legal key")
}

/// A moment with a fraction, before 1970.
pub fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH - Duration::new(86_400, 250_000_001)
}

/// A moment after 1970.
pub fn later_moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 999_999_999)
}

fn pairs(what: &str) -> BTreeMap<String, String> {
    let pair = |n: u32| (format!("{what}-{n}"), format!("value {n}"));
    (0..3).map(pair).collect()
}

/// Every digest.
pub fn checksums() -> Checksums {
    Checksums {
        sha256: Some(std::array::from_fn(|n| n as u8)),
        md5: Some([0xab; 16]),
        crc32c: Some(0xdead_beef),
        crc64nvme: Some(u64::MAX),
    }
}

/// Options of a save.
pub fn save_options() -> SaveOptions {
    SaveOptions {
        condition: WriteCondition::IfMatch(ETag::new("tag \"1\"")),
        content_type: Some("application/pdf".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        content_language: Some("fr".to_owned()),
        content_disposition: Some("attachment".to_owned()),
        cache_control: Some("no-store".to_owned()),
        metadata: pairs("metadata"),
        tags: pairs("tag"),
        checksums: checksums(),
        tier: Some(Tier::Glacier),
        extra: pairs("extra"),
    }
}

/// The answer to a save.
pub fn save_result() -> SaveResult {
    SaveResult {
        size_bytes: u64::MAX,
        etag: Some(ETag::new("etag")),
        version: Some(VersionId::new("v1")),
        checksums: checksums(),
        extra: pairs("extra"),
    }
}

/// Options of a retrieve.
pub fn retrieve_options() -> RetrieveOptions {
    RetrieveOptions {
        range: Some(ByteRange::Bounded(7, 4_000_000_000_000)),
        version: Some(VersionId::new("v2")),
        condition: ReadCondition {
            if_match: Some(ETag::new("a")),
            if_none_match: Some(ETag::new("b")),
            if_modified_since: Some(moment()),
            if_unmodified_since: Some(later_moment()),
        },
        extra: pairs("extra"),
    }
}

/// Options of a delete.
pub fn delete_options() -> DeleteOptions {
    DeleteOptions {
        version: Some(VersionId::new("v")),
        if_match: Some(ETag::new("e")),
        extra: pairs("extra"),
    }
}

/// The answer to a delete.
pub fn delete_result() -> DeleteResult {
    DeleteResult { existed: true, version: Some(VersionId::new("marker")), delete_marker: true }
}

/// The answers to the deletes of three keys, of which one failed.
pub fn delete_results() -> Vec<Result<DeleteResult>> {
    vec![Ok(delete_result()), Err(error()), Ok(DeleteResult::default())]
}

/// An object of which everything is known.
pub fn meta() -> ObjectMeta {
    ObjectMeta {
        etag: Some(ETag::new("etag")),
        version: Some(VersionId::new("v1")),
        content_type: Some("text/plain".to_owned()),
        content_encoding: Some("br".to_owned()),
        content_language: Some("de".to_owned()),
        content_disposition: Some("inline".to_owned()),
        cache_control: Some("max-age=1".to_owned()),
        checksums: checksums(),
        tier: Some(Tier::Cold),
        storage_class: Some("COOL".to_owned()),
        metadata: pairs("metadata"),
        tags: pairs("tag"),
        extra: pairs("extra"),
        ..ObjectMeta::new(key(), 1 << 40, moment())
    }
}

/// Options of a metadata call.
pub fn metadata_options() -> MetadataOptions {
    MetadataOptions { version: Some(VersionId::new("v")), extra: pairs("extra") }
}

/// Options of a listing.
pub fn list_options() -> ListOptions {
    ListOptions {
        prefix: "a/".to_owned(),
        start_after: Some("a/b".to_owned()),
        page_token: Some("token".to_owned()),
        limit: Some(u32::MAX),
        delimited: true,
        extra: pairs("extra"),
    }
}

/// A page of a listing.
pub fn list_page() -> ListPage {
    ListPage {
        objects: vec![meta(), ObjectMeta::new(key(), 0, later_moment())],
        common_prefixes: vec!["a/".to_owned(), "b/".to_owned()],
        next_page_token: Some("next".to_owned()),
    }
}

/// Options of a copy.
pub fn copy_options() -> CopyOptions {
    CopyOptions {
        source_version: Some(VersionId::new("v")),
        source_if_match: Some(ETag::new("e")),
        condition: WriteCondition::IfAbsent,
        replace: Some(save_options()),
        extra: pairs("extra"),
    }
}

/// What to presign.
pub fn presign_request() -> PresignRequest {
    PresignRequest {
        version: Some(VersionId::new("v")),
        content_type: Some("text/plain".to_owned()),
        content_disposition: Some("inline".to_owned()),
        content_length_bytes: Some(99),
        checksums: checksums(),
        extra: pairs("extra"),
        ..PresignRequest::new(key(), PresignMethod::Put, Duration::new(60, 5))
    }
}

/// A presigned URL.
pub fn presigned_url() -> PresignedUrl {
    PresignedUrl {
        url: "https://example.org/?signature=1".to_owned(),
        headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        expires_at: later_moment(),
    }
}

/// An upload's name.
pub fn upload_id() -> UploadId {
    UploadId::new("upload/1")
}

/// Options of a part.
pub fn part_options() -> PartOptions {
    PartOptions { checksums: checksums(), extra: pairs("extra") }
}

/// A part.
pub fn part() -> Part {
    Part { number: 10_000, size_bytes: 5, etag: ETag::new("p"), checksums: checksums() }
}

/// Options of the completion of an upload.
pub fn complete_options() -> CompleteOptions {
    CompleteOptions { condition: WriteCondition::IfAbsent, checksums: checksums(), extra: pairs("extra") }
}

/// The answer to an abort.
pub fn abort_result() -> AbortResult {
    AbortResult { existed: true }
}

/// Which parts to list.
pub fn list_parts_options() -> ListPartsOptions {
    ListPartsOptions { after: Some(3), limit: Some(4) }
}

/// A page of parts.
pub fn part_page() -> PartPage {
    PartPage { parts: vec![part(), part()], next_after: Some(7) }
}

/// Which uploads to list.
pub fn list_uploads_options() -> ListUploadsOptions {
    ListUploadsOptions { prefix: "p".to_owned(), page_token: Some("t".to_owned()), limit: Some(2) }
}

/// A page of uploads.
pub fn upload_page() -> UploadPage {
    UploadPage {
        uploads: vec![Upload { key: key(), id: upload_id(), started_at: moment() }],
        next_page_token: Some("next".to_owned()),
    }
}

/// Which versions to list.
pub fn list_versions_options() -> ListVersionsOptions {
    ListVersionsOptions { prefix: "p".to_owned(), page_token: Some("t".to_owned()), limit: Some(2) }
}

/// A page of versions.
pub fn version_page() -> VersionPage {
    VersionPage {
        versions: vec![ObjectVersion { meta: meta(), is_latest: true, is_delete_marker: true }],
        next_page_token: Some("next".to_owned()),
    }
}

/// Options of a change of tier.
pub fn set_tier_options() -> SetTierOptions {
    SetTierOptions {
        version: Some(VersionId::new("v")),
        speed: Some(RestoreSpeed::Expedited),
        extra: pairs("extra"),
    }
}

/// Options of a restore.
pub fn restore_options() -> RestoreOptions {
    RestoreOptions {
        version: Some(VersionId::new("v")),
        days: Some(30),
        speed: RestoreSpeed::Bulk,
        extra: pairs("extra"),
    }
}

/// The state of a restore.
pub fn restore_status() -> RestoreStatus {
    RestoreStatus::Restored { until: Some(later_moment()) }
}

/// Rules of a lifecycle.
pub fn lifecycle_rules() -> Vec<LifecycleRule> {
    vec![LifecycleRule {
        id: "rule".to_owned(),
        prefix: "logs/".to_owned(),
        enabled: true,
        transitions: vec![
            (Duration::from_secs(86_400), Tier::Warm),
            (Duration::from_secs(864_000), Tier::Cold),
        ],
        expire_after: Some(Duration::from_secs(1)),
        expire_old_versions_after: Some(Duration::from_millis(1)),
        abort_uploads_after: Some(Duration::from_nanos(1)),
    }]
}

/// What became of the rules.
pub fn lifecycle_report() -> LifecycleReport {
    LifecycleReport { applied: true, document: Some("{}".to_owned()), notes: vec!["rounded".to_owned()] }
}

/// A state of health.
pub fn health() -> Health {
    Health { problems: vec!["nearly full".to_owned()], free_bytes: Some(12), extra: pairs("extra") }
}

/// What a backend says of itself.
pub fn info() -> BackendInfo {
    BackendInfo {
        backend_type: "probe".to_owned(),
        location: "nowhere".to_owned(),
        server: Some("Probe 1".to_owned()),
        capabilities: Capabilities::COPY | Capabilities::from_bits(1 << 60),
        limits: Limits {
            max_object_bytes: Some(1),
            max_single_save_bytes: Some(2),
            min_part_bytes: Some(3),
            max_part_bytes: Some(4),
            max_parts: Some(5),
            max_delete_batch: Some(6),
            max_list_page: Some(7),
            max_presign_expiry: Some(Duration::from_secs(8)),
        },
        extensions: vec![Extension {
            name: "counters".to_owned(),
            description: "Counts.".to_owned(),
            mutates: true,
            arguments: vec![ExtensionArgument {
                name: "reset".to_owned(),
                description: "Starts again.".to_owned(),
                required: true,
            }],
        }],
        extra: pairs("extra"),
    }
}

/// JSON of every kind.
pub fn json() -> serde_json::Value {
    serde_json::json!({ "text": "é\u{0}", "numbers": [1, -2, 3.5, u64::MAX], "nothing": null, "yes": true })
}

/// An error with all its parts, of a kind that no version names.
pub fn error() -> Error {
    let root = std::io::Error::other("connection refused");
    let cause = Error::new(ErrorKind::Unavailable, "the provider did not answer").with_source(root);
    Error::new(ErrorKind::from_code(9_000), "the probe failed as it was told to")
        .with_retry(Retry::After(Duration::from_millis(1_500)))
        .with_operation("put_object")
        .with_backend("hot")
        .with_key(key())
        .with_context("attempt", 3)
        .with_context("request_id", "abc")
        .with_source(cause)
}
