//! Service keys, and those that sign links.

use crate::sandbox::Sandbox;

#[test]
fn a_key_is_shown_once_and_listed_without_its_secret() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["keys", "list"]).succeeded().tells(&["there is no key yet", "storage keys create"]);
    let run = sandbox.storage(&["keys", "create", "first"]).succeeded().tells(&["shown only now"]);
    let key = run.line();
    let secret = key.rsplit('_').next().expect("a secret");
    let list = sandbox.storage(&["keys", "list"]).succeeded().silently();
    assert!(list.text().contains("first") && list.text().contains("valid"), "{}", list.text());
    assert!(!list.text().contains(secret));
    for file in ["storage-catalog.db", "storage-catalog.db-wal"] {
        let bytes = std::fs::read(sandbox.path(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file}");
    }
    sandbox.storage(&["keys", "create", "first"]).ended(1).tells(&["storage keys revoke first"]);
    let json = sandbox.storage(&["keys", "create", "second", "--json"]).succeeded().silently().json();
    assert!(json["key"].as_str().expect("a key").starts_with("sk_"), "{json}");
}

#[test]
fn a_key_needs_a_name_that_can_be_read_in_a_list() {
    let sandbox = Sandbox::new();
    let (longest, too_long) = ("ü".repeat(100), "ü".repeat(101));
    for (name, told) in [
        ("", "a key needs a name"),
        (" ", "a key needs a name"),
        ("a\nb", "no control characters"),
        ("\u{1b}[2J", "no control characters"),
        (&too_long, "at most 100 characters"),
    ] {
        sandbox.storage(&["keys", "create", name]).ended(2).tells(&[told]);
    }
    sandbox.storage(&["keys", "create", &longest]).succeeded();
    let listed = sandbox.storage(&["keys", "list", "--json"]).succeeded().json();
    assert_eq!(listed.as_array().expect("a list").len(), 1);
}

#[test]
fn a_key_is_revoked_by_name_or_id_and_only_once() {
    let sandbox = Sandbox::new();
    sandbox.storage(&["keys", "create", "first"]).succeeded();
    let second = sandbox.storage(&["keys", "create", "second", "--json"]).succeeded().json();
    sandbox.storage(&["keys", "revoke", "first"]).succeeded().tells(&["within seconds"]);
    sandbox.storage(&["keys", "revoke", "first"]).ended(3).tells(&["storage keys list"]);
    let id = second["id"].as_str().expect("an id");
    let json = sandbox.storage(&["keys", "revoke", id, "--json"]).succeeded().json();
    assert_eq!(json["revoked"], id);
    let listed = sandbox.storage(&["keys", "list", "--json"]).succeeded().json();
    let listed = listed.as_array().expect("a list");
    assert!(listed.len() == 2 && listed.iter().all(|key| key["revoked_at"].is_string()), "{listed:?}");
}

#[test]
fn links_are_signed_with_a_new_key_on_demand() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"abc");
    // The first part of a token names its key.
    let head = || {
        let url = sandbox.storage(&["url", &id, "--user", "ada"]).succeeded().line();
        let token = url.rsplit('/').next().expect("a token").to_owned();
        token.split('.').next().expect("a head").to_owned()
    };
    let before = head();
    assert_eq!(before, head());
    let run = sandbox.storage(&["keys", "rotate-links", "--grace", "1h", "--json"]).succeeded();
    assert!(run.json()["former_keys_work_until"].is_string(), "{}", run.text());
    assert_ne!(before, head());
}
