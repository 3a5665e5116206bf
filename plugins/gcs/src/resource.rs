//! The resources of the JSON API, and what they mean as objects of the contract.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use storage_core::{
    Checksums, ETag, Error, ErrorKind, ObjectKey, ObjectMeta, Result, SaveResult, Tier, VersionId,
};

use crate::error::bad_answer;

/// The type that Google gives to what has none.
pub(crate) const NO_TYPE: &str = "application/octet-stream";

/// The entry of an object's metadata that says that its type was not given. As all entries of the plugin's own it
/// holds a dot, which no user's entry can.
const UNTYPED: &str = "storage.untyped";

/// The entry that holds the tags, as JSON: Google has none.
const TAGS: &str = "storage.tags";

/// The entry that tells a save that was repeated from that of somebody else.
pub(crate) const SAVE_ID: &str = "storage.save-id";

/// An object, as Google describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Object {
    pub(crate) name: String,
    size: String,
    generation: String,
    metageneration: String,
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_disposition: Option<String>,
    cache_control: Option<String>,
    pub(crate) storage_class: Option<String>,
    time_created: String,
    pub(crate) time_deleted: Option<String>,
    crc32c: Option<String>,
    md5_hash: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) temporary_hold: Option<bool>,
    pub(crate) event_based_hold: Option<bool>,
    pub(crate) retention_expiration_time: Option<String>,
    custom_time: Option<String>,
    component_count: Option<u32>,
    kms_key_name: Option<String>,
    pub(crate) soft_delete_time: Option<String>,
    pub(crate) hard_delete_time: Option<String>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Listing {
    pub(crate) items: Vec<Object>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) next_page_token: Option<String>,
}

/// What a new object is to be like. What is absent is not set.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NewObject {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temporary_hold: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_based_hold: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) md5_hash: Option<String>,
}

/// A bucket, as far as it matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Bucket {
    pub(crate) location: Option<String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) metageneration: String,
    pub(crate) versioning: Option<Enabled>,
    pub(crate) autoclass: Option<Enabled>,
    pub(crate) retention_policy: Option<serde_json::Value>,
    pub(crate) default_event_based_hold: bool,
    pub(crate) lifecycle: Lifecycle,
}

/// A switch of a bucket.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Enabled {
    pub(crate) enabled: bool,
}

/// The rules of a bucket.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Lifecycle {
    pub(crate) rule: Vec<serde_json::Value>,
}

impl Object {
    /// Its length, in bytes.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer has none.
    pub(crate) fn size_bytes(&self) -> Result<u64> {
        self.size.parse().map_err(|_| bad_answer("an object without a size"))
    }

    /// What distinguishes this content from every other one that the key ever had.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer has none.
    pub(crate) fn generation(&self) -> Result<u64> {
        self.generation.parse().map_err(|_| bad_answer("an object without a generation"))
    }

    /// When this content came.
    ///
    /// # Errors
    ///
    /// `Internal` where the answer does not tell it.
    pub(crate) fn created(&self) -> Result<SystemTime> {
        system_time(self.created_at()?)
    }

