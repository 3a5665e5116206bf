//! Blocks: a content is staged in pieces, in any order and at the same time, and appears when they are listed.
//!
//! All blocks of this plugin have names of one length, as Azure asks of those under one blob. Blocks that are never
//! listed cannot be seen; Azure forgets them with the next write of the blob, or after a week.

use azure_core::{Method, Url};
use azure_storage_blobs::prelude::{BlobBlockType, BlockList};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use storage_core::{ByteStream, Checksums, Error, ErrorKind, Result, SaveResult, VersionId};
use tokio::time::Instant;
use uuid::Uuid;

use crate::attributes::unquoted;
use crate::client::{Call, Client, Reply};
use crate::config::Transfer;
use crate::digest::{Digests, crc64, crc64_header};
use crate::pace::{MAX_HELD_BYTES, Pace};
use crate::retry;
use crate::store::Store;

/// The most blocks that a blob is made of.
pub(crate) const MAX_BLOCKS: u64 = 50_000;
/// Azure's largest block.
const MAX_BLOCK_BYTES: u64 = 4000 << 20;
/// The largest content: so many of the largest blocks.
pub(crate) const MAX_CONTENT_BYTES: u64 = MAX_BLOCKS * MAX_BLOCK_BYTES;

/// The names of the blocks of one write.
#[derive(Debug)]
pub(crate) struct BlockNames(Uuid);

impl BlockNames {
    /// Names that no other write has.
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The name of the block with this number.
    pub(crate) fn name(&self, number: u64) -> String {
        format!("{}-{number:06}", self.0.simple())
    }
}

/// A body that is taken in pieces.
pub(crate) struct Pieces {
    body: ByteStream,
    /// What was taken of the body and belongs to the next piece.
    rest: Bytes,
    filled: BytesMut,
    ended: bool,
}

impl Pieces {
    pub(crate) fn new(body: ByteStream) -> Self {
        Self { body, rest: Bytes::new(), filled: BytesMut::new(), ended: false }
    }

    /// The next so many bytes, fewer at the end; nothing after it. The end is seen with the last piece: see
    /// [`Pieces::is_over`]. What was taken stays where the future is dropped.
    ///
    /// # Errors
    ///
    /// The body's.
    pub(crate) async fn next(&mut self, size_bytes: usize) -> Result<Option<Bytes>> {
        // One byte more than the piece is looked for, so that the end is seen with the last piece.
        while !self.ended && self.filled.len() + self.rest.len() <= size_bytes {
            match self.body.next().await.transpose()? {
                Some(chunk) if self.rest.is_empty() => self.rest = chunk,
                Some(chunk) => {
                    // All at once: a buffer that grows step by step is copied again and again.
                    let length = self.body.length_bytes().and_then(|length| usize::try_from(length).ok());
                    let expected = length.unwrap_or_default().min(size_bytes);
                    self.filled.reserve(expected.saturating_sub(self.filled.len()));
                    self.filled.extend_from_slice(&std::mem::replace(&mut self.rest, chunk));
                }
                None => self.ended = true,
            }
        }
        let part = self.rest.split_to((size_bytes - self.filled.len()).min(self.rest.len()));
        let piece = if self.filled.is_empty() {
            // A piece that is one chunk is not copied.
            part
        } else {
            self.filled.extend_from_slice(&part);
            self.filled.split().freeze()
        };
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Whether there is no further piece.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.rest.is_empty() && self.filled.is_empty()
    }
}

/// The size of the block with this number: so large that the limit of blocks is never met.
pub(crate) fn block_bytes(transfer: &Transfer, length_bytes: Option<u64>, number: u64) -> u64 {
    match length_bytes {
        // A few blocks fewer than there may be, since sizes are rounded.
        Some(length) => {
            transfer.block_bytes.max(length.div_ceil(MAX_BLOCKS - 1_000).next_multiple_of(1 << 20))
        }
        // Doubles again and again: so 50,000 blocks hold more than 2 TiB.
        None => (transfer.block_bytes << (number / 5_000).min(6)).min(MAX_HELD_BYTES),
    }
}

/// A body whose blocks wait to be listed.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) names: Vec<String>,
    pub(crate) size_bytes: u64,
}

/// Stages the whole body, several blocks at a time. `first` was taken of it already.
///
/// # Errors
///
/// The body's; `TooLarge`; what the service says of a block, after it was tried several times.
pub(crate) async fn stage_body(
    store: &Store,
    blob: &str,
    first: Bytes,
    mut pieces: Pieces,
    digests: &mut Digests,
) -> Result<Staged> {
    let (transfer, length_bytes) = (&store.config.transfer, pieces.body.length_bytes());
    let (names, mut staged) = (BlockNames::new(), Staged::default());
    let mut pace = Pace::new(transfer.concurrency, block_bytes(transfer, length_bytes, 0));
    let mut flying = FuturesUnordered::new();
    let mut waiting = Some(first);
    loop {
        if let Some(piece) = waiting.take() {
            digests.update(&piece);
            let name = names.name(staged.names.len() as u64);
            staged.names.push(name.clone());
            staged.size_bytes += piece.len() as u64;
            if staged.names.len() as u64 > MAX_BLOCKS {
                return Err(Error::new(ErrorKind::TooLarge, "the content has more blocks than Azure takes")
                    .with_context("limit_blocks", MAX_BLOCKS));
            }
            let started = Instant::now();
            flying.push(async move {
                retry::part(|| stage(&store.client, blob, &name, piece.clone()))
                    .await
                    .map(|()| started.elapsed())
            });
        }
        let over = pieces.is_over();
        if over && flying.is_empty() {
            return Ok(staged);
        }
        let size_bytes = block_bytes(transfer, length_bytes, staged.names.len() as u64) as usize;
        tokio::select! {
            piece = pieces.next(size_bytes), if !over && flying.len() < pace.limit() => waiting = piece?,
            Some(done) = flying.next(), if !flying.is_empty() => pace.done(done?),
        }
    }
}

