//! `save`: content to disk, in one blocking task where it is small.
//!
//! The body is gathered into batches; one that is whole after the first batch is written, synced and
//! published in a single task. A longer one is written batch by batch, while the next is gathered and what was
//! written goes to the disk.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use rustix::io::Errno;
use storage_core::{ByteStream, Checksums, ObjectKey, Result, SaveOptions, SaveResult, WriteCondition};
use tokio::time::Instant;

use crate::blocking;
use crate::digest::Digests;
use crate::document::{Attributes, Draft, Version};
use crate::early_sync::EarlySync;
use crate::error::{fault, io_fault};
use crate::options;
use crate::pace::Pace;
use crate::staging::Staged;
use crate::store::{Store, check_condition};

/// So much is written in one go, and no body that is longer is written in a single task.
pub(crate) const BATCH_BYTES: usize = 1024 * 1024;

/// So much is written in one go where body and disk are fast. It bounds, twice over, what a save holds in memory.
const FAST_BATCH_BYTES: usize = 4 * BATCH_BYTES;

/// A batch of this size need not become larger: where the body is slow it is written after [`PATIENCE`], so that
/// a thousand slow bodies hold a thousand times this and not a thousand times [`BATCH_BYTES`].
const SLOW_BATCH_BYTES: usize = 8 * 1024;

/// How long a batch that could be written waits to become larger.
const PATIENCE: Duration = Duration::from_millis(50);

/// Chunks below this size are copied together. A chunk may keep a buffer alive that is many times its size, as
/// those of a network connection do.
const SMALL_CHUNK_BYTES: usize = 32 * 1024;

/// Stores an object.
///
/// # Errors
///
/// As [`storage_core::Backend::save`].
pub(crate) async fn save(
    store: Arc<Store>,
    key: ObjectKey,
    mut body: ByteStream,
    save_options: SaveOptions,
) -> Result<SaveResult> {
    options::check_save(&save_options)?;
    let SaveOptions { condition, checksums, .. } = save_options.clone();
    let attributes = Attributes::of(save_options);
    let batch = Batch::gather(&mut body, BATCH_BYTES).await?;
    if batch.is_last {
        return blocking::run(store.gate(), move |cancel| {
            let mut writer = ContentWriter::create(&store, "content", checksums, None)?;
            writer.write(&batch.chunks)?;
            writer.finish(&store)?.publish(&store, &key, &condition, attributes, || cancel.check())
        })
        .await;
    }
    if condition != WriteCondition::Always {
        // Long uploads that cannot succeed are told so early; what counts is decided at the end.
        let (store, key, condition) = (Arc::clone(&store), key.clone(), condition.clone());
        blocking::run(store.gate(), move |_| {
            check_condition(&condition, store.load(&key, &store.names.place(&key))?.as_ref())
        })
        .await?;
    }
    let writer = write_stream(&store, "content", checksums, batch, body).await?;
    blocking::run(store.gate(), move |cancel| {
        writer.finish(&store)?.publish(&store, &key, &condition, attributes, || cancel.check())
    })
    .await
}

/// Writes a body of which one batch was gathered; the batches are written while the next ones arrive.
///
/// # Errors
///
/// The body's and the file system's.
pub(crate) async fn write_stream(
    store: &Arc<Store>,
    suffix: &'static str,
    checksums: Checksums,
    first: Batch,
    mut body: ByteStream,
) -> Result<ContentWriter> {
    let length_bytes = body.length_bytes();
    let mut batch = first;
    let mut is_last = batch.is_last;
    let owned = Arc::clone(store);
    let mut early_sync = EarlySync::default();
    let mut pace = Pace::new(BATCH_BYTES, FAST_BATCH_BYTES);
    let mut writing = tokio::task::spawn_blocking(move || {
        let mut writer = ContentWriter::create(&owned, suffix, checksums, length_bytes)?;
        writer.write(&batch.chunks)?;
        Ok(writer)
    });
    while !is_last {
        let begun = Instant::now();
        batch = Batch::gather(&mut body, pace.bytes()).await?;
        is_last = batch.is_last;
        let mut writer: ContentWriter = blocking::join(writing).await?;
        // Either may be slow: the body to give a batch, or the disk to take the one before.
        pace.took(begun.elapsed());
        early_sync.advance(store, &writer).await?;
        writing = tokio::task::spawn_blocking(move || {
            writer.write(&batch.chunks)?;
            Ok(writer)
        });
    }
    let writer = blocking::join(writing).await?;
    early_sync.end().await?;
    Ok(writer)
}

