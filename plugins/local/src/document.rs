//! [`Document`]: the JSON file that tells everything about an object but its bytes.
//!
//! It names all versions, the newest first. Replacing it is the one step that makes a change visible, so that
//! content and description change together. Nothing here touches the disk.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use storage_core::{Checksums, ETag, Error, ObjectKey, ObjectMeta, Result, SaveOptions, VersionId};

use crate::config::Retention;
use crate::error::corrupted;
use crate::stamp::Stamp;

/// The form of the documents that this version writes.
const FORMAT: u32 = 1;

/// An object with all its versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    format: u32,
    pub(crate) key: String,
    /// The newest first; at least one.
    pub(crate) versions: Vec<Version>,
}

/// One version of an object, or the mark that it was deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) version: Stamp,
    pub(crate) stored_at: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
    #[serde(default)]
    pub(crate) size_bytes: u64,
    #[serde(default, with = "hexadecimal", skip_serializing_if = "Checksums::is_empty")]
    pub(crate) checksums: Checksums,
    #[serde(default)]
    pub(crate) attributes: Attributes,
}

/// What the caller said of the content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

/// New content that is no version yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) size_bytes: u64,
    pub(crate) checksums: Checksums,
    pub(crate) attributes: Attributes,
}

impl Draft {
    /// The version that it becomes now, after the one that was stored at `previous`.
    pub(crate) fn into_version(self, previous: Option<Timestamp>) -> Version {
        let Self { size_bytes, checksums, attributes } = self;
        let (version, stored_at) = Stamp::now(previous);
        Version { version, stored_at, deleted: false, size_bytes, checksums, attributes }
    }
}

impl Attributes {
    /// The part of the options of a save that is kept.
    pub(crate) fn of(options: SaveOptions) -> Self {
        Self {
            content_type: options.content_type,
            content_encoding: options.content_encoding,
            content_language: options.content_language,
            content_disposition: options.content_disposition,
            cache_control: options.cache_control,
            metadata: options.metadata,
            tags: options.tags,
        }
    }
}

impl Version {
    /// The mark that an object was deleted.
    pub(crate) fn delete_marker(version: Stamp, stored_at: Timestamp) -> Self {
        Self {
            version,
            stored_at,
            deleted: true,
            size_bytes: 0,
            checksums: Checksums::default(),
            attributes: Attributes::default(),
        }
    }

    /// The identity of its content: every save makes another.
    pub(crate) fn etag(&self) -> ETag {
        ETag::new(self.version.as_str())
    }

    /// The version's name for callers.
    pub(crate) fn id(&self) -> VersionId {
        VersionId::new(self.version.as_str())
    }

    /// What callers are told; `versioned` where versions are kept.
    pub(crate) fn into_meta(self, key: ObjectKey, versioned: bool) -> ObjectMeta {
        let (etag, version) = ((!self.deleted).then(|| self.etag()), versioned.then(|| self.id()));
        let attributes = self.attributes;
        ObjectMeta {
            etag,
            version,
            content_type: attributes.content_type,
            content_encoding: attributes.content_encoding,
            content_language: attributes.content_language,
            content_disposition: attributes.content_disposition,
            cache_control: attributes.cache_control,
            checksums: self.checksums,
            metadata: attributes.metadata,
            tags: attributes.tags,
            ..ObjectMeta::new(key, self.size_bytes, system_time(self.stored_at))
        }
    }
}

impl Document {
    /// An object with no version yet.
    pub(crate) fn new(key: &ObjectKey) -> Self {
        Self { format: FORMAT, key: key.as_str().to_owned(), versions: Vec::new() }
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// `Corrupted` where it is not one, or is from a newer version of this software.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let damaged = || corrupted("an object's document is damaged");
        let document: Self = serde_json::from_slice(text).map_err(|error| damaged().with_source(error))?;
        if document.format != FORMAT {
            return Err(corrupted(format!(
                "an object's document has format {}; this version of the software reads {FORMAT}",
                document.format
            )));
        }
        if document.versions.is_empty() {
            return Err(damaged());
        }
        Ok(document)
    }

    /// The document's text.
    ///
    /// # Errors
    ///
    /// `Internal`, should it not be representable.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        to_json(self)
    }

    /// The version that a read without one gives; none where the object is deleted.
    pub(crate) fn current(&self) -> Option<&Version> {
        self.versions.first().filter(|version| !version.deleted)
    }

    /// A version by its name, delete markers included.
    pub(crate) fn find(&self, id: &VersionId) -> Option<&Version> {
        self.versions.iter().find(|version| version.version.as_str() == id.as_str())
    }

    /// As [`Document::current`], without the rest of the document.
    pub(crate) fn into_current(self) -> Option<Version> {
        self.versions.into_iter().next().filter(|version| !version.deleted)
    }

    /// As [`Document::find`], without the rest of the document.
    pub(crate) fn into_version(self, id: &VersionId) -> Option<Version> {
        self.versions.into_iter().find(|version| version.version.as_str() == id.as_str())
    }

    /// When the newest version was stored.
    pub(crate) fn newest_moment(&self) -> Option<Timestamp> {
        self.versions.first().map(|version| version.stored_at)
    }

    /// Takes out the versions that are kept no longer; none are but the newest where there is no retention.
    pub(crate) fn take_expired(&mut self, retention: Option<Retention>, now: Timestamp) -> Vec<Version> {
        let keep = match retention {
            None => 1,
            Some(retention) => {
                // A version ages from when the next one was stored.
                let age = SignedDuration::try_from(retention.age).unwrap_or(SignedDuration::MAX);
                let fresh = self.versions.iter().take_while(|next| now.duration_since(next.stored_at) <= age);
                (1 + fresh.count()).min(1 + retention.count)
            }
        };
        let mut expired = self.versions.split_off(keep.min(self.versions.len()));
        // A delete marker that hides nothing any more goes when its own time is over.
        if let (Some(retention), [only]) = (retention, self.versions.as_slice())
            && only.deleted
            && now.duration_since(only.stored_at).unsigned_abs() > retention.age
        {
            expired.append(&mut self.versions);
        }
        expired
    }
}

