//! What S3 says of an object, as [`ObjectMeta`]; and the requests that ask for it.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, StorageClass};
use storage_core::{
    Capabilities, Checksums, ETag, Error, ErrorKind, Extra, MetadataOptions, ObjectKey, ObjectMeta, Result,
    VersionId,
};

use crate::call::call;
use crate::error::not_found;
use crate::metadata;
use crate::options::only;
use crate::store::{Store, with_customer_key};

/// What S3 itself calls content of which nobody said what it is. It is sent where nothing was said, since the SDK
/// would send another type, and is nothing when it comes back.
pub(crate) const NO_CONTENT_TYPE: &str = "binary/octet-stream";

/// What the answers to `HEAD` and `GET` have in common.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) last_modified: Option<DateTime>,
    pub(crate) etag: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) checksums: Checksums,
    pub(crate) class: StorageClass,
    pub(crate) metadata: Option<HashMap<String, String>>,
    pub(crate) tag_count: Option<i32>,
    pub(crate) extra: Extra,
}

/// Takes the [`Facts`] of an answer.
macro_rules! facts {
    ($answer:expr) => {{
        let answer = &$answer;
        let mut extra = storage_core::Extra::new();
        let mut tell = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                extra.insert(name.to_owned(), value);
            }
        };
        let name = |value: &str| Some(value.to_owned());
        tell("encryption", answer.server_side_encryption().and_then(|one| name(one.as_str())));
        tell("kms_key_id", answer.ssekms_key_id().and_then(name));
        tell("customer_key_md5", answer.sse_customer_key_md5().and_then(name));
        // A directory bucket says of every object that it does not tell.
        let expiration = answer.expiration().filter(|text| *text != "NotImplemented");
        tell("expiration", expiration.and_then(name));
        tell("restore", answer.restore().and_then(name));
        tell("replication", answer.replication_status().and_then(|one| name(one.as_str())));
        tell("object_lock_mode", answer.object_lock_mode().and_then(|one| name(one.as_str())));
        let until = answer.object_lock_retain_until_date();
        tell("object_lock_retain_until", until.and_then(crate::meta::format_time));
        let hold = answer.object_lock_legal_hold_status();
        tell("object_lock_legal_hold", hold.and_then(|one| name(one.as_str())));
        crate::meta::Facts {
            last_modified: answer.last_modified().copied(),
            etag: answer.e_tag().map(str::to_owned),
            version: answer.version_id().map(str::to_owned),
            content_type: answer.content_type().map(str::to_owned),
            content_encoding: answer.content_encoding().map(str::to_owned),
            content_language: answer.content_language().map(str::to_owned),
            content_disposition: answer.content_disposition().map(str::to_owned),
            cache_control: answer.cache_control().map(str::to_owned),
            checksums: crate::digest::of_answer(
                answer.checksum_sha256(),
                answer.checksum_crc32_c(),
                answer.checksum_crc64_nvme(),
                crate::meta::is_composite(answer.checksum_type()),
            ),
            class: crate::class::of_answer(answer.storage_class()),
            metadata: answer.metadata().cloned(),
            tag_count: answer.tag_count(),
            extra,
        }
    }};
}
pub(crate) use facts;

pub(crate) fn is_composite(kind: Option<&ChecksumType>) -> bool {
    kind == Some(&ChecksumType::Composite)
}

/// A moment as RFC 3339 has it.
pub(crate) fn format_time(time: &DateTime) -> Option<String> {
    time.fmt(DateTimeFormat::DateTime).ok()
}

