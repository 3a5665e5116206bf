//! Copies of versions: as a new file, or as the newest version of the same file.

use std::time::SystemTime;

use storage_core::{Capabilities, CopyOptions, Error, ErrorKind, Result, SaveOptions};

use super::audit::Act;
use super::lease::{Lease, Room};
use super::retrieve::lost;
use super::save::{check_user_metadata, object_metadata};
use super::types::{CopyFileOptions, FileInfo, Metadata};
use super::{SimpleStorageService, naming};
use crate::catalog::{Base, FileId, FileVersionId, Garbage, NewVersion, Placement, UserId, VersionRecord};

/// What a copy becomes.
struct Target {
    action: &'static str,
    file: FileId,
    base: Base,
    filename: String,
    metadata: Metadata,
}

impl SimpleStorageService {
    /// Copies a file, or a version of it, into a new file of the same user. The bytes stay inside the backend where
    /// it can copy.
    ///
    /// # Errors
    ///
    /// `NotFound`; `QuotaExceeded`; `InvalidArgument` for a name or metadata that cannot be kept; those of the backend.
    pub async fn copy(&self, file: FileId, user: &UserId, options: CopyFileOptions) -> Result<FileInfo> {
        let act = Act { version: options.version, ..Act::on("copy", user, file) };
        let result = self.copy_to_new_file(file, user, options).await;
        self.noting_failure(act, result).await
    }

    /// Makes an older version the current one again, as a new version: history is never rewritten.
    ///
    /// # Errors
    ///
    /// `NotFound`; `QuotaExceeded`; those of the backend.
    pub async fn restore_version(
        &self,
        file: FileId,
        user: &UserId,
        version: FileVersionId,
    ) -> Result<FileInfo> {
        let act = Act::on("restore_version", user, file).version(version);
        let result = self.copy_to_same_file(file, user, version).await;
        self.noting_failure(act, result).await
    }

    async fn copy_to_new_file(
        &self,
        file: FileId,
        user: &UserId,
        options: CopyFileOptions,
    ) -> Result<FileInfo> {
        let (_, source) = self.find_version(file, user, options.version).await?;
        let target = Target {
            action: "copy",
            file: FileId::new(),
            base: Base::NewFile,
            filename: options.filename.unwrap_or_else(|| source.filename.clone()),
            metadata: options.metadata.unwrap_or_else(|| source.metadata.clone()),
        };
        naming::check_filename(&target.filename)?;
        check_user_metadata(&target.metadata)?;
        self.copy_version(file, user, source, target).await
    }

    async fn copy_to_same_file(
        &self,
        file: FileId,
        user: &UserId,
        version: FileVersionId,
    ) -> Result<FileInfo> {
        let (_, source) = self.find_version(file, user, Some(version)).await?;
        let target = Target {
            action: "restore_version",
            file,
            base: Base::Current,
            filename: source.filename.clone(),
            metadata: source.metadata.clone(),
        };
        self.copy_version(file, user, source, target).await
    }

    async fn copy_version(
        &self,
        file: FileId,
        user: &UserId,
        source: VersionRecord,
        target: Target,
    ) -> Result<FileInfo> {
        let named = self.inner.manager.primary();
        let version = FileVersionId::new();
        let key = naming::object_key(user, target.file, version, &target.filename)?;
        let tier = source.placements.first().and_then(|placement| placement.tier);
        let object = Garbage { backend: named.name.clone(), key: key.clone() };
        let room = Room { bytes: source.size_bytes, files: u64::from(target.base == Base::NewFile) };
        let catalog = self.inner.catalog.clone();
        let lease = Lease::take(catalog, named.clone(), object, user, Some(room)).await?;

        let capabilities = named.backend.info().capabilities;
        let stored = SaveOptions {
            content_type: Some(source.content_type.clone()),
            metadata: object_metadata(&target.metadata, &target.filename, Some(source.digests.sha256)),
            tags: if capabilities.has(Capabilities::TAGS) { source.tags.clone() } else { Default::default() },
            tier,
            ..SaveOptions::default()
        };
        let near = source.placements.iter().find(|placement| placement.backend == named.name);
        let work = async {
            match near.filter(|_| capabilities.has(Capabilities::COPY)) {
                Some(placement) => {
                    let options = CopyOptions { replace: Some(stored), ..CopyOptions::default() };
                    let copied = named.backend.copy(&placement.key, &key, options).await;
                    copied.map_err(|error| lost(&named, &placement.key, error))
                }
                None => {
                    let body = self.open_body(&source, 0..source.size_bytes).await?;
                    named.backend.save(&key, body, stored).await
                }
            }
        };
        let saved = match lease.hold(work).await {
            Ok(saved) => saved,
            Err(error) => return Err(self.unless_deleted(file, user, source.id, error).await),
        };
        if saved.size_bytes != source.size_bytes {
            lease.give_up().await;
            return Err(Error::new(ErrorKind::Corrupted, "the copy has another length than the original")
                .with_context("original_bytes", source.size_bytes)
                .with_context("copied_bytes", saved.size_bytes));
        }

        let new_version = NewVersion {
            file: target.file,
            user: user.clone(),
            version,
            base: target.base,
            filename: target.filename,
            content_type: source.content_type,
            size_bytes: source.size_bytes,
            digests: source.digests,
            metadata: target.metadata,
            tags: source.tags,
            placement: Placement { backend: named.name.clone(), key, tier },
            reservation: lease.reservation(),
            created_at: SystemTime::now(),
        };
        self.commit(new_version, lease, target.action).await
    }
}
