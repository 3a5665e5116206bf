//! Uploads in parallel: parts become temporary objects, which the bucket joins to the object in one step.
//!
//! At any moment a bounded number of parts is in memory. The temporary objects go when the upload ends, however it
//! ends; those of a process that died go with [`crate::sweep`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storage_core::{Error, ErrorKind, Result, Retry};
use tokio::task::JoinSet;

use crate::compose::{Component, compose};
use crate::digest::Passed;
use crate::layout;
use crate::open::Store;
use crate::options::Conditional;
use crate::resource::{NewObject, Object, crc32c_text};
use crate::retry::repeat;
use crate::save::{PART_BYTES, Piece, Source};
use crate::single::{self, Chunks, check_stored};
use crate::sweep::purge;

/// The largest part.
const MAX_PART_BYTES: u64 = 32 << 20;

/// Up to so many parts they have the usual size; more than that, and they grow.
const PARTS_OF_USUAL_SIZE: u64 = 4096;

/// The parts that are sent at once to begin with.
const FIRST_PARALLEL: usize = 2;

/// How long after a failure the service may still carry out a request that was broken off.
const SETTLING: Duration = Duration::from_secs(2);

/// The temporary objects of an upload, which go when this does.
pub(crate) struct Scratch {
    store: Arc<Store>,
    prefix: String,
    /// Whether no request for it is under way any more.
    is_settled: bool,
}

impl Scratch {
    /// A place for temporary objects.
    pub(crate) fn new(store: &Store, prefix: String) -> Self {
        Self { store: Arc::new(store.clone()), prefix, is_settled: false }
    }

    /// What all names in it start with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Says that every request for it was answered: what is there now is all.
    pub(crate) fn settled(&mut self) {
        self.is_settled = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (store, prefix) = (Arc::clone(&self.store), std::mem::take(&mut self.prefix));
        let is_settled = self.is_settled;
        self.store.tracker.spawn(async move {
            if !is_settled {
                tokio::time::sleep(SETTLING).await;
            }
            if let Err(error) = purge(&store, &prefix).await {
                tracing::warn!(%error, prefix, "temporary parts of an upload were left; a later sweep removes them");
            }
        });
    }
}

/// How large the parts are: larger for what is very large, within the memory that there is.
pub(crate) fn part_bytes(length_bytes: Option<u64>, memory_bytes: u64) -> u64 {
    let wanted = length_bytes.unwrap_or_default() / PARTS_OF_USUAL_SIZE;
    let most = MAX_PART_BYTES.min(memory_bytes / 4).max(PART_BYTES);
    wanted.next_multiple_of(1 << 20).clamp(PART_BYTES, most)
}

/// Sends a content in parts, of which the first is at hand, and makes the object of them.
///
/// # Errors
///
/// What the body gives; `AlreadyExists` or `PreconditionFailed`, as the condition has it; `ChecksumMismatch`.
pub(crate) async fn upload(
    store: &Store,
    new: NewObject,
    mut source: Source,
    first: Piece,
    condition: &Conditional,
) -> Result<(Object, Passed)> {
    let mut scratch = Scratch::new(store, layout::components(&layout::new_id()));
    let part_bytes = part_bytes(source.length_bytes(), store.config.transfer_memory_bytes);
    // One part is being filled while the others are sent.
    let most = (store.config.transfer_memory_bytes / part_bytes).saturating_sub(1).max(1) as usize;
    let mut parallel =
        Parallel { tasks: JoinSet::new(), limit: FIRST_PARALLEL.min(most), most, done: Vec::new() };
    let (mut piece, mut number) = (first, 0);
    loop {
        parallel.has_room().await?;
        let is_last = piece.is_last;
        if piece.chunks.size_bytes > 0 {
            parallel.start(store, &scratch, number, piece.chunks);
            number += 1;
        }
        if is_last {
            break;
        }
        piece = source.next(part_bytes).await?;
    }
    let components = parallel.finish(&scratch).await?;
    // The object appears when the parts are joined, so that what is wrong with the content must be known before.
    let passed = source.verify()?;
    let object = compose(store, scratch.prefix(), components, new, condition).await?;
    scratch.settled();
    Ok((object, passed))
}

