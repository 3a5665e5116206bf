//! Which libraries a host loads at all: none that others may write, none that its directory's lock does not have.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use storage_host::plugin::{BackendRegistry, Code, Diagnosis};
use storage_tests::plugins::{LoneProgram, plugin_path};
use tempfile::TempDir;

/// A folder with `plugins/` in it, where a host may run.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir(site.plugins()).expect("a folder");
        allow(&site.plugins(), 0o755);
        site
    }

    fn with_probe() -> Self {
        let site = Self::new();
        site.install("probe");
        site
    }

    fn plugins(&self) -> PathBuf {
        self.0.path().join("plugins")
    }

    fn file(&self, backend_type: &str) -> PathBuf {
        self.plugins().join(format!("libstorage_backend_{backend_type}.so"))
    }

    fn install(&self, plugin: &str) -> PathBuf {
        let file = self.file(plugin);
        fs::copy(plugin_path(plugin), &file).expect("a copy");
        allow(&file, 0o755);
        file
    }

    fn refusal(&self, backend_type: &str) -> Diagnosis {
        BackendRegistry::discover(&[self.plugins()]).load(backend_type).map(drop).expect_err("it is refused")
    }

    fn loads(&self, backend_type: &str) {
        BackendRegistry::discover(&[self.plugins()]).load(backend_type).expect("it is loaded");
    }

    fn storage(&self, arguments: &[&str]) -> Output {
        // Away from the plugins that a build may have put beside it: they are not to be locked.
        let program = LoneProgram::storage();
        let mut command = Command::new(program.path());
        command.args(arguments).current_dir(self.0.path()).env_clear().env("PLUGIN_DIR", "plugins");
        command.output().expect("the program starts")
    }

    fn storage_json(&self, arguments: &[&str]) -> Value {
        let output = self.storage(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the permissions are set");
}

#[test]
fn a_library_that_others_may_write_is_not_loaded() {
    let site = Site::with_probe();
    let file = site.file("probe");
    allow(&file, 0o757);
    let refusal = site.refusal("probe");
    assert_eq!((refusal.code, refusal.path.as_deref()), (Code::Writable, Some(file.as_path())));
    assert!(refusal.next_step.ends_with(&format!("chmod go-w {}", file.display())), "{}", refusal.next_step);
    allow(&file, 0o755);
    site.loads("probe");
}

#[test]
fn nothing_is_loaded_from_a_directory_that_others_may_write() {
    let site = Site::with_probe();
    allow(&site.plugins(), 0o1777);
    assert_eq!(site.refusal("probe").code, Code::DirectoryWritable);
    let listed = site.storage_json(&["plugins", "list", "--json"]);
    assert_eq!(listed["directories"][0]["fault"]["code"], "plugin_dir_writable_by_others");
    assert_eq!(listed["plugins"][0]["state"], "refused");
    assert_eq!(listed["plugins"][0]["type"], "probe", "what lies there is told all the same");
}

#[test]
fn an_untrusted_library_does_not_hide_a_trusted_one_in_a_later_directory() {
    let (untrusted, trusted) = (Site::with_probe(), Site::with_probe());
    allow(&untrusted.plugins(), 0o777);
    let mut registry = BackendRegistry::discover(&[untrusted.plugins(), trusted.plugins()]);
    assert_eq!(registry.load("probe").expect("the trusted one").path(), trusted.file("probe"));
}

#[test]
fn a_link_is_followed_inside_of_its_directory_only() {
    let site = Site::new();
    let outside = site.0.path().join("elsewhere.so");
    fs::copy(plugin_path("probe"), &outside).expect("a copy");
    symlink(&outside, site.file("probe")).expect("a link");
    let refusal = site.refusal("probe");
    assert_eq!(refusal.code, Code::LinkLeadsOut);
    assert!(refusal.cause.contains("elsewhere.so"), "{}", refusal.cause);

    let releases = site.plugins().join("releases");
    fs::create_dir(&releases).expect("a folder");
    allow(&releases, 0o755);
    fs::rename(&outside, releases.join("probe-1.so")).expect("moved");
    allow(&releases.join("probe-1.so"), 0o755);
    fs::remove_file(site.file("probe")).expect("removed");
    symlink("releases/probe-1.so", site.file("probe")).expect("a link");
    site.loads("probe");
    allow(&releases, 0o777);
    assert_eq!(site.refusal("probe").code, Code::Writable, "the folder decides who may replace the file");
}

#[test]
fn a_locked_directory_loads_what_was_locked_and_nothing_else() {
    let site = Site::with_probe();
    fs::write(site.file("broken"), "no library").expect("written");
    let locks = site.storage_json(&["plugins", "lock", "--json"]);
    let plugin = &locks[0]["plugins"][0];
    assert_eq!((&plugin["type"], &locks[0]["plugins"][1]), (&Value::from("probe"), &Value::Null));
    assert_eq!(plugin["sha256"].as_str().map(str::len), Some(64));
    site.loads("probe");

    // One that was not there.
    site.install("memory");
    let refusal = site.refusal("memory");
    assert_eq!(refusal.code, Code::NotLocked);
    assert!(refusal.next_step.contains("storage plugins lock"), "{}", refusal.next_step);

    // One that is another now, though it is as good a plugin. The file that is loaded must keep its bytes.
    let mut bytes = fs::read(site.file("probe")).expect("read");
    bytes.push(0);
    fs::remove_file(site.file("probe")).expect("removed");
    fs::write(site.file("probe"), bytes).expect("written");
    let refusal = site.refusal("probe");
    assert_eq!(refusal.code, Code::ChecksumDiffers);
    let fact =
        |name: &str| refusal.facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.clone());
    assert_eq!(fact("expected_sha256").as_deref(), plugin["sha256"].as_str());
    assert_ne!(fact("found_sha256"), fact("expected_sha256"));

    // Whoever installed them says so.
    let locks = site.storage_json(&["plugins", "lock", "--json"]);
    assert_eq!(locks[0]["plugins"].as_array().map(Vec::len), Some(2));
    site.loads("memory");
    // This process has the former code, and does not pass it off as the new.
    let refusal = site.refusal("probe");
    assert!(refusal.next_step.contains("restart the host"), "{refusal}");
}

