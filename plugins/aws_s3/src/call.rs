//! Every request to S3 goes through [`call`], which bounds it in time, turns its error into ours and counts it.

use std::time::{Duration, Instant};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use futures_util::future::BoxFuture;
use storage_core::{Error, Result};

use crate::error::{from_sdk, timed_out};
use crate::store::Store;

/// What must be sent or copied in a second, in bytes, lest a request is given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Sends a request. `what` says what is tried ("get the object"); `sent_bytes` is the length of its content.
///
/// # Errors
///
/// What [`from_sdk`] makes of S3's answer; `Timeout`.
pub(crate) fn call<'a, O, E>(
    store: &'a Store,
    what: &'static str,
    sent_bytes: u64,
    request: impl Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send + 'a,
) -> BoxFuture<'a, Result<O>>
where
    O: Send + 'a,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    bounded(store, what, sent_bytes, patience(store, sent_bytes), request)
}

/// Sends a request upon which S3 itself moves so many bytes. It gets time for them.
///
/// # Errors
///
/// As [`call`].
pub(crate) fn call_for<'a, O, E>(
    store: &'a Store,
    what: &'static str,
    moved_bytes: u64,
    request: impl Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send + 'a,
) -> BoxFuture<'a, Result<O>>
where
    O: Send + 'a,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    bounded(store, what, 0, patience(store, moved_bytes), request)
}

/// Sends a request that S3 may take so long for, whatever its content.
///
/// # Errors
///
/// As [`call`].
pub(crate) fn call_within<'a, O, E>(
    store: &'a Store,
    what: &'static str,
    patience: Duration,
    request: impl Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send + 'a,
) -> BoxFuture<'a, Result<O>>
where
    O: Send + 'a,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    bounded(store, what, 0, patience, request)
}

/// How long a request may take upon which so many bytes move.
fn patience(store: &Store, moved_bytes: u64) -> Duration {
    store.config.read_timeout + Duration::from_secs(moved_bytes / SLOWEST_BYTES_PER_SECOND)
}

fn bounded<'a, O, E>(
    store: &'a Store,
    what: &'static str,
    sent_bytes: u64,
    patience: Duration,
    request: impl Future<Output = Result<O, SdkError<E, HttpResponse>>> + Send + 'a,
) -> BoxFuture<'a, Result<O>>
where
    O: Send + 'a,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    // The SDK's futures are of many kilobytes, which every future around them would carry along.
    Box::pin(async move {
        let started = Instant::now();
        let answer = match tokio::time::timeout(patience, request).await {
            Ok(answer) => answer.map_err(|error| from_sdk(what, error)),
            Err(_) => Err(timed_out(what, patience)),
        };
        store.metrics.count(started.elapsed(), sent_bytes, answer.as_ref().err());
        answer.map_err(|error| explain(store, error))
    })
}

/// Adds what only this backend knows: how its bucket is made.
fn explain(store: &Store, error: Error) -> Error {
    let is_code = |wanted: &str| error.context().any(|(name, value)| name == "code" && value == wanted);
    if is_code("NoSuchBucket") { error.with_context("next", store.how_to_create()) } else { error }
}
