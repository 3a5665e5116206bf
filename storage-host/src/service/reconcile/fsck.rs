//! Comparing the catalog with what the backends hold.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use storage_core::{Error, ErrorKind, ObjectKey, ObjectMeta, Result};

use super::listing::{Objects, Placements};
use crate::catalog::{FileId, FileVersionId, Garbage, PlacedVersion, UserId};
use crate::manager::NamedBackend;
use crate::service::lease::LIFETIME;
use crate::service::{SimpleStorageService, naming};

/// The most records of unfinished work that one check looks at.
const MAX_RECORDS: u32 = 1_000_000;

/// What a check may change.
#[derive(Clone, Copy, Debug)]
pub struct FsckOptions {
    /// Removes objects that are provably nobody's, takes back promises of room to saves that ended without a word, and
    /// corrects usage counters.
    pub repair: bool,
    /// How long work must have shown no sign of life to count as unfinished; what is younger is under way and is not
    /// reported. Zero only while no other host runs.
    pub age: Duration,
}

/// What a check found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FsckReport {
    /// What is wrong with the catalog's own structure.
    pub catalog_problems: Vec<String>,
    /// Users whose usage counters differ from their files; corrected with `repair`.
    pub wrong_usage: Vec<UserId>,
    /// How many objects that were nobody's were removed.
    pub removed_objects: u64,
    /// How many bytes of quota were promised to saves that nobody is at any more, and are free again.
    pub released_bytes: u64,
    /// The comparison with each backend, by name.
    pub backends: BTreeMap<String, BackendFindings>,
    /// Backends that are not configured, with the number of versions that the catalog places in them: they cannot be
    /// read, nor compared, until the configuration names the backend again.
    pub unknown_backends: BTreeMap<String, u64>,
}

/// How a backend and the catalog differ.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BackendFindings {
    /// How many of the service's objects the backend holds.
    pub objects: u64,
    /// How many versions the catalog places in it.
    pub versions: u64,
    /// Objects that are provably nobody's: left by an unfinished save or a delete. `repair` removes them.
    pub orphans: Vec<String>,
    /// Objects that the catalog knows nothing of, and of which nothing proves that they are nobody's. Never removed;
    /// `storage catalog rebuild` takes them up.
    pub unexplained: Vec<String>,
    /// Versions whose object is gone.
    pub missing: Vec<MissingObject>,
    /// Versions whose object has another length.
    pub wrong_size: Vec<WrongSize>,
}

/// A version without its bytes.
#[derive(Clone, Debug, Serialize)]
pub struct MissingObject {
    /// The owner.
    pub user: UserId,
    /// The file.
    pub file: FileId,
    /// The version.
    pub version: FileVersionId,
    /// The key of the object that should be there.
    pub key: String,
}

/// A version whose object has another length.
#[derive(Clone, Debug, Serialize)]
pub struct WrongSize {
    /// The key of the object.
    pub key: String,
    /// The length that was saved, in bytes.
    pub saved_bytes: u64,
    /// The length that was found, in bytes.
    pub found_bytes: u64,
}

impl FsckReport {
    /// Whether nothing is left that someone must look at.
    pub fn is_clean(&self) -> bool {
        let clean = |findings: &BackendFindings| {
            findings.orphans.is_empty()
                && findings.unexplained.is_empty()
                && findings.missing.is_empty()
                && findings.wrong_size.is_empty()
        };
        self.catalog_problems.is_empty()
            && self.wrong_usage.is_empty()
            && self.unknown_backends.is_empty()
            && self.backends.values().all(clean)
    }
}

impl SimpleStorageService {
    /// Compares the catalog with every backend. May run while the service does: what seems to differ is looked at
    /// again before it is reported.
    ///
    /// # Errors
    ///
    /// Where the catalog or a backend cannot be read to its end.
    pub async fn fsck(&self, options: FsckOptions) -> Result<FsckReport> {
        let catalog = &self.inner.catalog;
        let (mut removed_objects, mut released_bytes) = (0, 0);
        if options.repair {
            removed_objects = self.collect_garbage(options.age).await?;
            // A save under way prolongs its promise as long before that lapses as it prolongs its claim to the object.
            let within = LIFETIME.saturating_sub(options.age);
            released_bytes = catalog.release_lapsing_reservations(within).await?;
        }
        let mut report = FsckReport {
            catalog_problems: catalog.check_integrity().await?,
            wrong_usage: catalog.check_usage(options.repair).await?,
            removed_objects,
            released_bytes,
            backends: BTreeMap::new(),
            unknown_backends: self.unknown_backends().await?,
        };
        for name in self.inner.manager.list_backends().into_keys() {
            let named = self.inner.manager.backend(&name)?;
            let findings = self.compare(&named, options.age).await?;
            report.backends.insert(name, findings);
        }
        Ok(report)
    }

