//! Plugins, backends and the configuration, as they are shown and tried.

use serde_json::Value;

use crate::sandbox::{Sandbox, run};

#[test]
fn plugins_are_listed_with_those_that_cannot_be_used() {
    let sandbox = Sandbox::new();
    sandbox.write("plugins/libstorage_backend_broken.so", "no library");
    let run = sandbox.storage(&["plugins", "list"]).succeeded().tells(&["searched", "/plugins"]);
    let line = |name: &str| {
        let found = run.text().lines().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name} is missing in {}", run.text())).to_owned()
    };
    assert!(line("local").contains("usable") && line("local").contains("local disk"));
    assert!(line("broken").contains("plugin_not_a_library"), "{}", line("broken"));

    let json = sandbox.storage(&["plugins", "list", "--json"]).succeeded().silently().json();
    let plugins = json["plugins"].as_array().expect("a list");
    let of =
        |backend_type: &str| plugins.iter().find(|plugin| plugin["type"] == backend_type).expect("listed");
    assert_eq!(of("local")["state"], "usable");
    assert!(of("local")["version"].is_string() && of("local")["interface"].is_string());
    assert_eq!(of("broken")["code"], "plugin_not_a_library");
    assert!(of("broken")["next_step"].is_string());
}

#[test]
fn a_plugin_is_inspected_with_its_settings_and_what_its_backends_can_do() {
    let sandbox = Sandbox::new();
    let json = sandbox.storage(&["plugins", "inspect", "local", "--json"]).succeeded().silently().json();
    assert_eq!((&json["type"], &json["sha256"].as_str().map(str::len)), (&"local".into(), &Some(64)));
    let named = |list: &Value, by: &str, name: &str| {
        let found = list.as_array().and_then(|list| list.iter().find(|one| one[by] == name).cloned());
        found.unwrap_or_else(|| panic!("{name} is missing in {list}"))
    };
    assert_eq!(named(&json["settings"], "key", "path")["variable"], "LOCAL_STORAGE_PATH");
    let backend = named(&json["backends"], "name", "local");
    let path = named(&backend["settings"], "key", "backends.local.path");
    assert_eq!((&path["value"], &path["origin"]), (&"./storage".into(), &".env line 2".into()));
    assert_eq!(backend["opened"], true);
    for operation in ["save", "copy", "list_versions"] {
        assert!(
            backend["operations"].as_array().is_some_and(|all| all.contains(&operation.into())),
            "{backend}"
        );
    }
    assert!(backend["limits"].as_array().is_some_and(|limits| !limits.is_empty()));

    let text = sandbox.storage(&["plugins", "inspect", "local"]).succeeded();
    for part in ["sha-256", "LOCAL_FSYNC", ".env line 2", "capabilities"] {
        assert!(text.text().contains(part), "{part} is missing in {}", text.text());
    }
    sandbox
        .storage(&["plugins", "inspect", "loca"])
        .ended(4)
        .tells(&["did you mean local?", "docs/errors/plugin_not_found.md"]);
}

#[test]
fn a_plugin_without_a_backend_says_that_its_capabilities_are_not_known_yet() {
    let sandbox = Sandbox::new();
    sandbox.install("memory");
    let text = sandbox.storage(&["plugins", "inspect", "memory"]).succeeded();
    assert!(text.text().contains("No backend of this type is configured"), "{}", text.text());
    assert_eq!(sandbox.names("."), [".env", "plugins"], "nothing was opened");
}

#[test]
fn a_backend_that_does_not_open_is_inspected_as_far_as_it_goes() {
    let sandbox = Sandbox::new();
    sandbox.write("storage", "a file where a folder should be");
    let json = sandbox.storage(&["plugins", "inspect", "local", "--json"]).succeeded().json();
    let backend = &json["backends"][0];
    assert_eq!(backend["opened"], false);
    assert!(backend["cause"].is_string() && backend["next_step"].is_string(), "{backend}");
}

#[test]
fn a_folder_without_plugins_tells_how_to_get_one() {
    let sandbox = Sandbox::empty();
    let run = sandbox.storage(&["plugins", "list"]).succeeded();
    assert!(run.text().contains("cargo xtask build-plugins"), "{}", run.text());
}