/// A moment as callers get it. Moments before 1970 are none that a store has.
pub(crate) fn system_time(moment: Timestamp) -> SystemTime {
    SystemTime::try_from(moment).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Writes a value as people read it.
///
/// # Errors
///
/// `Internal`, should it not be representable.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| {
        Error::new(storage_core::ErrorKind::Internal, "could not write a description as JSON")
            .with_source(error)
    })?;
    text.push(b'\n');
    Ok(text)
}

/// Digests as hexadecimal text.
pub(crate) mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use storage_core::Checksums;

    #[derive(Serialize, Deserialize)]
    struct Text {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        md5: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        crc32c: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        crc64nvme: Option<String>,
    }

    pub(crate) fn serialize<S: Serializer>(checksums: &Checksums, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Text {
            sha256: checksums.sha256.map(hex::encode),
            md5: checksums.md5.map(hex::encode),
            crc32c: checksums.crc32c.map(|value| hex::encode(value.to_be_bytes())),
            crc64nvme: checksums.crc64nvme.map(|value| hex::encode(value.to_be_bytes())),
        };
        text.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Checksums, D::Error> {
        fn bytes<const N: usize, E: serde::de::Error>(text: Option<String>) -> Result<Option<[u8; N]>, E> {
            let decode = |text: String| {
                let mut bytes = [0; N];
                hex::decode_to_slice(text, &mut bytes).map(|()| bytes)
            };
            text.map(decode).transpose().map_err(E::custom)
        }
        let text = Text::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Checksums {
            sha256: bytes(text.sha256)?,
            md5: bytes(text.md5)?,
            crc32c: bytes(text.crc32c)?.map(u32::from_be_bytes),
            crc64nvme: bytes(text.crc64nvme)?.map(u64::from_be_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn version(age: Duration, deleted: bool, now: Timestamp) -> Version {
        let (version, _) = Stamp::now(None);
        let stored_at = now - SignedDuration::try_from(age).expect("a short age");
        Version { deleted, ..Version::delete_marker(version, stored_at) }
    }

    fn remaining(ages: &[u64], deleted: bool, count: usize) -> usize {
        let now = Timestamp::now();
        let key = ObjectKey::new("a").expect("a key");
        let mut document = Document::new(&key);
        document.versions = ages
            .iter()
            .enumerate()
            .map(|(i, age)| version(Duration::from_secs(*age), deleted && i == 0, now))
            .collect();
        document.take_expired(Some(Retention { count, age: Duration::from_secs(100) }), now);
        document.versions.len()
    }

    #[test]
    fn versions_go_by_number_and_by_the_age_of_being_superseded() {
        assert_eq!(remaining(&[0, 1, 2, 3], false, 2), 3);
        assert_eq!(remaining(&[500, 501], false, 9), 1, "superseded 500 s ago");
        assert_eq!(remaining(&[50, 501], false, 9), 2, "old, but superseded 50 s ago");
        assert_eq!(remaining(&[50, 101, 700], false, 9), 2);
        assert_eq!(remaining(&[9999], false, 9), 1, "the newest stays for ever");
        assert_eq!(remaining(&[50], true, 9), 1);
        assert_eq!(remaining(&[101, 102], true, 9), 0, "a delete marker goes with what it hid");
    }

    #[test]
    fn documents_are_read_back_and_damage_is_told() {
        let key = ObjectKey::new("a/ü").expect("a key");
        let mut document = Document::new(&key);
        let (stamp, moment) = Stamp::now(None);
        let options = SaveOptions {
            content_type: Some("text/plain".to_owned()),
            metadata: BTreeMap::from([("job_id".to_owned(), "日本".to_owned())]),
            ..SaveOptions::default()
        };
        let checksums =
            Checksums { sha256: Some([7; 32]), md5: Some([8; 16]), crc32c: Some(9), crc64nvme: Some(10) };
        document.versions.push(Version {
            deleted: false,
            size_bytes: 5,
            checksums,
            attributes: Attributes::of(options),
            ..Version::delete_marker(stamp, moment)
        });
        let text = document.to_json().expect("json");
        let read = Document::parse(&text).expect("a document");
        let meta =
            |document: Document| document.into_current().expect("not deleted").into_meta(key.clone(), true);
        let (meta, written) = (meta(read), meta(document));
        assert_eq!(meta, written);
        assert_eq!((meta.checksums, meta.size_bytes), (checksums, 5));
        let text = String::from_utf8(text).expect("text");
        for damaged in ["", "{}", &text[..text.len() / 2], &text.replace("\"format\": 1", "\"format\": 2")] {
            assert_eq!(
                Document::parse(damaged.as_bytes()).expect_err("damaged").kind(),
                storage_core::ErrorKind::Corrupted
            );
        }
    }
}
