//! Finds the plugins and programs that the build put beside the running test.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

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

/// A program that the build made: `storage`, `xtask`, `examples/NAME`.
///
/// # Panics
///
/// If it was not built, saying which command builds it.
pub fn program_path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    // A test runs from `target/PROFILE/deps`.
    let path = test.ancestors().nth(2).expect("a target folder").join(name);
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins --examples`",
        path.display()
    );
    path
}

/// `storage` in a folder of its own, away from the plugins that a build may have put beside it.
pub struct LoneProgram {
    folder: TempDir,
}

impl LoneProgram {
    /// Puts it there. The folder goes when this is dropped.
    ///
    /// # Panics
    ///
    /// As [`program_path`], and if the folder cannot be made.
    pub fn storage() -> Self {
        let built = program_path("storage");
        let folder = tempfile::tempdir_in(built.parent().expect("it lies in a folder")).expect("a folder");
        let program = Self { folder };
        std::fs::hard_link(&built, program.path()).expect("it is linked");
        program
    }

    /// The program.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("storage")
    }
}

/// Puts a library where a host looks for it, as an installer does: whole, or not at all; and so that only its owner may
/// write it.
///
/// # Panics
///
/// If it cannot be written.
#[cfg(unix)]
pub fn install(library: &[u8], path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let temporary = path.with_file_name(format!(".{}", path.file_name().expect("a name").display()));
    std::fs::write(&temporary, library).expect("written");
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    std::fs::rename(&temporary, path).expect("renamed");
}
