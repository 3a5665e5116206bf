//! A plugin that a stranger could have written, `tests/fixtures/third-party/sftp`: built outside of the workspace with its
//! own lock file, dropped into the directory of a running service, verified and used, against OpenSSH's SFTP server.
#![cfg(unix)]

use std::env;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use storage_tests::plugins::install;

use crate::sandbox::{Run, Sandbox, run};
use crate::serve::Service;

/// Where systems have the server.
const SERVER: [&str; 4] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];

fn library_name() -> String {
    format!("{DLL_PREFIX}storage_backend_sftp{DLL_SUFFIX}")
}

/// What is built and installed for these tests is kept for the next run.
fn folder() -> PathBuf {
    let test = env::current_exe().expect("the running test has a path");
    test.ancestors().nth(3).expect("a target folder").join("third-party")
}

/// Cargo in the folder of the plugin.
fn cargo(arguments: &[&str]) -> Run {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/third-party/sftp");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate_folder).env("CARGO_TARGET_DIR", folder());
    // Those of the workspace's own run would build everything anew.
    for variable in ["RUSTFLAGS", "RUSTDOCFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    run(cargo.args(arguments))
}

/// Builds the plugin, from its own lock file and nothing else.
fn build() -> Vec<u8> {
    cargo(&["build", "--locked"]).succeeded();
    fs::read(folder().join("debug").join(library_name())).expect("the built library")
}

/// OpenSSH's server: that of the system, else the one of the system's packages, which is unpacked and not installed.
fn server() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| system_server().unwrap_or_else(unpacked_server)).clone()
}

fn system_server() -> Option<PathBuf> {
    SERVER.iter().map(PathBuf::from).find(|path| path.is_file())
}

fn unpacked_server() -> PathBuf {
    let unpacked = folder().join("openssh");
    let program = unpacked.join("usr/lib/openssh/sftp-server");
    if program.is_file() {
        return program;
    }
    let parts = tempfile::tempdir_in(folder()).expect("a folder");
    let shell = |line: &str| {
        let output = Command::new("sh").args(["-ec", line]).current_dir(parts.path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let fetch = "apt-get download openssh-sftp-server";
    let fetched = shell(fetch) || (shell("apt-get update") && shell(fetch));
    assert!(
        fetched && shell("dpkg-deb --extract openssh-sftp-server_*.deb out"),
        "none of {SERVER:?} is there, and the system's packages do not give it: install OpenSSH's SFTP server, on \
         Debian with `apt-get install openssh-sftp-server`"
    );
    // Another test may have been first, which has the same.
    fs::rename(parts.path().join("out"), &unpacked).ok();
    assert!(program.is_file(), "the package has no {}", program.display());
    program
}

/// The settings that lead to the server, with a folder in the sandbox.
fn settings(sandbox: &Sandbox, folder: &str) -> [String; 2] {
    [format!("command={}", server().display()), format!("path={}", sandbox.path(folder).display())]
}

fn put(sandbox: &Sandbox, library: &[u8]) {
    install(library, &sandbox.path("plugins").join(library_name()));
}

#[test]
fn it_builds_outside_of_the_workspace_and_does_what_it_declares_on_a_real_server() {
    cargo(&["test", "--locked"]).succeeded();
    let sandbox = Sandbox::new();
    put(&sandbox, &build());
    let [command, path] = settings(&sandbox, "remote");
    let verify = ["plugins", "verify", "sftp", "--json", "--set", &command, "--set", &path];
    let report = sandbox.storage(&verify).succeeded().json();
    assert_eq!((&report["passes"], &report["failed"]), (&true.into(), &0.into()), "{report}");
    assert_eq!(report["left_out"], 0, "it keeps what it holds, so that every case runs: {report}");
    assert_eq!(
        report["backend"]["capabilities"],
        serde_json::json!(["write_if_absent", "tags", "list_metadata"])
    );
    let left: Vec<_> = walk(&sandbox.path("remote")).into_iter().filter(|path| path.is_file()).collect();
    assert!(left.is_empty(), "the suite, or a save, left behind {left:?}");
}

#[test]
fn it_is_dropped_into_a_running_service_which_saves_and_reads_through_it() {
    let sandbox = Sandbox::new();
    let admin = sandbox.storage(&["keys", "create", "ops", "--admin"]).succeeded().line();
    let key = sandbox.storage(&["keys", "create", "app"]).succeeded().line();
    let service = Service::start(&sandbox, &[]);
    put(&sandbox, &build());
    let url = format!("http://{}", service.address);
    let [command, path] = settings(&sandbox, "remote");
    let administer = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        run(command.args(["--url", &url]).env("STORAGE_ADMIN_KEY", &admin)).succeeded()
    };
    administer(&["backends", "open", "archive", "sftp", "--set", &command, "--set", &path]);
    administer(&["backends", "switch", "archive"]);
    let head = |length: usize| {
        format!(
            "HTTP/1.1\r\nHost: storage\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nX-User-Id: ada\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let content = "on an SFTP server ".repeat(20_000);
    let saved = service.ask(&format!("POST /v1/files?filename=a.txt {}{content}", head(content.len())));
    assert!(saved.starts_with("HTTP/1.1 201") && saved.contains("\"backend\":\"archive\""), "{saved}");
    let file =
        saved.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned();
    let read = service.ask(&format!("GET /v1/files/{file}/content {}", head(0)));
    assert!(read.starts_with("HTTP/1.1 200") && read.ends_with(&content), "{}", &read[..read.len().min(500)]);
    drop(service);

    // What the configuration names outlives the process.
    let [command, path] =
        [command, path].map(|setting| setting.split_once('=').expect("a pair").1.to_owned());
    sandbox.write(
        "storage.toml",
        format!("[backends.archive]\ntype = \"sftp\"\ncommand = {command:?}\npath = {path:?}\n"),
    );
    let read = sandbox.storage(&["get", &file, "--user", "ada"]).succeeded();
    assert_eq!(read.text(), content);
    sandbox.storage(&["test", "--backend", "archive"]).succeeded();
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("listed").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
