//! Measures what the plugin boundary costs: the in-memory backend, linked in and loaded from its plugin.
//!
//! `cargo build --release -p storage-fixture-memory`, then
//! `cargo run --release -p storage-core --features memory --example boundary_cost -- PLUGIN`, where PLUGIN is
//! `target/release/libstorage_fixture_memory.so`.

#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use storage_core::memory::MemoryBackend;
use storage_core::{
    Backend, ByteStream, ObjectKey, OpenRequest, Result, RetrieveOptions, SaveOptions, abi, correlation,
};

/// The best of several rounds, since everything else on the machine only makes it slower.
async fn measure<F: Future<Output = Result<()>>>(calls: u32, work: impl Fn() -> F) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..calls {
            work().await?;
        }
        best = best.min(start.elapsed() / calls);
    }
    Ok(best)
}

async fn figures(backend: &Arc<dyn Backend>) -> Result<Vec<(&'static str, Duration)>> {
    let key = &ObjectKey::new("users/7/0190a8e4/1/curriculum.pdf")?;
    let missing = &ObjectKey::new("users/7/0190a8e4/1/missing.pdf")?;
    let bytes = &Bytes::from(vec![7; 1 << 20]);
    backend.save(key, bytes.clone().into(), SaveOptions::default()).await?;
    let chunked = || {
        let chunks = stream::iter((0..1_000).map(|_| Ok(Bytes::from_static(&[0; 16]))));
        ByteStream::from_stream(chunks, None)
    };
    let part = &backend.begin_multipart(key, SaveOptions::default()).await?;
    let exists = || async { backend.exists(missing).await.map(drop) };
    Ok(vec![
        ("exists", measure(20_000, exists).await?),
        (
            "exists, with a correlation id",
            correlation::scope("0190a8e4-request", measure(20_000, exists)).await?,
        ),
        (
            "get_metadata",
            measure(20_000, || async { backend.get_metadata(key, Default::default()).await.map(drop) })
                .await?,
        ),
        (
            "retrieve of 1 MiB",
            measure(5_000, || async {
                let mut body = backend.retrieve(key, RetrieveOptions::default()).await?.body;
                while body.next().await.transpose()?.is_some() {}
                Ok(())
            })
            .await?,
        ),
        (
            "a part of 1,000 chunks, per chunk",
            measure(50, || async {
                backend.upload_part(key, part, 1, chunked(), Default::default()).await.map(drop)
            })
            .await?
                / 1_000,
        ),
    ])
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let plugin = std::env::args().nth(1).ok_or("usage: boundary_cost PLUGIN")?;
    let module = abi::load(Path::new(&plugin))?;
    let loaded = module.open(OpenRequest { name: "loaded".to_owned(), ..OpenRequest::default() }).await?;
    let native: Arc<dyn Backend> = Arc::new(MemoryBackend::new("native"));
    println!("{:<36}{:>12}{:>12}{:>12}", "", "native", "loaded", "added");
    for ((name, native), (_, loaded)) in figures(&native).await?.into_iter().zip(figures(&loaded).await?) {
        let nanoseconds = |span: Duration| format!("{} ns", span.as_nanos());
        let added = nanoseconds(loaded.saturating_sub(native));
        println!("{name:<36}{:>12}{:>12}{added:>12}", nanoseconds(native), nanoseconds(loaded));
    }
    Ok(())
}
