//! One large file on the local disk, streamed in and out.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{ObjectStoreExt, WriteMultipart};
use opendal::{Operator, services};
use storage_core::{Backend, ByteStream, DeleteOptions, ObjectKey, RetrieveOptions, SaveOptions};

use crate::contest::{Contest, throughput};
use crate::environment::Environment;
use crate::plugins;
use crate::row::{Row, Unit};

pub(crate) const ROWS: &[&str] = &["local-put-1g", "local-get-1g"];

const OURS: &str = "local plugin";
const OBJECT_STORE: &str = "object_store";
const OPENDAL: &str = "opendal";

/// What a network connection hands over at once, about.
const CHUNK_BYTES: usize = 512 * 1024;

const NAME: &str = "large.bin";

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let folder = folder.path();
    let peers = Peers::new(environment, folder).await?;
    let (peers, bytes, chunk) = (&peers, environment.large_bytes, Bytes::from(vec![7; CHUNK_BYTES]));
    let chunk = &chunk;
    let mut rows = Vec::new();
    if environment.wants("local-put-1g") {
        let contest = Contest::new("local-put-1g", "streaming put of a large file", Unit::BytesPerSecond)
            .contender(OURS, || async move {
                let figure = throughput(bytes, peers.put_ours(bytes, chunk)).await;
                peers.ours.delete(&peers.key, DeleteOptions::default()).await?;
                figure
            })
            .contender(OPENDAL, || async move {
                let figure = throughput(bytes, peers.put_opendal(bytes, chunk)).await;
                peers.opendal.delete(NAME).await?;
                figure
            })
            .contender(OBJECT_STORE, || async move {
                let figure = throughput(bytes, peers.put_object_store(bytes, chunk)).await;
                peers.object_store.delete(&StorePath::from(NAME)).await?;
                figure
            })
            .at_least(1.0, OPENDAL)
            .at_least(3.0, OBJECT_STORE);
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    if environment.wants("local-get-1g") {
        peers.put_ours(bytes, chunk).await?;
        peers.put_opendal(bytes, chunk).await?;
        peers.put_object_store(bytes, chunk).await?;
        let contest = Contest::new("local-get-1g", "streaming get of a large file", Unit::BytesPerSecond)
            .contender(OURS, || throughput(bytes, peers.get_ours(bytes)))
            .contender(OPENDAL, || throughput(bytes, peers.get_opendal(bytes)))
            .contender(OBJECT_STORE, || throughput(bytes, peers.get_object_store(bytes)))
            .at_least(1.0, OPENDAL)
            .at_least(3.0, OBJECT_STORE);
        rows.push(contest.run(environment.long_rounds()).await?);
    }
    peers.ours.close().await?;
    Ok(rows)
}

/// All of them bring what they have written to the disk before they are done. What was put is removed before the next
/// one's turn, and nobody keeps old versions: whoever writes into memory and blocks that another one has just given back
/// is faster than who gets new ones.
struct Peers {
    ours: Arc<dyn Backend>,
    key: ObjectKey,
    opendal: Operator,
    opendal_file: std::path::PathBuf,
    object_store: LocalFileSystem,
    object_store_file: std::path::PathBuf,
}

impl Peers {
    async fn new(environment: &Environment, folder: &Path) -> Result<Self> {
        let our_folder = folder.join("ours").display().to_string();
        let settings = [("path", our_folder.as_str()), ("versioning", "false")];
        let ours = plugins::open(environment, "local", &settings).await?;
        let opendal_folder = folder.join("opendal");
        let opendal = Operator::new(services::Fs::default().root(&opendal_folder.display().to_string()))?;
        let store_folder = folder.join("object_store");
        std::fs::create_dir_all(&store_folder)?;
        Ok(Self {
            ours,
            key: ObjectKey::new(NAME)?,
            opendal,
            opendal_file: opendal_folder.join(NAME),
            object_store: LocalFileSystem::new_with_prefix(&store_folder)?,
            object_store_file: store_folder.join(NAME),
        })
    }

    async fn put_ours(&self, bytes: u64, chunk: &Bytes) -> Result<()> {
        let body = stream::iter(chunks(bytes, chunk).map(Ok));
        self.ours.save(&self.key, ByteStream::from_stream(body, Some(bytes)), SaveOptions::default()).await?;
        Ok(())
    }

    async fn put_opendal(&self, bytes: u64, chunk: &Bytes) -> Result<()> {
        let mut writer = self.opendal.writer(NAME).await?;
        for chunk in chunks(bytes, chunk) {
            writer.write(chunk).await?;
        }
        writer.close().await?;
        sync(&self.opendal_file).await
    }

    async fn put_object_store(&self, bytes: u64, chunk: &Bytes) -> Result<()> {
        let upload = self.object_store.put_multipart(&StorePath::from(NAME)).await?;
        let mut writer = WriteMultipart::new(upload);
        for chunk in chunks(bytes, chunk) {
            // It holds everything in memory where it is not told to wait.
            writer.wait_for_capacity(8).await?;
            writer.put(chunk);
        }
        writer.finish().await?;
        sync(&self.object_store_file).await
    }

    async fn get_ours(&self, bytes: u64) -> Result<()> {
        let body = self.ours.retrieve(&self.key, RetrieveOptions::default()).await?.body;
        whole(body, bytes).await
    }

    async fn get_opendal(&self, bytes: u64) -> Result<()> {
        let reader = self.opendal.reader(NAME).await?;
        whole(reader.into_bytes_stream(0..bytes).await?, bytes).await
    }

    async fn get_object_store(&self, bytes: u64) -> Result<()> {
        let body = self.object_store.get(&StorePath::from(NAME)).await?.into_stream();
        whole(body, bytes).await
    }
}

/// The chunks of a file of this size, which share one buffer.
fn chunks(bytes: u64, chunk: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    let chunk = chunk.clone();
    let whole = chunk.len() as u64;
    (0..bytes.div_ceil(whole)).map(move |index| {
        let left = (bytes - index * whole).min(whole);
        chunk.slice(..usize::try_from(left).unwrap_or(chunk.len()))
    })
}

async fn sync(file: &Path) -> Result<()> {
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || {
        let opened = std::fs::File::open(&file).with_context(|| format!("opening {}", file.display()))?;
        opened.sync_all()?;
        Ok(())
    })
    .await?
}

async fn whole<E>(body: impl futures_util::Stream<Item = Result<Bytes, E>>, bytes: u64) -> Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let read = body
        .map_err(anyhow::Error::from)
        .try_fold(0, |read, chunk| async move { Ok(read + chunk.len() as u64) });
    let read = read.await?;
    ensure!(read == bytes, "read {read} bytes of {bytes}");
    Ok(())
}
