//! A closed backend leaves no thread behind. Alone in its process, since it counts the threads of all.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use storage_core::abi::load;
use storage_core::{ObjectKey, OpenRequest, RetrieveOptions};
use storage_tests::plugins::plugin_path;

/// The threads of the probe's runtimes.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("plugin-probe")).count()
}

async fn no_threads() {
    let deadline = Instant::now() + Duration::from_secs(20);
    while threads() > 0 {
        assert!(Instant::now() < deadline, "{} threads of closed backends are left", threads());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_threads_of_a_backend_end_with_its_last_call_or_stream() {
    let module = load(&plugin_path("probe")).expect("it loads");
    let request = OpenRequest { name: "hot".to_owned(), ..OpenRequest::default() };
    let key = |text: &str| ObjectKey::new(text).expect("a legal key");
    assert_eq!(threads(), 0, "loading starts no thread");
    for _ in 0..20 {
        let backend = module.open(request.clone()).await.expect("it opens");
        backend.exists(&key("spawns-and-forgets")).await.expect("it answers");
        let endless = backend.retrieve(&key("endless"), RetrieveOptions::default()).await;
        let mut body = endless.expect("it answers").body;
        drop(backend);
        assert!(threads() > 0, "the stream keeps the runtime");
        body.next().await.expect("a chunk").expect("a good one");
        // The runtime ends here, inside an async context, without blocking and in spite of its endless task.
        drop(body);
        no_threads().await;
    }
    let mut opening = Box::pin(module.open(request));
    assert!(futures_util::poll!(&mut opening).is_pending());
    drop(opening);
    no_threads().await;
}
