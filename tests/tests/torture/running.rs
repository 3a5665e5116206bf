//! Faults of an opened backend that the host survives, with a healthy one beside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use storage_core::abi::{LoadError, load};
use storage_core::{
    Backend, ErrorKind, MetadataOptions, ObjectKey, OpenRequest, RetrieveOptions, SaveOptions,
};
use storage_tests::plugins::plugin_path;
use storage_tests::torture::sound_library;

/// A backend that does harm, and a healthy one.
struct Pair {
    torture: Arc<dyn Backend>,
    healthy: Arc<dyn Backend>,
}

impl Pair {
    async fn open() -> Self {
        let [torture, healthy] =
            ["torture", "memory"].map(|name| load(&plugin_path(name)).expect("it loads"));
        Self {
            torture: torture.open(OpenRequest::default()).await.expect("it opens"),
            healthy: healthy.open(OpenRequest::default()).await.expect("it opens"),
        }
    }

    async fn ask(&self, name: &str) -> storage_core::Result<bool> {
        self.torture.exists(&key(name)).await
    }

    async fn body(&self, name: &str) -> storage_core::ByteStream {
        self.torture.retrieve(&key(name), RetrieveOptions::default()).await.expect("it answers").body
    }

    /// Both go on serving.
    async fn serve(&self) {
        for backend in [&self.torture, &self.healthy] {
            let key = key("served");
            backend.save(&key, "content".into(), SaveOptions::default()).await.expect("it saves");
            let body = backend.retrieve(&key, RetrieveOptions::default()).await.expect("it reads").body;
            assert_eq!(body.collect(100).await.expect("its bytes"), "content");
        }
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).expect("a legal key")
}

#[tokio::test]
async fn blocking_on_a_future_inside_a_poll_harms_nobody() {
    let pair = Pair::open().await;
    assert!(pair.ask("blocks-on").await.expect("it answers"));
    assert!(pair.ask("blocks-on-a-runtime-of-its-own").await.expect("it answers"));
    pair.serve().await;
}

#[tokio::test]
async fn threads_that_outlive_the_call_and_the_backend_harm_nobody() {
    let pair = Pair::open().await;
    assert!(pair.ask("leaves-threads").await.expect("it answers"));
    pair.serve().await;
    let Pair { torture, healthy } = pair;
    drop(torture);
    Pair { torture: Pair::open().await.torture, healthy }.serve().await;
}

#[tokio::test]
async fn a_call_may_be_woken_long_after_it_was_dropped() {
    let pair = Pair::open().await;
    let name = key("wakes-late");
    let mut call = pair.torture.exists(&name);
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !pair.ask("woke-late").await.expect("it counts") {
        assert!(Instant::now() < deadline, "it was not woken");
        tokio::task::yield_now().await;
    }
    pair.serve().await;
}

#[tokio::test]
async fn a_panic_without_the_plugins_hook_is_an_error_all_the_same() {
    let pair = Pair::open().await;
    for _ in 0..2 {
        let error = pair.ask("sets-a-panic-hook").await.expect_err("it panics");
        assert_eq!(error.kind(), ErrorKind::PluginPanicked);
        assert!(error.message().contains("panics without its hook"), "{error}");
    }
    pair.serve().await;
}

#[tokio::test]
async fn a_huge_chunk_crosses_by_pointer_and_a_limit_refuses_it() {
    let pair = Pair::open().await;
    let chunk = pair.body("huge").await.next().await.expect("a chunk").expect("a good one");
    assert_eq!(chunk.len(), 1 << 30);
    for name in ["huge", "huge-undeclared"] {
        let error = pair.body(name).await.collect(1 << 20).await.expect_err("it is too large");
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{name}");
    }
    pair.serve().await;
}

#[tokio::test]
async fn an_endless_body_ends_at_its_declared_length_or_at_the_readers_limit() {
    let pair = Pair::open().await;
    let error = pair.body("endless").await.collect(10 << 20).await.expect_err("it is endless");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    for name in ["endless-but-declared", "declares-too-much"] {
        let error = pair.body(name).await.collect(u64::MAX).await.expect_err("it has another length");
        assert_eq!(error.kind(), ErrorKind::LengthMismatch, "{name}");
    }
    pair.serve().await;
}

#[tokio::test]
async fn odd_texts_in_metadata_and_errors_come_over_as_they_are() {
    let pair = Pair::open().await;
    let odd = ["\0", "a\r\nSet-Cookie: b", "\u{1b}[31m\u{202e}", "\u{feff}\u{fffd}\u{10ffff}", ""];
    let meta = pair.torture.get_metadata(&key("odd-metadata"), MetadataOptions::default()).await;
    let meta = meta.expect("it answers");
    assert_eq!(meta.size_bytes, u64::MAX);
    assert_eq!(meta.metadata.len(), odd.len());
    for (index, text) in odd.iter().enumerate() {
        assert_eq!(meta.metadata[*text], format!("{index}{text}"));
    }
    assert_eq!(meta.storage_class.expect("a class").len(), 1 << 20);
    let error = pair.ask("fails-oddly").await.expect_err("it fails");
    assert_eq!(error.message(), odd.join("|"));
    assert_eq!(error.context().map(|(_, value)| value).collect::<Vec<_>>(), odd);
    pair.serve().await;
}

#[tokio::test]
async fn a_hundred_loads_of_one_file_are_one_library() {
    let path = plugin_path("torture");
    let first = load(&path).expect("it loads");
    let mapped = mappings();
    for _ in 0..100 {
        let again = load(&path).expect("it loads again");
        assert_eq!(again.manifest(), first.manifest());
        again.open(OpenRequest::default()).await.expect("it opens").health().await.expect("it is well");
    }
    assert_eq!(mappings(), mapped);
}

/// How often the fixture is mapped into this process.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter(|line| line.contains("storage_fixture_torture")).count()
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_loaded_is_told_and_the_loaded_one_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = sound_library(folder.path(), "replaced");
    let module = load(&path).expect("it loads");
    let torture = module.open(OpenRequest::default()).await.expect("it opens");
    let healthy = Pair::open().await.healthy;
    let pair = Pair { torture, healthy };
    load(&path).expect("it is the same file");

    let other = tempfile::tempdir_in(folder.path()).expect("a temporary folder");
    std::fs::rename(sound_library(other.path(), "replaced"), &path).expect("it is replaced");
    let error = load(&path).expect_err("it is another file");
    assert!(matches!(&error, LoadError::Replaced { path: replaced } if *replaced == path), "{error:?}");
    pair.serve().await;
    module.open(OpenRequest::default()).await.expect("the loaded one opens");

    std::fs::remove_file(&path).expect("it is removed");
    pair.serve().await;
}
