//! A backend that misbehaves in one way, over one in memory that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use storage_core::memory::MemoryBackend;
use storage_core::{
    Backend, BackendInfo, ByteStream, DeleteOptions, DeleteResult, Error, ErrorKind, Health, ListOptions,
    ListPage, MetadataOptions, ObjectKey, ObjectMeta, Result, RetrieveOptions, Retrieved, SaveOptions,
    SaveResult, async_trait,
};

/// A backend with a fault.
#[derive(Debug)]
pub struct Faulty {
    inner: MemoryBackend,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    /// Does not answer probes, while the switch is on.
    Unhealthy(Arc<AtomicBool>),
    /// Panics in every save.
    Panicking,
    /// Gives other bytes than it was given, while the switch is on.
    Damaging(Arc<AtomicBool>),
}

impl Faulty {
    /// Does not answer probes, while the switch is on.
    pub fn unhealthy(inner: MemoryBackend, switch: Arc<AtomicBool>) -> Self {
        Self { inner, fault: Fault::Unhealthy(switch) }
    }

    /// Panics in every save.
    pub fn panicking(inner: MemoryBackend) -> Self {
        Self { inner, fault: Fault::Panicking }
    }

    /// Gives other bytes than it was given, while the switch is on.
    pub fn damaging(inner: MemoryBackend, switch: Arc<AtomicBool>) -> Self {
        Self { inner, fault: Fault::Damaging(switch) }
    }
}

#[async_trait]
impl Backend for Faulty {
    fn info(&self) -> Arc<BackendInfo> {
        self.inner.info()
    }

    async fn health(&self) -> Result<Health> {
        match &self.fault {
            Fault::Unhealthy(switch) if switch.load(Ordering::SeqCst) => {
                Err(Error::new(ErrorKind::Unavailable, "the disk is unplugged"))
            }
            _ => self.inner.health().await,
        }
    }

    async fn save(&self, key: &ObjectKey, body: ByteStream, options: SaveOptions) -> Result<SaveResult> {
        if matches!(self.fault, Fault::Panicking) {
            panic!("a fuse blew");
        }
        self.inner.save(key, body, options).await
    }

    async fn retrieve(&self, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
        let mut retrieved = self.inner.retrieve(key, options).await?;
        if let Fault::Damaging(switch) = &self.fault
            && switch.load(Ordering::SeqCst)
        {
            let length_bytes = retrieved.body.length_bytes();
            let damaged = retrieved.body.map(|chunk| {
                chunk.map(|chunk| {
                    let mut bytes = chunk.to_vec();
                    bytes[0] ^= 1;
                    Bytes::from(bytes)
                })
            });
            retrieved.body = ByteStream::from_stream(damaged, length_bytes);
        }
        Ok(retrieved)
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
}
