//! What the host adds to every call of a backend: context, tracing, limits, repetition, time bounds.
//!
//! The manager wraps each backend that it opens with [`wrap`]; everything above sees a [`Backend`] and
//! cannot tell. A layer says in one place, `Layer::around`, what it does to a call; `Layered` is the
//! only type that spells out the operations. No layer knows of users, files or other backends.

mod concurrency;
mod error_context;
mod layer;
mod layered;
mod retry;
mod timeout;
mod trace;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use storage_core::Backend;

use crate::config::CallConfig;
use concurrency::Concurrency;
use error_context::ErrorContext;
use layered::Layered;
use retry::Retry;
use timeout::Timeout;
use trace::Trace;

/// Wraps an open backend in every layer.
///
/// A call goes from the top to the bottom, its answer from the bottom to the top:
///
/// 1. error context: every error names the backend, the operation and the key, whichever layer made it
/// 2. trace: one record per call, however many attempts it took; the wait for a place is part of it
/// 3. concurrency: a call keeps its place while it is repeated, so that retries do not crowd out first attempts
/// 4. retry: repeats what failed or timed out
/// 5. timeout: bounds each attempt; outside of the retries it would cut off the pauses between them
/// 6. the backend
pub fn wrap(name: &str, backend: Arc<dyn Backend>, calls: &CallConfig) -> Arc<dyn Backend> {
    let name: Arc<str> = name.into();
    let timeout = Timeout { call: calls.call_timeout, chunk: calls.chunk_timeout };
    let retry = Retry { max_retries: calls.max_retries };
    let concurrency = Concurrency::new(calls.max_concurrency, calls.call_timeout);
    let trace = Trace { backend: name.clone() };
    let context = ErrorContext { backend: name };
    let layer = (context, (trace, (concurrency, (retry, timeout))));
    Arc::new(Layered { backend, layer })
}
