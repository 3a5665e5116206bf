//! Rebuilding the catalog from what the backends hold: each object says whose it is, how it is called, and what its
//! digest is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use serde::Serialize;
use storage_core::{
    Capabilities, Error, ErrorKind, MetadataOptions, ObjectKey, ObjectMeta, Result, RetrieveOptions,
};

use super::listing::Objects;
use crate::catalog::{Base, Digests, FileId, FileVersionId, NewVersion, Placement, Sha256, UserId};
use crate::manager::NamedBackend;
use crate::service::digest::Digester;
use crate::service::save::{META_FILENAME, META_SHA256, user_metadata};
use crate::service::{SimpleStorageService, naming};

/// The most records of unfinished work that a rebuild looks at.
const MAX_RECORDS: u32 = 1_000_000;

/// What a rebuild did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RebuildReport {
    /// By backend name.
    pub backends: BTreeMap<String, BackendRebuild>,
    /// What no backend knows and a rebuild therefore could not bring back: with a catalog that held nothing, and with
    /// the versions that were taken up.
    pub lost: Vec<&'static str>,
}

/// What a rebuild took from one backend.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BackendRebuild {
    /// How many of the service's objects the backend holds.
    pub objects: u64,
    /// How many versions the catalog has now that it had not before.
    pub adopted: u64,
    /// How many it had already.
    pub known: u64,
    /// How many objects were read to compute their digest.
    pub digested: u64,
    /// Objects below the service's prefix whose key it never made.
    pub foreign: Vec<String>,
    /// Objects that could not be taken up, with the reason.
    pub failed: Vec<(String, String)>,
}

/// What is gone with a catalog.
const LOST_WITH_CATALOG: [&str; 3] = [
    "quotas of single users",
    "the audit log and events that were not delivered",
    "service keys and link keys: make new ones, links that were given out no longer work",
];

/// What the objects do not tell of the versions that are taken up.
const LOST_OF_ADOPTED: [&str; 2] = [
    "the very times: a version counts as saved when its save began, to the millisecond",
    "which files were deleted while their objects could not yet be removed: they are back",
];

/// What they do not tell besides where a backend has no tags.
const LOST_TAGS: &str = "tags of files in backends that keep none";

impl SimpleStorageService {
    /// Adds to the catalog every version that a backend holds and the catalog does not know: files, owners, names,
    /// versions, metadata, digests. What the catalog knows stays as it is.
    ///
    /// # Errors
    ///
    /// Where the catalog cannot be written or a backend cannot be listed to its end. An object that cannot be read
    /// is part of the report.
    pub async fn rebuild_catalog(&self) -> Result<RebuildReport> {
        let mut report = RebuildReport::default();
        if self.inner.catalog.totals().await?.versions == 0 {
            report.lost.extend(LOST_WITH_CATALOG);
        }
        let (mut adopted, mut without_tags) = (0, 0);
        for name in self.inner.manager.list_backends().into_keys() {
            let named = self.inner.manager.backend(&name)?;
            let rebuild = self.rebuild_from(&named).await?;
            adopted += rebuild.adopted;
            if !named.backend.info().capabilities.has(Capabilities::TAGS) {
                without_tags += rebuild.adopted;
            }
            report.backends.insert(name, rebuild);
        }
        if adopted > 0 {
            report.lost.extend(LOST_OF_ADOPTED);
        }
        if without_tags > 0 {
            report.lost.push(LOST_TAGS);
        }
        Ok(report)
    }

    async fn rebuild_from(&self, named: &NamedBackend) -> Result<BackendRebuild> {
        let catalog = &self.inner.catalog;
        let given_up: BTreeSet<ObjectKey> = catalog
            .unfinished_objects(Duration::ZERO, None, MAX_RECORDS)
            .await?
            .into_iter()
            .chain(catalog.garbage(Duration::ZERO, None, MAX_RECORDS).await?)
            .filter_map(|object| (object.backend == named.name).then_some(object.key))
            .collect();
        let mut rebuild = BackendRebuild::default();
        let mut objects = Objects::of(named.backend.clone());
        while let Some(object) = objects.next().await? {
            rebuild.objects += 1;
            let key = object.key;
            if given_up.contains(&key) {
                continue;
            }
            let Some(ids) = naming::parse_object_key(&key) else {
                rebuild.foreign.push(key.to_string());
                continue;
            };
            if self.is_known(&ids.0, ids.1, ids.2).await? {
                rebuild.known += 1;
                continue;
            }
            let adopted = match describe(named, &key, ids, &mut rebuild).await {
                Ok(version) => match catalog.adopt_version(version).await {
                    // What one object claims and the catalog knows otherwise concerns none of the others.
                    Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
                    adopted => adopted,
                },
                Err(error) => Err(error),
            };
            match adopted {
                Ok(true) => rebuild.adopted += 1,
                Ok(false) => rebuild.known += 1,
                Err(error) => rebuild.failed.push((key.to_string(), error.report())),
            }
        }
        Ok(rebuild)
    }
}

/// The version that an object holds.
async fn describe(
    named: &NamedBackend,
    key: &ObjectKey,
    (user, file, version): (UserId, FileId, FileVersionId),
    rebuild: &mut BackendRebuild,
) -> Result<NewVersion> {
    let meta = named.backend.get_metadata(key, MetadataOptions::default()).await?;
    let digests = match known_digest(&meta) {
        Some(sha256) => Digests::from(sha256),
        None => {
            rebuild.digested += 1;
            digest(named, key, meta.size_bytes).await?
        }
    };
    let last_segment = key.segments().next_back().unwrap_or_default();
    Ok(NewVersion {
        file,
        user,
        version,
        base: Base::Current,
        filename: meta.metadata.get(META_FILENAME).map_or(last_segment, String::as_str).to_owned(),
        content_type: meta.content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        size_bytes: meta.size_bytes,
        digests,
        metadata: user_metadata(&meta.metadata),
        tags: meta.tags,
        placement: Placement { backend: named.name.clone(), key: key.clone(), tier: meta.tier },
        reservation: None,
        created_at: made_at(version.as_uuid()).unwrap_or(meta.last_modified),
    })
}

fn known_digest(meta: &ObjectMeta) -> Option<Sha256> {
    meta.checksums.sha256.or_else(|| {
        let mut digest = Sha256::default();
        hex::decode_to_slice(meta.metadata.get(META_SHA256)?, &mut digest).ok()?;
        Some(digest)
    })
}

async fn digest(named: &NamedBackend, key: &ObjectKey, size_bytes: u64) -> Result<Digests> {
    let mut body = named.backend.retrieve(key, RetrieveOptions::default()).await?.body;
    let mut digester = Digester::of_length(size_bytes);
    let mut read_bytes = 0;
    while let Some(chunk) = body.next().await.transpose()? {
        digester.update(&chunk);
        read_bytes += chunk.len() as u64;
    }
    if read_bytes != size_bytes {
        return Err(Error::new(
            ErrorKind::Corrupted,
            "the object gives another number of bytes than it says it has",
        ));
    }
    Ok(digester.digests())
}

/// When an id was made (UUIDv7 begins with the time).
fn made_at(id: uuid::Uuid) -> Option<SystemTime> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}
