//! Opens backends of the plugin, and makes users where a server has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use storage_core::{Backend, Error, ErrorKind, ObjectKey, Result, Retrieved};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::servers::Server;
use storage_tests::target::open_plugin;

pub(crate) type Settings = Vec<(&'static str, String)>;

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{:x}-{}-{number}", since.as_millis(), std::process::id())
}

/// The settings for a bucket of its own on a server, reached at this endpoint.
pub(crate) fn settings(server: &Server, endpoint: &str, more: &[(&'static str, &str)]) -> Settings {
    let mut settings = vec![
        ("endpoint_url", endpoint.to_owned()),
        ("access_key_id", server.setting("access_key").to_owned()),
        ("secret_access_key", server.setting("secret_key").to_owned()),
        ("region", server.setting("region").to_owned()),
        ("bucket_name", unique("aws-s3")),
        ("create_bucket", "true".to_owned()),
        // What goes on in the background would stand between the requests that a test looks at.
        ("abort_uploads_after", "0s".to_owned()),
        ("proxy", "none".to_owned()),
    ];
    for (key, value) in more {
        settings.retain(|(known, _)| known != key);
        settings.push((key, (*value).to_owned()));
    }
    settings
}

pub(crate) async fn try_open(settings: Settings) -> Result<Arc<dyn Backend>> {
    open_plugin("aws_hot", "aws_s3", settings).await
}

pub(crate) async fn open(settings: Settings) -> Arc<dyn Backend> {
    try_open(settings).await.unwrap_or_else(|error| panic!("the backend opens: {}", error.report()))
}

/// Why a backend does not open.
pub(crate) async fn refusal(settings: Settings) -> Error {
    match try_open(settings).await {
        Ok(_) => panic!("the backend opens"),
        Err(error) => error,
    }
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

pub(crate) async fn save(backend: &Arc<dyn Backend>, name: &str, content: Content) {
    let saved = backend.save(&key(name), content.body(Chunking::Even), Default::default()).await;
    saved.unwrap_or_else(|error| panic!("saved: {}", error.report()));
}

pub(crate) async fn retrieve(backend: &Arc<dyn Backend>, name: &str) -> Retrieved {
    let found = backend.retrieve(&key(name), Default::default()).await;
    found.unwrap_or_else(|error| panic!("retrieved: {}", error.report()))
}

pub(crate) async fn holds(backend: &Arc<dyn Backend>, name: &str, content: Content) {
    let body = retrieve(backend, name).await.body;
    content.compare(0..content.size_bytes, body).await.expect("the content is the one that was saved");
}

pub(crate) async fn text(backend: &Arc<dyn Backend>, name: &str) -> Bytes {
    retrieve(backend, name).await.body.collect(1 << 20).await.expect("read")
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("it is refused").kind()
}

/// Asks until something is so, for at most 20 seconds.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
