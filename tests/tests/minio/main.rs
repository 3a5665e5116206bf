//! The plugin `minio` on real servers: what the conformance suite does not ask, and every fault once.
//!
//! Each test opens the plugin's library on a bucket of its own, mostly through a [`Proxy`] that records what is asked
//! and spoils what it is told to.

mod credentials;
mod download;
mod faults;
mod lock;
mod opening;
mod presigned;
mod probing;
mod upload;

use std::sync::Arc;

use storage_core::{Backend, ConfigValues, ObjectKey, OpenRequest, Result};
use storage_tests::plugins::plugin_path;
use storage_tests::proxy::Proxy;
use storage_tests::servers::Server;

/// What a backend is opened with.
#[derive(Clone)]
struct Settings(Vec<(&'static str, String)>);

impl Settings {
    /// For a bucket of this server that nobody else uses and that is made when it is opened.
    fn on(server: &str) -> Self {
        let server = Server::get(server);
        let bucket = format!("minio-{}", uuid::Uuid::now_v7().simple());
        Self(vec![
            ("endpoint_url", server.endpoint.clone()),
            ("access_key", server.setting("access_key").to_owned()),
            ("secret_key", server.setting("secret_key").to_owned()),
            ("region", server.setting("region").to_owned()),
            ("bucket_name", bucket),
            ("create_bucket", "true".to_owned()),
        ])
    }

    /// The same with another value.
    fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.retain(|(name, _)| *name != key);
        self.0.push((key, value.into()));
        self
    }

    /// The same through a proxy.
    fn through(self, proxy: &Proxy) -> Self {
        self.with("endpoint_url", proxy.endpoint())
    }

    /// A value.
    fn get(&self, key: &str) -> &str {
        let value = self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
        value.expect("the setting is given")
    }

    async fn open(&self) -> Result<Arc<dyn Backend>> {
        let module = storage_core::abi::load(&plugin_path("minio")).expect("the plugin is loaded");
        let mut config = ConfigValues::new();
        for (key, value) in &self.0 {
            config.set(*key, value, "a test");
        }
        let request = OpenRequest { name: "minio".to_owned(), config, ..OpenRequest::default() };
        module.open(request).await
    }

    async fn opened(&self) -> Arc<dyn Backend> {
        self.open().await.unwrap_or_else(|error| panic!("{}", error.report()))
    }
}

/// A backend on SeaweedFS behind a proxy.
async fn behind_proxy(change: impl Fn(Settings) -> Settings) -> (Proxy, Arc<dyn Backend>) {
    let settings = change(Settings::on("seaweedfs"));
    let proxy = Proxy::before(settings.get("endpoint_url")).await;
    let backend = settings.through(&proxy).opened().await;
    proxy.forget();
    (proxy, backend)
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a legal key")
}

/// Whether a request sends a part of an upload.
fn is_part(request: &storage_tests::proxy::Request) -> bool {
    request.method == "PUT" && request.query("partNumber").is_some()
}
