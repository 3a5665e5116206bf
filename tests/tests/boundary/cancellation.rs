//! Dropping a call or a stream cancels the work in the plugin and leaves nothing behind.

use std::sync::Arc;

use futures_util::StreamExt;
use storage_core::RetrieveOptions;

use crate::{counter, counts_to, key, open};

#[tokio::test]
async fn dropping_a_call_cancels_it_in_the_plugin() {
    let backend = open("work").await;
    let other = Arc::clone(&backend);
    let call = tokio::spawn(async move { other.exists(&key("waits-for-ever")).await });
    counts_to(&backend, "started", 1).await;
    assert_eq!(counter(&backend, "cancelled").await, 0);
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
    assert_eq!(counter(&backend, "cancelled").await, 1);
}

#[tokio::test]
async fn dropping_a_call_that_was_never_polled_starts_nothing() {
    let backend = open("work").await;
    let key = key("waits-for-ever");
    drop(backend.exists(&key));
    assert_eq!(counter(&backend, "started").await, 0);
}

#[tokio::test]
async fn dropping_a_half_read_stream_cancels_it_in_the_plugin() {
    let backend = open("work").await;
    let retrieved = backend.retrieve(&key("endless"), RetrieveOptions::default()).await.expect("it answers");
    let mut body = retrieved.body;
    for _ in 0..2 {
        body.next().await.expect("a chunk").expect("a good one");
    }
    assert_eq!((counter(&backend, "started").await, counter(&backend, "cancelled").await), (1, 0));
    drop(body);
    assert_eq!(counter(&backend, "cancelled").await, 1);
    assert_eq!(counter(&backend, "produced").await, 2);
}

#[tokio::test]
async fn a_stream_outlives_the_handle_of_its_backend() {
    let backend = open("work").await;
    let retrieved = backend.retrieve(&key("endless"), RetrieveOptions::default()).await.expect("it answers");
    drop(backend);
    // Each chunk waits for a timer, which needs the runtime of the backend.
    let chunks: Vec<_> = retrieved.body.take(3).collect().await;
    assert!(chunks.iter().all(Result::is_ok));
}
