//! Saving: quota, object, catalog, in an order that a crash at any point leaves whole.
//!
//! 1. The name, metadata and type are checked; room is reserved where the owner has a limit.
//! 2. The object is written under a key that was never used before. A caller who goes away stops this.
//! 3. One transaction makes it a file. From here on the save runs to its end whether or not the caller waits.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::{StreamExt, stream};
use storage_core::object::{MAX_METADATA_BYTES, validate_metadata, validate_tags};
use storage_core::{ByteStream, Capabilities, Checksums, Error, ErrorKind, Result, SaveOptions};

use super::audit::Act;
use super::lease::{Lease, Room};
use super::types::{BatchItem, FileInfo, Metadata, SaveFileOptions};
use super::upload::Upload;
use super::{SimpleStorageService, content_type, naming};
use crate::catalog::{Base, FileId, FileVersionId, Garbage, NewVersion, Placement, Sha256, UserId};

/// How many files of a batch are saved at once.
const BATCH_CONCURRENCY: usize = 8;

/// The names of the service's own metadata on objects: what a rebuild of the catalog reads.
pub(super) const META_FILENAME: &str = "storage-filename";
pub(super) const META_SHA256: &str = "storage-sha256";
const META_PREFIX: &str = "storage-";

/// What users may give: what an object carries, less the service's own.
const MAX_USER_METADATA_BYTES: usize = MAX_METADATA_BYTES
    - (META_FILENAME.len() + naming::MAX_FILENAME_BYTES)
    - (META_SHA256.len() + 2 * size_of::<Sha256>());

impl SimpleStorageService {
    /// Saves a file and answers its id.
    ///
    /// # Errors
    ///
    /// As [`SimpleStorageService::save_with`].
    pub async fn save(
        &self,
        file: impl Into<ByteStream>,
        filename: &str,
        user: &UserId,
        metadata: Metadata,
    ) -> Result<FileId> {
        let options = SaveFileOptions { metadata, ..SaveFileOptions::default() };
        Ok(self.save_with(file, filename, user, options).await?.id)
    }

    /// Saves a file, or a new version of one. When it answers, bytes and record are durable.
    ///
    /// Dropping the future before the bytes are stored saves nothing; later than that, the save ends by itself.
    ///
    /// # Errors
    ///
    /// * `InvalidArgument`, `TooLarge`: name, metadata, tags or content type are not what can be kept
    /// * `QuotaExceeded`: the owner has no room for it
    /// * `ChecksumMismatch`, `LengthMismatch`: the bytes are not those that were promised
    /// * `NotFound`, `PreconditionFailed`: the file to be replaced is not there, or not as expected
    /// * those of the body and of the backend
    pub async fn save_with(
        &self,
        file: impl Into<ByteStream>,
        filename: &str,
        user: &UserId,
        options: SaveFileOptions,
    ) -> Result<FileInfo> {
        let target = options.replace.unwrap_or_else(FileId::new);
        let act = Act { file: options.replace, ..Act::on("save", user, target) };
        let result = self.save_new_version(file.into(), filename, user, target, options).await;
        self.noting_failure(act, result).await
    }

    /// Saves many files, several at a time. Gives one result per file, in their order; one that fails does not
    /// concern the others.
    pub async fn save_batch(&self, user: &UserId, files: Vec<BatchItem>) -> Vec<Result<FileInfo>> {
        let save = |item: BatchItem| async move {
            self.save_with(item.file, &item.filename, user, item.options).await
        };
        stream::iter(files).map(save).buffered(BATCH_CONCURRENCY).collect().await
    }

