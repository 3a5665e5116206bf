//! Reading: ownership first, then conditions, then bytes, which are checked and, where a connection breaks, resumed.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use storage_core::{ByteRange, ByteStream, Error, ErrorKind, ObjectKey, Result, RetrieveOptions};

use super::SimpleStorageService;
use super::audit::Act;
use super::digest::Check;
use super::types::{FileContent, FileInfo, RetrieveFileOptions};
use crate::catalog::{Catalog, Digests, FileId, FileRecord, FileVersionId, UserId, VersionRecord};
use crate::manager::NamedBackend;

/// How often a read that broke off is taken up again without having got a byte further.
const MAX_FRUITLESS_RESUMES: u32 = 3;

impl SimpleStorageService {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// As [`SimpleStorageService::retrieve_with`].
    pub async fn retrieve(&self, file: FileId, user: &UserId) -> Result<FileContent> {
        self.retrieve_with(file, user, RetrieveFileOptions::default()).await
    }

    /// Reads a file, a range of it, or a version of it.
    ///
    /// # Errors
    ///
    /// * `NotFound`: the user has no such file; the same for a file of somebody else
    /// * `NotModified`, `PreconditionFailed`: as the condition has it
    /// * `RangeNotSatisfiable`, with the size as context
    /// * `ObjectArchived`: it must be restored first
    /// * `Corrupted`: the backend has lost the object; `ChecksumMismatch`: it has altered it (for content of more than
    ///   one chunk, this is the last item of the body, in place of the last bytes)
    /// * those of the backend
    pub async fn retrieve_with(
        &self,
        file: FileId,
        user: &UserId,
        options: RetrieveFileOptions,
    ) -> Result<FileContent> {
        let act = Act { version: options.version, ..Act::on("retrieve", user, file) };
        let result = self.read(file, user, options).await;
        self.note(act, result.as_ref().map(|_| ())).await;
        result
    }

    async fn read(&self, file: FileId, user: &UserId, options: RetrieveFileOptions) -> Result<FileContent> {
        let (info, version) = self.find_version(file, user, options.version).await?;
        if !options.condition.is_empty() {
            options.condition.check(Some(&info.etag()), info.updated_at)?;
        }
        let range = match options.range {
            Some(range) => range.resolve(info.size_bytes)?,
            None => 0..info.size_bytes,
        };
        match self.open_body(&version, range.clone()).await {
            Ok(body) => Ok(FileContent { info, range, body }),
            Err(error) => Err(self.unless_deleted(file, user, version.id, error).await),
        }
    }

    /// The error of a read of a version. One that is deleted after it was looked up is not there any more, and its
    /// bytes are not lost.
    pub(super) async fn unless_deleted(
        &self,
        file: FileId,
        user: &UserId,
        version: FileVersionId,
        error: Error,
    ) -> Error {
        if error.kind() != ErrorKind::Corrupted {
            return error;
        }
        match self.find_version(file, user, Some(version)).await {
            Err(gone) if gone.kind() == ErrorKind::NotFound => gone,
            Ok(_) | Err(_) => error,
        }
    }

    /// A version as its owner sees it, and as the catalog does.
    pub(super) async fn find_version(
        &self,
        file: FileId,
        user: &UserId,
        version: Option<FileVersionId>,
    ) -> Result<(FileInfo, VersionRecord)> {
        find_version(self.inner.catalog.as_ref(), file, user, version).await
    }

    /// The bytes of a version, from where they are.
    pub(super) async fn open_body(&self, version: &VersionRecord, range: Range<u64>) -> Result<ByteStream> {
        let placement = version.placements.first().ok_or_else(|| {
            Error::new(ErrorKind::Corrupted, "the catalog does not know where the bytes of this version are")
        })?;
        if range.is_empty() {
            return Ok(ByteStream::empty());
        }
        let named = self.inner.manager.backend(&placement.backend)?;
        let source = Source { named, key: placement.key.clone(), whole_size: version.size_bytes };
        source.checked(range, &version.digests).await
    }
}

/// A version as its owner sees it, and as the catalog does.
pub(super) async fn find_version(
    catalog: &dyn Catalog,
    file: FileId,
    user: &UserId,
    version: Option<FileVersionId>,
) -> Result<(FileInfo, VersionRecord)> {
    let record = catalog.file(user, file).await?;
    let wanted = version.filter(|version| *version != record.current.id);
    let Some(wanted) = wanted else {
        let version = record.current.clone();
        return Ok((FileInfo::current(record), version));
    };
    let version = catalog.version(user, file, wanted).await?;
    let FileRecord { id, user, created_at, .. } = record;
    Ok((FileInfo::of_version(id, user, created_at, false, version.clone()), version))
}

