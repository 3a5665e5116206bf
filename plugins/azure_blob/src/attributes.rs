//! What is kept with a blob: headers, metadata, digests, tags, tier — as Azure's headers, and back.
//!
//! Azure's metadata has the names of C# identifiers, and ASCII values; ours are encoded where they are others:
//!
//! * a name with a `-`, or one that starts with `x0` or `x1`, becomes `x0` and the name with `_5f` for `_` and `_2d`
//!   for `-`,
//! * a value that is empty, not printable ASCII, has spaces at an end or two in a row, or starts with `=?`, becomes
//!   `=?UTF-8?B?…?=` with its base64,
//! * the digests that no header of Azure's holds, and that there is no `Content-Type`, are metadata that starts with
//!   `x1`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use azure_core::base64;
use azure_core::headers::{HeaderName, Headers};
use storage_core::{
    Checksums, ETag, ObjectKey, ObjectMeta, Result, SaveOptions, Tier, VersionId, WriteCondition,
};

use crate::error;

const META: &str = "x-ms-meta-";
const ENCODED_NAME: &str = "x0";
const OWN_NAME: &str = "x1";
const SHA256: &str = "x1sha256";
const CRC32C: &str = "x1crc32c";
const CRC64: &str = "x1crc64nvme";
/// Says that no `Content-Type` was given: Azure keeps one of its own then.
const UNTYPED: &str = "x1untyped";

/// The headers that make a blob with these attributes and digests. `default_tier` is that of the configuration.
pub(crate) fn headers(
    options: &SaveOptions,
    digests: &Checksums,
    default_tier: Option<&str>,
) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut set = |name: &str, value: Option<&str>| {
        headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    };
    set("x-ms-blob-content-type", options.content_type.as_deref());
    set("x-ms-blob-content-encoding", options.content_encoding.as_deref());
    set("x-ms-blob-content-language", options.content_language.as_deref());
    set("x-ms-blob-content-disposition", options.content_disposition.as_deref());
    set("x-ms-blob-cache-control", options.cache_control.as_deref());
    set("x-ms-blob-content-md5", digests.md5.map(base64::encode).as_deref());
    set("x-ms-access-tier", options.tier.map(azure_tier).or(default_tier));
    if !options.tags.is_empty() {
        set("x-ms-tags", Some(&tags_header(&options.tags)));
    }
    if options.content_type.is_none() {
        headers.push((format!("{META}{UNTYPED}"), "1".to_owned()));
    }
    headers.extend(metadata_headers(&options.metadata));
    headers.extend(digest_headers(digests));
    headers
}

fn metadata_headers(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    metadata.iter().map(|(name, value)| (format!("{META}{}", encode_name(name)), encode_value(value)))
}

fn digest_headers(digests: &Checksums) -> impl Iterator<Item = (String, String)> + use<> {
    let texts = [
        (SHA256, digests.sha256.map(hex::encode)),
        (CRC32C, digests.crc32c.map(|crc| format!("{crc:08x}"))),
        (CRC64, digests.crc64nvme.map(|crc| format!("{crc:016x}"))),
    ];
    texts.into_iter().filter_map(|(name, text)| Some((format!("{META}{name}"), text?)))
}

/// Tags as a header: a query string.
pub(crate) fn tags_header(tags: &BTreeMap<String, String>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(tags).finish()
}

/// The headers of a write's condition.
pub(crate) fn condition_headers(condition: &WriteCondition) -> Option<(String, String)> {
    match condition {
        WriteCondition::Always => None,
        WriteCondition::IfAbsent => Some(("if-none-match".to_owned(), "*".to_owned())),
        WriteCondition::IfMatch(tag) => Some(("if-match".to_owned(), quoted(tag))),
    }
}

/// A tag as headers have it.
pub(crate) fn quoted(tag: &ETag) -> String {
    format!("\"{tag}\"")
}

/// A tag as a header gave it.
pub(crate) fn unquoted(text: &str) -> ETag {
    ETag::new(text.trim_start_matches("W/").trim_matches('"'))
}

fn encode_name(name: &str) -> String {
    let plain = !name.contains('-') && !name.starts_with(ENCODED_NAME) && !name.starts_with(OWN_NAME);
    if plain {
        return name.to_owned();
    }
    format!("{ENCODED_NAME}{}", name.replace('_', "_5f").replace('-', "_2d"))
}

fn decode_name(name: &str) -> String {
    match name.strip_prefix(ENCODED_NAME) {
        Some(encoded) => encoded.replace("_2d", "-").replace("_5f", "_"),
        None => name.to_owned(),
    }
}

fn encode_value(value: &str) -> String {
    let plain = !value.is_empty()
        && value.chars().all(|c| matches!(c, ' '..='~'))
        && value.trim() == value
        && !value.contains("  ")
        && !value.starts_with("=?");
    if plain { value.to_owned() } else { format!("=?UTF-8?B?{}?=", base64::encode(value)) }
}

fn decode_value(text: &str) -> String {
    let encoded = text.strip_prefix("=?UTF-8?B?").and_then(|rest| rest.strip_suffix("?="));
    let decoded = encoded.and_then(|encoded| base64::decode(encoded).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| text.to_owned())
}

