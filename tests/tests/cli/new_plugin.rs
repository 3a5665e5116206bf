//! From nothing to a verified plugin, outside of this workspace: what `docs/plugin-guide.md` leads through.

use std::env;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;

use storage_tests::plugins::program_path;

use crate::sandbox::{Run, Sandbox, run};

/// The guide's own choice.
const TYPE: &str = "shelf";

fn new_plugin(name: &str, folder: &Path) -> Run {
    run(Command::new(program_path("xtask")).args(["new-plugin", name, "--standalone"]).arg(folder))
}

/// A target folder that stays, so that what the new crate depends on is compiled once.
fn target_folder() -> PathBuf {
    let test = env::current_exe().expect("the running test has a path");
    test.ancestors().nth(3).expect("a target folder").join("new-plugin")
}

/// Cargo in the new crate, without a network: all that it needs, this workspace has.
fn cargo(folder: &Path, command: &str) -> Run {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(cargo);
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", target_folder());
    run(cargo.args([command, "--offline"]))
}

#[test]
fn a_new_plugin_builds_passes_its_tests_is_found_and_does_what_every_backend_must() {
    let sandbox = Sandbox::empty();
    let folder = sandbox.path("crates");
    std::fs::create_dir(&folder).expect("a folder");
    let folder = folder.join(TYPE);
    new_plugin(TYPE, &folder).succeeded();
    cargo(&folder, "test").succeeded();
    cargo(&folder, "build").succeeded();

    let name = format!("{DLL_PREFIX}storage_backend_{TYPE}{DLL_SUFFIX}");
    let plugins = sandbox.path("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    std::fs::copy(target_folder().join("debug").join(&name), plugins.join(&name)).expect("the built library");
    let listed = sandbox.storage(&["plugins", "list", "--json"]).succeeded().json();
    let found = listed["plugins"].as_array().and_then(|all| all.iter().find(|plugin| plugin["type"] == TYPE));
    assert_eq!(found.expect("listed")["state"], "usable");

    let report = sandbox.storage(&["plugins", "verify", TYPE, "--volatile", "--json"]).succeeded().json();
    assert_eq!((&report["passes"], &report["failed"]), (&true.into(), &0.into()), "{report}");
    assert!(report["passed"].as_u64().is_some_and(|passed| passed > 200), "{report}");
}

#[test]
fn a_name_or_a_folder_that_will_not_do_is_refused_and_nothing_is_made() {
    let sandbox = Sandbox::empty();
    new_plugin("Shelf", &sandbox.path("made")).ended(1).tells(&["\"Shelf\"", "lower-case letter"]);
    std::fs::create_dir(sandbox.path("taken")).expect("a folder");
    new_plugin(TYPE, &sandbox.path("taken")).ended(1).tells(&["there already"]);
    assert_eq!(sandbox.names("."), ["taken"]);
    assert!(sandbox.names("taken").is_empty());
}
