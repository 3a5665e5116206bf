//! Counts what calls allocate: of the in-memory backend linked into this program and of the same one loaded from a
//! library, on both sides of the boundary. A program of its own, since counting makes every allocation dearer.
//!
//! Its argument is the library; it prints JSON: per contender and operation, allocations and bytes of one call.

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, ObjectKey, OpenRequest, RetrieveOptions, SaveOptions};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u64 = 1_000;
const PAYLOAD_BYTES: usize = 1 << 20;

#[derive(Clone, Copy)]
struct Count {
    calls: f64,
    bytes: f64,
}

/// Counts on this side and, where the backend came from a library that counts, on the other.
async fn count(backend: &Arc<dyn Backend>, loaded: bool) -> Result<Count> {
    let there = if loaded { backend.invoke("allocations", json!({})).await? } else { json!({}) };
    let here = ALLOCATOR.stats();
    let of_library = |name: &str| there[name].as_u64().unwrap_or(0) as f64;
    Ok(Count {
        calls: (here.allocations + here.reallocations) as f64 + of_library("calls"),
        bytes: here.bytes_allocated as f64 + of_library("bytes"),
    })
}

/// What one of so many calls allocates. Counting allocates too, and is measured and taken off.
async fn per_call<F: Future<Output = Result<()>>>(
    backend: &Arc<dyn Backend>,
    loaded: bool,
    call: impl Fn() -> F,
) -> Result<Value> {
    // What is allocated once, at the first call, is no cost of a call.
    call().await?;
    count(backend, loaded).await?;
    let first = count(backend, loaded).await?;
    let second = count(backend, loaded).await?;
    for _ in 0..CALLS {
        call().await?;
    }
    let third = count(backend, loaded).await?;
    let figure = |of: fn(Count) -> f64| {
        let counting = of(second) - of(first);
        ((of(third) - of(second) - counting) / CALLS as f64).max(0.0)
    };
    Ok(json!({ "calls": figure(|count| count.calls), "bytes": figure(|count| count.bytes) }))
}

async fn figures(backend: &Arc<dyn Backend>, loaded: bool) -> Result<Value> {
    let key = &ObjectKey::new("users/7/0190a8e4/1/curriculum.pdf")?;
    let payload = &Bytes::from(vec![7; PAYLOAD_BYTES]);
    backend.save(key, payload.clone().into(), SaveOptions::default()).await?;
    let retrieve = || async {
        let mut body = backend.retrieve(key, RetrieveOptions::default()).await?.body;
        while body.next().await.transpose()?.is_some() {}
        Ok(())
    };
    let save = || async {
        backend.save(key, payload.clone().into(), SaveOptions::default()).await?;
        Ok(())
    };
    Ok(json!({
        "exists": per_call(backend, loaded, || async { Ok(backend.exists(key).await.map(drop)?) }).await?,
        "retrieve": per_call(backend, loaded, retrieve).await?,
        "save": per_call(backend, loaded, save).await?,
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let library = std::env::args().nth(1).context("usage: storage-bench-allocations LIBRARY")?;
    let module = storage_core::abi::load(Path::new(&library)).map_err(|error| anyhow!("{error}"))?;
    let loaded = module.open(OpenRequest { name: "loaded".to_owned(), ..OpenRequest::default() }).await?;
    let linked: Arc<dyn Backend> = Arc::new(MemoryBackend::new("linked"));
    let report = json!({ "loaded": figures(&loaded, true).await?, "linked": figures(&linked, false).await? });
    serde_json::to_writer(std::io::stdout(), &report)?;
    Ok(())
}