#[test]
fn a_library_that_is_replaced_between_search_and_load_is_not_loaded() {
    let site = Site::with_probe();
    site.storage_json(&["plugins", "lock", "--json"]);
    let mut registry = BackendRegistry::discover(&[site.plugins()]);
    assert_eq!(registry.list_available_backends(), ["probe"]);
    fs::copy(plugin_path("memory"), site.file("probe")).expect("replaced");
    assert_eq!(registry.load("probe").map(drop).expect_err("refused").code, Code::ChecksumDiffers);
}

#[test]
fn a_lock_that_cannot_be_relied_on_refuses_everything_until_it_is_written_anew() {
    let site = Site::with_probe();
    let lock = site.plugins().join("plugins.lock");
    for content in ["no lock\n", "version = 2\n", "version = 1\nplugins = []\n"] {
        fs::write(&lock, content).expect("written");
        let refusal = site.refusal("probe");
        assert_eq!(
            (refusal.code, refusal.path.as_deref()),
            (Code::LockInvalid, Some(lock.as_path())),
            "{content}"
        );
    }
    site.storage_json(&["plugins", "lock", "--json"]);
    site.loads("probe");
    allow(&lock, 0o666);
    assert_eq!(site.refusal("probe").code, Code::LockInvalid);
    site.storage_json(&["plugins", "lock", "--json"]);
    site.loads("probe");
}

#[test]
fn a_plugin_that_no_backend_needs_stops_nothing() {
    let site = Site::new();
    site.install("local");
    allow(&site.install("memory"), 0o777);
    let output = site.storage(&["backends", "list", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = site.storage(&["plugins", "list"]);
    let text = String::from_utf8(listed.stdout).expect("text");
    assert!(text.contains("plugin_writable_by_others") && text.contains("usable"), "{text}");
}

#[test]
fn a_pipe_among_the_libraries_holds_up_nobody() {
    let site = Site::with_probe();
    let made = Command::new("mkfifo").arg(site.file("pipe")).status().expect("mkfifo");
    assert!(made.success());
    assert_eq!(site.refusal("pipe").code, Code::NotALibrary);
    site.loads("probe");
}
