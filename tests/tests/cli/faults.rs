//! What is wrong around the program: each fault names what, where and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::{Sandbox, run};

#[test]
fn a_new_user_without_anything_is_led_on() {
    let sandbox = Sandbox::empty();
    let run = sandbox.storage(&["ls", "--user", "ada"]).ended(4);
    run.tells(&["no plugin", "local", "next step:", "PLUGIN_DIR", "cargo xtask build-plugins local"]);
    assert_eq!(sandbox.names("."), [""; 0], "what cannot work leaves nothing behind");
}

#[test]
fn a_plugin_without_a_configuration_is_enough() {
    let sandbox = Sandbox::empty();
    sandbox.install("local");
    let id = sandbox.put("ada", "a.txt", b"abc");
    assert_eq!(sandbox.storage(&["get", &id, "--user", "ada"]).succeeded().stdout, b"abc");
    assert!(sandbox.path("storage").is_dir());
}

#[test]
fn a_misspelt_backend_type_is_answered_with_the_nearest() {
    let sandbox = Sandbox::new();
    let loca = |arguments: &[&str]| run(sandbox.command(arguments).env("PRIMARY_BACKEND", "loca"));
    loca(&["ls", "--user", "ada"]).ended(4).tells(&["\"loca\"", "did you mean local?", "plugin_not_found"]);
    let error = loca(&["ls", "--user", "ada", "--json"]).ended(4).json_error();
    assert_eq!(error["kind"], "plugin_load");
    let context = error["context"].as_array().expect("a list");
    assert!(context.iter().any(|fact| fact["code"] == "plugin_not_found"), "{error}");
    // It can still be looked at.
    loca(&["config", "show"]).succeeded().tells(&["warning:"]);
    loca(&["config", "check"]).ended(4);
}

#[test]
fn every_fault_of_the_configuration_is_told_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write(
        ".env",
        "PRIMRY_BACKEND=local\nPRIMARY_BACKEND=local\nSTORAGE_MAX_UPLOAD=much\nSTORAGE_IDLE_TIMEOUT=soon\n",
    );
    let run = sandbox.storage(&["ls", "--user", "ada"]).ended(4);
    run.tells(&[
        "PRIMRY_BACKEND",
        "PRIMARY_BACKEND",
        "STORAGE_MAX_UPLOAD",
        "much",
        "STORAGE_IDLE_TIMEOUT",
        ".env line 3",
    ]);
    sandbox.write(".env", "PRIMARY_BACKEND=local\nLOCAL_STORAG_PATH=./x\n");
    sandbox.storage(&["ls", "--user", "ada"]).ended(4).tells(&["LOCAL_STORAG_PATH", "LOCAL_STORAGE_PATH"]);
    sandbox.storage(&["config", "check"]).ended(4).tells(&["LOCAL_STORAGE_PATH"]);
}

#[test]
fn faults_of_the_host_and_of_plugins_are_told_together() {
    let sandbox = Sandbox::new();
    sandbox.write(
        ".env",
        "PRIMARY_BACKEND=local\nSTORAGE_BNID=127.0.0.1:0\nSTORAGE_CALL_TIMEOUT=soon\nLOCAL_FSYNC=maybe\nLOCAL_STORAG_PATH=./x\n",
    );
    for arguments in [&["ls", "--user", "ada"][..], &["config", "check"], &["serve"]] {
        let run = sandbox.storage(arguments).ended(4);
        let run = run.tells(&["4 faults", "STORAGE_BNID", "STORAGE_BIND", "STORAGE_CALL_TIMEOUT", "soon"]);
        run.tells(&["LOCAL_FSYNC", "maybe", "LOCAL_STORAG_PATH", "LOCAL_STORAGE_PATH", ".env line 4"]);
    }
    // Looking at plugins runs none of their code, so it knows the host's faults alone.
    let looked = sandbox.storage(&["plugins", "list"]).ended(4);
    looked.tells(&["2 faults", "STORAGE_BNID", "STORAGE_CALL_TIMEOUT"]);
    // What the advice names works while the configuration is faulty.
    let shown = sandbox.storage(&["config", "show", "calls.timeout"]).succeeded().stdout;
    let shown = String::from_utf8(shown).expect("text");
    assert!(shown.contains("soon") && shown.contains(".env line 3"), "{shown}");
    assert_eq!(sandbox.names("."), [".env", "plugins"], "what cannot work leaves nothing behind");
}

#[test]
fn a_plugin_that_is_missing_is_told_with_the_faults_of_the_host() {
    let sandbox = Sandbox::new();
    sandbox.write(".env", "PRIMARY_BACKEND=loca\nSTORAGE_CALL_TIMEOUT=soon\n");
    sandbox.storage(&["ls", "--user", "ada"]).ended(4).tells(&["plugin_not_found", "local", "soon"]);
}

