//! A running service tells what happens in its plugin directory, and goes on with the plugins that it has loaded.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use storage_tests::plugins::{LoneProgram, install, plugin_path};
use tempfile::TempDir;

/// The service. It is killed where a test fails before its end.
struct Service {
    child: Child,
    lines: Receiver<String>,
    _program: LoneProgram,
}

impl Service {
    fn start(home: &Path) -> Self {
        let program = LoneProgram::storage();
        let mut command = Command::new(program.path());
        command.args(["serve", "--bind", "127.0.0.1:0"]).current_dir(home).env_clear();
        command
            .env("PLUGIN_DIR", "made/later/plugins:plugins")
            .env("LOCAL_FSYNC", "false")
            .env("NO_COLOR", "1");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the service starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // A test that has what it wants listens no longer.
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        Self { child, lines, _program: program }
    }

    /// Waits for a line of the log with all of these texts.
    fn tells(&self, texts: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut heard = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if texts.iter().all(|text| line.contains(text)) {
                return;
            }
            heard.push(line);
        }
        panic!("{texts:?} was not told:\n{}", heard.join("\n"));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Mostly it ended before.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn home_with_local() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plugins = home.path().join("plugins");
    fs::create_dir(&plugins).expect("a folder");
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("permissions");
    (home, plugins)
}

#[test]
fn a_signal_lets_the_service_read_its_configuration_again() {
    let (home, plugins) = home_with_local();
    install(&fs::read(plugin_path("local")).expect("read"), &plugins.join("liblocal.so"));
    let service = Service::start(home.path());
    service.tells(&["listening on"]);
    let hang_up = || kill_process(Pid::from_child(&service.child), Signal::HUP).expect("sent");
    fs::write(home.path().join(".env"), "PRIMARY_BACKEND=memory\n").expect("written");
    hang_up();
    service.tells(&["ERROR", "everything goes on as before", "plugin_not_found"]);
    install(&fs::read(plugin_path("memory")).expect("read"), &plugins.join("libmemory.so"));
    service.tells(&["INFO", "was put into the plugin directory", "memory"]);
    hang_up();
    service.tells(&["INFO", "new files go to another backend", "local", "memory"]);
    service.tells(&["INFO", "was read again", "not_configured=[\"local\"]"]);
    // The new plugin is in use now, which the watch knows.
    install(b"another build", &plugins.join("libmemory.so"));
    service.tells(&["WARN", "was replaced", "libmemory.so"]);
}

#[test]
fn what_happens_in_the_plugin_directory_is_told_and_the_loaded_plugin_goes_on() {
    let (home, plugins) = home_with_local();
    let [local, memory] = ["local", "memory"].map(|name| fs::read(plugin_path(name)).expect("read"));
    install(&local, &plugins.join("liblocal.so"));
    let mut service = Service::start(home.path());
    service.tells(&["listening on"]);

    install(&memory, &plugins.join("libmemory.so"));
    service.tells(&["INFO", "was put into the plugin directory", "libmemory.so", "memory"]);
    install(b"no library", &plugins.join("libbroken.so"));
    service.tells(&["WARN", "cannot be used", "libbroken.so", "plugin_not_a_library"]);
    install(&[local.as_slice(), b"another build"].concat(), &plugins.join("liblocal.so"));
    service.tells(&["WARN", "was replaced", "liblocal.so", "until the service is started again"]);
    fs::remove_file(plugins.join("libmemory.so")).expect("removed");
    service.tells(&["INFO", "was removed", "libmemory.so"]);
    fs::remove_file(plugins.join("liblocal.so")).expect("removed");
    service.tells(&["WARN", "was removed", "liblocal.so", "goes on"]);

    // Neither it nor what it lies in was there when the service started.
    let later = home.path().join("made/later/plugins");
    fs::create_dir_all(&later).expect("folders");
    fs::set_permissions(&later, fs::Permissions::from_mode(0o755)).expect("permissions");
    install(&memory, &later.join("libmemory.so"));
    service.tells(&["INFO", "was put into the plugin directory", "made/later", "memory"]);
    fs::rename(&later, home.path().join("former")).expect("moved away");
    service.tells(&["INFO", "was removed", "made/later"]);
    fs::create_dir(&later).expect("another folder in its place");
    fs::set_permissions(&later, fs::Permissions::from_mode(0o755)).expect("permissions");
    install(&memory, &later.join("libanother.so"));
    service.tells(&["INFO", "was put into the plugin directory", "libanother.so"]);

    kill_process(Pid::from_child(&service.child), Signal::TERM).expect("sent");
    assert!(service.child.wait().expect("it ends").success());
}
