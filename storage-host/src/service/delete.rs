//! Deleting: the catalog first, so that the file is gone at once and for good; then the objects.

use std::time::Duration;

use storage_core::{Error, ErrorKind, Result};

use super::SimpleStorageService;
use super::audit::Act;
use super::objects::remove_garbage;
use super::types::DeleteFileOptions;
use crate::catalog::{FileId, FileVersionId, Garbage, UserId};

/// How long a delete waits for the objects to go. The file is gone before that, and the objects go all the same: whoever
/// deletes is not to wait for a backend that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

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
        self.delete_with(file, user, DeleteFileOptions::default()).await
    }

    /// The same, where the file is still what the caller takes it for.
    ///
    /// # Errors
    ///
    /// `PreconditionFailed`, as the options have it; those of the catalog. Then the file is still there.
    pub async fn delete_with(&self, file: FileId, user: &UserId, options: DeleteFileOptions) -> Result<bool> {
        let act = Act::on("delete", user, file);
        let audit = self.success(act);
        let result = self.inner.catalog.delete_file(user, file, options.if_current, audit).await;
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
        match tokio::time::timeout(PATIENCE, removal).await {
            Ok(Ok(_)) => {}
            Ok(Err(join)) => {
                tracing::error!(error = %join, "the removal of deleted objects did not end and is left to the reconciler");
            }
            Err(_) => tracing::debug!("the removal of deleted objects takes long and goes on"),
        }
        Ok(true)
    }
}
