//! From the server's answers to [`ObjectMeta`].

use std::time::SystemTime;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ChecksumType;
use storage_core::{Checksums, ETag, ObjectKey, ObjectMeta, VersionId};

use crate::attributes;
use crate::digest::parse;
use crate::store::Store;

/// The tag without its quotation marks.
pub(crate) fn etag(text: Option<&str>) -> Option<ETag> {
    let text = text?;
    Some(ETag::new(text.trim_start_matches("W/").trim_matches('"')))
}

/// The version's name, where the bucket keeps versions. Some servers name one (`null`) where it does not.
pub(crate) fn version(store: &Store, text: Option<&str>) -> Option<VersionId> {
    text.filter(|text| store.features.versions && !text.is_empty()).map(VersionId::new)
}

/// A time of the server's.
pub(crate) fn time(text: Option<&DateTime>) -> SystemTime {
    text.and_then(|time| SystemTime::try_from(*time).ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}

macro_rules! describe {
    ($store:ident, $key:ident, $size:expr, $answer:ident) => {{
        let mut meta = ObjectMeta::new($key.clone(), $size, time($answer.last_modified()));
        meta.etag = etag($answer.e_tag());
        meta.version = version($store, $answer.version_id());
        meta.content_type = attributes::told_type($answer.content_type());
        meta.content_encoding = given($answer.content_encoding());
        meta.content_language = given($answer.content_language());
        meta.content_disposition = given($answer.content_disposition());
        meta.cache_control = given($answer.cache_control());
        meta.storage_class = given($answer.storage_class().map(|class| class.as_str()));
        meta.metadata = attributes::from_headers($answer.metadata().cloned());
        if $answer.checksum_type() != Some(&ChecksumType::Composite) {
            meta.checksums = Checksums {
                sha256: parse($answer.checksum_sha256()),
                md5: None,
                crc32c: parse($answer.checksum_crc32_c()).map(u32::from_be_bytes),
                crc64nvme: parse($answer.checksum_crc64_nvme()).map(u64::from_be_bytes),
            };
        }
        let facts = [
            ("lock_mode", $answer.object_lock_mode().map(|mode| mode.as_str().to_owned())),
            ("locked_until", $answer.object_lock_retain_until_date().map(ToString::to_string)),
            ("legal_hold", $answer.object_lock_legal_hold_status().map(|hold| hold.as_str().to_owned())),
            ("encryption", $answer.server_side_encryption().map(|how| how.as_str().to_owned())),
        ];
        meta.extra.extend(facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?))));
        meta
    }};
}

/// What an answer to `HEAD` tells.
pub(crate) fn of_head(store: &Store, key: &ObjectKey, answer: &HeadObjectOutput) -> ObjectMeta {
    describe!(store, key, size(answer.content_length()), answer)
}

/// What an answer to `GET` tells; the size of the whole is told by the caller.
pub(crate) fn of_get(
    store: &Store,
    key: &ObjectKey,
    size_bytes: u64,
    answer: &GetObjectOutput,
) -> ObjectMeta {
    describe!(store, key, size_bytes, answer)
}

/// A size of the server's; negative ones do not occur.
pub(crate) fn size(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

fn given(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}
