//! Reads: descriptions, and contents of one generation from beginning to end.

use futures_util::future::try_join;
use reqwest::{Response, StatusCode};
use storage_core::{
    ByteStream, Error, ErrorKind, MetadataOptions, ObjectKey, ObjectMeta, Result, RetrieveOptions, Retrieved,
    Retry,
};

use crate::error::{Failure, not_found};
use crate::open::Store;
use crate::options::{check_extra, version};
use crate::ranged::{self, Window};
use crate::resource::Object;

/// How often a read begins anew where the object is replaced between its description and its first byte.
const ATTEMPTS: u32 = 20;

/// Describes an object.
///
/// # Errors
///
/// As [`storage_core::Backend::get_metadata`].
pub(crate) async fn get_metadata(
    store: &Store,
    key: &ObjectKey,
    options: MetadataOptions,
) -> Result<ObjectMeta> {
    check_extra(&options.extra)?;
    let generation = version(store, options.version.as_ref())?;
    find(store, key, generation).await?.meta(key.clone(), store.keeps_versions)
}

/// Whether an object is there.
///
/// # Errors
///
/// As [`storage_core::Backend::exists`].
pub(crate) async fn exists(store: &Store, key: &ObjectKey) -> Result<bool> {
    match store.client.object(key.as_str(), None).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_missing() => Ok(false),
        Err(failure) => Err(failure.error),
    }
}

/// The object, or a generation of it.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn find(store: &Store, key: &ObjectKey, generation: Option<u64>) -> Result<Object> {
    let found = store.client.object(key.as_str(), generation).await;
    found.map_err(|failure: Failure| match generation {
        Some(_) if failure.is_missing() => not_found("version").with_source(failure.error),
        _ => failure.error,
    })
}

/// Reads an object, or a part of it.
///
/// # Errors
///
/// As [`storage_core::Backend::retrieve`].
pub(crate) async fn retrieve(store: &Store, key: &ObjectKey, options: RetrieveOptions) -> Result<Retrieved> {
    check_extra(&options.extra)?;
    let generation = version(store, options.version.as_ref())?;
    // Where a condition may refuse the read, its bytes are not asked for in vain.
    let mut window = options.condition.is_empty().then(|| Window::of(options.range)).flatten();
    for _ in 0..ATTEMPTS {
        let (object, begun) = match window.take() {
            Some(window) => find_and_begin(store, key, generation, window).await?,
            None => (find(store, key, generation).await?, None),
        };
        let meta = object.meta(key.clone(), store.keeps_versions)?;
        options.condition.check(meta.etag.as_ref(), meta.last_modified)?;
        let range = match options.range {
            Some(range) => range.resolve(meta.size_bytes)?,
            None => 0..meta.size_bytes,
        };
        if range.is_empty() {
            return Ok(Retrieved { meta, range, body: ByteStream::empty() });
        }
        match ranged::open(store, &object, range.clone(), begun).await {
            Ok(body) => return Ok(Retrieved { meta, range, body }),
            // What was described a moment ago was replaced or deleted: what is there now is read instead.
            Err(failure) if failure.is_missing() && generation.is_none() => {}
            Err(failure) => return Err(failure.error),
        }
    }
    let error = Error::new(ErrorKind::Conflict, "the object is being replaced faster than it can be opened");
    Err(error.with_retry(Retry::May))
}

/// Asks for the description and for the first bytes at the same time: an answer with bytes tells neither what the user
/// keeps with the object nor when it came, and one after the other they would take twice as long. The bytes are given
/// only where they are of the generation that is described.
///
/// # Errors
///
/// As [`find`]; what the service says of the bytes, unless the description tells it better.
async fn find_and_begin(
    store: &Store,
    key: &ObjectKey,
    generation: Option<u64>,
    window: Window,
) -> Result<(Object, Option<Response>)> {
    let begun = async { Ok(ranged::begin(store, key.as_str(), generation, window).await) };
    let (object, begun) = try_join(find(store, key, generation), begun).await?;
    let begun = match begun {
        Ok(answer) => answer.filter(|answer| ranged::is_of(answer, &object)),
        // It is empty, ends before the window, or came between the two requests.
        Err(failure) if failure.is_missing() || failure.is(StatusCode::RANGE_NOT_SATISFIABLE) => None,
        Err(failure) => return Err(failure.error),
    };
    Ok((object, begun))
}
