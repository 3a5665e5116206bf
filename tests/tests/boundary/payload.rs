//! Payloads cross without a copy, whole buffers stay whole, and streams keep their promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use storage_core::{Backend, ByteStream, Error, ErrorKind, RetrieveOptions, SaveOptions, SaveResult};

use crate::{counter, counts_to, key, open, probe, request};

fn addresses<'a>(chunks: impl IntoIterator<Item = &'a Bytes>) -> String {
    let addresses: Vec<_> = chunks.into_iter().map(|chunk| format!("{:p}", chunk.as_ptr())).collect();
    addresses.join(" ")
}

async fn save(backend: &Arc<dyn Backend>, body: ByteStream) -> SaveResult {
    backend.save(&key("k"), body, SaveOptions::default()).await.expect("it reads the body")
}

#[tokio::test]
async fn a_saved_buffer_is_the_same_memory_in_the_plugin() {
    let backend = open("work").await;
    let bytes = Bytes::from(vec![1; 1 << 20]);
    let result = save(&backend, bytes.clone().into()).await;
    assert_eq!(result.extra["addresses"], addresses([&bytes]));
    assert_eq!((result.extra["buffered"].as_str(), result.size_bytes), ("true", 1 << 20));
    assert_eq!(result.extra["length"], "Some(1048576)");
    assert!(bytes.is_unique(), "the plugin let go of it");
}

#[tokio::test]
async fn saved_chunks_are_the_same_memory_in_the_plugin() {
    let backend = open("work").await;
    let chunks: Vec<_> = (0..4).map(|number| Bytes::from(vec![number; 300_000])).collect();
    for length in [Some(1_200_000), None] {
        let body = ByteStream::from_stream(stream::iter(chunks.clone()).map(Ok), length);
        let result = save(&backend, body).await;
        assert_eq!(result.extra["addresses"], addresses(&chunks));
        assert_eq!((result.extra["buffered"].as_str(), result.size_bytes), ("false", 1_200_000));
        assert_eq!(result.extra["length"], format!("{length:?}"));
    }
    assert!(chunks.iter().all(Bytes::is_unique), "the plugin let go of them");
}

#[tokio::test]
async fn a_retrieved_buffer_is_the_plugins_memory() {
    let backend = open("work").await;
    let retrieved = backend.retrieve(&key("buffer"), RetrieveOptions::default()).await.expect("it answers");
    let bytes = retrieved.body.as_buffer().expect("it is one buffer").clone();
    assert_eq!(retrieved.meta.extra["addresses"], addresses([&bytes]));
    drop((retrieved, backend));
    assert!(bytes.iter().all(|byte| *byte == 7), "the bytes outlive the backend");
}

#[tokio::test]
async fn retrieved_chunks_are_the_plugins_memory() {
    let backend = open("work").await;
    let retrieved = backend.retrieve(&key("chunks"), RetrieveOptions::default()).await.expect("it answers");
    assert_eq!(retrieved.body.length_bytes(), Some(5 * 64 * 1024));
    assert!(retrieved.body.as_buffer().is_none());
    let chunks: Vec<_> = retrieved.body.map(|chunk| chunk.expect("a chunk")).collect().await;
    assert_eq!(retrieved.meta.extra["addresses"], addresses(&chunks));
}

#[tokio::test]
async fn an_empty_body_crosses_as_one() {
    let result = save(&open("work").await, ByteStream::empty()).await;
    assert_eq!((result.size_bytes, result.extra["buffered"].as_str()), (0, "true"));
}

#[tokio::test]
async fn a_body_that_fails_or_ends_early_fails_the_save_with_its_own_error() {
    let backend = open("work").await;
    let early = ByteStream::from_stream(stream::iter([Ok(Bytes::from_static(b"ab"))]), Some(3));
    let broken = Error::new(ErrorKind::Cancelled, "the client went away").with_context("received_bytes", 2);
    let broken = ByteStream::from_stream(stream::iter([Ok(Bytes::from_static(b"ab")), Err(broken)]), None);
    for (body, kind) in [(early, ErrorKind::LengthMismatch), (broken, ErrorKind::Cancelled)] {
        let error = backend.save(&key("k"), body, SaveOptions::default()).await.expect_err("it fails");
        assert_eq!(error.kind(), kind);
        assert_eq!(error.context().next(), Some(("received_bytes", "2")));
    }
}

#[tokio::test]
async fn a_slow_reader_holds_the_plugin_back() {
    let backend = open("work").await;
    let retrieved = backend.retrieve(&key("endless"), RetrieveOptions::default()).await.expect("it answers");
    let mut body = retrieved.body;
    assert_eq!(counter(&backend, "produced").await, 0, "nothing is read before it is wanted");
    for number in 1..=3 {
        body.next().await.expect("a chunk").expect("a good one");
        for _ in 0..50 {
            // Each call gives the plugin the time and the threads to run ahead, if it did.
            backend.exists(&key("spawns")).await.expect("it answers");
        }
        assert_eq!(counter(&backend, "produced").await, number);
    }
}

#[tokio::test]
async fn a_slow_plugin_holds_the_source_back() {
    let backend = open("work").await;
    let produced = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&produced);
    let body = stream::repeat_with(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Bytes::from_static(b"chunk"))
    });
    // The plugin spawns a task that drops the body without having read of it.
    let body = ByteStream::from_stream(body, None);
    let options = SaveOptions::default();
    backend.save(&key("drop-body-in-a-task"), body, options).await.expect("it answers");
    assert_eq!(produced.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_that_needs_the_hosts_runtime_can_be_read_on_the_plugins_threads() {
    let body = || {
        let chunks = stream::once(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(Bytes::from_static(b"late"))
        });
        ByteStream::from_stream(chunks, Some(4))
    };
    let key = key("read-body-in-a-task");
    let handle = tokio::runtime::Handle::current();
    let module = probe().polling_bodies_within(move |run| {
        let _entered = handle.enter();
        run();
    });
    let backend = module.open(request("hot", "work")).await.expect("it opens");
    let result = backend.save(&key, body(), SaveOptions::default()).await.expect("it reads the body");
    assert_eq!(result.size_bytes, 4);

    let error = open("work").await.save(&key, body(), SaveOptions::default()).await.expect_err("no runtime");
    assert!(error.message().contains("no reactor running"), "{error}");
}

#[tokio::test]
async fn a_body_is_dropped_with_the_save() {
    let backend = open("work").await;
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let body = stream::poll_fn(move |_| {
        let _held = &held;
        std::task::Poll::Pending
    });
    let (key, body) = (key("k"), ByteStream::from_stream(body, None));
    let mut save = backend.save(&key, body, SaveOptions::default());
    assert!(futures_util::poll!(&mut save).is_pending());
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(save);
    assert_eq!(Arc::strong_count(&alive), 1);
    counts_to(&backend, "cancelled", 1).await;
}
