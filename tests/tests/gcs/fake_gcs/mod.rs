//! A backend that is opened on a bucket of its own, through a proxy.

mod credentials;
mod faults;
mod requests;
mod signatures;
mod transfers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use storage_core::{
    Backend, ConfigValues, ObjectKey, OpenRequest, Result, RetrieveOptions, SaveOptions, SaveResult,
};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::plugins::plugin_path;
use storage_tests::proxy::{Exchange, Proxy, Request};
use storage_tests::servers::Server;

/// An opened backend, its bucket and the proxy before its server.
struct Opened {
    backend: Arc<dyn Backend>,
    proxy: Proxy,
    bucket: String,
}

/// Opens the plugin with these settings.
async fn open_plugin(settings: &[(&str, String)]) -> Result<Arc<dyn Backend>> {
    let host = tokio::runtime::Handle::current();
    let module = storage_core::abi::load(&plugin_path("gcs")).expect("the plugin loads");
    let module = module.polling_bodies_within(move |run| {
        let _entered = host.enter();
        run();
    });
    let mut config = ConfigValues::new();
    for (key, value) in settings {
        config.set(*key, value, "the test");
    }
    module.open(OpenRequest { name: "gcs".to_owned(), config, ..OpenRequest::default() }).await
}

/// The settings of a bucket of its own behind a proxy.
fn settings(proxy: &Proxy, bucket: &str) -> Vec<(&'static str, String)> {
    vec![
        ("endpoint_url", proxy.endpoint()),
        ("bucket_name", bucket.to_owned()),
        ("project_id", "storage-tests".to_owned()),
        ("create_bucket", "true".to_owned()),
        ("credentials_file", storage_tests::gcs::service_account_file().display().to_string()),
    ]
}

fn new_bucket() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later").as_nanos();
    format!("gcs-{nanos:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Opens a backend; what is given here takes the place of the usual settings.
async fn open_with(more: &[(&'static str, &str)]) -> Opened {
    let proxy = Proxy::before(&Server::get("fake_gcs").endpoint).await;
    let bucket = new_bucket();
    let mut settings = settings(&proxy, &bucket);
    settings.retain(|(key, _)| more.iter().all(|(other, _)| other != key));
    settings.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
    let backend = open_plugin(&settings).await.expect("the backend opens");
    Opened { backend, proxy, bucket }
}

async fn open() -> Opened {
    open_with(&[]).await
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

/// The time that anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

impl Opened {
    async fn save(&self, name: &str, content: Content, options: SaveOptions) -> Result<SaveResult> {
        self.backend.save(&key(name), content.body(Chunking::Even), options).await
    }

    /// Saves what must succeed.
    async fn saved(&self, name: &str, content: Content) -> SaveResult {
        self.save(name, content, SaveOptions::default()).await.expect("saved")
    }

    async fn holds(&self, name: &str, content: Content) {
        let found = self.backend.retrieve(&key(name), RetrieveOptions::default()).await.expect("found");
        content.compare(0..content.size_bytes, found.body).await.expect("the content");
    }

    /// The requests so far for which this holds.
    fn seen(&self, wanted: impl Fn(&Request) -> bool) -> Vec<Exchange> {
        let all = self.proxy.exchanges();
        all.into_iter().filter(|exchange| wanted(&exchange.request)).collect()
    }

    /// The only request for which this holds.
    fn only(&self, wanted: impl Fn(&Request) -> bool) -> Request {
        let mut seen = self.seen(wanted);
        assert_eq!(seen.len(), 1, "one request: {seen:#?}");
        seen.remove(0).request
    }

    /// The names of all objects that are in the bucket, the plugin's own among them.
    async fn names(&self) -> Vec<String> {
        let url = format!("{}/storage/v1/b/{}/o", Server::get("fake_gcs").endpoint, self.bucket);
        let listing: Value = http().get(url).send().await.expect("answered").json().await.expect("JSON");
        let items = listing["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["name"].as_str().expect("named").to_owned()).collect()
    }

    /// Nothing is left but these; what goes in its own time is waited for.
    async fn nothing_but(&self, names: &[&str]) {
        let began = tokio::time::Instant::now();
        loop {
            let found = self.names().await;
            if found == names {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "left behind: {found:?} instead of {names:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn http() -> reqwest::Client {
    // Only the first call installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// The JSON of a request's body, which may be its first part.
fn json_of(request: &Request) -> Value {
    let text = String::from_utf8_lossy(&request.body);
    let text = match text.split_once("\r\n\r\n") {
        Some((_, rest)) if text.starts_with("--") => {
            rest.split_once("\r\n").map_or(rest, |(json, _)| json).to_owned()
        }
        _ => text.into_owned(),
    };
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn is_upload(kind: &'static str) -> impl Fn(&Request) -> bool + Clone + Send + Sync + 'static {
    move |request| request.method == "POST" && request.query("uploadType").as_deref() == Some(kind)
}

fn is_download(request: &Request) -> bool {
    request.method == "GET" && request.query("alt").as_deref() == Some("media")
}

fn ends_with(
    method: &'static str,
    path: &'static str,
) -> impl Fn(&Request) -> bool + Clone + Send + Sync + 'static {
    move |request| request.method == method && request.path.ends_with(path)
}
