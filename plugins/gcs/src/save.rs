//! Saves: in one request where the content fits into one part, through a session where it is not much larger, in
//! parallel parts where it is.

use bytes::Bytes;
use futures_util::StreamExt as _;
use storage_core::{ByteStream, Checksums, Error, ErrorKind, ObjectKey, Result, SaveOptions, SaveResult};

use crate::composite;
use crate::digest::{Digests, Passed};
use crate::open::Store;
use crate::options::{Conditional, describe};
use crate::resource::{NewObject, Object};
use crate::resumable::Session;
use crate::single::{Chunks, check_stored, or_done_before, upload_if};

/// What is sent at once, in bytes: a multiple of 256 KiB, as sessions ask for.
pub(crate) const PART_BYTES: u64 = 8 << 20;

/// The largest object.
pub(crate) const MAX_OBJECT_BYTES: u64 = 5 << 40;

/// A content on its way, cut into parts, its digests computed as it passes.
pub(crate) struct Source {
    body: ByteStream,
    digests: Digests,
    rest: Option<Bytes>,
    length_bytes: Option<u64>,
    passed_bytes: u64,
}

/// A part of a content.
pub(crate) struct Piece {
    /// Its bytes.
    pub(crate) chunks: Chunks,
    /// Whether nothing follows.
    pub(crate) is_last: bool,
}

impl Source {
    /// A content that must have these digests.
    ///
    /// # Errors
    ///
    /// `TooLarge`.
    pub(crate) fn new(body: ByteStream, expected: Checksums) -> Result<Self> {
        let length_bytes = body.length_bytes();
        let source =
            Self { body, digests: Digests::expecting(expected), rest: None, length_bytes, passed_bytes: 0 };
        source.check_size(length_bytes.unwrap_or_default())?;
        Ok(source)
    }

    /// Its length, where it is known beforehand.
    pub(crate) fn length_bytes(&self) -> Option<u64> {
        self.length_bytes
    }

    /// The next bytes: exactly so many, unless the content ends.
    ///
    /// # Errors
    ///
    /// What the body gives; `TooLarge`.
    pub(crate) async fn next(&mut self, size_bytes: u64) -> Result<Piece> {
        let mut chunks = Chunks::default();
        loop {
            let next = match self.rest.take() {
                Some(rest) => Some(rest),
                None => self.body.next().await.transpose()?,
            };
            let Some(mut chunk) = next else { return Ok(Piece { chunks, is_last: true }) };
            let room = size_bytes - chunks.size_bytes;
            if room == 0 {
                // That there is more is known now.
                self.rest = Some(chunk);
                return Ok(Piece { chunks, is_last: false });
            }
            if chunk.len() as u64 > room {
                self.rest = Some(chunk.split_off(room as usize));
            }
            self.digests.update(&chunk);
            self.passed_bytes += chunk.len() as u64;
            self.check_size(self.passed_bytes)?;
            chunks.push(chunk);
        }
    }

    /// Compares the digests of what passed with those that were expected.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`.
    pub(crate) fn verify(self) -> Result<Passed> {
        self.digests.verify()
    }

    fn check_size(&self, size_bytes: u64) -> Result<()> {
        if size_bytes <= MAX_OBJECT_BYTES {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge, "an object holds at most 5 TiB")
            .with_context("size_bytes", size_bytes))
    }
}

/// Saves an object.
///
/// # Errors
///
/// As [`storage_core::Backend::save`].
pub(crate) async fn save(
    store: &Store,
    key: &ObjectKey,
    body: ByteStream,
    options: SaveOptions,
) -> Result<SaveResult> {
    options.validate()?;
    let new = describe(store, key.as_str(), &options)?;
    let condition = Conditional::new(options.condition)?;
    let mut source = Source::new(body, options.checksums)?;
    let first = source.next(PART_BYTES).await?;
    let (object, passed) = if !first.is_last && goes_in_parts(store, &new, &source) {
        composite::upload(store, new, source, first, &condition).await?
    } else {
        send(store, new, source, first, &condition).await?
    };
    object.saved(store.keeps_versions, passed.checksums)
}

/// Whether a content that is larger than a part is sent in parallel.
fn goes_in_parts(store: &Store, new: &NewObject, source: &Source) -> bool {
    let threshold_bytes = store.config.composite_threshold_bytes;
    store.allows_temporary
        && store.joins_to(new.storage_class.as_deref())
        && threshold_bytes > 0
        && source.length_bytes().is_none_or(|length| length >= threshold_bytes)
}

/// Sends a content without any temporary object: in one request, or one part after the other.
///
/// # Errors
///
/// What the body gives; `AlreadyExists` or `PreconditionFailed`, as the condition has it; `ChecksumMismatch`.
pub(crate) async fn send(
    store: &Store,
    mut new: NewObject,
    mut source: Source,
    first: Piece,
    condition: &Conditional,
) -> Result<(Object, Passed)> {
    let client = &store.client;
    let key_query = store.key_query();
    if first.is_last {
        let passed = source.verify()?;
        let object = upload_if(client, new, &first.chunks, passed.crc32c, condition, &key_query).await?;
        return Ok((object, passed));
    }
    condition.mark(&mut new);
    let query: Vec<_> = condition.query().into_iter().chain(key_query).collect();
    let mut session = Session::begin(client, &store.tracker, &new, &query)
        .await
        .map_err(|failure| condition.refusal(failure))?;
    let (mut offset, mut piece) = (0, first);
    while !piece.is_last {
        session.send(offset, &piece.chunks).await.map_err(|failure| condition.refusal(failure))?;
        offset += piece.chunks.size_bytes;
        piece = source.next(PART_BYTES).await?;
    }
    // The object appears with the last part, so that what is wrong with the content must be known before.
    let passed = source.verify()?;
    let finished = session.finish(offset, &piece.chunks, passed.crc32c).await;
    let may_be_done = finished.is_err();
    let object = or_done_before(client, &new, condition, may_be_done, finished)
        .await
        .map_err(|failure| condition.refusal(failure))?;
    check_stored(client, &new, &object, passed.size_bytes, passed.crc32c).await?;
    Ok((object, passed))
}
