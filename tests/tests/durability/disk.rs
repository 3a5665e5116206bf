//! The running service on disks that are full or read-only: it says so, loses nothing, reads on, and goes on by itself
//! once that is over.
//!
//! Each disk is a small one of its own, mounted in a namespace that ends with the test's child process: nothing of the
//! machine is touched. Without privileges the namespace is a user's, which Linux lets anybody make; where even that is
//! forbidden the test fails, and says why.

use std::process::Command;

use serde_json::{Value, json};

/// Runs a scenario with a disk of this size at a folder of the service's.
fn with_a_small_disk(scenario: &str, folder: &str, size: &str) -> Value {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script = "mkdir \"$1/$3\" && mount -t tmpfs -o \"size=$4,mode=700\" none \"$1/$3\" && exec \"$0\" \"$1\" \"$2\"";
    command.args(["sh", "-c", script, env!("CARGO_BIN_EXE_service_disk")]);
    let output = command.arg(home.path()).args([scenario, folder, size]).output().unwrap_or_else(|error| {
        panic!("unshare: {error}: `apt-get install util-linux` (or its like) provides it")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{scenario}: {}: {stderr}\n(mounting needs root, or `sysctl kernel.unprivileged_userns_clone=1`)",
        output.status
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_full_store_is_told_as_507_costs_nothing_that_was_saved_and_takes_files_again_once_there_is_room() {
    let found = with_a_small_disk("store_full", "store", "8m");
    let refused = json!({
        "save": "507 no_space",
        "stream": "507 no_space",
        "replace": "507 no_space",
        "health": 503,
    });
    assert_eq!(found["refused"], refused, "{found}");
    assert!(found["saved"].as_u64().is_some_and(|saved| saved > 10), "{found}");
    assert_eq!(found["read"], found["saved"], "{found}");
    assert_eq!(found["left_in_staging"], 0, "{found}");
    assert_eq!(found["freed"], json!({ "delete": "204", "replace": "200" }), "{found}");
    assert_eq!(found["again"], json!({ "save": "201", "stream": "201" }), "{found}");
    assert_eq!(found["fsck"], json!([0, 0]), "{found}");
}

#[test]
fn a_full_disk_of_the_catalog_is_told_as_507_and_neither_loses_anything_nor_stops_reads() {
    let found = with_a_small_disk("catalog_full", "catalog", "3m");
    let refused = "507 no_space";
    let refused = json!({ "save": refused, "stream": refused, "replace": refused, "delete": refused });
    assert_eq!(found["refused"], refused, "{found}");
    assert_eq!((&found["read"], &found["ls"]), (&json!(true), &json!([true, 0])), "{found}");
    let again = json!({ "save": "201", "stream": "201", "replace": "200", "delete": "204" });
    assert_eq!(found["again"], again, "{found}");
    assert_eq!(found["fsck"], json!([0, 0]), "{found}");
}

#[test]
fn a_store_that_turns_read_only_is_read_on_and_takes_files_again_once_it_can_be_written() {
    let found = with_a_small_disk("store_read_only", "store", "8m");
    let refused = "503 read_only";
    let refused = json!({ "save": refused, "stream": refused, "replace": refused, "health": 503 });
    assert_eq!(found["refused"], refused, "{found}");
    assert_eq!(found["read"], json!([3, 2]), "{found}");
    assert_eq!(found["delete"], "204", "{found}");
    assert_eq!(found["again"], json!({ "save": "201", "replace": "200", "health": 200 }), "{found}");
    assert_eq!(found["fsck"], json!([0, 0]), "{found}");
}

#[test]
fn a_catalog_on_a_read_only_disk_keeps_the_service_from_starting_and_says_why_and_nothing_is_lost() {
    let found = with_a_small_disk("catalog_read_only", "catalog", "8m");
    assert_eq!(found["code"], 4, "{found}");
    let told = found["told"].as_str().expect("text");
    assert!(told.contains("read-only") && told.contains("catalog.db"), "{told}");
    assert_eq!((&found["stopped_without_error"], &found["read"]), (&json!(true), &json!(2)), "{found}");
    assert_eq!(found["again"], json!({ "save": "201", "replace": "200" }), "{found}");
    assert_eq!(found["fsck"], 0, "{found}");
}
