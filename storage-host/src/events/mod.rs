//! What happened, as other systems are told of it.
//!
//! The catalog writes an event into its outbox in the transaction of the change itself, so none is lost and
//! none tells of a change that was not made. Events are delivered at least once and in order per file; a
//! receiver recognises a repetition by [`Event::id`]. This module knows the events and nothing of how they
//! are kept or delivered. It names users and files as plain text and UUIDs: it is what the outside reads.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of the form of events. It rises when a field changes its meaning or goes; a new field, or a
/// new type of event, does not change it, and receivers ignore those that they do not know.
pub const SCHEMA_VERSION: u32 = 1;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The name of the event (UUIDv7): the same each time that it is delivered.
    pub id: Uuid,
    /// [`SCHEMA_VERSION`] of the host that wrote it.
    pub schema_version: u32,
    /// When it happened.
    pub at: jiff::Timestamp,
    /// Whose files it concerns.
    pub user_id: String,
    /// Who caused it, as the audit log names him; absent where nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The id that ties together all that one request caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened, with what belongs to it. In JSON, `type` tells which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum What {
    /// A new file was saved.
    #[serde(rename = "file.saved")]
    FileSaved(SavedVersion),
    /// A file that existed got a new version.
    #[serde(rename = "file.version_saved")]
    VersionSaved(SavedVersion),
    /// A file was deleted with all its versions.
    #[serde(rename = "file.deleted")]
    FileDeleted {
        /// The file.
        file_id: Uuid,
        /// The name that it had.
        filename: String,
        /// How many versions went with it.
        versions: u64,
        /// How many bytes they had together.
        size_bytes: u64,
    },
    /// One version of a file was deleted; the file is still there.
    #[serde(rename = "version.deleted")]
    VersionDeleted {
        /// The file.
        file_id: Uuid,
        /// The version.
        version_id: Uuid,
        /// Its number within the file, which is not used again.
        version_number: u64,
        /// The bytes it had.
        size_bytes: u64,
    },
    /// The bytes of a version are not what was saved, as a scrub found. Written anew by each round that finds it so.
    #[serde(rename = "version.damaged")]
    VersionDamaged(DamagedVersion),
    /// A save was refused because it does not fit into the user's quota. Written once an hour at most.
    #[serde(rename = "quota.exceeded")]
    QuotaExceeded(QuotaExceeded),
}

/// A version that was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedVersion {
    /// The file.
    pub file_id: Uuid,
    /// The version.
    pub version_id: Uuid,
    /// Its number within the file: 1 for the first.
    pub version_number: u64,
    /// The name, as the user gave it.
    pub filename: String,
    /// The content type.
    pub content_type: String,
    /// The length, in bytes.
    pub size_bytes: u64,
    /// The digest of the content, in hexadecimal.
    pub sha256: String,
    /// The name of the backend that holds it.
    pub backend: String,
}

/// A version whose bytes are gone or are others than those that were saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedVersion {
    /// The file.
    pub file_id: Uuid,
    /// The version.
    pub version_id: Uuid,
    /// The name of the backend that holds it.
    pub backend: String,
    /// `altered`, `truncated` or `missing`.
    pub damage: String,
}

/// What a user has, may have and asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaExceeded {
    /// The most bytes that he may use; absent where there is no limit.
    pub max_bytes: Option<u64>,
    /// The most files that he may use; absent where there is no limit.
    pub max_files: Option<u64>,
    /// The bytes that he uses, those of saves under way included.
    pub used_bytes: u64,
    /// The files that he uses, those of saves under way included.
    pub used_files: u64,
    /// The bytes that were asked for.
    pub requested_bytes: u64,
    /// The files that were asked for.
    pub requested_files: u64,
}

impl Event {
    /// An event that happens now, caused by nobody in particular.
    pub fn now(user_id: impl Into<String>, what: What) -> Self {
        Self {
            id: Uuid::now_v7(),
            schema_version: SCHEMA_VERSION,
            at: jiff::Timestamp::now(),
            user_id: user_id.into(),
            actor: None,
            correlation_id: None,
            what,
        }
    }
}

impl What {
    /// The `type` of the event in JSON.
    pub fn type_name(&self) -> &'static str {
        match self {
            What::FileSaved(_) => "file.saved",
            What::VersionSaved(_) => "file.version_saved",
            What::FileDeleted { .. } => "file.deleted",
            What::VersionDeleted { .. } => "version.deleted",
            What::VersionDamaged(_) => "version.damaged",
            What::QuotaExceeded(_) => "quota.exceeded",
        }
    }

    /// The file within whose events this one keeps its place; absent where it concerns no file.
    pub fn file_id(&self) -> Option<Uuid> {
        match self {
            What::FileSaved(saved) | What::VersionSaved(saved) => Some(saved.file_id),
            What::FileDeleted { file_id, .. } | What::VersionDeleted { file_id, .. } => Some(*file_id),
            What::VersionDamaged(damaged) => Some(damaged.file_id),
            What::QuotaExceeded(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn saved() -> SavedVersion {
        SavedVersion {
            file_id: Uuid::from_u128(1),
            version_id: Uuid::from_u128(2),
            version_number: 3,
            filename: "résumé.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size_bytes: 4,
            sha256: "00".repeat(32),
            backend: "local".to_owned(),
        }
    }

    #[test]
    fn every_event_is_one_flat_json_object_that_names_its_type() {
        let quota = QuotaExceeded {
            max_bytes: Some(10),
            max_files: None,
            used_bytes: 9,
            used_files: 1,
            requested_bytes: 2,
            requested_files: 1,
        };
        let file_id = Uuid::from_u128(1);
        let version_id = Uuid::from_u128(2);
        for what in [
            What::FileSaved(saved()),
            What::VersionSaved(saved()),
            What::FileDeleted { file_id, filename: "a".to_owned(), versions: 2, size_bytes: 5 },
            What::VersionDeleted { file_id, version_id, version_number: 1, size_bytes: 5 },
            What::VersionDamaged(DamagedVersion {
                file_id,
                version_id,
                backend: "local".to_owned(),
                damage: "altered".to_owned(),
            }),
            What::QuotaExceeded(quota),
        ] {
            let event = Event::now("anna", what);
            let json = serde_json::to_value(&event).expect("events are JSON");
            assert_eq!(json["type"], event.what.type_name());
            assert_eq!(json["schema_version"], SCHEMA_VERSION);
            let named = json.get("file_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            assert_eq!(named, event.what.file_id());
            assert_eq!(serde_json::from_value::<Event>(json).expect("it reads back"), event);
        }
    }

    #[test]
    fn a_receiver_reads_an_event_with_fields_that_it_does_not_know() {
        let mut json =
            serde_json::to_value(Event::now("anna", What::FileSaved(saved()))).expect("events are JSON");
        json["added_later"] = json!({"a": 1});
        assert!(serde_json::from_value::<Event>(json).is_ok());
    }
}
