//! Reading everything that is stored and comparing it with the digests that were recorded when it was saved: bytes that
//! rot are found before somebody needs them, and while a backup still has them.
//!
//! How far a round has come is kept in the catalog, so that one that is broken off goes on where it was, whoever goes on.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;
use storage_core::{Error, ErrorKind, MetadataOptions, Result};
use tokio::time::Instant;

use crate::catalog::{AuditEntry, DamagedVersion, FileId, FileVersionId, PlacedVersion, UserId};
use crate::manager::NamedBackend;
use crate::service::SimpleStorageService;
use crate::service::audit::Act;
use crate::service::retrieve::{Source, lost};

/// How many of the catalog's entries are fetched at once.
const PAGE: u32 = 500;

/// After so many bytes at the latest it is noted how far the round has come.
const NOTED_BYTES: u64 = 64 * 1024 * 1024;

/// So many versions cost as much as a note does.
const NOTED_VERSIONS: u64 = 100;

/// How everything is to be read.
#[derive(Clone, Debug, Default)]
pub struct ScrubOptions {
    /// The most bytes that are read in a second; as many as there can be where absent.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Reads one backend alone.
    pub backend: Option<String>,
    /// Begins anew, where an earlier round was broken off.
    pub restart: bool,
}

/// What was read, and what of it is not what was saved.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ScrubReport {
    /// By backend name.
    pub backends: BTreeMap<String, BackendScrub>,
    /// Backends that are not configured, with the number of versions that the catalog places in them and that could
    /// not be read. Empty where one backend alone was asked for.
    pub unknown_backends: BTreeMap<String, u64>,
}

/// What was read of one backend.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BackendScrub {
    /// The key after which an earlier round was broken off; what comes before was read then.
    pub resumed_after: Option<String>,
    /// How many versions were read.
    pub versions: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The versions whose bytes are not those that were saved.
    pub damaged: Vec<DamagedObject>,
    /// Keys of objects that could not be read now, archived ones for instance, with the reason. They may be sound.
    pub unread: Vec<(String, String)>,
}

/// A version whose bytes are not those that were saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedObject {
    /// The owner.
    pub user: UserId,
    /// The file.
    pub file: FileId,
    /// The version.
    pub version: FileVersionId,
    /// The key of the object.
    pub key: String,
    /// What is wrong with it.
    pub damage: Damage,
}

/// What is wrong with the bytes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// There are other bytes.
    Altered,
    /// There are fewer bytes.
    Truncated,
    /// There are none.
    Missing,
}

impl Damage {
    /// The name, as events and the audit log have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Truncated => "truncated",
            Self::Missing => "missing",
        }
    }

    /// What an error of a checked read says of the bytes; none where it says nothing of them.
    fn told_by(error: &Error, saved_bytes: u64) -> Option<Self> {
        let found_bytes = error.context().find(|(name, _)| *name == "found_bytes");
        let found_bytes = found_bytes.and_then(|(_, value)| value.parse::<u64>().ok());
        match (error.kind(), found_bytes) {
            (ErrorKind::Corrupted | ErrorKind::ChecksumMismatch, Some(found)) if found < saved_bytes => {
                Some(Self::Truncated)
            }
            (ErrorKind::Corrupted, None) => Some(Self::Missing),
            (ErrorKind::Corrupted | ErrorKind::ChecksumMismatch, _) => Some(Self::Altered),
            _ => None,
        }
    }
}

impl ScrubReport {
    /// Whether everything was read and is what was saved.
    pub fn is_clean(&self) -> bool {
        let clean = |backend: &BackendScrub| backend.damaged.is_empty() && backend.unread.is_empty();
        self.unknown_backends.is_empty() && self.backends.values().all(clean)
    }
}

impl SimpleStorageService {
    /// Reads every version that the backends hold and compares it with its digest. May run while the service does, and
    /// goes on where an earlier round was broken off. Each version that is found damaged is noted in the audit log and
    /// told by an event, `version.damaged`.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for a backend that is not configured; that the catalog cannot be read or written, or that a backend
    /// does not answer: the next round then goes on from there.
    pub async fn scrub(&self, options: ScrubOptions) -> Result<ScrubReport> {
        let mut report = ScrubReport::default();
        let mut pace = Pace::new(options.bytes_per_second);
        let names = match &options.backend {
            Some(name) => vec![name.clone()],
            None => {
                report.unknown_backends = self.unknown_backends().await?;
                self.inner.manager.list_backends().into_keys().collect()
            }
        };
        for name in names {
            let named = self.inner.manager.backend(&name)?;
            let scrub = self.scrub_backend(&named, options.restart, &mut pace).await?;
            report.backends.insert(name, scrub);
        }
        Ok(report)
    }

