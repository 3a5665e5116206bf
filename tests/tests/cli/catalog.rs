//! The catalog: checked, repaired, rebuilt, and asked what happened.

use std::fs;
use std::path::PathBuf;

use crate::sandbox::Sandbox;
use crate::serve::Service;

#[test]
fn a_sound_catalog_is_in_order() {
    let sandbox = Sandbox::new();
    sandbox.put("ada", "a.txt", b"abc");
    let run = sandbox.storage(&["catalog", "fsck"]).succeeded();
    assert_eq!(run.text(), "local: 1 object, 1 version\neverything is in order\n");
    let json = sandbox.storage(&["catalog", "fsck", "--json"]).succeeded().json();
    assert_eq!(json["backends"]["local"]["versions"], 1);
}

#[test]
fn a_lost_object_is_found_and_no_repair_pretends_otherwise() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"abc");
    fs::remove_dir_all(sandbox.path("storage")).expect("removed");
    for arguments in [&["catalog", "fsck"][..], &["catalog", "fsck", "--repair"]] {
        let run = sandbox.storage(arguments).ended(8);
        assert!(run.text().contains("lost") && run.text().contains(&id), "{}", run.text());
    }
    sandbox.storage(&["get", &id, "--user", "ada"]).ended(8);
}

/// The content of a file in the store, which lies beside its description.
fn content_of(sandbox: &Sandbox, id: &str) -> PathBuf {
    let mut folders = vec![sandbox.path("storage/objects")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains(id) && path.extension().is_none_or(|end| end != "json")
            {
                return path;
            }
        }
    }
    panic!("the store has no content of {id}");
}

#[test]
fn a_content_that_is_gone_or_shortened_is_found_though_its_description_is_there() {
    let sandbox = Sandbox::new();
    let lost = sandbox.put("ada", "a.txt", b"what is removed");
    let cut = sandbox.put("ada", "b.txt", b"what is shortened");
    sandbox.put("ada", "c.txt", b"what stays");
    fs::remove_file(content_of(&sandbox, &lost)).expect("removed");
    fs::write(content_of(&sandbox, &cut), b"what is").expect("shortened");

    let run = sandbox.storage(&["catalog", "fsck"]).ended(8);
    let told = |what: &str, id: &str| run.text().lines().any(|line| line.contains(what) && line.contains(id));
    assert!(told("  lost: ", &lost), "{}", run.text());
    assert!(told("  of another length than was saved: ", &cut), "{}", run.text());
    let found = sandbox.storage(&["catalog", "fsck", "--json"]).ended(8).json();
    let found = &found["backends"]["local"];
    assert_eq!((&found["objects"], &found["versions"]), (&2.into(), &3.into()));
    assert_eq!(found["missing"][0]["file"], lost);
    let wrong = &found["wrong_size"][0];
    assert_eq!((&wrong["saved_bytes"], &wrong["found_bytes"]), (&17.into(), &7.into()));
    for id in [&lost, &cut] {
        sandbox.storage(&["get", id, "--user", "ada"]).ended(8);
        sandbox.storage(&["rm", id, "--user", "ada"]).succeeded();
    }
    sandbox.storage(&["catalog", "fsck"]).succeeded();
}

#[test]
fn versions_on_a_backend_that_the_configuration_no_longer_names_are_told() {
    let sandbox = Sandbox::new();
    sandbox.put("ada", "a.txt", b"abc");
    sandbox.put("ada", "b.txt", b"abc");
    let under = |name: &str| {
        sandbox.write(".env", format!("PRIMARY_BACKEND={name}\nLOCAL_STORAGE_PATH=./storage\n"));
        sandbox.write("storage.toml", format!("[backends.{name}]\ntype = \"local\"\n"));
    };
    under("disk");
    let told = "local: 2 versions on a backend that the configuration does not name\n";
    for arguments in [&["catalog", "fsck"][..], &["scrub"]] {
        let run = sandbox.storage(arguments).ended(8);
        assert!(run.text().contains(told) && run.text().contains("\nnot everything is "), "{}", run.text());
        let json = sandbox.storage(&[arguments, &["--json"]].concat()).ended(8).json();
        assert_eq!(json["unknown_backends"], serde_json::json!({ "local": 2 }));
    }
    // Who asks for one backend learns of that one.
    sandbox.storage(&["scrub", "--backend", "disk"]).succeeded();
    let log = Service::start(&sandbox, &[]).log_to_its_end();
    let warning = log.lines().find(|line| line.contains("does not name")).unwrap_or_default();
    assert!(warning.contains("WARN") && warning.contains("local") && warning.contains("versions=2"), "{log}");

    under("local");
    sandbox.storage(&["catalog", "fsck"]).succeeded();
    let log = Service::start(&sandbox, &[]).log_to_its_end();
    assert!(!log.contains("does not name"), "{log}");
}

#[test]
fn a_lost_catalog_is_rebuilt_from_the_backend() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "cv.pdf", b"%PDF-1.7 of ada");
    for name in sandbox.names(".") {
        if name.starts_with("storage-catalog") {
            fs::remove_file(sandbox.path(&name)).expect("removed");
        }
    }
    let run = sandbox.storage(&["catalog", "fsck"]).ended(8);
    assert!(run.text().contains("rebuild"), "{}", run.text());
    sandbox.storage(&["get", &id, "--user", "ada"]).ended(3);
    let run = sandbox.storage(&["catalog", "rebuild"]).succeeded();
    assert!(run.text().contains("1 taken up") && run.text().contains("only a backup"), "{}", run.text());
    assert!(run.text().contains("service keys") && run.text().contains("the very times"), "{}", run.text());
    let again = sandbox.storage(&["catalog", "rebuild"]).succeeded();
    assert_eq!(again.text(), "local: 1 object, 0 taken up, 1 known before, 0 digested\n");
    assert_eq!(sandbox.storage(&["get", &id, "--user", "ada"]).succeeded().stdout, b"%PDF-1.7 of ada");
    let listed = sandbox.storage(&["ls", "--user", "ada", "--json"]).json();
    assert_eq!((&listed[0]["filename"], &listed[0]["id"]), (&"cv.pdf".into(), &id.into()));
    sandbox.storage(&["catalog", "fsck"]).succeeded();
}

#[test]
fn the_audit_log_tells_who_did_what_to_whose_file() {
    let sandbox = Sandbox::new();
    let run = sandbox.storage(&["catalog", "audit"]).succeeded().tells(&["no such line"]);
    assert_eq!(run.text(), "");
    let id = sandbox.put("ada", "a.txt", b"abc");
    sandbox.storage(&["get", &id, "--user", "eve"]).ended(3);
    let json = sandbox.storage(&["catalog", "audit", "--json"]).succeeded().json();
    assert_eq!(
        (&json[1]["action"], &json[1]["user"], &json[1]["outcome"]),
        (&"save".into(), &"ada".into(), &"ok".into())
    );
    assert_eq!((&json[0]["user"], &json[0]["outcome"]), (&"eve".into(), &"not_found".into()));
    assert_eq!(json[0]["actor"], "cli");
    let run = sandbox.storage(&["catalog", "audit", "--user", "ada"]).succeeded();
    assert!(run.text().contains(&id) && !run.text().contains("eve"), "{}", run.text());
    let json = sandbox.storage(&["catalog", "audit", "--limit", "1", "--json"]).succeeded().json();
    assert_eq!(json.as_array().expect("a list").len(), 1);
}