    /// As [`Object::created`], as a moment of the calendar.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn created_at(&self) -> Result<Timestamp> {
        self.time_created.parse().map_err(|error| bad_answer("an object without a time").with_source(error))
    }

    /// The digests that Google has: MD5 only where the content was not joined from parts.
    pub(crate) fn checksums(&self) -> Checksums {
        let bytes = |text: &Option<String>| BASE64_STANDARD.decode(text.as_deref()?).ok();
        Checksums {
            md5: bytes(&self.md5_hash).and_then(|bytes| bytes.try_into().ok()),
            crc32c: bytes(&self.crc32c).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?))),
            ..Checksums::default()
        }
    }

    /// The tier, where the class is known.
    pub(crate) fn tier(&self) -> Option<Tier> {
        tier(self.storage_class.as_deref()?)
    }

    /// Whether it is in this class, or in one that is as good: those of old days are. What nobody tells is no other.
    pub(crate) fn is_in_class(&self, wanted: Option<&str>) -> bool {
        match (wanted, self.storage_class.as_deref()) {
            (Some(wanted), Some(stored)) => wanted == stored || tier(wanted) == tier(stored),
            _ => true,
        }
    }

    /// What a write that made this object answers. The digests that the plugin computed are joined with Google's.
    ///
    /// # Errors
    ///
    /// `Internal` for an answer without size or generation.
    pub(crate) fn saved(&self, keeps_versions: bool, computed: Checksums) -> Result<SaveResult> {
        let theirs = self.checksums();
        Ok(SaveResult {
            size_bytes: self.size_bytes()?,
            etag: Some(ETag::new(self.generation()?.to_string())),
            version: keeps_versions.then(|| VersionId::new(self.generation.clone())),
            checksums: Checksums {
                sha256: computed.sha256,
                md5: theirs.md5.or(computed.md5),
                crc32c: theirs.crc32c.or(computed.crc32c),
                crc64nvme: computed.crc64nvme,
            },
            ..SaveResult::default()
        })
    }

    /// The object as the contract describes it.
    ///
    /// # Errors
    ///
    /// `Internal` for an answer without size, generation or time.
    pub(crate) fn meta(&self, key: ObjectKey, keeps_versions: bool) -> Result<ObjectMeta> {
        let mut meta = ObjectMeta::new(key, self.size_bytes()?, self.created()?);
        meta.etag = Some(ETag::new(self.generation()?.to_string()));
        meta.version = keeps_versions.then(|| VersionId::new(self.generation.clone()));
        let is_untyped = self.metadata.contains_key(UNTYPED);
        meta.content_type = self.content_type.clone().filter(|kind| !is_untyped || kind != NO_TYPE);
        let given = |header: &Option<String>| header.clone().filter(|text| !text.is_empty());
        meta.content_encoding = given(&self.content_encoding);
        meta.content_language = given(&self.content_language);
        meta.content_disposition = given(&self.content_disposition);
        meta.cache_control = given(&self.cache_control);
        meta.checksums = self.checksums();
        meta.tier = self.tier();
        meta.storage_class = self.storage_class.clone();
        meta.tags = read_tags(&self.metadata)?;
        let own = self.metadata.iter().filter(|(name, _)| !name.contains('.'));
        meta.metadata = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let facts = [
            ("metageneration", Some(self.metageneration.clone())),
            ("temporary_hold", self.temporary_hold.map(|held| held.to_string())),
            ("event_based_hold", self.event_based_hold.map(|held| held.to_string())),
            ("retained_until", self.retention_expiration_time.clone()),
            ("custom_time", self.custom_time.clone()),
            ("component_count", self.component_count.map(|count| count.to_string())),
            ("kms_key_name", self.kms_key_name.clone()),
        ];
        let known = facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        meta.extra = known.filter(|(_, value)| !value.is_empty()).collect();
        Ok(meta)
    }

    /// A new object with the same description.
    pub(crate) fn described_alike(&self) -> NewObject {
        let mut metadata = self.metadata.clone();
        metadata.remove(SAVE_ID);
        NewObject {
            content_type: self.content_type.clone(),
            content_encoding: self.content_encoding.clone(),
            content_language: self.content_language.clone(),
            content_disposition: self.content_disposition.clone(),
            cache_control: self.cache_control.clone(),
            storage_class: self.storage_class.clone(),
            custom_time: self.custom_time.clone(),
            metadata,
            ..NewObject::default()
        }
    }
}

impl NewObject {
    /// Says that the type was not given.
    pub(crate) fn set_untyped(&mut self) {
        self.content_type = Some(NO_TYPE.to_owned());
        self.metadata.insert(UNTYPED.to_owned(), "true".to_owned());
    }

    /// Sets the tags.
    ///
    /// # Errors
    ///
    /// `Internal`, which cannot happen.
    pub(crate) fn set_tags(&mut self, tags: &BTreeMap<String, String>) -> Result<()> {
        if !tags.is_empty() {
            let text = serde_json::to_string(tags)
                .map_err(|error| Error::new(ErrorKind::Internal, "tags are no JSON").with_source(error))?;
            self.metadata.insert(TAGS.to_owned(), text);
        }
        Ok(())
    }

