//! [`Rig`]: the service over a catalog and a backend in a folder of their own, with faults on demand and with
//! everything behind it in sight.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use storage_core::memory::MemoryBackend;
use storage_core::{Backend, ConfigValues, ListOptions, OpenRequest};
use storage_host::catalog::{AuditEntry, CatalogOptions, Garbage, SqliteCatalog, UserId};
use storage_host::config::{LinkConfig, LinkMode};
use storage_host::events::Event;
use storage_host::manager::StorageManager;
use storage_host::service::{FsckOptions, FsckReport, SimpleStorageService};
use tempfile::TempDir;

use crate::faults::Faults;
use crate::plugins::plugin_path;

/// The name of the rig's one backend.
pub const BACKEND: &str = "main";

/// How long background work may take before a test counts it as not done.
const PATIENCE: Duration = Duration::from_secs(20);

/// The service and all that is behind it.
pub struct Rig {
    /// The service.
    pub service: SimpleStorageService,
    /// The backend, which fails on demand.
    pub faults: Arc<Faults>,
    folder: Arc<TempDir>,
    links: LinkConfig,
}

impl Rig {
    /// Over the reference backend.
    pub fn memory() -> Self {
        Self::over(Arc::new(MemoryBackend::new(BACKEND)), Arc::new(folder()))
    }

    /// Over the local disk, through its library.
    pub async fn local() -> Self {
        let folder = Arc::new(folder());
        let backend = open_local(&folder.path().join("storage")).await;
        Self::over(backend, folder)
    }

    /// One over each.
    pub async fn each() -> [Self; 2] {
        [Self::memory(), Self::local().await]
    }

    /// Over any backend.
    pub fn over_backend(backend: Arc<dyn Backend>) -> Self {
        Self::over(backend, Arc::new(folder()))
    }

    fn over(backend: Arc<dyn Backend>, folder: Arc<TempDir>) -> Self {
        let hour = Duration::from_secs(3_600);
        let links = LinkConfig { mode: LinkMode::Host, default_expiry: hour, max_expiry: 24 * hour };
        let faults = Faults::around(backend);
        let service = service(&faults, folder.path(), links.clone());
        Self { service, faults, folder, links }
    }

    /// The same, with another policy for links.
    pub fn with_links(mut self, mode: LinkMode) -> Self {
        self.links.mode = mode;
        self.service = service(&self.faults, self.folder.path(), self.links.clone());
        self
    }

    /// Ends the service and starts another one on the same catalog and backend.
    pub async fn restart(&mut self) {
        self.service.catalog().close().await.expect("the catalog closes");
        self.service = service(&self.faults, self.folder.path(), self.links.clone());
    }

    /// Ends the service, removes the catalog's database and starts with a new one.
    pub async fn lose_catalog(&mut self) {
        self.service.catalog().close().await.expect("the catalog closes");
        for suffix in ["", "-wal", "-shm"] {
            let path = self.catalog_path().with_file_name(format!("catalog.db{suffix}"));
            if path.exists() {
                std::fs::remove_file(path).expect("the file is removed");
            }
        }
        self.service = service(&self.faults, self.folder.path(), self.links.clone());
    }

    /// The catalog's database.
    pub fn catalog_path(&self) -> PathBuf {
        catalog_path(self.folder.path())
    }

