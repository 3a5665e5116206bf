//! Programs of the system that tests and benches start: installed where the system's packages can be, else named.

use std::env;
use std::process::{Command, Stdio};

/// A program, and the package that brings it.
const TOOLS: [(&str, &str); 6] = [
    ("strace", "strace"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    // With these the servers that tests talk to are installed and started.
    ("python3", "python3-venv"),
    ("npm", "npm"),
    ("openssl", "openssl"),
];

/// Installs what is missing. What cannot be installed is named with the command that would, and so does every test that
/// needs it, which then fails.
pub(crate) fn provide() {
    if !cfg!(target_os = "linux") {
        return;
    }
    for (tool, package) in TOOLS {
        if !install(tool, package) {
            eprintln!("{tool} is missing: `apt-get install {package}` (or its like) provides it");
        }
    }
    // Debian's Python comes without what makes a virtual environment.
    if is_installed("python3")
        && !succeeds(Command::new("python3").args(["-c", "import ensurepip"]))
        && !install_package("python3-venv")
    {
        eprintln!("python3 has no venv: `apt-get install python3-venv` (or its like) provides it");
    }
}

/// Makes sure that one program is there; `false` where it is not and cannot be installed.
pub(crate) fn install(tool: &str, package: &str) -> bool {
    if is_installed(tool) {
        return true;
    }
    eprintln!("installing {package} for {tool} …");
    install_package(package)
}

fn install_package(package: &str) -> bool {
    let install = || succeeds(Command::new("apt-get").args(["install", "--yes", package]));
    // The lists of packages may be old, or not there yet.
    install() || (succeeds(Command::new("apt-get").arg("update")) && install())
}

/// On the PATH or, as programs of administrators are, beside it.
fn is_installed(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let beside = ["/usr/sbin", "/usr/local/sbin"].map(Into::into);
    env::split_paths(&path).chain(beside).any(|folder| folder.join(tool).is_file())
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
