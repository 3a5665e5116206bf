//! A running service tells what happens in its plugin directory, and goes on with the plugins that it has loaded.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use storage_tests::plugins::plugin_path;

/// The service. It is killed where a test fails before its end.
struct Service {
    child: Child,
    lines: Receiver<String>,
}

impl Service {
    fn start(home: &Path) -> Self {
        let test = std::env::current_exe().expect("the running test has a path");
        let program = test.ancestors().nth(2).expect("a target folder").join("storage");
        let mut command = Command::new(program);
        command.args(["serve", "--bind", "127.0.0.1:0"]).current_dir(home).env_clear();
        command.env("PLUGIN_DIR", "plugins").env("LOCAL_FSYNC", "false").env("NO_COLOR", "1");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the service starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // A test that has what it wants listens no longer.
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        Self { child, lines }
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

/// Puts a library in its place as an installer does: whole, or not at all.
fn install(folder: &Path, file: &str, content: &[u8]) {
    let temporary = folder.join(".new");
    fs::write(&temporary, content).expect("written");
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).expect("permissions");
    fs::rename(&temporary, folder.join(file)).expect("renamed");
}

#[test]
fn what_happens_in_the_plugin_directory_is_told_and_the_loaded_plugin_goes_on() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plugins = home.path().join("plugins");
    fs::create_dir(&plugins).expect("a folder");
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("permissions");
    let local = fs::read(plugin_path("local")).expect("read");
    install(&plugins, "liblocal.so", &local);
    let mut service = Service::start(home.path());
    service.tells(&["listening on"]);

    install(&plugins, "libmemory.so", &fs::read(plugin_path("memory")).expect("read"));
    service.tells(&["INFO", "was put into the plugin directory", "libmemory.so", "memory"]);
    install(&plugins, "libbroken.so", b"no library");
    service.tells(&["WARN", "cannot be used", "libbroken.so", "plugin_not_a_library"]);
    install(&plugins, "liblocal.so", &[local.as_slice(), b"another build"].concat());
    service.tells(&["WARN", "was replaced", "liblocal.so", "until the service is started again"]);
    fs::remove_file(plugins.join("libmemory.so")).expect("removed");
    service.tells(&["INFO", "was removed", "libmemory.so"]);
    fs::remove_file(plugins.join("liblocal.so")).expect("removed");
    service.tells(&["WARN", "was removed", "liblocal.so", "goes on"]);

    kill_process(Pid::from_child(&service.child), Signal::TERM).expect("sent");
    assert!(service.child.wait().expect("it ends").success());
}