/// A moment of an answer; where S3 told none, the beginning of time.
pub(crate) fn system_time(time: Option<&DateTime>) -> SystemTime {
    time.and_then(|time| SystemTime::try_from(*time).ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A tag without its quotation marks.
pub(crate) fn etag(text: &str) -> ETag {
    ETag::new(text.trim_matches('"'))
}

/// A version's name. What was stored before versions were kept has the name `null`.
pub(crate) fn version(store: &Store, text: Option<&str>) -> Option<VersionId> {
    let text = text.filter(|text| !text.is_empty())?;
    store.is_versioned().then(|| VersionId::new(text))
}

/// Describes an object of this size. `asks_for_tags` says that they are worth a request even where the answer has no
/// word of them.
///
/// # Errors
///
/// What asking for its tags gives.
pub(crate) async fn describe(
    store: &Store,
    key: &ObjectKey,
    size_bytes: u64,
    facts: Facts,
    asks_for_tags: bool,
) -> Result<ObjectMeta> {
    let version_id = version(store, facts.version.as_deref());
    let tags = match facts.tag_count {
        Some(0) => BTreeMap::new(),
        _ if !store.capabilities.has(Capabilities::TAGS) => BTreeMap::new(),
        // Amazon counts them where there are some; others may leave that to whoever asks.
        None if !asks_for_tags || store.config.endpoints.s3.is_none() => BTreeMap::new(),
        None | Some(_) => read_tags(store, key, version_id.as_ref()).await?,
    };
    Ok(ObjectMeta {
        etag: facts.etag.as_deref().map(etag),
        version: version_id,
        content_type: facts.content_type.filter(|text| text != NO_CONTENT_TYPE),
        content_encoding: facts.content_encoding.as_deref().and_then(without_chunking),
        content_language: facts.content_language,
        content_disposition: facts.content_disposition,
        cache_control: facts.cache_control,
        checksums: facts.checksums,
        tier: Some(store.config.tiers.tier(&facts.class)),
        storage_class: Some(facts.class.as_str().to_owned()),
        metadata: metadata::decode(facts.metadata.as_ref()),
        tags,
        extra: facts.extra,
        ..ObjectMeta::new(key.clone(), size_bytes, system_time(facts.last_modified.as_ref()))
    })
}

/// `aws-chunked` is how bytes travelled, not what they are; some servers keep it.
fn without_chunking(encoding: &str) -> Option<String> {
    let rest: Vec<_> = encoding.split(',').map(str::trim).filter(|one| *one != "aws-chunked").collect();
    Some(rest.join(", ")).filter(|rest| !rest.is_empty())
}

/// The tags of an object.
///
/// # Errors
///
/// What S3 answers.
pub(crate) async fn read_tags(
    store: &Store,
    key: &ObjectKey,
    version: Option<&VersionId>,
) -> Result<BTreeMap<String, String>> {
    let request = store
        .s3
        .get_object_tagging()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .set_version_id(version.map(|version| version.as_str().to_owned()));
    let answer = call(store, "read the tags", 0, request.send()).await?;
    Ok(answer.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

/// Asks what S3 knows of an object.
///
/// # Errors
///
/// `NotFound`, also for a delete marker and for a version whose name is none; what S3 answers.
pub(crate) async fn head(
    store: &Store,
    key: &ObjectKey,
    version: Option<&VersionId>,
) -> Result<HeadObjectOutput> {
    if version.is_some_and(|version| !is_version_name(version)) {
        return Err(not_found("version"));
    }
    let request = store
        .s3
        .head_object()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .set_version_id(version.map(|version| version.as_str().to_owned()))
        .checksum_mode(ChecksumMode::Enabled);
    let request = with_customer_key!(request, store);
    let error = match call(store, "describe the object", 0, request.send()).await {
        Ok(answer) if answer.delete_marker() == Some(true) => return Err(not_found("object")),
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let error = marker_is_missing(error);
    // An answer to `HEAD` has no body, so that what is wrong must be asked for once more.
    if !matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::PermissionDenied) {
        return Err(error);
    }
    Err(worded(store, key, version).await.unwrap_or(error))
}

/// Whether S3 could have given a version this name. Its own names are of up to 1024 letters, digits and
/// some signs; what holds others it refuses as a bad request, which would say nothing of the version.
pub(crate) fn is_version_name(version: &VersionId) -> bool {
    let text = version.as_str();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    !text.is_empty() && text.len() <= 1024 && text.bytes().all(legal)
}

/// S3 answers 405 to the reading of a delete marker by its name.
pub(crate) fn marker_is_missing(error: Error) -> Error {
    if error.kind() == ErrorKind::Unsupported {
        not_found("object, but the mark of its deletion")
    } else {
        error
    }
}

/// What S3 says in words to the same question.
async fn worded(store: &Store, key: &ObjectKey, version: Option<&VersionId>) -> Option<Error> {
    let request = store
        .s3
        .get_object()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .set_version_id(version.map(|version| version.as_str().to_owned()))
        .range("bytes=0-0");
    let request = with_customer_key!(request, store);
    let error = call(store, "describe the object", 0, request.send()).await.err()?;
    Some(version_is_missing(version, marker_is_missing(error)))
}

/// A version whose name S3 does not understand does not exist.
pub(crate) fn version_is_missing(version: Option<&VersionId>, error: Error) -> Error {
    // Reading asks nothing else of the server that it could call a bad request, but for the key of SSE-C.
    let may_be_the_key = |(name, value): (&str, &str)| name == "answer" && value.contains("ncrypt");
    let is_of_version = error.kind() == ErrorKind::InvalidArgument && !error.context().any(may_be_the_key);
    if version.is_some() && is_of_version { not_found("version") } else { error }
}

/// Whether an object is there.
///
/// # Errors
///
/// What S3 answers, but for `NotFound`.
pub(crate) async fn exists(store: &Store, key: &ObjectKey) -> Result<bool> {
    match head(store, key, None).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Describes an object or a version of it.
///
/// # Errors
///
/// `NotFound`; `Unsupported` for a version where there are none; what S3 answers.
pub(crate) async fn get_metadata(
    store: &Store,
    key: &ObjectKey,
    options: MetadataOptions,
) -> Result<ObjectMeta> {
    only(&options.extra, &[])?;
    if options.version.is_some() {
        store.require_versions()?;
    }
    let answer = head(store, key, options.version.as_ref()).await?;
    let size_bytes = size_of(answer.content_length());
    describe(store, key, size_bytes, facts!(answer), true).await
}

/// A length of an answer.
pub(crate) fn size_of(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}
