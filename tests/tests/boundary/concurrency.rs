//! Many calls, many backends, many plugins at once; plugins that block and that spawn.

use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use storage_core::abi::load;
use storage_core::{ByteStream, OpenRequest, RetrieveOptions, SaveOptions};
use storage_tests::plugins::plugin_path;

use crate::{counter, key, open, probe, request};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_at_once_are_all_answered() {
    let backend = open("work").await;
    for (name, count) in [("sleeps", 10_000), ("at-once", 10_000), ("spawns", 1_000)] {
        let calls = (0..count).map(|number| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.exists(&key(&format!("{name}/{number}"))).await })
        });
        for answer in join_all(calls).await {
            assert!(answer.expect("the task lives").expect("the call succeeds"), "{name}");
        }
    }
    assert_eq!(counter(&backend, "spawned").await, 1_000);
}

#[tokio::test]
async fn calls_that_wait_share_one_thread() {
    let backend = open("work").await;
    let key = key("sleeps");
    let start = Instant::now();
    try_join_all((0..1_000).map(|_| backend.exists(&key))).await.expect("all succeed");
    // One after the other they would take 5 s.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_blocks_delays_only_the_thread_that_polls_it() {
    let backend = open("work").await;
    let blocked = tokio::spawn({
        let backend = backend.clone();
        async move { backend.exists(&key("blocks")).await }
    });
    for _ in 0..10 {
        assert!(backend.exists(&key("sleeps")).await.expect("others are answered"));
    }
    assert!(blocked.await.expect("the task lives").expect("it answers in the end"));
    let apart: Vec<_> = vec![key("blocks-apart"); 50];
    try_join_all(apart.iter().map(|key| backend.exists(key)))
        .await
        .expect("blocking work has its own threads");
}

#[tokio::test]
async fn a_plugin_may_spawn_and_use_the_network() {
    let backend = open("work").await;
    for name in ["spawns", "network"] {
        assert!(backend.exists(&key(name)).await.expect(name));
    }
}

#[test]
fn a_plugin_needs_no_runtime_of_the_host() {
    // The executor of `futures` has neither timers nor a reactor.
    futures_util::future::FutureExt::now_or_never(async {}).expect("ready");
    let answer = block_on_this_thread(async {
        let backend = open("work").await;
        backend.exists(&key("network")).await
    });
    assert!(answer.expect("it answers"));
}

/// Runs a future with nothing but a parked thread.
fn block_on_this_thread<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[tokio::test]
async fn two_backends_of_one_plugin_know_nothing_of_each_other() {
    let module = probe();
    let hot = module.open(request("hot", "work")).await.expect("it opens");
    let cold = module.open(request("cold", "work")).await.expect("it opens");
    hot.exists(&key("spawns")).await.expect("it answers");
    for (backend, name, spawned) in [(&hot, "hot", 1), (&cold, "cold", 0)] {
        assert_eq!(backend.invoke("name", json!({})).await.expect("it answers"), json!(name));
        assert_eq!(counter(backend, "spawned").await, spawned);
    }
    drop(hot);
    assert!(cold.exists(&key("network")).await.expect("it lives on"));
}

#[tokio::test]
async fn two_plugins_work_side_by_side() {
    let memory = load(&plugin_path("memory")).expect("it loads");
    let request = OpenRequest { name: "memory".to_owned(), ..OpenRequest::default() };
    let memory = memory.open(request).await.expect("it opens");
    let probe = open("work").await;
    assert_eq!(memory.info().backend_type, "memory");
    assert_eq!(probe.info().backend_type, "probe");

    // From one plugin through the host into the other, and back.
    let chunks = probe.retrieve(&key("chunks"), RetrieveOptions::default()).await.expect("it answers");
    let saved = memory.save(&key("copy"), chunks.body, SaveOptions::default()).await.expect("it saves");
    assert_eq!(saved.size_bytes, 5 * 64 * 1024);
    let copy = memory.retrieve(&key("copy"), RetrieveOptions::default()).await.expect("it is there");
    let bytes = copy.body.collect(u64::MAX).await.expect("it can be read");
    assert!(
        bytes
            .chunks(64 * 1024)
            .enumerate()
            .all(|(number, chunk)| chunk.iter().all(|b| usize::from(*b) == number))
    );
    let body = ByteStream::from_bytes(bytes);
    assert_eq!(
        probe.save(&key("k"), body, SaveOptions::default()).await.expect("it reads it").size_bytes,
        saved.size_bytes
    );
}
