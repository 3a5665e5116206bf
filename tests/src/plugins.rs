//! Finds the plugins that the build put beside the running test.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::PathBuf;

/// The library of the plugin that the package `storage-fixture-NAME` (else `storage-backend-NAME`) builds.
///
/// # Panics
///
/// If it was not built, saying which command builds it.
pub fn plugin_path(name: &str) -> PathBuf {
    let executable = std::env::current_exe().expect("the running test has a path");
    let names = [format!("storage_fixture_{name}"), format!("storage_backend_{name}")];
    let files = names.map(|name| format!("{DLL_PREFIX}{}{DLL_SUFFIX}", name.replace('-', "_")));
    // A test runs from `target/PROFILE/deps`, an example from `target/PROFILE/examples`.
    let folders = executable.ancestors().skip(1).take(2);
    let found = folders
        .flat_map(|folder| files.iter().map(move |file| folder.join(file)))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "none of {files:?} was found near {}: build the plugins with `cargo build --workspace`, \
             or run the tests with `cargo test --workspace`",
            executable.display()
        )
    })
}
