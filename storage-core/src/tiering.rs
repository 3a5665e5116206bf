//! Tiers, archives and lifecycle rules.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::object::VersionId;
use crate::request::Extra;

/// How fast, and how dearly, an object is kept. Each backend maps a tier to its own classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Access in under 100 ms: files in use.
    Hot,
    /// Access in under 1 s: recent files.
    Warm,
    /// Access at once or within minutes, dear to read: files put away.
    Cold,
    /// Access after hours and a restore: compliance and backup.
    Glacier,
}

impl Tier {
    /// Every tier, fastest first.
    pub const ALL: [Tier; 4] = [Tier::Hot, Tier::Warm, Tier::Cold, Tier::Glacier];

    /// The name used in configuration, APIs and the catalog.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Hot => "hot",
            Tier::Warm => "warm",
            Tier::Cold => "cold",
            Tier::Glacier => "glacier",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Tier::ALL.into_iter().find(|tier| tier.name() == text).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("{text:?} is not a tier: it is hot, warm, cold or glacier"),
            )
        })
    }
}

/// How to change an object's tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetTierOptions {
    /// The version to change; the current one where absent.
    pub version: Option<VersionId>,
    /// How fast an archived object is brought back, where the change is one out of the archive.
    pub speed: Option<RestoreSpeed>,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// How fast an archived object is to be readable again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestoreSpeed {
    /// Cheapest, slowest.
    Bulk,
    /// The provider's usual speed.
    #[default]
    Standard,
    /// Fastest, dearest.
    Expedited,
}

/// How to make an archived object readable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestoreOptions {
    /// The version to restore; the current one where absent.
    pub version: Option<VersionId>,
    /// For how many days; the provider's default where absent.
    pub days: Option<u32>,
    /// How fast.
    pub speed: RestoreSpeed,
    /// Options of this provider alone.
    pub extra: Extra,
}

/// Whether an object can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStatus {
    /// It is not archived.
    NotArchived,
    /// It is archived; a read gives `ObjectArchived`.
    Archived,
    /// It is being restored.
    InProgress,
    /// A copy can be read until this moment, where the provider names one.
    Restored {
        /// When the copy goes away.
        until: Option<SystemTime>,
    },
}

/// A rule that the provider itself applies to objects as they age.
#[derive(Clone, Debug, PartialEq)]
pub struct LifecycleRule {
    /// Its name, unique within a backend.
    pub id: String,
    /// The keys it concerns.
    pub prefix: String,
    /// Whether it acts.
    pub enabled: bool,
    /// Moves objects of these ages to these tiers.
    pub transitions: Vec<(Duration, Tier)>,
    /// Deletes objects of this age.
    pub expire_after: Option<Duration>,
    /// Deletes versions this long after a newer one took their place.
    pub expire_old_versions_after: Option<Duration>,
    /// Aborts uploads in progress of this age.
    pub abort_uploads_after: Option<Duration>,
}

/// What became of lifecycle rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleReport {
    /// Whether the provider now applies the rules.
    pub applied: bool,
    /// Where it cannot be told to: the document that an administrator must apply.
    pub document: Option<String>,
    /// What the reader should know (rules rounded to days, limits).
    pub notes: Vec<String>,
}