/// Some chunks of a body.
pub(crate) struct Batch {
    pub(crate) chunks: Vec<Bytes>,
    /// Whether the body is at its end.
    pub(crate) is_last: bool,
}

impl Batch {
    /// Pulls a body until there is enough to write, or to its end. A slow one is not waited for.
    ///
    /// # Errors
    ///
    /// The body's.
    pub(crate) async fn gather(body: &mut ByteStream, enough_bytes: usize) -> Result<Self> {
        let mut gathered = Gathered::default();
        while gathered.size_bytes < SLOW_BATCH_BYTES {
            match body.next().await.transpose()? {
                Some(chunk) => gathered.add(chunk),
                None => return Ok(gathered.into_batch(true)),
            }
        }
        let deadline = Instant::now() + PATIENCE;
        // What is known to be whole needs no other batch; its end is polled all the same.
        while gathered.size_bytes < enough_bytes || body.length_bytes() == Some(gathered.size_bytes as u64) {
            match tokio::time::timeout_at(deadline, body.next()).await {
                Ok(Some(chunk)) => gathered.add(chunk?),
                Ok(None) => return Ok(gathered.into_batch(true)),
                Err(_) => break,
            }
        }
        Ok(gathered.into_batch(false))
    }
}

/// A batch that grows.
#[derive(Default)]
struct Gathered {
    chunks: Vec<Bytes>,
    /// The small chunks at the end, as one.
    tail: BytesMut,
    size_bytes: usize,
}

impl Gathered {
    fn add(&mut self, chunk: Bytes) {
        self.size_bytes += chunk.len();
        if chunk.len() < SMALL_CHUNK_BYTES {
            self.tail.extend_from_slice(&chunk);
        } else {
            self.end_tail();
            self.chunks.push(chunk);
        }
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    fn into_batch(mut self, is_last: bool) -> Batch {
        self.end_tail();
        Batch { chunks: self.chunks, is_last }
    }
}

/// Content on its way to disk. Dropped, it is gone.
pub(crate) struct ContentWriter {
    staged: Staged,
    digests: Digests,
    size_bytes: u64,
}

impl ContentWriter {
    /// Begins content that must have these digests. Where the length is known, a disk that is too full for it is
    /// noticed before the bytes are sent.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn create(
        store: &Store,
        suffix: &'static str,
        checksums: Checksums,
        length_bytes: Option<u64>,
    ) -> Result<Self> {
        let staged = store.staging()?.create(suffix)?;
        if let Some(length_bytes) = length_bytes.filter(|length| *length > 0) {
            ensure_room(store, length_bytes)?;
        }
        Ok(Self { staged, digests: Digests::expecting(checksums), size_bytes: 0 })
    }

    /// Appends chunks.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn write(&mut self, chunks: &[Bytes]) -> Result<()> {
        for chunk in chunks {
            self.digests.update(chunk);
            self.staged.file().write_all(chunk).map_err(io_fault("write the content"))?;
            self.size_bytes += chunk.len() as u64;
        }
        Ok(())
    }

    /// How much was written, in bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What waits until the disk has all that was written up to now.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn begin_sync(&self) -> Result<impl FnOnce() -> Result<()> + Send + use<>> {
        self.staged.begin_sync()
    }

    /// Ends the content without bringing it to the disk. Gives its length, in bytes, and its digests too.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`.
    pub(crate) fn into_verified(self) -> Result<(Staged, u64, Checksums)> {
        let checksums = self.digests.verify()?;
        Ok((self.staged, self.size_bytes, checksums))
    }

    /// Ends the content and brings it to the disk.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`; those of the file system.
    pub(crate) fn finish(self, store: &Store) -> Result<Content> {
        let (staged, size_bytes, checksums) = self.into_verified()?;
        store.sync(&staged)?;
        Ok(Content { staged, size_bytes, checksums })
    }
}