    async fn save_new_version(
        &self,
        body: ByteStream,
        filename: &str,
        user: &UserId,
        file: FileId,
        options: SaveFileOptions,
    ) -> Result<FileInfo> {
        let base = base_of(&options)?;
        naming::check_filename(filename)?;
        check_user_metadata(&options.metadata)?;
        validate_tags(&options.tags)?;
        options.content_type.as_deref().map_or(Ok(()), content_type::check)?;
        // Nobody's bytes are moved for a file that is not there.
        if options.replace.is_some() {
            self.inner.catalog.file(user, file).await?;
        }
        let upload = Upload::begin(body).await?;
        let content_type = match &options.content_type {
            Some(given) => given.clone(),
            None => content_type::detect(upload.head(), filename),
        };
        if let (Some(expected), Some(actual)) = (options.sha256, upload.sha256()) {
            expect_digest(expected, actual)?;
        }

        let named = self.inner.manager.primary();
        let version = FileVersionId::new();
        let key = naming::object_key(user, file, version, filename)?;
        let placement = Placement { backend: named.name.clone(), key: key.clone(), tier: options.tier };
        let object = Garbage { backend: named.name.clone(), key: key.clone() };
        let unsaved_bytes = match &upload {
            Upload::Whole(..) => None,
            begun => Some(begun.length_bytes().unwrap_or(begun.head().len() as u64)),
        };
        let room = self.room_to_reserve(user, unsaved_bytes, &base).await?;
        let lease = Lease::take(self.inner.catalog.clone(), named.clone(), object, user, room).await?;

        let capabilities = named.backend.info().capabilities;
        let known_digest = upload.sha256().or(options.sha256);
        let save_options = SaveOptions {
            content_type: Some(content_type.clone()),
            metadata: object_metadata(&options.metadata, filename, upload.sha256()),
            tags: if capabilities.has(Capabilities::TAGS) {
                options.tags.clone()
            } else {
                Default::default()
            },
            checksums: Checksums {
                sha256: known_digest.filter(|_| capabilities.has(Capabilities::VERIFY_SHA256)),
                ..Checksums::default()
            },
            tier: options.tier,
            ..SaveOptions::default()
        };
        let (body, tally) = upload.into_body(lease.clone());
        let saved = lease.hold(named.backend.save(&key, body, save_options)).await?;
        let (size_bytes, digests) = tally.lock().result();
        if saved.size_bytes != size_bytes {
            lease.give_up().await;
            return Err(Error::new(
                ErrorKind::Internal,
                "the backend stored another number of bytes than it was given",
            )
            .with_context("sent_bytes", size_bytes)
            .with_context("stored_bytes", saved.size_bytes));
        }
        if let Some(expected) = options.sha256
            && let Err(error) = expect_digest(expected, digests.sha256)
        {
            lease.give_up().await;
            return Err(error);
        }

        let new_version = NewVersion {
            file,
            user: user.clone(),
            version,
            base,
            filename: filename.to_owned(),
            content_type,
            size_bytes,
            digests,
            metadata: options.metadata,
            tags: options.tags,
            placement,
            reservation: lease.reservation(),
            created_at: SystemTime::now(),
        };
        self.commit(new_version, lease, "save").await
    }

    /// Makes a stored object a version of a file. Runs to its end even if the caller goes away.
    pub(super) async fn commit(
        &self,
        version: NewVersion,
        lease: Arc<Lease>,
        action: &'static str,
    ) -> Result<FileInfo> {
        let audit = self.success(Act::on(action, &version.user, version.file).version(version.version));
        lease.commit(version, audit).await
    }

    /// What must be reserved before bytes are moved: nothing where the owner has no limit, or where all bytes are
    /// here already (`None`) and the commit itself decides.
    async fn room_to_reserve(&self, user: &UserId, bytes: Option<u64>, base: &Base) -> Result<Option<Room>> {
        let Some(bytes) = bytes else { return Ok(None) };
        let quota = self.inner.catalog.usage(user).await?.quota;
        if quota.max_bytes.is_none() && quota.max_files.is_none() {
            return Ok(None);
        }
        Ok(Some(Room { bytes, files: u64::from(*base == Base::NewFile) }))
    }
}

fn base_of(options: &SaveFileOptions) -> Result<Base> {
    match (options.replace, options.if_current) {
        (None, None) => Ok(Base::NewFile),
        (Some(_), None) => Ok(Base::Current),
        (Some(_), Some(version)) => Ok(Base::Version(version)),
        (None, Some(_)) => Err(Error::new(
            ErrorKind::InvalidArgument,
            "if_current says nothing of a file that is new: set replace too",
        )),
    }
}

/// Checks the metadata that a user gives: that they can be kept, and leave room for the service's own.
pub(super) fn check_user_metadata(metadata: &Metadata) -> Result<()> {
    if let Some(name) = metadata.keys().find(|name| name.starts_with(META_PREFIX)) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "metadata names that start with storage- belong to the service",
        )
        .with_context("name", name.escape_debug()));
    }
    validate_metadata(metadata)?;
    let size_bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size_bytes > MAX_USER_METADATA_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("metadata takes {size_bytes} bytes; at most {MAX_USER_METADATA_BYTES} are kept"),
        ));
    }
    Ok(())
}

/// The user's metadata and the service's own.
pub(super) fn object_metadata(user_metadata: &Metadata, filename: &str, sha256: Option<Sha256>) -> Metadata {
    let mut metadata = user_metadata.clone();
    metadata.insert(META_FILENAME.to_owned(), filename.to_owned());
    if let Some(sha256) = sha256 {
        metadata.insert(META_SHA256.to_owned(), hex::encode(sha256));
    }
    metadata
}

/// The user's own part of an object's metadata.
pub(super) fn user_metadata(metadata: &Metadata) -> Metadata {
    let own = metadata.iter().filter(|(name, _)| !name.starts_with(META_PREFIX));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn expect_digest(expected: Sha256, actual: Sha256) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::new(ErrorKind::ChecksumMismatch, "the content does not have the digest that was given")
        .with_context("expected_sha256", hex::encode(expected))
        .with_context("actual_sha256", hex::encode(actual)))
}
