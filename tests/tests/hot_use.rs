//! Backends are opened, closed and switched while the service runs, with plugins that are put into the plugin directory
//! after its start; a plugin, a configuration or a backend that is bad leaves everything as it was.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, ConfigValues, Error, ErrorKind};
use storage_host::catalog::{FileId, UserId};
use storage_host::manager::StorageManager;
use storage_host::service::{Metadata, SimpleStorageService, Storage};
use storage_tests::faults::{Fault, Faults};
use storage_tests::plugins::{install, plugin_path};
use tempfile::TempDir;

/// A folder with a configuration and `plugins/`, and the service that runs in it.
struct Site {
    folder: TempDir,
    service: SimpleStorageService,
}

impl Site {
    /// With the local disk alone.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("a folder");
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("permissions");
        put(&folder, "local");
        configure(&folder, "PRIMARY_BACKEND=local\n", "");
        let builder =
            Storage::builder().directory(folder.path()).set("PLUGIN_DIR", plugins.display().to_string());
        let builder =
            builder.set("CATALOG_URL", format!("sqlite:{}", folder.path().join("catalog.db").display()));
        let service = builder.open().await.expect("the service opens");
        Self { folder, service }
    }

    fn put(&self, plugin: &str) {
        put(&self.folder, plugin);
    }

    fn configure(&self, dotenv: &str, toml: &str) {
        configure(&self.folder, dotenv, toml);
    }

    async fn save(&self, content: &str) -> FileId {
        let file = self.service.save(content.to_owned(), "a.txt", &user(), Metadata::new()).await;
        file.unwrap_or_else(|error| panic!("{}", error.report()))
    }

    async fn read(&self, file: FileId) -> storage_core::Result<String> {
        let content = self.service.retrieve(file, &user()).await?.bytes().await?;
        Ok(String::from_utf8(content.to_vec()).expect("text"))
    }

    /// The backend that a file lies on.
    async fn backend_of(&self, file: FileId) -> String {
        let record = self.service.catalog().file(&user(), file).await.expect("a record");
        record.current.placements[0].backend.clone()
    }

    /// Status of each backend, a star at that of the primary one.
    fn backends(&self) -> BTreeMap<String, String> {
        let star = |is_primary| if is_primary { "*" } else { "" };
        let listed = self.service.manager().list_backends().into_iter();
        listed
            .map(|(name, backend)| (name, format!("{}{}", star(backend.is_primary), backend.status)))
            .collect()
    }
}

fn library(folder: &TempDir, plugin: &str) -> PathBuf {
    folder.path().join(format!("plugins/{DLL_PREFIX}storage_backend_{plugin}{DLL_SUFFIX}"))
}

fn put(folder: &TempDir, plugin: &str) {
    install(&fs::read(plugin_path(plugin)).expect("the plugin"), &library(folder, plugin));
}

fn configure(folder: &TempDir, dotenv: &str, toml: &str) {
    let root = folder.path().join("storage");
    let dotenv = format!("{dotenv}LOCAL_STORAGE_PATH={}\nLOCAL_FSYNC=false\n", root.display());
    fs::write(folder.path().join(".env"), dotenv).expect("written");
    fs::write(folder.path().join("storage.toml"), toml).expect("written");
}

fn user() -> UserId {
    UserId::new("ada").expect("a user")
}

fn values(pairs: &[(&str, &str)]) -> ConfigValues {
    let mut values = ConfigValues::new();
    for (key, text) in pairs {
        values.set(*key, *text, "a test");
    }
    values
}