/// Makes sure that the disk has so much room now. None is set aside: what a client merely announces must not take
/// the room of those who send.
///
/// # Errors
///
/// `NoSpace`; those of the file system.
fn ensure_room(store: &Store, length_bytes: u64) -> Result<()> {
    let disk = rustix::fs::fstatvfs(&store.root).map_err(fault("ask for the room on the disk"))?;
    // A file system without blocks of its own does not tell its room.
    if disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < length_bytes {
        return Err(fault("store the content")(Errno::NOSPC).with_context("needed_bytes", length_bytes));
    }
    Ok(())
}

/// Content that is on the disk but under no key yet.
pub(crate) struct Content {
    pub(crate) staged: Staged,
    pub(crate) size_bytes: u64,
    pub(crate) checksums: Checksums,
}

impl Content {
    /// Makes it the newest version of an object. `before_publishing` has the last word.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` or `PreconditionFailed`, as the condition has it; those of the file system.
    pub(crate) fn publish(
        self,
        store: &Store,
        key: &ObjectKey,
        condition: &WriteCondition,
        attributes: Attributes,
        before_publishing: impl FnOnce() -> Result<()>,
    ) -> Result<SaveResult> {
        let draft = Draft { size_bytes: self.size_bytes, checksums: self.checksums, attributes };
        let version = store.add_version(key, condition, self.staged, draft, before_publishing)?;
        Ok(save_result(store, &version))
    }
}

fn save_result(store: &Store, version: &Version) -> SaveResult {
    SaveResult {
        size_bytes: version.size_bytes,
        etag: Some(version.etag()),
        version: store.is_versioned().then(|| version.id()),
        checksums: version.checksums,
        ..SaveResult::default()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(chunks: Vec<usize>) -> ByteStream {
        let chunks = stream::iter(chunks).map(|size| Ok(Bytes::from(vec![7; size])));
        ByteStream::from_stream(chunks.chain(stream::pending()), None)
    }

    fn sizes(batch: &Batch) -> Vec<usize> {
        batch.chunks.iter().map(Bytes::len).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_written_instead_of_held() {
        let mut slow = body(vec![SLOW_BATCH_BYTES]);
        let gathered =
            tokio::time::timeout(Duration::from_secs(3600), Batch::gather(&mut slow, BATCH_BYTES)).await;
        let batch = gathered.expect("does not wait for more").expect("sound");
        assert_eq!((sizes(&batch), batch.is_last), (vec![SLOW_BATCH_BYTES], false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_moves_is_written_in_large_batches() {
        let mut fast = body(vec![SMALL_CHUNK_BYTES; 100]);
        let batch = Batch::gather(&mut fast, BATCH_BYTES).await.expect("sound");
        assert_eq!(sizes(&batch), vec![SMALL_CHUNK_BYTES; BATCH_BYTES / SMALL_CHUNK_BYTES]);
    }

    #[tokio::test(start_paused = true)]
    async fn small_chunks_do_not_keep_their_buffers() {
        let large = Bytes::from(vec![7; SMALL_CHUNK_BYTES]);
        let chunks: Vec<_> = [large.slice(..1), large.slice(1..2), large.clone(), large.slice(3..4)].to_vec();
        let mut body = ByteStream::from_stream(stream::iter(chunks).map(Ok), None);
        let batch = Batch::gather(&mut body, BATCH_BYTES).await.expect("sound");
        assert_eq!((sizes(&batch), batch.is_last), (vec![2, SMALL_CHUNK_BYTES, 1], true));
        assert_eq!(batch.chunks[1].as_ptr(), large.as_ptr(), "a large chunk is not copied");
    }
}
