//! One face for all that stores objects with a provider: the loaded plugin, and the libraries that people use instead.
//! Each is used as its own documentation advises for small and for large objects.

use std::sync::Arc;

use anyhow::{Result, ensure};
use aws_sdk_s3::primitives::ByteStream as SdkStream;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use opendal::Operator;
use storage_core::{Backend, ByteStream, ObjectKey, RetrieveOptions, SaveOptions};

/// How large the parts are, and how many are under way at once, where a library leaves that to its user.
const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 8;

/// What arrives at once from whoever uploads, about.
const CHUNK_BYTES: usize = 512 * 1024;

/// Something that stores objects.
#[derive(Clone)]
pub(crate) enum Store {
    Ours(Arc<dyn Backend>),
    /// The provider's SDK, called directly, with one request for each object.
    Sdk {
        client: aws_sdk_s3::Client,
        bucket: String,
    },
    OpenDal {
        operator: Operator,
        /// Whether the server knows the requests with which it uploads in parts.
        in_parts: bool,
    },
    /// object_store, which is Arrow's.
    Arrow(Arc<dyn ObjectStore>),
}

impl Store {
    /// Stores a small object.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) async fn put(&self, name: &str, content: Bytes) -> Result<()> {
        match self {
            Self::Ours(backend) => {
                backend.save(&ObjectKey::new(name)?, content.into(), SaveOptions::default()).await?;
            }
            Self::Sdk { client, bucket } => {
                let body = SdkStream::from(content);
                client.put_object().bucket(bucket).key(name).body(body).send().await?;
            }
            Self::OpenDal { operator, .. } => {
                operator.write(name, content).await?;
            }
            Self::Arrow(store) => {
                store.put(&StorePath::from(name), content.into()).await?;
            }
        }
        Ok(())
    }

    /// Stores a large object, which arrives in chunks.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) async fn put_large(&self, name: &str, content: &Bytes) -> Result<()> {
        match self {
            Self::Ours(backend) => {
                let body = ByteStream::from_stream(
                    stream::iter(chunks(content, CHUNK_BYTES).map(Ok)),
                    Some(content.len() as u64),
                );
                backend.save(&ObjectKey::new(name)?, body, SaveOptions::default()).await?;
            }
            // In one piece, which has to be in memory whole.
            Self::Sdk { .. } | Self::OpenDal { in_parts: false, .. } => {
                self.put(name, content.clone()).await?
            }
            Self::OpenDal { operator, in_parts: true } => {
                let writer = operator.writer_with(name).chunk(PART_BYTES).concurrent(PARTS_AT_ONCE);
                let mut writer = writer.await?;
                for chunk in chunks(content, CHUNK_BYTES) {
                    writer.write(chunk).await?;
                }
                writer.close().await?;
            }
            Self::Arrow(store) => {
                let upload = store.put_multipart(&StorePath::from(name)).await?;
                let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
                for chunk in chunks(content, CHUNK_BYTES) {
                    writer.wait_for_capacity(PARTS_AT_ONCE).await?;
                    writer.put(chunk);
                }
                writer.finish().await?;
            }
        }
        Ok(())
    }

    /// Reads an object of so many bytes to its end.
    ///
    /// # Errors
    ///
    /// Those of the store; it has another length.
    pub(crate) async fn get(&self, name: &str, bytes: usize) -> Result<()> {
        let read = match self {
            Self::Ours(backend) => {
                let body = backend.retrieve(&ObjectKey::new(name)?, RetrieveOptions::default()).await?.body;
                length(body.map_ok(|chunk| chunk.len())).await?
            }
            Self::Sdk { client, bucket } => {
                let mut body = client.get_object().bucket(bucket).key(name).send().await?.body;
                let mut read = 0;
                while let Some(chunk) = body.next().await {
                    read += chunk?.len();
                }
                read
            }
            Self::OpenDal { operator, .. } if bytes > PART_BYTES => {
                let reader = operator.reader_with(name).chunk(PART_BYTES).concurrent(PARTS_AT_ONCE).await?;
                let body = reader.into_bytes_stream(0..bytes as u64).await?;
                length(body.map_ok(|chunk| chunk.len())).await?
            }
            Self::OpenDal { operator, .. } => operator.read(name).await?.len(),
            Self::Arrow(store) => {
                let body = store.get(&StorePath::from(name)).await?.into_stream();
                length(body.map_ok(|chunk| chunk.len())).await?
            }
        };
        ensure!(read == bytes, "read {read} bytes of {bytes}");
        Ok(())
    }
}

async fn length<E>(chunks: impl futures_util::Stream<Item = Result<usize, E>>) -> Result<usize>
where
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(chunks.try_fold(0, |all, one| async move { Ok(all + one) }).await?)
}

/// Pieces of a content, which share its buffer.
fn chunks(content: &Bytes, size: usize) -> impl Iterator<Item = Bytes> + Send + use<> {
    let content = content.clone();
    (0..content.len().div_ceil(size))
        .map(move |index| content.slice(index * size..content.len().min((index + 1) * size)))
}
