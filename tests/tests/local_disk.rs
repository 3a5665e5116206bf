//! The `local` plugin on a disk that is full, read-only or closed to it.
//!
//! Each disk is a small one of its own, mounted in a namespace that ends with the test's child process: nothing of
//! the machine is touched. Without privileges the namespace is a user's, which Linux lets anybody make.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use storage_tests::plugins::plugin_path;

/// Runs a scenario on a disk of 4 MiB.
fn on_a_small_disk(scenario: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script = "mount -t tmpfs -o size=4m none \"$2\" && exec \"$0\" \"$@\"";
    command.args(["sh", "-c", script, env!("CARGO_BIN_EXE_local_disk")]);
    told(command.arg(plugin_path("local")).arg(folder.path()).arg(scenario))
}

/// What the child found.
fn told(command: &mut Command) -> Value {
    let output = command.output().expect("the child starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_full_disk_refuses_saves_keeps_what_it_has_and_leaves_nothing_half_done() {
    let found = on_a_small_disk("full");
    assert_eq!(found["buffer"], "no_space", "{found}");
    assert_eq!(found["stream"], "no_space", "{found}");
    assert_eq!(found["listed"], found["saved"], "{found}");
    assert!(found["saved"].as_u64().is_some_and(|saved| saved > 5), "{found}");
    assert_eq!(found["left_in_staging"], 0, "{found}");
    assert_eq!(found["read_bytes"], 256 * 1024, "{found}");
    assert_eq!(found["after_a_delete"], "ok", "{found}");
}

#[test]
fn what_is_longer_than_there_is_room_for_is_refused_early_where_it_says_so_and_never_kept_in_part() {
    let found = on_a_small_disk("too_long");
    assert_eq!((&found["told"], &found["untold"]), (&json!("no_space"), &json!("no_space")), "{found}");
    assert!(found["taken_of_told_bytes"].as_u64().is_some_and(|taken| taken < 3 << 20), "{found}");
    assert_eq!((&found["exists"], &found["left_in_staging"]), (&json!(false), &json!(0)), "{found}");
}

#[test]
fn a_read_only_disk_refuses_changes_and_can_still_be_opened_and_read() {
    let found = on_a_small_disk("read_only");
    let expected = json!({
        "save": "read_only",
        "delete": "read_only",
        "content": "content",
        "health": "read_only",
        "open": "ok",
    });
    assert_eq!(found, expected);
}

#[test]
fn a_folder_that_is_closed_to_the_process_is_a_matter_of_permission() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).expect("it is made");
    std::fs::set_permissions(&closed, Permissions::from_mode(0o500)).expect("it is closed");
    let mut command = as_anybody();
    let found = told(command.arg(plugin_path("local")).arg(closed.join("store")).arg("open"));
    assert_eq!(found["open"], "permission_denied");
}

#[test]
fn a_root_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("it is written");
    let found = told(program().arg(plugin_path("local")).arg(&file).arg("open"));
    assert_eq!(found["open"], "config_invalid");
    assert_eq!(std::fs::read(&file).expect("it is there"), b"x");
}

fn program() -> Command {
    Command::new(Path::new(env!("CARGO_BIN_EXE_local_disk")))
}

/// The program without root's right to pass by permissions.
fn as_anybody() -> Command {
    if !rustix::process::geteuid().is_root() {
        return program();
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_local_disk")]);
    command
}
