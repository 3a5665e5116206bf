//! Programs of the system that tests start: installed where the system's packages can be, else named.

use std::env;
use std::process::{Command, Stdio};

/// A program, and the package that brings it.
const TOOLS: [(&str, &str); 3] = [("strace", "strace"), ("unshare", "util-linux"), ("setpriv", "util-linux")];

/// Installs what is missing. What cannot be installed is named with the command that would, and so does every test that
/// needs it, which then fails.
pub(crate) fn provide() {
    if !cfg!(target_os = "linux") {
        return;
    }
    for (tool, package) in TOOLS {
        if is_on_path(tool) {
            continue;
        }
        eprintln!("installing {package} for {tool} …");
        let installed = succeeds(Command::new("apt-get").args(["install", "--yes", package]))
            // The lists of packages may be old, or not there yet.
            || (succeeds(Command::new("apt-get").arg("update"))
                && succeeds(Command::new("apt-get").args(["install", "--yes", package])));
        if !installed {
            eprintln!("{tool} is missing: `apt-get install {package}` (or its like) provides it");
        }
    }
}

fn is_on_path(tool: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(tool).is_file()))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