#[test]
fn a_malformed_dotenv_is_told_with_its_line() {
    let sandbox = Sandbox::new();
    sandbox.write(".env", "PRIMARY_BACKEND=local\nthis is no assignment\n");
    sandbox.storage(&["ls", "--user", "ada"]).ended(4).tells(&[".env", "line 2"]);
    let error = sandbox.storage(&["ls", "--user", "ada", "--json"]).ended(4).json_error();
    assert_eq!(error["kind"], "config_invalid");
    fs::remove_file(sandbox.path(".env")).expect("removed");
    sandbox.storage(&["ls", "--user", "ada", "--config", "gone.toml"]).ended(4).tells(&["gone.toml"]);
}

#[test]
fn a_catalog_that_is_none_is_refused_and_stays_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write("storage-catalog.db", "a shopping list");
    let run = sandbox.storage(&["ls", "--user", "ada"]).ended(4);
    run.tells(&["storage-catalog.db", "not a", "another path"]);
    assert_eq!(sandbox.read("storage-catalog.db"), b"a shopping list");
}

#[test]
fn a_catalog_from_a_newer_version_is_refused_and_stays_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.put("ada", "a.txt", b"abc");
    let newer = {
        let catalog = rusqlite::Connection::open(sandbox.path("storage-catalog.db")).expect("a database");
        catalog.pragma_update(None, "user_version", 4711).expect("changed");
        catalog.query_row("PRAGMA user_version", (), |row| row.get::<_, u32>(0)).expect("read")
    };
    assert_eq!(newer, 4711);
    sandbox.storage(&["ls", "--user", "ada"]).ended(4).tells(&["storage-catalog.db", "newer", "4711"]);
}

#[test]
fn a_storage_path_that_cannot_be_used_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("storage", "a file where a folder should be");
    sandbox.storage(&["ls", "--user", "ada"]).ended(4).tells(&["LOCAL_STORAGE_PATH", "./storage", "folder"]);

    std::os::unix::fs::symlink("nowhere", sandbox.path("dangling")).expect("a link");
    for path in ["dangling/storage", "/proc/storage"] {
        let mut command = sandbox.command(&["ls", "--user", "ada"]);
        let run = run(command.env("LOCAL_STORAGE_PATH", path));
        run.ended(4).tells(&["LOCAL_STORAGE_PATH", path]);
    }

    // Root may write everywhere else.
    if !rustix::process::geteuid().is_root() {
        let locked = sandbox.path("locked");
        fs::create_dir(&locked).expect("a folder");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).expect("locked");
        let mut command = sandbox.command(&["ls", "--user", "ada"]);
        let path = locked.join("storage");
        run(command.env("LOCAL_STORAGE_PATH", &path)).ended(5).tells(&["locked/storage"]);
        let mut command = sandbox.command(&["serve", "--bind", "127.0.0.1:0"]);
        let run = run(command.env("LOCAL_STORAGE_PATH", &path));
        run.ended(4)
            .tells(&["next step: let the user of this service read, write and enter", "locked/storage"]);
    }
}

#[test]
fn a_catalog_that_may_not_be_written_keeps_the_service_from_starting() {
    let sandbox = Sandbox::new();
    sandbox.put("ada", "a.txt", b"abc");
    for (file, mode) in [("storage-catalog.db", 0o400), ("storage-catalog.db-unfinished", 0o000)] {
        let set = |mode| {
            fs::set_permissions(sandbox.path(file), fs::Permissions::from_mode(mode)).expect("set");
        };
        set(mode);
        // Root may read and write whatever the mode says.
        if !rustix::process::geteuid().is_root() {
            let run = sandbox.storage(&["serve", "--bind", "127.0.0.1:0"]).ended(4);
            run.tells(&["access to the file or its folder is denied", file]);
        }
        set(0o600);
    }
}

#[test]
fn a_service_whose_catalog_is_damaged_ends_as_one_that_must_not_be_started_again() {
    let sandbox = Sandbox::new();
    sandbox.put("ada", "a.txt", b"abc");
    let mut catalog = sandbox.read("storage-catalog.db");
    catalog[100..4096].fill(0xFF);
    sandbox.write("storage-catalog.db", &catalog);
    sandbox.storage(&["ls", "--user", "ada"]).ended(8).tells(&["the catalog is damaged"]);
    let told = sandbox.storage(&["serve", "--bind", "127.0.0.1:0"]).ended(4);
    told.tells(&["error: the catalog is damaged", "storage-catalog.db"]);
    let json = sandbox.storage(&["serve", "--bind", "127.0.0.1:0", "--json"]).ended(4);
    assert!(
        json.stderr.contains("\"kind\":\"corrupted\"") && json.stderr.contains("\"exit_code\":4"),
        "{}",
        json.stderr
    );
}