/// Stages one block. The service checks the bytes by their CRC-64.
///
/// # Errors
///
/// What the service says.
pub(crate) async fn stage(client: &Client, blob: &str, name: &str, bytes: Bytes) -> Result<()> {
    let call = Call::blob(Method::Put, blob)
        .query("comp", "block")
        .query("blockid", azure_core::base64::encode(name))
        .header("x-ms-content-crc64", crc64_header(crc64(&bytes)))
        .body(bytes);
    client.send(&call).await?;
    Ok(())
}

/// Where the service takes a block from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// A signed address.
    pub(crate) url: Url,
    /// The tag that the source must have, as headers have it.
    pub(crate) etag: String,
}

/// Stages a range of a blob as blocks of another, or of itself, without the bytes passing through here.
///
/// # Errors
///
/// What the service says; `PreconditionFailed` where the source is another by now.
pub(crate) async fn stage_from(
    store: &Store,
    blob: &str,
    source: &Source,
    size_bytes: u64,
) -> Result<Vec<String>> {
    const LEAST: u64 = 64 << 20;
    let step = LEAST.max(size_bytes.div_ceil(MAX_BLOCKS - 1).next_multiple_of(1 << 20));
    let names = BlockNames::new();
    let count = size_bytes.div_ceil(step);
    let stages = (0..count).map(|number| {
        let (name, range) = (names.name(number), number * step..size_bytes.min((number + 1) * step));
        async move {
            let call = Call::blob(Method::Put, blob)
                .query("comp", "block")
                .query("blockid", azure_core::base64::encode(&name))
                .header("x-ms-copy-source", source.url.as_str())
                .header("x-ms-source-range", format!("bytes={}-{}", range.start, range.end - 1))
                .header("x-ms-source-if-match", source.etag.as_str())
                .moving(range.end - range.start);
            retry::part(|| store.client.send(&call)).await.map(|_| name)
        }
    });
    // The service's work, not ours: no memory is held.
    let mut staged = Vec::with_capacity(count as usize);
    let mut stream = futures_util::stream::iter(stages).buffered(store.config.transfer.concurrency);
    while let Some(name) = stream.next().await {
        staged.push(name?);
    }
    Ok(staged)
}

/// Makes the blob of these blocks, in this order, in one step.
///
/// # Errors
///
/// What the service says: `Conflict` where another writer finished meanwhile and the blocks are gone.
pub(crate) async fn commit(
    client: &Client,
    blob: &str,
    names: &[String],
    headers: impl IntoIterator<Item = (String, String)>,
) -> Result<Reply> {
    let blocks = names.iter().map(|name| BlobBlockType::new_latest(name.clone())).collect();
    let call = Call::blob(Method::Put, blob)
        .query("comp", "blocklist")
        .headers(headers)
        .body(BlockList { blocks }.to_xml().into());
    client.send(&call).await
}

/// What a write's answer tells.
pub(crate) fn saved(reply: &Reply, size_bytes: u64, checksums: Checksums) -> SaveResult {
    SaveResult {
        size_bytes,
        etag: reply.header("etag").map(unquoted),
        version: reply.header("x-ms-version-id").map(VersionId::new),
        checksums,
        ..SaveResult::default()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const TRANSFER: Transfer = Transfer { single_bytes: 8 << 20, block_bytes: 8 << 20, concurrency: 8 };

    #[tokio::test]
    async fn pieces_have_their_size_and_the_end_is_seen_with_the_last() {
        for sizes in [&[3, 3, 3, 1][..], &[10], &[1; 10], &[4, 4, 2]] {
            let chunks: Vec<_> = sizes.iter().map(|size| Ok(Bytes::from(vec![7; *size]))).collect();
            let mut pieces = Pieces::new(ByteStream::from_stream(stream::iter(chunks), None));
            let mut seen = Vec::new();
            while let Some(piece) = pieces.next(4).await.expect("a piece") {
                seen.push((piece.len(), pieces.is_over()));
            }
            assert_eq!(seen, [(4, false), (4, false), (2, true)], "{sizes:?}");
        }
        let mut pieces = Pieces::new(ByteStream::from_bytes(vec![7; 8]));
        assert_eq!(pieces.next(8).await.expect("a piece").expect("all").len(), 8);
        assert!(pieces.is_over(), "nothing is left");
        assert_eq!(pieces.next(8).await.expect("the end"), None);
    }

    #[test]
    fn the_limit_of_blocks_is_never_met() {
        for length in [1, 64 << 20, 1 << 40, 10 << 40, MAX_CONTENT_BYTES / 2] {
            let size = block_bytes(&TRANSFER, Some(length), 0);
            assert!(length.div_ceil(size) < MAX_BLOCKS && size <= MAX_BLOCK_BYTES, "{length}: {size}");
        }
        let total: u64 = (0..MAX_BLOCKS).map(|number| block_bytes(&TRANSFER, None, number)).sum();
        assert!(total > 2 << 40, "{total}");
    }

    #[test]
    fn names_of_blocks_have_one_length() {
        let lengths: std::collections::BTreeSet<_> = [BlockNames::new(), BlockNames::new()]
            .iter()
            .flat_map(|names| [0, 9, 49_999].map(|number| names.name(number).len()))
            .collect();
        assert_eq!(lengths.len(), 1);
    }
}