    /// Where the local disk keeps its objects.
    pub fn storage_path(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// Changes the database behind the service's back.
    pub fn sql(&self, statement: &str) {
        let connection = rusqlite::Connection::open(self.catalog_path()).expect("the database");
        connection.busy_timeout(PATIENCE).expect("a timeout");
        connection.execute_batch(statement).expect("the statement");
    }

    /// The keys of all objects, as the backend lists them.
    pub async fn objects(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut page_token = None;
        loop {
            let options = ListOptions { page_token, ..ListOptions::default() };
            let page = self.faults.inner().list_files(options).await.expect("a page");
            keys.extend(page.objects.into_iter().map(|object| object.key.to_string()));
            page_token = page.next_page_token;
            if page_token.is_none() {
                return keys;
            }
        }
    }

    /// The files that hold content, old versions included: what the local disk has, whatever it lists.
    pub fn contents_on_disk(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect_files(&self.storage_path(), &mut found);
        found.retain(|path| {
            !path.to_string_lossy().ends_with("~.json") && path.to_string_lossy().contains('~')
        });
        found
    }

    /// The audit log of a user, oldest line first.
    pub async fn audit(&self, user: &UserId) -> Vec<AuditEntry> {
        let catalog = self.service.catalog();
        // Lines that nobody waits for are written in the order of changes: after this one they are there.
        catalog.check_usage(true).await.expect("checked");
        let mut lines = catalog.audit_log(Some(user), 1_000).await.expect("the log");
        lines.reverse();
        lines
    }

    /// What waits in the outbox, oldest first.
    pub fn events(&self) -> Vec<Event> {
        let connection = rusqlite::Connection::open(self.catalog_path()).expect("the database");
        let mut statement = connection.prepare("SELECT event FROM outbox ORDER BY seq").expect("the outbox");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("events");
        rows.map(|row| serde_json::from_str(&row.expect("a row")).expect("an event")).collect()
    }

    /// The objects on record as being written.
    pub async fn unfinished(&self) -> Vec<Garbage> {
        self.service.catalog().unfinished_objects(Duration::ZERO, None, 1_000).await.expect("the record")
    }

    /// The objects that wait to be removed.
    pub async fn garbage(&self) -> Vec<Garbage> {
        self.service.catalog().garbage(Duration::ZERO, None, 1_000).await.expect("the garbage")
    }

    /// Compares catalog and backend as if no save were under way.
    pub async fn fsck(&self, repair: bool) -> FsckReport {
        self.service.fsck(FsckOptions { repair, age: Duration::ZERO }).await.expect("checked")
    }

    /// Waits until nothing is reserved for a user.
    pub async fn settles_reservations(&self, user: &UserId) {
        let objects = self.objects().await.len();
        self.settles(user, objects).await;
    }

    /// Waits until nothing is reserved for a user and the backend holds so many objects: what a save that
    /// failed gives back, it gives back in the background.
    pub async fn settles(&self, user: &UserId, objects: usize) {
        let settled = async {
            loop {
                let usage = self.service.usage(user).await.expect("usage");
                if usage.reserved_bytes == 0
                    && usage.reserved_files == 0
                    && self.objects().await.len() == objects
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, settled).await.is_err() {
            let usage = self.service.usage(user).await.expect("usage");
            panic!("expected {objects} objects and nothing reserved: {usage:?}, {:?}", self.objects().await);
        }
    }
}

/// The service over a local disk and a catalog in this folder, as one process after another opens it.
pub async fn open_service(folder: &Path) -> SimpleStorageService {
    let faults = Faults::around(open_local(&folder.join("storage")).await);
    let hour = Duration::from_secs(3_600);
    service(&faults, folder, LinkConfig { mode: LinkMode::Host, default_expiry: hour, max_expiry: hour })
}

/// Opens the local disk through its library.
pub async fn open_local(root: &Path) -> Arc<dyn Backend> {
    let module = storage_core::abi::load(&plugin_path("local"))
        .unwrap_or_else(|error| panic!("build the plugins again, with the workspace: {error}"));
    let host = tokio::runtime::Handle::current();
    let module = module.polling_bodies_within(move |run| {
        let _entered = host.enter();
        run();
    });
    let mut config = ConfigValues::new();
    config.set("path", root.display().to_string(), "a test");
    // What durability costs is no part of what is tested, but where a process is killed.
    config.set("fsync", "false", "a test");
    let request = OpenRequest { name: BACKEND.to_owned(), config, ..OpenRequest::default() };
    module.open(request).await.expect("the local disk opens")
}

fn folder() -> TempDir {
    TempDir::with_prefix("storage-service-").expect("a temporary folder")
}

fn catalog_path(folder: &Path) -> PathBuf {
    folder.join("catalog.db")
}

fn service(faults: &Arc<Faults>, folder: &Path, links: LinkConfig) -> SimpleStorageService {
    let backend: Arc<dyn Backend> = faults.clone();
    let manager = StorageManager::from_backends(BACKEND, [(BACKEND.to_owned(), backend)]).expect("a manager");
    let catalog = SqliteCatalog::open(catalog_path(folder), CatalogOptions::default()).expect("a catalog");
    SimpleStorageService::new(manager, Arc::new(catalog), links, "https://files.example")
}

fn collect_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}
