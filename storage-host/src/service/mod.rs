//! The one API that applications, HTTP and the command line share.

mod types;

use std::sync::Arc;
use std::time::Duration;

use storage_core::{ByteStream, Result};

use crate::catalog::{Catalog, FileId, FileQuery, FileVersionId, Quota, Usage, UserId};
use crate::config::Config;
use crate::manager::StorageManager;

pub use types::{
    Actor, BackendHealth, BatchItem, CopyFileOptions, DownloadLink, FileContent, FileInfo, FileInfoPage,
    LinkOptions, Metadata, RetrieveFileOptions, SaveFileOptions, StorageHealth,
};

/// The service. Cloning is cheap; every clone is the same service.
#[derive(Clone)]
pub struct SimpleStorageService {
    inner: Arc<Inner>,
    actor: Arc<Actor>,
}

struct Inner {
    manager: StorageManager,
    catalog: Arc<dyn Catalog>,
}

#[allow(missing_docs, clippy::todo, unused_variables, clippy::missing_errors_doc)]
impl SimpleStorageService {
    pub fn new(config: &Config, manager: StorageManager, catalog: Arc<dyn Catalog>) -> Self {
        todo!()
    }
    pub fn with_actor(&self, actor: Actor) -> Self {
        todo!()
    }
    pub fn manager(&self) -> &StorageManager {
        todo!()
    }
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        todo!()
    }

    pub async fn save(
        &self,
        file: impl Into<ByteStream>,
        filename: &str,
        user: &UserId,
        metadata: Metadata,
    ) -> Result<FileId> {
        todo!()
    }
    pub async fn save_with(
        &self,
        file: impl Into<ByteStream>,
        filename: &str,
        user: &UserId,
        options: SaveFileOptions,
    ) -> Result<FileInfo> {
        todo!()
    }
    pub async fn save_batch(&self, user: &UserId, files: Vec<BatchItem>) -> Vec<Result<FileInfo>> {
        todo!()
    }
    pub async fn retrieve(&self, file: FileId, user: &UserId) -> Result<FileContent> {
        todo!()
    }
    pub async fn retrieve_with(
        &self,
        file: FileId,
        user: &UserId,
        options: RetrieveFileOptions,
    ) -> Result<FileContent> {
        todo!()
    }
    /// Whether there was such a file.
    pub async fn delete(&self, file: FileId, user: &UserId) -> Result<bool> {
        todo!()
    }
    pub async fn delete_version(&self, file: FileId, user: &UserId, version: FileVersionId) -> Result<bool> {
        todo!()
    }
    pub async fn get_download_url(
        &self,
        file: FileId,
        user: &UserId,
        expires_in: Option<Duration>,
    ) -> Result<DownloadLink> {
        todo!()
    }
    pub async fn get_download_url_with(
        &self,
        file: FileId,
        user: &UserId,
        options: LinkOptions,
    ) -> Result<DownloadLink> {
        todo!()
    }
    /// Opens what a host-signed link names. The token is the last segment of `{public_url}/v1/links/{token}`.
    /// Answers the content and whether it is to be shown inline.
    pub async fn open_link(&self, token: &str, options: RetrieveFileOptions) -> Result<(FileContent, bool)> {
        todo!()
    }
    pub async fn list(&self, user: &UserId, query: FileQuery) -> Result<FileInfoPage> {
        todo!()
    }
    pub async fn metadata(
        &self,
        file: FileId,
        user: &UserId,
        version: Option<FileVersionId>,
    ) -> Result<FileInfo> {
        todo!()
    }
    pub async fn versions(&self, file: FileId, user: &UserId) -> Result<Vec<FileInfo>> {
        todo!()
    }
    pub async fn restore_version(
        &self,
        file: FileId,
        user: &UserId,
        version: FileVersionId,
    ) -> Result<FileInfo> {
        todo!()
    }
    pub async fn copy(&self, file: FileId, user: &UserId, options: CopyFileOptions) -> Result<FileInfo> {
        todo!()
    }
    pub async fn usage(&self, user: &UserId) -> Result<Usage> {
        todo!()
    }
    pub async fn set_quota(&self, user: &UserId, quota: Option<Quota>) -> Result<()> {
        todo!()
    }
    pub async fn health(&self) -> Result<StorageHealth> {
        todo!()
    }
    /// Waits for work under way and closes backends and catalog.
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