    /// Backends that are not configured and on which versions lie nevertheless, with their number: a backend was taken
    /// out of the configuration, or has another name there.
    ///
    /// # Errors
    ///
    /// Those of the catalog.
    pub async fn unknown_backends(&self) -> Result<BTreeMap<String, u64>> {
        let known = self.inner.manager.list_backends().into_keys().collect();
        self.inner.catalog.versions_elsewhere(known).await
    }

    async fn compare(&self, named: &NamedBackend, age: Duration) -> Result<BackendFindings> {
        let catalog = &self.inner.catalog;
        let mut findings = BackendFindings::default();
        let mut objects = Objects::of(named.backend.clone());
        let mut placements = Placements::of(catalog.clone(), &named.name);
        let (mut object, mut placed) = (objects.next().await?, placements.next().await?);
        let mut loose = Vec::new();
        loop {
            let order = match (&object, &placed) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(object), Some(placed)) => object.key.cmp(&placed.key),
            };
            if let Some(object) = object.take_if(|_| order.is_le()) {
                findings.objects += 1;
                match placed.as_ref().filter(|_| order.is_eq()) {
                    Some(placed) => findings.wrong_size.extend(size_difference(&object, placed)),
                    None => loose.push(object.key),
                }
            }
            if let Some(placed) = placed.take_if(|_| order.is_ge()) {
                findings.versions += 1;
                if order.is_gt() {
                    findings.missing.extend(self.confirm_missing(named, placed).await?);
                }
            }
            if object.is_none() {
                object = objects.next().await?;
            }
            if placed.is_none() {
                placed = placements.next().await?;
            }
        }
        self.explain(named, loose, age, &mut findings).await?;
        Ok(findings)
    }

    /// A version without an object, if that is still so: it may have been deleted meanwhile.
    async fn confirm_missing(
        &self,
        named: &NamedBackend,
        placed: PlacedVersion,
    ) -> Result<Option<MissingObject>> {
        let PlacedVersion { key, user, file, version, .. } = placed;
        if named.backend.exists(&key).await? || !self.is_known(&user, file, version).await? {
            return Ok(None);
        }
        Ok(Some(MissingObject { user, file, version, key: key.to_string() }))
    }

    /// Objects without a version: of a save under way or unfinished, of a delete, or of nobody knows what.
    async fn explain(
        &self,
        named: &NamedBackend,
        loose: Vec<ObjectKey>,
        age: Duration,
        findings: &mut BackendFindings,
    ) -> Result<()> {
        if loose.is_empty() {
            return Ok(());
        }
        let catalog = &self.inner.catalog;
        let here = |object: Garbage| (object.backend == named.name).then_some(object.key);
        let unfinished = async |age| {
            let (unfinished, garbage) = tokio::try_join!(
                catalog.unfinished_objects(age, None, MAX_RECORDS),
                catalog.garbage(age, None, MAX_RECORDS)
            )?;
            Ok::<BTreeSet<ObjectKey>, Error>(unfinished.into_iter().chain(garbage).filter_map(here).collect())
        };
        let given_up = unfinished(age).await?;
        let recorded = unfinished(Duration::ZERO).await?;
        let mut unrecorded = Vec::new();
        for key in loose {
            let known = match naming::parse_object_key(&key) {
                Some((user, file, version)) => self.is_known(&user, file, version).await?,
                None => false,
            };
            if known {
                continue;
            }
            if given_up.contains(&key) {
                if named.backend.exists(&key).await? {
                    findings.orphans.push(key.to_string());
                }
            } else if !recorded.contains(&key) {
                unrecorded.push(key);
            }
        }
        if unrecorded.is_empty() {
            return Ok(());
        }
        // One may have become a version before the records were read, and have been deleted before it was looked up:
        // then there is a record of the delete by now, or the object is gone.
        let recorded = unfinished(Duration::ZERO).await?;
        for key in unrecorded {
            if !recorded.contains(&key) && named.backend.exists(&key).await? {
                findings.unexplained.push(key.to_string());
            }
        }
        Ok(())
    }

    pub(super) async fn is_known(&self, user: &UserId, file: FileId, version: FileVersionId) -> Result<bool> {
        match self.inner.catalog.version(user, file, version).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn size_difference(object: &ObjectMeta, placed: &PlacedVersion) -> Option<WrongSize> {
    (object.size_bytes != placed.size_bytes).then(|| WrongSize {
        key: object.key.to_string(),
        saved_bytes: placed.size_bytes,
        found_bytes: object.size_bytes,
    })
}
