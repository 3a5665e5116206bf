//! What the tests share: a container of its own for each, opened through the loaded plugin.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use storage_core::{
    Backend, ByteStream, ConfigValues, Error, ObjectKey, OpenRequest, Result, RetrieveOptions, SaveOptions,
    SaveResult,
};
use storage_tests::plugins::plugin_path;
use storage_tests::proxy::{Exchange, Proxy};
use storage_tests::servers::Server;
use uuid::Uuid;

/// Settings of a backend, by key.
pub(crate) type Settings = Vec<(&'static str, String)>;

/// Azurite, perhaps behind a proxy, and the name of a container that nobody else uses.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) container: String,
    endpoint: String,
}

impl Rig {
    /// Straight to the server of this name.
    pub(crate) fn new(server: &str) -> Self {
        let server = Server::get(server);
        let endpoint = server.endpoint.clone();
        Self { server, container: format!("test-{}", Uuid::new_v4().simple()), endpoint }
    }

    /// Azurite through a proxy.
    pub(crate) async fn proxied() -> (Self, Proxy) {
        let rig = Self::new("azurite");
        let proxy = Proxy::before(&rig.server.endpoint).await;
        (Self { endpoint: proxy.endpoint(), ..rig }, proxy)
    }

    pub(crate) fn account(&self) -> &str {
        self.server.setting("account_name")
    }

    /// The address of the blob service.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.endpoint, self.account())
    }

    /// Settings that sign in by the account's key and make the container.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = self.place();
        settings.push(("account_key", self.server.setting("account_key").to_owned()));
        settings.push(("create_container", "true".to_owned()));
        settings
    }

    /// Settings that say where, and not who.
    pub(crate) fn place(&self) -> Settings {
        let mut settings = vec![
            ("endpoint_url", self.url()),
            ("account_name", self.account().to_owned()),
            ("container_name", self.container.clone()),
            // Azurite closes idle connections after 5 s.
            ("keep_alive", "3s".to_owned()),
        ];
        settings.extend(self.server.settings.get("ca_file").map(|file| ("ca_file", file.clone())));
        settings
    }

    /// A backend by the account's key.
    pub(crate) async fn open(&self) -> Arc<dyn Backend> {
        open(self.settings()).await.expect("the container opens")
    }

    /// The same with other settings besides.
    pub(crate) async fn open_with(&self, more: &[(&'static str, &str)]) -> Arc<dyn Backend> {
        let mut settings = self.settings();
        settings.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        open(settings).await.expect("the container opens")
    }

    /// A signature for the container with these permissions, valid for so long from now or until so long ago.
    pub(crate) fn container_sas(&self, permissions: &str, valid: Validity) -> String {
        let (start, end) = valid.span();
        let resource = format!("/blob/{}/{}", self.account(), self.container);
        let text = [permissions, &start, &end, &resource, "", "", "https,http", "2022-11-02", "c"];
        let text = format!("{}\n\n\n\n\n\n\n", text.join("\n"));
        let key = BASE64_STANDARD.decode(self.server.setting("account_key")).expect("a key");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
        mac.update(text.as_bytes());
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        form_urlencoded::Serializer::new(String::new())
            .append_pair("sv", "2022-11-02")
            .append_pair("sr", "c")
            .append_pair("sp", permissions)
            .append_pair("st", &start)
            .append_pair("se", &end)
            .append_pair("spr", "https,http")
            .append_pair("sig", &signature)
            .finish()
    }
}

/// When a signature is valid.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    Now,
    Past,
}

impl Validity {
    fn span(self) -> (String, String) {
        let hour = Duration::from_secs(3600);
        let now = SystemTime::now();
        let (start, end) = match self {
            Validity::Now => (now - hour, now + hour),
            Validity::Past => (now - 2 * hour, now - hour),
        };
        (iso(start), iso(end))
    }
}

fn iso(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).expect("since 1970").as_secs();
    let seconds = i64::try_from(seconds).expect("a near time");
    jiff::Timestamp::from_second(seconds).expect("a near time").to_string()
}

/// Opens a backend through the loaded plugin.
pub(crate) async fn open(settings: Settings) -> Result<Arc<dyn Backend>> {
    let module = storage_core::abi::load(&plugin_path("azure_blob")).expect("the plugin loads");
    let mut config = ConfigValues::new();
    for (key, value) in settings {
        config.set(key, value, "a test");
    }
    module.open(OpenRequest { name: "blobs".to_owned(), config, ..OpenRequest::default() }).await
}

/// Why a backend with these settings does not open.
pub(crate) async fn refusal(settings: Settings) -> Error {
    open(settings).await.err().expect("it does not open")
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a key")
}

/// Content whose every MiB is another.
pub(crate) fn content(size_bytes: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes.into()
}

pub(crate) async fn save(
    backend: &Arc<dyn Backend>,
    name: &str,
    bytes: impl Into<Bytes>,
) -> Result<SaveResult> {
    backend.save(&key(name), ByteStream::from_bytes(bytes), SaveOptions::default()).await
}

pub(crate) async fn read(backend: &Arc<dyn Backend>, name: &str) -> Result<Bytes> {
    let found = backend.retrieve(&key(name), RetrieveOptions::default()).await?;
    found.body.collect(1 << 30).await
}

/// The recorded requests of which this holds.
pub(crate) fn requests(proxy: &Proxy, wanted: impl Fn(&Exchange) -> bool) -> Vec<Exchange> {
    proxy.exchanges().into_iter().filter(|seen| wanted(seen)).collect()
}

/// Whether a request is about this blob.
pub(crate) fn is_about(name: &'static str) -> impl Fn(&storage_tests::proxy::Request) -> bool + Send + Sync {
    move |request| request.path.ends_with(&format!("/{name}"))
}