/// The parts that are on their way. As many are sent at once as the service takes: one more with each that went
/// well while the source waited, half as many after one that had to be repeated.
struct Parallel {
    tasks: JoinSet<Result<Sent>>,
    limit: usize,
    most: usize,
    done: Vec<Option<(u64, u64, u32)>>,
}

struct Sent {
    number: usize,
    generation: u64,
    size_bytes: u64,
    crc32c: u32,
    was_repeated: bool,
}

impl Parallel {
    /// Waits until another part may be sent.
    async fn has_room(&mut self) -> Result<()> {
        while self.tasks.len() >= self.limit {
            let sent = self.next().await?;
            self.limit =
                if sent.was_repeated { (self.limit / 2).max(1) } else { (self.limit + 1).min(self.most) };
        }
        Ok(())
    }

    /// Sends a part, on a worker of its own so that encryption is spread over the processors.
    fn start(&mut self, store: &Store, scratch: &Scratch, number: usize, chunks: Chunks) {
        let (store, name) = (store.clone(), component_name(scratch, number));
        self.tasks.spawn(async move {
            let crc32c = chunks.crc32c();
            let new = NewObject { name, crc32c: Some(crc32c_text(crc32c)), ..store.temporary() };
            let attempts = AtomicBool::new(false);
            let sent = repeat(|_| {
                let was_tried = attempts.swap(true, Ordering::Relaxed);
                let (store, new, chunks) = (&store, &new, &chunks);
                async move {
                    let object = upload_once(store, new, chunks).await?;
                    Ok((object, was_tried))
                }
            });
            let (object, was_repeated) = sent.await?;
            check_stored(&store.client, &new, &object, chunks.size_bytes, crc32c).await?;
            let generation = object.generation()?;
            Ok(Sent { number, generation, size_bytes: chunks.size_bytes, crc32c, was_repeated })
        });
    }

    async fn next(&mut self) -> Result<Sent> {
        let joined = self.tasks.join_next().await.unwrap_or_else(|| Ok(Err(lost())));
        let sent = joined.map_err(|error| lost().with_source(error))??;
        if self.done.len() <= sent.number {
            self.done.resize(sent.number + 1, None);
        }
        self.done[sent.number] = Some((sent.generation, sent.size_bytes, sent.crc32c));
        Ok(sent)
    }

    /// Waits for all parts and gives them in order.
    async fn finish(mut self, scratch: &Scratch) -> Result<Vec<Component>> {
        while !self.tasks.is_empty() {
            self.next().await?;
        }
        let parts = self.done.into_iter().enumerate().map(|(number, part)| {
            let (generation, size_bytes, crc32c) = part.ok_or_else(lost)?;
            Ok(Component { name: component_name(scratch, number), generation, size_bytes, crc32c })
        });
        parts.collect()
    }
}

async fn upload_once(
    store: &Store,
    new: &NewObject,
    chunks: &Chunks,
) -> Result<Object, crate::error::Failure> {
    single::upload(&store.client, new, chunks, &store.key_query()).await
}

fn component_name(scratch: &Scratch, number: usize) -> String {
    format!("{}part-{number:06}", scratch.prefix())
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "a part of the upload was lost").with_retry(Retry::May)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_length_within_the_memory() {
        let usual = 64 << 20;
        assert_eq!(part_bytes(None, usual), PART_BYTES);
        assert_eq!(part_bytes(Some(5 << 30), usual), PART_BYTES);
        assert_eq!(part_bytes(Some(5 << 40), usual), 16 << 20);
        assert_eq!(part_bytes(Some(5 << 40), 256 << 20), MAX_PART_BYTES);
        assert_eq!(part_bytes(Some(5 << 40), 16 << 20), PART_BYTES, "two parts fit in any case");
        let large = part_bytes(Some(64 << 30), 256 << 20);
        assert!(large >= 16 << 20 && large.is_multiple_of(1 << 20), "{large}");
    }
}
