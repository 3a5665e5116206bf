//! `retrieve`: the first window of an object tells all about it; what follows comes in parallel ranges.

use std::ops::Range;
use std::time::SystemTime;

use azure_core::Method;
use storage_core::{
    ByteRange, ByteStream, Error, ErrorKind, ObjectKey, ReadCondition, Result, RetrieveOptions, Retrieved,
};

use crate::attributes::quoted;
use crate::body::{self, Source};
use crate::client::{Call, Reply};
use crate::store::Shared;
use crate::{attributes, describe, error, name, options};

/// Beyond this no blob reaches, and below it every sum of positions is a number.
const MAX_POSITION: u64 = 1 << 50;

/// Reads an object, or a range of it.
///
/// # Errors
///
/// `NotFound`, `RangeNotSatisfiable`, `NotModified`, `PreconditionFailed`, `ObjectArchived`.
pub(crate) async fn retrieve(store: Shared, key: ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
    options::check_extra(&options.extra)?;
    let version = options::version(&store, options.version.as_ref())?.map(str::to_owned);
    let blob = name::of_key(&key)?;
    let read =
        Read { conditions: conditions(&options.condition), range: options.range, store, key, blob, version };
    let Some(window) = read.window() else {
        return read.by_description().await;
    };
    match read.get(&window, &read.conditions).await {
        // An answer without a range is that of an empty object, or of a server that ignores ranges.
        Ok(reply) if content_range(&reply).is_none() => read.by_description().await,
        Ok(reply) => read.answer(reply).await,
        // A condition of an object that is not there is not decided.
        Err(error) if error.kind() == ErrorKind::PreconditionFailed => read.refused(error).await,
        // What the range is wrong against, and that an empty object has no first byte, the answer does not tell.
        Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => read.by_description().await,
        Err(error) => Err(error),
    }
}

/// A read under way.
struct Read {
    store: Shared,
    key: ObjectKey,
    blob: String,
    version: Option<String>,
    range: Option<ByteRange>,
    conditions: Vec<(String, String)>,
}

impl Read {
    /// What to ask for without knowing the size; nothing where the size must be known first.
    fn window(&self) -> Option<Range<u64>> {
        let single = self.store.config.transfer.single_bytes;
        match self.range {
            None => Some(0..single),
            Some(ByteRange::From(start)) if start < MAX_POSITION => Some(start..start + single),
            Some(ByteRange::Bounded(start, end)) if start < end && start < MAX_POSITION => {
                Some(start..end.min(start + single))
            }
            Some(_) => None,
        }
    }

    async fn get(&self, window: &Range<u64>, conditions: &[(String, String)]) -> Result<Reply> {
        let call = get(&self.blob, self.version.as_deref(), window).headers(conditions.iter().cloned());
        self.store.client.read(&call).await
    }

    /// Some servers say of a missing object that its condition fails.
    async fn refused(self, error: Error) -> Result<Retrieved> {
        let version = self.version.as_deref();
        match describe::head(&self.store, &self.key, &self.blob, version, &[]).await {
            Err(missing) if missing.kind() == ErrorKind::NotFound => Err(missing),
            _ => Err(error),
        }
    }

    /// Asks for the size first, and then for the bytes of just that content.
    async fn by_description(self) -> Result<Retrieved> {
        let version = self.version.as_deref();
        let meta = describe::head(&self.store, &self.key, &self.blob, version, &self.conditions).await?;
        let range = match self.range {
            Some(range) => range.resolve(meta.size_bytes)?,
            None => 0..meta.size_bytes,
        };
        if range.is_empty() {
            return Ok(Retrieved { meta, range, body: ByteStream::empty() });
        }
        let window = range.start..range.end.min(range.start + self.store.config.transfer.single_bytes);
        let pinned = meta.etag.as_ref().map(|tag| ("if-match".to_owned(), quoted(tag)));
        let reply = self.get(&window, pinned.as_slice()).await?;
        self.answer(reply).await
    }

    async fn answer(self, reply: Reply) -> Result<Retrieved> {
        let (first, size_bytes) = content_range(&reply).ok_or_else(|| error::malformed("range"))?;
        let mut meta = attributes::from_headers(&self.key, &reply.headers, size_bytes)?;
        let range = match self.range {
            Some(range) => range.resolve(size_bytes)?,
            None => 0..size_bytes,
        };
        describe::note_secondary(&reply, &mut meta);
        let (store, blob, version) = (self.store, self.blob, self.version);
        describe::add_tags(&store, &blob, version.as_deref(), &reply, &mut meta).await?;
        let etag = meta.etag.as_ref().map(quoted).ok_or_else(|| error::malformed("tag"))?;
        let source = Source { store, blob, version, etag };
        let whole = range == (0..size_bytes);
        let expected = if whole { meta.checksums } else { Default::default() };
        let body = body::stream(source, reply.body, first, range.clone(), expected);
        Ok(Retrieved { meta, range, body })
    }
}

/// A request for some bytes of a blob.
pub(crate) fn get(blob: &str, version: Option<&str>, range: &Range<u64>) -> Call {
    describe::of_version(Call::blob(Method::Get, blob), version)
        .header("x-ms-range", format!("bytes={}-{}", range.start, range.end - 1))
}

/// The bytes that an answer holds, and the size of the whole.
fn content_range(reply: &Reply) -> Option<(Range<u64>, u64)> {
    let (bytes, size) = reply.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = bytes.split_once('-')?;
    Some((start.parse().ok()?..last.parse::<u64>().ok()? + 1, size.parse().ok()?))
}

/// The headers of a condition. Of a tag and a time only the tag is sent, since it outweighs the time.
fn conditions(condition: &ReadCondition) -> Vec<(String, String)> {
    let time = |moment: SystemTime| httpdate::fmt_http_date(moment);
    let mut headers = Vec::new();
    let mut set = |name: &str, value: String| headers.push((name.to_owned(), value));
    match (&condition.if_match, condition.if_unmodified_since) {
        (Some(tag), _) => set("if-match", quoted(tag)),
        (None, Some(moment)) => set("if-unmodified-since", time(moment)),
        (None, None) => {}
    }
    match (&condition.if_none_match, condition.if_modified_since) {
        (Some(tag), _) => set("if-none-match", quoted(tag)),
        (None, Some(moment)) => set("if-modified-since", time(moment)),
        (None, None) => {}
    }
    headers
}