fn fact<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.context().find(|(fact, _)| *fact == name).map(|(_, value)| value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_put_there_is_used_without_a_restart_and_left_again() {
    let site = Site::start().await;
    let manager = site.service.manager();
    let before = site.save("on the disk").await;
    let error =
        manager.open_backend("fast", "memory", values(&[])).await.expect_err("there is no plugin yet");
    assert_eq!((error.kind(), fact(&error, "code")), (ErrorKind::PluginLoad, Some("plugin_not_found")));

    site.put("memory");
    manager.open_backend("fast", "memory", values(&[])).await.expect("it opens");
    let beside = site.save("still on the disk").await;
    manager.switch_primary("fast").await.expect("it is well");
    let there = site.save("in memory").await;
    assert_eq!(site.backend_of(beside).await, "local");
    assert_eq!(site.backend_of(there).await, "fast");
    for (file, content) in [(before, "on the disk"), (beside, "still on the disk"), (there, "in memory")] {
        assert_eq!(site.read(file).await.expect("it is read"), content);
    }

    let error = manager.close_backend("fast").await.expect_err("new files go there");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    manager.switch_primary("local").await.expect("it is well");
    manager.close_backend("fast").await.expect("it is closed");
    assert_eq!(site.read(before).await.expect("it is read"), "on the disk");
    let error = site.read(there).await.expect_err("its backend is closed");
    assert_eq!((error.kind(), error.backend()), (ErrorKind::Unavailable, Some("fast")));
    assert!(error.message().contains("closed by an administrator"), "{error}");
    manager.open_backend("fast", "memory", values(&[])).await.expect("its name is free");
    site.service.close().await.expect("everything closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn saves_and_reads_go_on_while_the_primary_is_switched_back_and_forth() {
    let site = Arc::new(Site::start().await);
    site.put("memory");
    let manager = site.service.manager();
    manager.open_backend("fast", "memory", values(&[])).await.expect("it opens");
    let enough = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (site, enough) = (site.clone(), enough.clone());
            tokio::spawn(async move {
                let mut files = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    let content = format!("{worker} {}", files.len());
                    let file = site.save(&content).await;
                    assert_eq!(site.read(file).await.expect("it is read"), content);
                    files.push((file, content));
                }
                files
            })
        })
        .collect();
    for round in 0..20 {
        manager.switch_primary(["fast", "local"][round % 2]).await.expect("it is well");
        // So that some saves begin before and end after a switch, and some lie between two.
        let file = site.save("between").await;
        assert_eq!(site.backend_of(file).await, ["fast", "local"][round % 2]);
    }
    enough.store(true, Ordering::Relaxed);
    let mut used = BTreeMap::<String, usize>::new();
    for worker in workers {
        for (file, content) in worker.await.expect("no save or read failed") {
            assert_eq!(site.read(file).await.expect("it is read"), content);
            *used.entry(site.backend_of(file).await).or_default() += 1;
        }
    }
    assert!(used.keys().eq(["fast", "local"]), "both were written to: {used:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bad_is_refused_with_its_reason_and_changes_nothing() {
    let site = Site::start().await;
    site.put("probe");
    install(b"no library", &library(&site.folder, "broken"));
    let manager = site.service.manager();
    let before = site.backends();
    for (name, backend_type, settings, kind, code) in [
        ("new", "broken", vec![], ErrorKind::PluginLoad, Some("plugin_not_a_library")),
        (
            "new",
            "probe",
            vec![("mode", "sideways")],
            ErrorKind::ConfigInvalid,
            Some("backend_config_invalid"),
        ),
        ("new", "probe", vec![("mod", "work")], ErrorKind::ConfigInvalid, Some("backend_config_invalid")),
        (
            "new",
            "probe",
            vec![("mode", "fail_in_open")],
            ErrorKind::Unauthenticated,
            Some("backend_open_failed"),
        ),
        (
            "new",
            "probe",
            vec![("mode", "panic_in_open")],
            ErrorKind::PluginPanicked,
            Some("backend_open_failed"),
        ),
        ("New!", "probe", vec![], ErrorKind::InvalidArgument, None),
        ("local", "probe", vec![], ErrorKind::AlreadyExists, None),
    ] {
        let opened = manager.open_backend(name, backend_type, values(&settings)).await;
        let error = opened.expect_err(backend_type);
        assert_eq!((error.kind(), fact(&error, "code")), (kind, code), "{}", error.report());
        assert_eq!(site.backends(), before);
    }
    for unknown in [manager.switch_primary("far").await, manager.close_backend("far").await] {
        assert_eq!(unknown.expect_err("there is none").kind(), ErrorKind::NotFound);
    }
    // It opens, and panics when it is asked how it is.
    manager.open_backend("sick", "probe", values(&[("mode", "panic")])).await.expect("it opens");
    manager.switch_primary("sick").await.expect_err("it is not well");
    assert_eq!(site.backends()["local"], "*ready");
    site.save("as before").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_read_again_and_done() {
    let site = Site::start().await;
    let before = site.save("on the disk").await;
    site.put("memory");
    site.configure("PRIMARY_BACKEND=fast\nSTORAGE_MAX_UPLOAD=1MiB\n", "[backends.fast]\ntype = \"memory\"\n");
    let manager = site.service.manager();
    let done = manager.reload().await.expect("it is sound");
    assert_eq!((&*done.primary, &*done.opened), ("fast", &["fast".to_owned()][..]));
    assert_eq!(done.not_configured, ["local"], "which stays open, since files lie there");
    assert_eq!(done.after_restart, ["http.max_upload"]);
    let there = site.save("in memory").await;
    assert_eq!(site.backend_of(there).await, "fast");
    assert_eq!(site.read(before).await.expect("it is read"), "on the disk");

    // What has not changed is not opened anew: the memory still has what it had.
    let done = manager.reload().await.expect("it is sound");
    assert!(done.opened.is_empty(), "{done:?}");
    assert_eq!(done.after_restart, ["http.max_upload"], "it is still to come");
    assert_eq!(site.read(there).await.expect("it is read"), "in memory");

    // Other settings make another backend.
    let elsewhere = site.folder.path().join("elsewhere");
    let toml = format!("[backends.fast]\ntype = \"local\"\npath = {:?}\n", elsewhere.display().to_string());
    site.configure("PRIMARY_BACKEND=fast\n", &toml);
    let done = manager.reload().await.expect("it is sound");
    assert_eq!(done.opened, ["fast"]);
    assert!(done.after_restart.is_empty(), "the other change was taken back before it counted: {done:?}");
    site.save("elsewhere").await;
    assert!(elsewhere.is_dir());
    assert_eq!(manager.list_backends()["fast"].info.backend_type, "local");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_would_stop_a_start_leaves_the_service_as_it_is() {
    let site = Site::start().await;
    site.put("probe");
    let before = site.backends();
    let probe = |mode: &str| format!("[backends.probed]\ntype = \"probe\"\nmode = {mode:?}\n");
    for (dotenv, toml, telling) in [
        ("PRIMARY_BACKEND=minio\n", String::new(), "plugin_not_found"),
        ("PRIMRY_BACKEND=local\n", String::new(), "PRIMARY_BACKEND"),
        ("PRIMARY_BACKEND=local\n", "[backends.x\n".to_owned(), "storage.toml"),
        ("PRIMARY_BACKEND=local\n", probe("sideways"), "sideways"),
        ("PRIMARY_BACKEND=probed\n", probe("fail_in_open"), "the probe does not open"),
        ("PRIMARY_BACKEND=probed\n", probe("panic"), "probed"),
        ("PRIMARY_BACKEND=local\n", "[backends.far]\ntype = \"sftp\"\n".to_owned(), "plugin_not_found"),
    ] {
        site.configure(dotenv, &toml);
        let error = site.service.manager().reload().await.expect_err(telling);
        assert!(error.report().contains(telling), "{telling} is not in: {}", error.report());
        assert_eq!(site.backends(), before);
        let file = site.save("as before").await;
        assert_eq!(site.backend_of(file).await, "local");
    }
    // One that new files do not go to, and that may open later, is no reason to refuse the rest.
    site.configure("PRIMARY_BACKEND=local\n", &probe("fail_in_open"));
    let done = site.service.manager().reload().await.expect("the rest is sound");
    assert_eq!(done.waiting, ["probed"]);
    assert!(site.backends()["probed"].starts_with("unavailable: "), "{:?}", site.backends());
}

#[tokio::test]
async fn a_backend_is_closed_once_the_last_call_on_it_has_ended() {
    let faults = Faults::around(Arc::new(MemoryBackend::new("b")));
    let backends: [(String, Arc<dyn Backend>); 2] =
        [("a".to_owned(), Arc::new(MemoryBackend::new("a"))), ("b".to_owned(), faults.clone())];
    let manager = StorageManager::from_backends("a", backends).expect("a is there");
    let under_way = manager.backend("b").expect("open");
    // A call that stalls tells that it came.
    faults.next("close", [Fault::Stall]);
    manager.close_backend("b").await.expect("it is not the primary one");
    manager.backend("b").err().expect("whoever comes later is refused");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(faults.calls("close"), 0, "somebody still has it");
    drop(under_way);
    faults.stalled().await;
}

#[tokio::test]
async fn at_the_end_a_backend_is_closed_though_somebody_has_it_and_the_end_waits_for_it() {
    let faults = Faults::around(Arc::new(MemoryBackend::new("b")));
    let backends: [(String, Arc<dyn Backend>); 2] =
        [("a".to_owned(), Arc::new(MemoryBackend::new("a"))), ("b".to_owned(), faults.clone())];
    let manager = StorageManager::from_backends("a", backends).expect("a is there");
    let _under_way = manager.backend("b").expect("open");
    faults.next("close", [Fault::Stall]);
    manager.close_backend("b").await.expect("it is not the primary one");
    let mut closing = std::pin::pin!(manager.close());
    let stalled = tokio::time::timeout(Duration::from_secs(30), faults.stalled());
    tokio::select! {
        _ = &mut closing => panic!("b has not closed"),
        stalled = stalled => stalled.expect("b is closed although it is in use"),
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!((&mut closing).now_or_never().is_none(), "b has not closed");
    }
}

#[tokio::test]
async fn a_program_that_brings_its_backends_can_switch_between_them_and_open_no_others() {
    let memory = |name: &str| {
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(name));
        (name.to_owned(), backend)
    };
    let manager = StorageManager::from_backends("a", [memory("a"), memory("b")]);
    let manager = manager.expect("a is there");
    manager.switch_primary("b").await.expect("it is well");
    assert_eq!(manager.primary().name, "b");
    for refused in [manager.open_backend("c", "memory", values(&[])).await, manager.reload().await.map(drop)]
    {
        assert_eq!(refused.expect_err("there are no plugins").kind(), ErrorKind::Unsupported);
    }
    assert_eq!(json!(manager.list_backends().keys().collect::<Vec<_>>()), json!(["a", "b"]));
}
