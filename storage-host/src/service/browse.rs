//! What a user has: listings, metadata, versions, usage.

use storage_core::Result;

use super::SimpleStorageService;
use super::audit::Act;
use super::types::{FileInfo, FileInfoPage};
use crate::catalog::{FileId, FileQuery, FileVersionId, Quota, Usage, UserId};

impl SimpleStorageService {
    /// Lists files of a user, a page at a time.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a cursor that belongs to another query, and for a limit outside of 1 to 1,000.
    pub async fn list(&self, user: &UserId, query: FileQuery) -> Result<FileInfoPage> {
        let act = Act { action: "list", user, file: None, version: None };
        let result = self.inner.catalog.list(user, query).await;
        self.note(act, result.as_ref().map(|_| ())).await;
        let page = result?;
        let files = page.files.into_iter().map(FileInfo::current).collect();
        Ok(FileInfoPage { files, next_cursor: page.next_cursor })
    }

    /// Describes a file, or one version of it.
    ///
    /// # Errors
    ///
    /// `NotFound`: the user has no such file; the same for a file of somebody else.
    pub async fn metadata(
        &self,
        file: FileId,
        user: &UserId,
        version: Option<FileVersionId>,
    ) -> Result<FileInfo> {
        let act = Act { version, ..Act::on("metadata", user, file) };
        let result = self.find_version(file, user, version).await;
        self.note(act, result.as_ref().map(|_| ())).await;
        Ok(result?.0)
    }

    /// Describes every version of a file, newest first.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn versions(&self, file: FileId, user: &UserId) -> Result<Vec<FileInfo>> {
        let act = Act::on("versions", user, file);
        let result = self.all_versions(file, user).await;
        self.note(act, result.as_ref().map(|_| ())).await;
        result
    }

    async fn all_versions(&self, file: FileId, user: &UserId) -> Result<Vec<FileInfo>> {
        let record = self.inner.catalog.file(user, file).await?;
        let versions = self.inner.catalog.versions(user, file).await?;
        let current = versions.first().map(|version| version.id);
        let describe = |version: crate::catalog::VersionRecord| {
            let is_current = Some(version.id) == current;
            FileInfo::of_version(file, user.clone(), record.created_at, is_current, version)
        };
        Ok(versions.into_iter().map(describe).collect())
    }

    /// What a user uses and may use.
    ///
    /// # Errors
    ///
    /// Those of the catalog.
    pub async fn usage(&self, user: &UserId) -> Result<Usage> {
        self.inner.catalog.usage(user).await
    }

    /// Gives a user a quota of his own; `None` gives back the default.
    ///
    /// # Errors
    ///
    /// Those of the catalog.
    pub async fn set_quota(&self, user: &UserId, quota: Option<Quota>) -> Result<()> {
        let act = Act { action: "set_quota", user, file: None, version: None };
        let result = self.inner.catalog.set_quota(user, quota).await;
        self.note(act, result.as_ref().map(|_| ())).await;
        result
    }
}