/// Sorts one entry of a blob's metadata to the user's or to the digests.
pub(crate) fn take_metadata(meta: &mut ObjectMeta, name: &str, value: &str) {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        SHA256 => meta.checksums.sha256 = hex::decode(value).ok().and_then(|bytes| bytes.try_into().ok()),
        CRC32C => meta.checksums.crc32c = u32::from_str_radix(value, 16).ok(),
        CRC64 => meta.checksums.crc64nvme = u64::from_str_radix(value, 16).ok(),
        UNTYPED => meta.content_type = None,
        name if name.starts_with(OWN_NAME) => {}
        name => drop(meta.metadata.insert(decode_name(name), decode_value(value))),
    }
}

/// The tier of one of Azure's access tiers.
pub(crate) fn tier(azure: &str) -> Option<Tier> {
    match azure {
        "Hot" | "Premium" => Some(Tier::Hot),
        "Cool" => Some(Tier::Warm),
        "Cold" => Some(Tier::Cold),
        "Archive" => Some(Tier::Glacier),
        _ => None,
    }
}

/// Azure's access tier of a tier.
pub(crate) fn azure_tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Hot => "Hot",
        Tier::Warm => "Cool",
        Tier::Cold => "Cold",
        Tier::Glacier => "Archive",
    }
}

/// What an answer's headers tell of a blob. The size is the one given, since a range's answer has its own.
///
/// # Errors
///
/// `Unavailable` for an answer without a time.
pub(crate) fn from_headers(key: &ObjectKey, headers: &Headers, size_bytes: u64) -> Result<ObjectMeta> {
    let get = |name: &'static str| headers.get_optional_str(&HeaderName::from_static(name));
    let text = |name| get(name).map(str::to_owned);
    let time = get("last-modified").and_then(http_time).ok_or_else(|| error::malformed("time"))?;
    let mut meta = ObjectMeta::new(key.clone(), size_bytes, time);
    meta.etag = get("etag").map(unquoted);
    meta.version = get("x-ms-version-id").map(VersionId::new);
    meta.content_type = text("content-type");
    meta.content_encoding = text("content-encoding");
    meta.content_language = text("content-language");
    meta.content_disposition = text("content-disposition");
    meta.cache_control = text("cache-control");
    // Of a range, `content-md5` is the range's own digest.
    let md5 = match get("content-range") {
        Some(_) => get("x-ms-blob-content-md5"),
        None => get("x-ms-blob-content-md5").or_else(|| get("content-md5")),
    };
    meta.checksums.md5 = md5.and_then(md5_from);
    meta.storage_class = text("x-ms-access-tier");
    meta.tier = meta.storage_class.as_deref().and_then(tier);
    for (name, fact) in [
        ("x-ms-archive-status", "archive_status"),
        ("x-ms-rehydrate-priority", "rehydrate_priority"),
        ("x-ms-immutability-policy-until-date", "immutable_until"),
        ("x-ms-immutability-policy-mode", "immutability_mode"),
        ("x-ms-legal-hold", "legal_hold"),
        ("x-ms-lease-state", "lease_state"),
    ] {
        meta.extra.extend(get(name).map(|value| (fact.to_owned(), value.to_owned())));
    }
    for (name, value) in headers.iter() {
        if let Some(name) = name.as_str().strip_prefix(META) {
            take_metadata(&mut meta, name, value.as_str());
        }
    }
    Ok(meta)
}

/// An MD5 from its base64.
pub(crate) fn md5_from(text: &str) -> Option<[u8; 16]> {
    base64::decode(text).ok()?.try_into().ok()
}

/// A moment from the form that HTTP gives it.
pub(crate) fn http_time(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_every_form_comes_back() {
        let metadata: BTreeMap<String, String> = [
            ("user_id", "7"),
            ("with-dash", "a b  c"),
            ("x0", "UPPER"),
            ("x1sha256", "not a digest"),
            ("x0a-_b", "=?UTF-8?B?SGFsbG8=?="),
            ("a_2d", "Ingénieur 日本"),
            ("empty", ""),
            ("blank", " a "),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let key = ObjectKey::new("a").expect("a key");
        let mut meta = ObjectMeta::new(key, 0, SystemTime::now());
        for (name, value) in metadata_headers(&metadata) {
            let name = name.strip_prefix(META).expect("a header of metadata");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
            assert!(value.chars().all(|c| matches!(c, ' '..='~')) && !value.contains("  "), "{value}");
            take_metadata(&mut meta, name, &value);
        }
        assert_eq!(meta.metadata, metadata);
        assert!(meta.checksums.is_empty());
    }

    #[test]
    fn digests_come_back() {
        let digests = Checksums {
            sha256: Some([7; 32]),
            crc32c: Some(0xff),
            crc64nvme: Some(u64::MAX - 1),
            ..Checksums::default()
        };
        let mut headers = Headers::new();
        headers.insert("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (name, value) in digest_headers(&digests) {
            headers.insert(HeaderName::from(name), azure_core::headers::HeaderValue::from(value));
        }
        let meta = from_headers(&ObjectKey::new("a").expect("a key"), &headers, 1).expect("described");
        assert_eq!(meta.checksums, digests);
        assert!(meta.metadata.is_empty());
    }

    #[test]
    fn tiers_lead_there_and_back() {
        for one in Tier::ALL {
            assert_eq!(tier(azure_tier(one)), Some(one));
        }
    }
}