    async fn scrub_backend(
        &self,
        named: &Arc<NamedBackend>,
        restart: bool,
        pace: &mut Pace,
    ) -> Result<BackendScrub> {
        let catalog = &self.inner.catalog;
        let mut last = if restart { None } else { catalog.scrub_cursor(&named.name).await? };
        let mut scrub = BackendScrub { resumed_after: last.clone(), ..BackendScrub::default() };
        let (mut noted_bytes, mut noted_versions, mut noted_damage) = (0, 0, 0);
        loop {
            let page = catalog.placements_after(&named.name, last.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            for placed in page {
                let key = placed.key.clone();
                let read = self.scrub_version(named, placed, pace, &mut scrub).await;
                if read.is_ok() {
                    last = Some(key.to_string());
                }
                let is_due = scrub.bytes - noted_bytes >= NOTED_BYTES
                    || scrub.versions - noted_versions >= NOTED_VERSIONS;
                if is_due || read.is_err() {
                    self.note_scrub(named, last.as_deref(), &scrub.damaged[noted_damage..]).await?;
                    (noted_bytes, noted_versions) = (scrub.bytes, scrub.versions);
                    noted_damage = scrub.damaged.len();
                }
                read?;
            }
            if is_last {
                self.note_scrub(named, None, &scrub.damaged[noted_damage..]).await?;
                return Ok(scrub);
            }
        }
    }

    /// Notes how far a round has come (`None`: to its end) and what it found since the last note.
    async fn note_scrub(
        &self,
        named: &NamedBackend,
        after: Option<&str>,
        damaged: &[DamagedObject],
    ) -> Result<()> {
        let note = |object: &DamagedObject| -> (AuditEntry, DamagedVersion) {
            let act = Act::on("scrub", &object.user, object.file).version(object.version);
            let damage = DamagedVersion {
                file_id: object.file.as_uuid(),
                version_id: object.version.as_uuid(),
                backend: named.name.clone(),
                damage: object.damage.name().to_owned(),
            };
            (self.entry(act, object.damage.name()), damage)
        };
        self.inner.catalog.record_scrub(&named.name, after, damaged.iter().map(note).collect()).await
    }

    /// Reads one version. What seems damaged is read once more, and only then told, if the version is still there.
    ///
    /// # Errors
    ///
    /// That the backend does not answer now.
    async fn scrub_version(
        &self,
        named: &Arc<NamedBackend>,
        placed: PlacedVersion,
        pace: &mut Pace,
        scrub: &mut BackendScrub,
    ) -> Result<()> {
        let mut read = read_whole(named, &placed, pace).await;
        if read.as_ref().is_err_and(|error| Damage::told_by(error, placed.size_bytes).is_some()) {
            read = read_whole(named, &placed, pace).await;
        }
        let PlacedVersion { key, user, file, version, size_bytes, .. } = placed;
        let Err(error) = read else {
            scrub.versions += 1;
            scrub.bytes += size_bytes;
            return Ok(());
        };
        if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited) {
            return Err(error);
        }
        if !self.is_known(&user, file, version).await? {
            // It was deleted meanwhile.
            return Ok(());
        }
        match Damage::told_by(&error, size_bytes) {
            Some(damage) => {
                tracing::error!(error = %error.report(), %file, %version, damage = damage.name(), "a stored version is damaged");
                scrub.versions += 1;
                scrub.bytes += size_bytes;
                scrub.damaged.push(DamagedObject { user, file, version, key: key.to_string(), damage });
            }
            None => scrub.unread.push((key.to_string(), error.report())),
        }
        Ok(())
    }
}

/// Reads the object of a version to its end, checked as any full read is.
async fn read_whole(named: &Arc<NamedBackend>, placed: &PlacedVersion, pace: &mut Pace) -> Result<()> {
    let PlacedVersion { key, size_bytes, digests, .. } = placed;
    if *size_bytes == 0 {
        // Nothing is to be read, and yet the object must be there and be empty.
        let found = named.backend.get_metadata(key, MetadataOptions::default()).await;
        let found = found.map_err(|error| lost(named, key, error))?;
        if found.size_bytes == 0 {
            return Ok(());
        }
        return Err(Error::new(ErrorKind::ChecksumMismatch, "the object has another length than was saved")
            .with_context("found_bytes", found.size_bytes));
    }
    let source = Source { named: named.clone(), key: key.clone(), whole_size: *size_bytes };
    let mut body = source.checked(0..*size_bytes, digests).await?;
    while let Some(chunk) = body.next().await.transpose()? {
        pace.took(chunk.len() as u64).await;
    }
    Ok(())
}

/// Keeps a rate: whoever took bytes waits until their time is over.
struct Pace {
    bytes_per_second: Option<NonZeroU64>,
    next: Instant,
}

impl Pace {
    fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, next: Instant::now() }
    }

    async fn took(&mut self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        // Time that was not used is not saved up: there are no bursts.
        self.next = self.next.max(Instant::now()) + cost;
        tokio::time::sleep_until(self.next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_and_what_was_not_used_is_not_saved_up() {
        let mut pace = Pace::new(NonZeroU64::new(1_000));
        let started = Instant::now();
        for _ in 0..10 {
            pace.took(500).await;
        }
        assert_eq!(started.elapsed().as_secs(), 5);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        pace.took(3_000).await;
        assert_eq!(started.elapsed().as_secs(), 3);
        Pace::new(None).took(u64::MAX).await;
        assert_eq!(started.elapsed().as_secs(), 3);
    }

    #[test]
    fn an_error_tells_of_damage_only_where_it_is_about_the_bytes() {
        let error = |kind| Error::new(kind, "x");
        let found = |kind, bytes: u64| error(kind).with_context("found_bytes", bytes);
        for (error, damage) in [
            (error(ErrorKind::ChecksumMismatch), Some(Damage::Altered)),
            (found(ErrorKind::ChecksumMismatch, 11), Some(Damage::Altered)),
            (found(ErrorKind::ChecksumMismatch, 9), Some(Damage::Truncated)),
            (found(ErrorKind::Corrupted, 0), Some(Damage::Truncated)),
            (error(ErrorKind::Corrupted), Some(Damage::Missing)),
            (error(ErrorKind::ObjectArchived), None),
            (error(ErrorKind::Unavailable), None),
        ] {
            assert_eq!(Damage::told_by(&error, 10), damage, "{error:?}");
        }
    }
}