/// An object that can be read from any byte on.
pub(super) struct Source {
    pub(super) named: Arc<NamedBackend>,
    pub(super) key: ObjectKey,
    /// The length that was saved, in bytes.
    pub(super) whole_size: u64,
}

impl Source {
    /// The bytes of a range that is not empty; those of the whole are compared with what was saved.
    ///
    /// # Errors
    ///
    /// `Corrupted` where the object is not there, `ChecksumMismatch` where it is another; those of the backend.
    pub(super) async fn checked(self, range: Range<u64>, saved: &Digests) -> Result<ByteStream> {
        let whole = range == (0..self.whole_size);
        let body = self.open(range.clone()).await?;
        if let Some(bytes) = body.as_buffer()
            && whole
        {
            let mut check = Check::against(saved);
            check.update(bytes);
            check.finish()?;
            return Ok(body);
        }
        let length = range.end - range.start;
        let reader = Reader {
            source: Arc::new(self),
            body,
            next: range.start,
            end: range.end,
            check: whole.then(|| Check::against(saved)),
            fruitless: 0,
        };
        let chunks = stream::try_unfold(reader, |mut reader| async move {
            Ok(reader.next().await?.map(|chunk| (chunk, reader)))
        });
        Ok(ByteStream::from_stream(chunks, Some(length)))
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let whole = range == (0..self.whole_size);
        let options = RetrieveOptions {
            range: (!whole).then_some(ByteRange::Bounded(range.start, range.end)),
            ..RetrieveOptions::default()
        };
        let retrieved = self
            .named
            .backend
            .retrieve(&self.key, options)
            .await
            .map_err(|error| lost(&self.named, &self.key, error))?;
        if retrieved.meta.size_bytes != self.whole_size || retrieved.range != range {
            return Err(Error::new(
                ErrorKind::ChecksumMismatch,
                "the object has another length than was saved",
            )
            .with_backend(self.named.name.clone())
            .with_key(&self.key)
            .with_context("saved_bytes", self.whole_size)
            .with_context("found_bytes", retrieved.meta.size_bytes));
        }
        Ok(retrieved.body)
    }
}

/// A read under way.
struct Reader {
    source: Arc<Source>,
    body: ByteStream,
    next: u64,
    end: u64,
    check: Option<Check>,
    fruitless: u32,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.next < self.end {
            match self.body.next().await {
                Some(Ok(chunk)) => return self.take(chunk).map(Some),
                Some(Err(error)) if error.retry().is_allowed() => self.resume(error).await?,
                Some(Err(error)) => return Err(error),
                None => {
                    let error = Error::new(ErrorKind::Unavailable, "the backend ended its answer early");
                    self.resume(error.with_retry(storage_core::Retry::May)).await?;
                }
            }
        }
        Ok(None)
    }

    /// Accounts for a chunk; the stream around this one refuses those that are too many. The last one of a whole
    /// read is given only if all of them are what was saved, so that nobody holds a complete file that is a wrong one.
    fn take(&mut self, chunk: Bytes) -> Result<Bytes> {
        self.next += chunk.len() as u64;
        self.fruitless = 0;
        if let Some(check) = &mut self.check {
            check.update(&chunk);
            if self.next == self.end {
                check.finish()?;
            }
        }
        Ok(chunk)
    }

    /// Takes the read up where it broke off.
    async fn resume(&mut self, error: Error) -> Result<()> {
        self.fruitless += 1;
        if self.fruitless > MAX_FRUITLESS_RESUMES {
            return Err(error.with_retry(storage_core::Retry::GaveUp));
        }
        tracing::warn!(error = %error.report(), offset = self.next, "a read broke off and is resumed");
        self.body = self.source.open(self.next..self.end).await?;
        Ok(())
    }
}

/// The error of a read, where it may be that the object of a version is not there: the file is, so that its owner
/// must not be told that it is not.
pub(super) fn lost(named: &NamedBackend, key: &ObjectKey, error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::Corrupted, "the backend has lost the bytes of this file")
                .with_backend(named.name.clone())
                .with_key(key)
                .with_source(error)
        }
        _ => error,
    }
}
