//! `storage plugins doctor` over libraries that do harm: each is told by file, stage and signal, and the healthy ones
//! beside them are told healthy.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use storage_tests::plugins::{LoneProgram, plugin_path};
use storage_tests::torture::{Fault, Stage, library, sound_library};
use tempfile::TempDir;

/// What a library may take for a stage, where one takes forever.
const PATIENCE: &str = "2s";

/// A folder with `plugins/` in it, and the local disk configured.
struct Site(TempDir, LoneProgram);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().expect("a temporary folder"), LoneProgram::storage());
        fs::create_dir(site.plugins()).expect("a folder");
        fs::set_permissions(site.plugins(), fs::Permissions::from_mode(0o755)).expect("permissions");
        site
    }

    fn plugins(&self) -> PathBuf {
        self.0.path().join("plugins")
    }

    fn install(&self, plugin: &str) {
        let file = self.plugins().join(format!("libstorage_backend_{plugin}.so"));
        fs::copy(plugin_path(plugin), file).expect("a copy");
    }

    /// Libraries with each of the faults at this stage, named by both.
    fn install_faults(&self, stage: Stage, faults: &[Fault]) {
        for fault in faults {
            library(&self.plugins(), &format!("{}_{}", stage.name(), fault.name()), stage, *fault);
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.1.path());
        command.args(["plugins", "doctor"]).args(arguments).current_dir(self.0.path()).env_clear();
        command.env("LOCAL_FSYNC", "false").stdin(Stdio::null());
        command
    }

    fn doctor(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// What doctor says of each library, by type, and that it ended with this code.
    fn reports(&self, arguments: &[&str], code: i32) -> Vec<Value> {
        let output = self.doctor(&[&["--json"], arguments].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}{}", String::from_utf8_lossy(&output.stdout));
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(value["sound"], code == 0);
        value["plugins"].as_array().expect("a list").clone()
    }
}

#[track_caller]
fn of<'a>(reports: &'a [Value], backend_type: &str) -> &'a Value {
    let found = reports.iter().find(|report| report["type"] == backend_type);
    found.unwrap_or_else(|| panic!("{backend_type} is missing in {reports:?}"))
}

/// What is told first of a library: state, stage and code.
#[track_caller]
fn told<'a>(reports: &'a [Value], backend_type: &str) -> (&'a str, &'a str, &'a str) {
    let report = of(reports, backend_type);
    let text = |value: &'a Value| value.as_str().unwrap_or_default();
    (text(&report["state"]), text(&report["stage"]), text(&report["findings"][0]["code"]))
}

/// The stage of the report for a stage of the fixture.
fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Constructor => "load",
        Stage::Module => "module",
        Stage::Schema => "schema",
        Stage::Open => "open",
        Stage::Exists => "check",
    }
}

#[test]
fn each_fault_is_told_with_its_stage_and_how_the_process_ended() {
    let site = Site::new();
    site.install("local");
    for stage in Stage::ALL {
        site.install_faults(stage, &[Fault::Segfault, Fault::Abort, Fault::Exit]);
    }
    let toml: String = [Fault::Segfault, Fault::Abort, Fault::Exit]
        .map(|fault| format!("[backends.open_{0}]\ntype = \"open_{0}\"\n", fault.name()))
        .concat();
    fs::write(site.0.path().join("storage.toml"), toml).expect("written");
    fs::write(site.0.path().join(".env"), "PRIMARY_BACKEND=local\n").expect("written");
    let reports = site.reports(&[], 8);
    for stage in Stage::ALL {
        for (fault, state, code, fact) in [
            (Fault::Segfault, "crashed", "plugin_crashed", "SIGSEGV"),
            (Fault::Abort, "crashed", "plugin_crashed", "SIGABRT"),
            (Fault::Exit, "exited", "plugin_exited", "exit code 3"),
        ] {
            let name = format!("{}_{}", stage.name(), fault.name());
            assert_eq!(told(&reports, &name), (state, stage_name(stage), code), "{name}");
            let finding = &of(&reports, &name)["findings"][0];
            let cause = finding["cause"].as_str().expect("a cause");
            assert!(
                cause.contains(fact) && cause.starts_with(&format!("libstorage_backend_{name}.so")),
                "{cause}"
            );
            assert!(finding["next_step"].as_str().is_some_and(|step| !step.is_empty()));
        }
    }
    assert_eq!(told(&reports, "local").0, "healthy");
    assert_eq!(of(&reports, "local")["opened"][0], "local");
}

