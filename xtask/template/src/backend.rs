//! [`{{Name}}Backend`]: hands each operation to the module that does it.

use std::sync::Arc;

use storage_core::{
    Backend, BackendInfo, ByteStream, Capabilities, DeleteOptions, DeleteResult, Health, Limits, ListOptions,
    ListPage, MetadataOptions, ObjectKey, ObjectMeta, OpenRequest, Result, RetrieveOptions, Retrieved,
    SaveOptions, SaveResult, async_trait,
};

use crate::config::Config;
use crate::store::Store;
use crate::{delete, list, read, save};

/// An opened backend.
#[derive(Debug)]
pub(crate) struct {{Name}}Backend {
    store: Store,
    info: Arc<BackendInfo>,
}

impl {{Name}}Backend {
    /// Opens what the configuration describes. The place to connect, and to learn what the provider can do.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault.
    pub(crate) async fn open(request: OpenRequest) -> Result<Self> {
        let config = Config::read(&request)?;
        let info = BackendInfo {
            backend_type: "{{type}}".to_owned(),
            location: "the memory of this process".to_owned(),
            // Each capability that is declared here brings methods of `Backend` to implement and cases of the suite
            // to pass. What is not declared must be refused: see `options`.
            capabilities: Capabilities::none(),
            limits: Limits { max_list_page: Some(list::MAX_PAGE), ..Limits::default() },
            ..BackendInfo::default()
        };
        Ok(Self { store: Store::new(config.max_bytes), info: Arc::new(info) })
    }
}

#[async_trait]
impl Backend for {{Name}}Backend {
    fn info(&self) -> Arc<BackendInfo> {
        Arc::clone(&self.info)
    }

    async fn health(&self) -> Result<Health> {
        // A backend over a network asks its provider here.
        Ok(Health { free_bytes: Some(self.store.free_bytes()), ..Health::default() })
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        save::save(&self.store, key, body, options).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        read::retrieve(&self.store, key, &options)
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        delete::delete(&self.store, key, &options)
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        Ok(self.store.get(key).is_ok())
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        read::get_metadata(&self.store, key, &options)
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        list::list_files(&self.store, &options)
    }
}
