//! Commands that change the service that runs: backends are opened, closed and switched, the configuration is read again.

use crate::sandbox::{Run, Sandbox};
use crate::serve::Service;

/// A running service, and the key with which commands reach it.
struct Running {
    sandbox: Sandbox,
    service: Service,
    key: String,
}

impl Running {
    fn start() -> Self {
        let sandbox = Sandbox::new();
        let key = sandbox.storage(&["keys", "create", "ops", "--admin"]).succeeded().line();
        let service = Service::start(&sandbox, &[]);
        Self { sandbox, service, key }
    }

    fn storage(&self, arguments: &[&str]) -> Run {
        let url = format!("http://{}", self.service.address);
        let mut command = self.sandbox.command(&[arguments, &["--url", &url]].concat());
        crate::sandbox::run(command.env("STORAGE_ADMIN_KEY", &self.key))
    }

    fn call(&self, method: &str, path: &str, key: &str, more: &str) -> String {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: storage\r\nConnection: close\r\n");
        self.service.ask(&format!("{head}Authorization: Bearer {key}\r\nContent-Length: 0\r\n{more}\r\n"))
    }
}

#[test]
fn a_backend_of_a_plugin_that_was_put_there_meanwhile_is_opened_used_and_closed() {
    let running = Running::start();
    let files_key = running.sandbox.storage(&["keys", "create", "app"]).succeeded().line();
    running.storage(&["backends", "open", "fast", "memory"]).ended(4).tells(&[
        "no plugin provides the backend type \"memory\"",
        "code: plugin_not_found",
        "next step: ",
        "more: docs/errors/plugin_not_found.md",
    ]);
    running.sandbox.install("memory");
    let opened = running.storage(&["backends", "open", "fast", "memory"]).succeeded().silently();
    assert!(opened.text().contains("fast   memory  ready"), "{}", opened.text());
    running
        .storage(&["backends", "open", "fast", "memory"])
        .ended(1)
        .tells(&["a backend has this name", "fast"]);

    let switched = running.storage(&["backends", "switch", "fast", "--json"]).succeeded().json();
    assert_eq!(switched["backends"]["fast"]["is_primary"], true);
    let saved = running.call("POST", "/v1/files?filename=a.txt", &files_key, "X-User-Id: ada\r\n");
    assert!(saved.starts_with("HTTP/1.1 201"), "{saved}");
    let health = running.call("GET", "/health/storage", &files_key, "");
    assert!(health.contains("\"primary_backend\":\"fast\""), "{health}");

    running.storage(&["backends", "close", "fast"]).ended(4).tells(&["new files go to this backend"]);
    running.storage(&["backends", "switch", "local"]).succeeded();
    let closed = running.storage(&["backends", "close", "fast"]).succeeded();
    assert!(closed.text().contains("closed by an administrator"), "{}", closed.text());
    running.storage(&["backends", "switch", "far"]).ended(3).tells(&["no backend has this name", "far"]);
}

#[test]
fn the_configuration_is_read_again_on_demand_and_a_faulty_one_changes_nothing() {
    let running = Running::start();
    running.sandbox.install("memory");
    running.sandbox.write("storage.toml", "[backends.fast]\ntype = \"memory\"\nsize = 1\n");
    let told = running.storage(&["reload"]);
    // The commands read the same configuration: whoever types them learns of its faults before the service does.
    told.ended(4).tells(&["size"]);
    running.sandbox.write("storage.toml", "[backends.fast]\ntype = \"memory\"\n");
    let text = running.storage(&["reload"]).succeeded().silently().text().to_owned();
    assert_eq!(text, "new files go to local\nfast: opened\n");
    let value = running.storage(&["reload", "--json"]).succeeded().json();
    assert_eq!(value["opened"], serde_json::json!([]), "nothing has changed since");
}

#[test]
fn only_keys_for_administration_administer_and_they_reach_no_files() {
    let running = Running::start();
    let files_key = running.sandbox.storage(&["keys", "create", "app"]).succeeded().line();
    let listed = running.call("GET", "/v1/admin/backends", &running.key, "");
    assert!(
        listed.contains("\"local\":{\"type\":\"local\",\"status\":\"ready\",\"is_primary\":true}"),
        "{listed}"
    );
    for (method, path) in [
        ("GET", "/v1/admin/backends"),
        ("POST", "/v1/admin/backends"),
        ("DELETE", "/v1/admin/backends/local"),
        ("PUT", "/v1/admin/primary"),
        ("POST", "/v1/admin/reload"),
    ] {
        let refused = running.call(method, path, &files_key, "X-User-Id: ada\r\n");
        assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("permission_denied"), "{refused}");
        assert!(running.call(method, path, "sk_1_2", "").starts_with("HTTP/1.1 401"), "{path}");
    }
    for path in ["/v1/files", "/v1/usage"] {
        let refused = running.call("GET", path, &running.key, "X-User-Id: ada\r\n");
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    }
    let mut command =
        running.sandbox.command(&["reload", "--url", &format!("http://{}", running.service.address)]);
    crate::sandbox::run(&mut command)
        .ended(5)
        .tells(&["STORAGE_ADMIN_KEY", "storage keys create NAME --admin"]);
    crate::sandbox::run(command.env("STORAGE_ADMIN_KEY", &files_key)).ended(5).tells(&["scope admin"]);
    let keys = running.sandbox.storage(&["keys", "list", "--json"]).succeeded().json();
    assert_eq!((&keys[0]["scope"], &keys[1]["scope"]), (&"admin".into(), &"files".into()));
}

#[test]
fn a_service_that_does_not_run_is_told_with_its_address() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["reload", "--url", "http://127.0.0.1:1"]);
    let run = crate::sandbox::run(command.env("STORAGE_ADMIN_KEY", "sk_1_2"));
    run.ended(7).tells(&["the service does not answer", "127.0.0.1:1", "storage serve"]);
}
