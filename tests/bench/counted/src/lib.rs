//! The in-memory reference backend as a plugin that counts its allocations: on its side of the boundary, where the
//! host's allocator does not see them. `storage-bench-allocations` loads it.

use std::alloc::System;

use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use storage_core::memory::MemoryBackend;
use storage_core::{
    Backend, BackendInfo, ByteStream, ConfigReader, ConfigSchema, DeleteOptions, DeleteResult, Extension,
    Health, ListOptions, ListPage, MetadataOptions, ObjectKey, ObjectMeta, OpenRequest, Result,
    RetrieveOptions, Retrieved, SaveOptions, SaveResult, async_trait,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

storage_core::export_backend! {
    backend_type: "counted",
    description: "Keeps everything in memory and counts its allocations",
    variable_prefix: "COUNTED_",
    schema: ConfigSchema::default,
    open: open,
}

async fn open(request: OpenRequest) -> Result<Counted> {
    ConfigReader::new(&ConfigSchema::default(), &request.config).finish(&request.name)?;
    let inner = MemoryBackend::new(request.name);
    let mut info = (*inner.info()).clone();
    info.extensions = vec![Extension {
        name: "allocations".to_owned(),
        description: "How often the library asked for memory, and for how much".to_owned(),
        mutates: false,
        arguments: Vec::new(),
    }];
    Ok(Counted { inner, info: info.into() })
}

struct Counted {
    inner: MemoryBackend,
    info: std::sync::Arc<BackendInfo>,
}

#[async_trait]
impl Backend for Counted {
    fn info(&self) -> std::sync::Arc<BackendInfo> {
        self.info.clone()
    }

    async fn health(&self) -> Result<Health> {
        self.inner.health().await
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        self.inner.save(key, body, options).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        self.inner.retrieve(key, options).await
    }

    async fn delete(&self, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
        self.inner.delete(key, options).await
    }

    async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        self.inner.exists(key).await
    }

    async fn get_metadata(&self, key: &ObjectKey, options: MetadataOptions) -> Result<ObjectMeta> {
        self.inner.get_metadata(key, options).await
    }

    async fn list_files(&self, options: ListOptions) -> Result<ListPage> {
        self.inner.list_files(options).await
    }

    async fn invoke(&self, _name: &str, _arguments: Value) -> Result<Value> {
        let stats = ALLOCATOR.stats();
        Ok(json!({
            "calls": stats.allocations + stats.reallocations,
            "bytes": stats.bytes_allocated,
        }))
    }
}
