//! Deleting: the catalog first, so that the file is gone at once and for good; then the objects.

use storage_core::{Error, ErrorKind, Result};

use super::SimpleStorageService;
use super::audit::Act;
use super::objects::remove_garbage;
use crate::catalog::{FileId, FileVersionId, Garbage, UserId};

impl SimpleStorageService {
    /// Deletes a file with all its versions. Answers whether there was one; a file of somebody else is none.
    ///
    /// When it answers, the file cannot be read again. Objects that a backend does not let go at once are removed
    /// later.
    ///
    /// # Errors
    ///
    /// Those of the catalog; then the file is still there.
    pub async fn delete(&self, file: FileId, user: &UserId) -> Result<bool> {
        let act = Act::on("delete", user, file);
        let result = self.inner.catalog.delete_file(user, file, self.success(act)).await;
        let garbage = self.noting_failure(act, result).await?;
        self.remove_deleted(act, garbage).await
    }

    /// Deletes one version of a file for good. Answers whether there was one.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for the current version; those of the catalog.
    pub async fn delete_version(&self, file: FileId, user: &UserId, version: FileVersionId) -> Result<bool> {
        let act = Act::on("delete_version", user, file).version(version);
        let result = self.inner.catalog.delete_version(user, file, version, self.success(act)).await;
        let garbage = self.noting_failure(act, result).await?;
        self.remove_deleted(act, garbage).await
    }

    async fn remove_deleted(&self, act: Act<'_>, garbage: Option<Vec<Garbage>>) -> Result<bool> {
        let Some(garbage) = garbage else {
            self.note(act, Err(&Error::new(ErrorKind::NotFound, "there was nothing to delete"))).await;
            return Ok(false);
        };
        let inner = self.inner.clone();
        // Goes on if the caller goes away; the catalog remembers what is left if the process does.
        let removal =
            tokio::spawn(async move { remove_garbage(&inner.manager, &inner.catalog, garbage).await });
        if let Err(join) = removal.await {
            tracing::error!(error = %join, "the removal of deleted objects did not end and is left to the reconciler");
        }
        Ok(true)
    }
}