    /// The type as the sending request must tell it as well.
    pub(crate) fn sent_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or(NO_TYPE)
    }
}

/// A moment of the calendar as the contract has moments.
///
/// # Errors
///
/// `Internal` for one that the system cannot count.
pub(crate) fn system_time(moment: Timestamp) -> Result<SystemTime> {
    moment.try_into().map_err(|error: jiff::Error| bad_answer("a moment out of bounds").with_source(error))
}

fn read_tags(metadata: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let Some(text) = metadata.get(TAGS) else { return Ok(BTreeMap::new()) };
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Corrupted, "the object's tags were damaged by somebody else").with_source(error)
    })
}

/// The tier of a class. What buckets of old days have is readable at once and as dear as STANDARD.
pub(crate) fn tier(class: &str) -> Option<Tier> {
    match class {
        "STANDARD" | "MULTI_REGIONAL" | "REGIONAL" | "DURABLE_REDUCED_AVAILABILITY" => Some(Tier::Hot),
        "NEARLINE" => Some(Tier::Warm),
        "COLDLINE" => Some(Tier::Cold),
        "ARCHIVE" => Some(Tier::Glacier),
        _ => None,
    }
}

/// The class of a tier.
pub(crate) fn class(tier: Tier) -> &'static str {
    match tier {
        Tier::Hot => "STANDARD",
        Tier::Warm => "NEARLINE",
        Tier::Cold => "COLDLINE",
        Tier::Glacier => "ARCHIVE",
    }
}

/// A CRC-32C as Google writes it.
pub(crate) fn crc32c_text(crc32c: u32) -> String {
    BASE64_STANDARD.encode(crc32c.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_as_google_writes_it() {
        let object: Object = serde_json::from_str(
            r#"{"kind":"storage#object","name":"a","size":"9","generation":"17","metageneration":"3",
                "timeCreated":"2026-11-24T10:29:01.565516Z","updated":"2026-11-25T00:00:00Z","contentType":"application/octet-stream",
                "storageClass":"NEARLINE","crc32c":"4waSgw==","md5Hash":"JfnnlDI7RTiF9RgfG2JNCw==","etag":"CBE=",
                "metadata":{"owner":"é","storage.tags":"{\"a\":\"b\"}","storage.untyped":"true"},"temporaryHold":true}"#,
        )
        .expect("an object");
        let meta = object.meta(ObjectKey::new("a").expect("a key"), true).expect("whole");
        assert_eq!((meta.size_bytes, meta.tier, meta.content_type), (9, Some(Tier::Warm), None));
        assert_eq!(meta.checksums.crc32c, Some(0xE306_9283));
        assert_eq!(meta.etag, Some(ETag::new("17")), "the generation, which changes with the content alone");
        assert_eq!(meta.metadata, BTreeMap::from([("owner".to_owned(), "é".to_owned())]));
        assert_eq!(meta.tags, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        assert_eq!(meta.extra.get("temporary_hold").map(String::as_str), Some("true"));
        let created = meta.last_modified.duration_since(SystemTime::UNIX_EPOCH).expect("later");
        assert_eq!(created.as_micros() % 1_000_000, 565_516);
    }

    #[test]
    fn another_class_than_the_wanted_one_is_noticed() {
        let is_as_wanted = |wanted, stored: Option<&str>| {
            let storage_class = stored.map(str::to_owned);
            Object { storage_class, ..Object::default() }.is_in_class(wanted)
        };
        assert!(!is_as_wanted(Some("COLDLINE"), Some("STANDARD")));
        assert!(is_as_wanted(Some("COLDLINE"), Some("COLDLINE")));
        assert!(is_as_wanted(Some("REGIONAL"), Some("STANDARD")), "a class of old days is as good");
        assert!(is_as_wanted(None, Some("NEARLINE")) && is_as_wanted(Some("NEARLINE"), None), "nobody says");
    }

    #[test]
    fn each_tier_has_a_class_and_comes_back() {
        for each in Tier::ALL {
            assert_eq!(tier(class(each)), Some(each));
        }
        assert_eq!(tier("MULTI_REGIONAL"), Some(Tier::Hot));
    }
}