#[test]
fn backends_are_listed_with_type_state_and_which_is_primary() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "storage.toml",
        "[backends.near]\ntype = \"local\"\npath = \"./near\"\n\n[backends.far]\ntype = \"local\"\npath = \"./far\"\n",
    );
    sandbox.write(".env", "PRIMARY_BACKEND=near\n");
    let json = sandbox.storage(&["backends", "list", "--json"]).succeeded().json();
    let seen: Vec<_> = json
        .as_array()
        .expect("a list")
        .iter()
        .map(|backend| {
            assert!(backend["capabilities"].as_array().is_some_and(|list| !list.is_empty()));
            (backend["name"].clone(), backend["type"].clone(), backend["is_primary"].clone())
        })
        .collect();
    let expected = [("far", false), ("near", true)]
        .map(|(name, is_primary)| (Value::from(name), Value::from("local"), Value::from(is_primary)));
    assert_eq!(seen, expected);
    let table = sandbox.storage(&["backends", "list"]).succeeded();
    let near = table.text().lines().find(|line| line.starts_with("near")).expect("listed");
    assert!(near.contains("primary") && near.contains("ready"), "{near}");

    let json = sandbox.storage(&["backends", "test", "--json"]).succeeded().json();
    assert!(json.as_array().expect("a list").iter().all(|backend| backend["healthy"] == true), "{json}");
    let one = sandbox.storage(&["backends", "test", "far"]).succeeded();
    assert!(one.text().contains("healthy") && !one.text().contains("near"), "{}", one.text());
    sandbox.storage(&["backends", "test", "gone"]).ended(4).tells(&["\"gone\"", "far, near"]);
    let tested = sandbox.storage(&["test", "--backend", "far"]).succeeded();
    assert!(tested.text().ends_with("backend far works\n"), "{}", tested.text());
}

#[test]
fn the_self_test_goes_step_by_step_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let run = sandbox.storage(&["test"]).succeeded();
    for step in
        ["health", "save", "exists", "metadata", "retrieve", "range", "list", "copy", "delete", "gone"]
    {
        let line = run.text().lines().find(|line| line.starts_with(step));
        assert!(line.is_some_and(|line| line.ends_with("ok")), "{step} in {}", run.text());
    }
    let json = sandbox.storage(&["test", "--json"]).succeeded().json();
    assert_eq!((&json["backend"], &json["works"]), (&"local".into(), &true.into()));
    sandbox.storage(&["catalog", "fsck"]).succeeded();
    assert_eq!(sandbox.storage(&["catalog", "rebuild", "--json"]).json()["backends"]["local"]["objects"], 0);
}

#[test]
fn the_configuration_tells_where_each_value_comes_from_and_no_secret() {
    let sandbox = Sandbox::new();
    let secret = "a secret of more than thirty-two bytes";
    let mut command = sandbox.command(&["config", "show", "--json"]);
    command.env("AUTH_JWT_HS256_SECRET", secret).env("LOCAL_FSYNC", "yes");
    let run = run(&mut command).succeeded();
    assert!(!run.text().contains(secret));
    let json = run.json();
    let setting = |key: &str| {
        let found = json.as_array().expect("a list").iter().find(|setting| setting["key"] == key);
        let found = found.unwrap_or_else(|| panic!("{key} is missing"));
        (found["value"].as_str().unwrap_or_default(), found["origin"].as_str().unwrap_or_default())
    };
    assert_eq!(setting("primary_backend"), ("local", ".env line 1"));
    assert_eq!(setting("auth.jwt_hs256_secret"), ("********", "environment"));
    assert_eq!(setting("http.bind"), ("127.0.0.1:8080", "default"));
    assert_eq!(setting("backends.local.path"), ("./storage", ".env line 2"));
    assert_eq!(setting("backends.local.fsync"), ("yes", "environment"));
    let shown = sandbox.storage(&["config", "show", "LOCAL_"]).succeeded();
    assert!(shown.text().lines().skip(1).all(|line| line.contains("LOCAL_")), "{}", shown.text());
}

#[test]
fn checking_the_configuration_opens_nothing() {
    let sandbox = Sandbox::new();
    let run = sandbox.storage(&["config", "check"]).succeeded();
    assert_eq!(run.text(), "the configuration is in order\n");
    assert_eq!(sandbox.storage(&["config", "check", "--json"]).succeeded().json()["ok"], true);
    assert_eq!(sandbox.names("."), [".env", "plugins"]);
}

#[test]
fn the_log_says_more_when_it_is_told_to() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["ls", "--user", "ada"]).succeeded();
    let log = |variable: &str, value: &str| {
        run(sandbox.command(&["ls", "--user", "ada", "-q"]).env(variable, value)).succeeded().stderr
    };
    // What `.env` says is the service's; a command keeps quiet unless its own environment says so.
    assert_eq!(log("NO_COLOR", "1"), "");
    assert!(log("LOG_LEVEL", "info").contains("loaded a plugin"));
    let debug = log("LOG_LEVEL", "debug");
    assert!(debug.contains("DEBUG"), "{debug}");
    let debug = log("STORAGE_DEBUG", "true");
    assert!(debug.lines().any(|line| line.contains("DEBUG") && line.contains("storage_host")), "{debug}");
    let first = |text: &str| serde_json::from_str::<Value>(text.lines().next().expect("a line"));
    let mut command = sandbox.command(&["ls", "--user", "ada", "-q"]);
    let json = run(command.env("LOG_LEVEL", "info").env("LOG_FORMAT", "json")).succeeded().stderr;
    assert_eq!(first(&json).expect("JSON")["level"], "INFO");
}