#[test]
fn a_library_that_never_comes_back_is_ended() {
    let site = Site::new();
    for stage in [Stage::Constructor, Stage::Module, Stage::Schema] {
        site.install_faults(stage, &[Fault::Spin]);
    }
    sound_library(&site.plugins(), "sound");
    let begun = Instant::now();
    let reports = site.reports(&["--timeout", PATIENCE], 8);
    for stage in [Stage::Constructor, Stage::Module, Stage::Schema] {
        let name = format!("{}_spin", stage.name());
        assert_eq!(told(&reports, &name), ("hung", stage_name(stage), "plugin_timed_out"), "{name}");
    }
    assert_eq!(told(&reports, "sound").0, "loads");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_panic_is_told_as_the_plugins_fault() {
    let site = Site::new();
    site.install_faults(Stage::Schema, &[Fault::Panic]);
    site.install_faults(Stage::Constructor, &[Fault::Panic]);
    let reports = site.reports(&[], 8);
    assert_eq!(told(&reports, "schema_panic"), ("failed", "schema", "plugin_init_failed"));
    assert_eq!(told(&reports, "constructor_panic"), ("crashed", "load", "plugin_crashed"));
    let said = of(&reports, "constructor_panic")["said"].as_str().unwrap_or_default();
    assert!(said.contains("panicked"), "what it said on its way down is told: {said:?}");
}

#[test]
fn files_that_may_not_be_run_are_refused_and_not_run() {
    let site = Site::new();
    site.install("local");
    fs::write(site.plugins().join("libstorage_backend_text.so"), "no library").expect("written");
    let writable = library(&site.plugins(), "writable", Stage::Constructor, Fault::Segfault);
    fs::set_permissions(&writable, fs::Permissions::from_mode(0o777)).expect("permissions");
    let reports = site.reports(&[], 8);
    assert_eq!(told(&reports, "text"), ("refused", "manifest", "plugin_not_a_library"));
    assert_eq!(told(&reports, "writable"), ("refused", "manifest", "plugin_writable_by_others"));
    assert_eq!(told(&reports, "local").0, "healthy");
}

#[test]
fn a_healthy_folder_ends_with_success_and_nothing_is_written_to_the_backend() {
    let site = Site::new();
    site.install("local");
    let output = site.doctor(&[]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("healthy") && text.contains("opened local"), "{text}");
    let objects = site.0.path().join("storage/users");
    assert!(!objects.exists() && !site.0.path().join("storage/storage-doctor").exists());
    assert!(!site.0.path().join("storage-catalog.db").exists(), "no catalog is made");
}

#[test]
fn one_library_is_tried_with_settings_of_the_command_line() {
    let site = Site::new();
    site.install("local");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let path = format!("path={}", elsewhere.path().join("disk").display());
    let file = "plugins/libstorage_backend_local.so";
    site.reports(&[file, "--set", &path], 0);
    assert!(elsewhere.path().join("disk").is_dir(), "it was opened there");
    assert!(!site.0.path().join("storage").exists(), "and not where the configuration says");

    let reports = site.reports(&[file, "--set", "pathh=x", "--set", "fsync=perhaps"], 8);
    assert_eq!(told(&reports, "local"), ("failed", "open", "backend_config_invalid"));
    let facts = of(&reports, "local")["findings"][0]["facts"].to_string();
    assert!(
        facts.contains("did you mean path?") && facts.contains("perhaps"),
        "every fault at once: {facts}"
    );
}

#[test]
fn a_backend_that_does_not_open_is_told_in_the_providers_words() {
    let site = Site::new();
    site.install("local");
    fs::write(site.0.path().join("storage"), "a file where a folder should be").expect("written");
    let reports = site.reports(&[], 8);
    let (state, stage, _) = told(&reports, "local");
    assert_eq!((state, stage), ("failed", "open"));
    assert!(of(&reports, "local")["findings"][0]["facts"].to_string().contains("local"));
}

/// Waits until a condition holds.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        #[allow(
            clippy::disallowed_methods,
            reason = "nobody tells when another process maps a file or ends"
        )]
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_doctor_that_is_killed_leaves_no_library_running() {
    let site = Site::new();
    let spinning = library(&site.plugins(), "spinning", Stage::Constructor, Fault::Spin);
    let mut command = site.command(&["--timeout", "10min"]);
    let mut doctor: Child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    eventually("the library is loaded", || !processes_with(&spinning).is_empty());
    doctor.kill().expect("killed");
    doctor.wait().expect("ended");
    eventually("its process ends", || processes_with(&spinning).is_empty());
}

/// The processes that have a file mapped.
fn processes_with(file: &Path) -> Vec<String> {
    let file = file.to_str().expect("Unicode");
    let processes = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    // A process may end while it is looked at.
    let has = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("maps")).is_ok_and(|maps| maps.contains(file))
    };
    processes.filter(has).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
