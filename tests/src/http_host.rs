//! A host that serves HTTP on a port of its own, over a catalog in a temporary directory and backends in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, ListOptions};
use storage_host::catalog::{Catalog, CatalogOptions, KeyScope, Quota, SqliteCatalog, UserId};
use storage_host::config::{AuthConfig, HttpConfig, LinkConfig, LinkMode};
use storage_host::http::auth::service_key;
use storage_host::http::{Options, Server};
use storage_host::manager::StorageManager;
use storage_host::service::SimpleStorageService;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What links of the host begin with.
pub const PUBLIC_URL: &str = "https://files.example.org";

/// How a host is to be.
pub struct Setup {
    /// The HTTP service.
    pub http: HttpConfig,
    /// Who may call it.
    pub auth: AuthConfig,
    /// Who signs links.
    pub links: LinkMode,
    /// Whether causes are told.
    pub debug: bool,
    /// What a user may use.
    pub quota: Quota,
    /// The backend.
    pub backend: Arc<dyn Backend>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            http: HttpConfig {
                bind: SocketAddr::from(([127, 0, 0, 1], 0)),
                public_url: None,
                max_upload_bytes: 256 * 1024 * 1024,
                header_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(30),
                drain_timeout: Duration::from_secs(10),
            },
            auth: AuthConfig::default(),
            links: LinkMode::Host,
            debug: false,
            quota: Quota::default(),
            backend: Arc::new(MemoryBackend::new("memory")),
        }
    }
}

/// A host that runs until it is stopped or dropped.
pub struct HttpHost {
    /// Where it listens.
    pub address: SocketAddr,
    /// The service behind it.
    pub service: SimpleStorageService,
    /// The backend behind that.
    pub backend: Arc<dyn Backend>,
    key: SecretString,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    directory: TempDir,
}

impl HttpHost {
    /// A host with the usual setup.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// A host with this setup.
    pub async fn with(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = CatalogOptions { default_quota: setup.quota, ..CatalogOptions::default() };
        let catalog = SqliteCatalog::open(directory.path().join("catalog.db"), options).expect("a catalog");
        let (key, record) = service_key::generate("tests", KeyScope::Files);
        catalog.add_service_key(record).await.expect("a key");
        let manager = StorageManager::from_backends("memory", [("memory".to_owned(), setup.backend.clone())])
            .expect("a manager");
        let links = LinkConfig {
            mode: setup.links,
            default_expiry: Duration::from_secs(60),
            max_expiry: Duration::from_secs(3_600),
        };
        let service = SimpleStorageService::new(manager, Arc::new(catalog), links, PUBLIC_URL);
        let options = Options { http: setup.http, auth: setup.auth, debug: setup.debug };
        let server = Server::bind(options, service.clone()).await.expect("bound");
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async {
            // Dropping the sender stops it too.
            let _ = stopped.await;
        }));
        let stop = Some(stop);
        Self { address, service, backend: setup.backend, key, client: client(), stop, running, directory }
    }

    /// A request without credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A request of the test's service key for a user.
    pub fn call(&self, user: &str, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(self.key()).header("X-User-Id", user)
    }

    /// The test's service key.
    pub fn key(&self) -> &str {
        self.key.expose_secret()
    }

    /// Saves a file and answers its description.
    pub async fn save(&self, user: &str, filename: &str, content: impl Into<reqwest::Body>) -> Value {
        let request = self.call(user, Method::POST, "/v1/files").query(&[("filename", filename)]);
        let response = request.body(content).send().await.expect("an answer");
        json(response, StatusCode::CREATED).await
    }

    /// How many objects the backend holds.
    pub async fn objects(&self) -> usize {
        let page = self.backend.list_files(ListOptions::default()).await.expect("a listing");
        page.objects.len()
    }

    /// Waits until the backend holds no object: what a request leaves behind is removed after it has ended.
    pub async fn becomes_empty(&self) {
        for _ in 0..200 {
            if self.objects().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{} objects were left behind", self.objects().await);
    }

    /// Waits until a save of the user is under way. The user must have a quota, or none is reserved.
    pub async fn saves_something(&self, user: &str) {
        let user = UserId::new(user).expect("a user");
        for _ in 0..200 {
            if self.service.usage(&user).await.expect("a usage").reserved_bytes > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no save is under way");
    }

    /// The directory of the catalog.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Tells the host to stop, as SIGTERM does.
    pub fn begin_stop(&mut self) {
        self.stop.take();
    }

    /// Stops the host and waits until it has.
    pub async fn stopped(mut self) {
        self.begin_stop();
        self.running.await.expect("no panic");
    }
}

/// A client that follows no redirect and uses no proxy.
pub fn client() -> Client {
    // An error only says that another test has chosen the same provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

/// The JSON of an answer, which must have this status.
pub async fn json(response: Response, status: StatusCode) -> Value {
    let actual = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(actual, status, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The problem of an answer, which must have this status and code.
pub async fn problem(response: Response, status: u16, code: &str) -> Value {
    let content_type = response.headers().get("content-type").cloned();
    let request_id = response.headers().get("x-request-id").cloned();
    let body = json(response, StatusCode::from_u16(status).expect("a status")).await;
    assert_eq!(content_type.expect("a type"), "application/problem+json");
    assert_eq!(body["request_id"], request_id.expect("an id").to_str().expect("ASCII"));
    assert_eq!(body["status"], status);
    assert_eq!(body["code"], code, "{body}");
    body
}
