//! What a user uses and may use.

use crate::sandbox::Sandbox;

#[test]
fn usage_is_shown_for_people_and_for_programs() {
    let sandbox = Sandbox::new();
    sandbox.put("ada", "a.txt", &[b'x'; 2048]);
    let json = sandbox.storage(&["usage", "--user", "ada", "--json"]).succeeded().json();
    assert_eq!((&json["bytes"], &json["files"], &json["versions"]), (&2048.into(), &1.into(), &1.into()));
    assert!(json["max_bytes"].is_null() && json["max_files"].is_null(), "{json}");
    let run = sandbox.storage(&["usage", "--user", "ada"]).succeeded();
    assert!(run.text().contains("2.00 KiB") && run.text().contains("none"), "{}", run.text());
}

#[test]
fn a_limit_holds_stays_and_can_be_lifted() {
    let sandbox = Sandbox::new();
    let usage = |arguments: &[&str]| {
        let run = sandbox.storage(&[&["usage", "--user", "ada", "--json"], arguments].concat());
        let json = run.succeeded().json();
        (json["max_bytes"].as_u64(), json["max_files"].as_u64())
    };
    assert_eq!(usage(&["--max-bytes", "1KiB"]), (Some(1024), None));
    assert_eq!(usage(&["--max-files", "2"]), (Some(1024), Some(2)));
    let save = |size: usize| {
        sandbox.storage_reading(&["put", "-", "--name", "a.txt", "--user", "ada"], &vec![b'x'; size])
    };
    save(1025).ended(6).tells(&["quota", "limit bytes: 1024"]);
    save(1024).succeeded();
    assert_eq!(usage(&["--max-bytes", "none"]), (None, Some(2)));
    save(5000).succeeded();
    save(1).ended(6).tells(&["limit files: 2"]);
    assert_eq!(usage(&["--default-limits"]), (None, None));
    save(1).succeeded();
}

#[test]
fn limits_that_mean_nothing_are_refused() {
    let sandbox = Sandbox::new();
    for arguments in [["--max-bytes", "much"], ["--max-bytes", "-1"], ["--max-files", "1.5"]] {
        sandbox.storage(&[&["usage", "--user", "ada"][..], &arguments].concat()).ended(2);
    }
    let both = ["usage", "--user", "ada", "--default-limits", "--max-files", "1"];
    sandbox.storage(&both).ended(2).tells(&["cannot be used with"]);
}

#[test]
fn the_configured_limit_is_everybodys_who_has_none_of_his_own() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["usage", "--user", "ada", "--json"]);
    let run = crate::sandbox::run(command.env("STORAGE_QUOTA_BYTES", "5MiB"));
    assert_eq!(run.succeeded().json()["max_bytes"], 5 << 20);
}
