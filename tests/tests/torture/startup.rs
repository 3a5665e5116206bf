//! Faults that may end the process, tried in a child: in the library's initialisers, the module loader, the schema
//! and `open`, and in a waker.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use storage_core::abi::read_manifest;
use storage_tests::plugins::plugin_path;
use storage_tests::torture::{Fault, Stage, library, sound_library};
use tempfile::TempDir;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;

/// What a child prints on its way to a stage.
fn on_the_way_to(stage: Stage) -> &'static [&'static str] {
    match stage {
        Stage::Constructor | Stage::Module | Stage::Schema => &["loading"],
        Stage::Open | Stage::Exists => &["loading", "loaded"],
    }
}

/// A child that uses the memory plugin and one of these.
fn child(plugin: &Path) -> Child {
    child_that_saves(plugin, None)
}

/// The same, which saves something under a key.
fn child_that_saves(plugin: &Path, key: Option<&str>) -> Child {
    Command::new(env!("CARGO_BIN_EXE_plugin_child"))
        .args([&plugin_path("memory"), plugin])
        .args(key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts")
}

/// What it printed until its end, and how it ended.
fn ended(mut child: Child) -> (Vec<String>, ExitStatus) {
    let mut output = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut output).expect("it prints text");
    (output.lines().map(str::to_owned).collect(), child.wait().expect("it ends"))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_library_without_a_fault_works() {
    let folder = folder();
    let (lines, status) = ended(child(&sound_library(folder.path(), "sound")));
    assert_eq!(lines, ["loading", "loaded", "opened", "healthy"]);
    assert!(status.success());
}

#[test]
fn a_fault_that_ends_the_process_ends_it_at_its_own_stage() {
    let folder = folder();
    for stage in Stage::ALL {
        for (fault, signal, code) in [
            (Fault::Segfault, Some(SIGSEGV), None),
            (Fault::Abort, Some(SIGABRT), None),
            (Fault::Exit, None, Some(3)),
        ] {
            let plugin = library(folder.path(), &format!("{}_{}", stage.name(), fault.name()), stage, fault);
            let (lines, status) = ended(child(&plugin));
            assert_eq!(lines, on_the_way_to(stage), "{stage:?} {fault:?}");
            assert_eq!((status.signal(), status.code()), (signal, code), "{stage:?} {fault:?}");
        }
    }
}

#[test]
fn a_panic_is_an_error_where_the_host_calls_and_ends_the_process_before() {
    let folder = folder();
    for stage in Stage::ALL {
        let (lines, status) = ended(child(&library(folder.path(), stage.name(), stage, Fault::Panic)));
        match stage {
            Stage::Constructor | Stage::Module => {
                assert_eq!(lines, on_the_way_to(stage), "{stage:?}");
                assert_eq!(status.signal(), Some(SIGABRT), "{stage:?}");
            }
            Stage::Schema | Stage::Open | Stage::Exists => {
                let (error, before) = lines[..lines.len() - 1].split_last().expect("it prints");
                assert_eq!(before, on_the_way_to(stage), "{stage:?}");
                assert!(error.contains("the plugin panicked: the torture plugin panics"), "{error}");
                assert_eq!(lines.last().map(String::as_str), Some("healthy"), "{stage:?}");
                assert!(status.success(), "{stage:?}");
            }
        }
    }
}

#[test]
fn a_library_that_never_comes_back_can_be_killed_and_is_known_to_run() {
    let folder = folder();
    for stage in Stage::ALL {
        let mut child = child(&library(folder.path(), stage.name(), stage, Fault::Spin));
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        for expected in on_the_way_to(stage) {
            let mut line = String::new();
            output.read_line(&mut line).expect("it prints text");
            assert_eq!(line.trim(), *expected);
        }
        // It burns processor time: it neither waits for something nor has ended.
        while processor_time(&child) < Duration::from_millis(200) {
            assert!(child.try_wait().expect("a child").is_none(), "{stage:?}: it ended");
            std::thread::yield_now();
        }
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(SIGKILL), "{stage:?}");
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("it prints text");
        assert_eq!(rest, "", "{stage:?}: it came further than that");
    }
}

/// The processor time that a child has used.
#[cfg(target_os = "linux")]
fn processor_time(child: &Child) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("the child is there");
    // User time is the 14th field; the second one, the name in brackets, may hold blanks.
    let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
    let ticks: u64 = fields.split_whitespace().nth(11).expect("user time").parse().expect("a number");
    Duration::from_millis(ticks * 10)
}

/// Without a count, a moment stands in for it.
#[cfg(not(target_os = "linux"))]
fn processor_time(_child: &Child) -> Duration {
    std::thread::park_timeout(Duration::from_millis(500));
    Duration::from_secs(1)
}

#[test]
fn the_manifest_of_each_is_read_without_harm() {
    let folder = folder();
    for stage in Stage::ALL {
        for fault in Fault::ALL {
            let backend_type = format!("{}_{}", stage.name(), fault.name());
            let manifest =
                read_manifest(&library(folder.path(), &backend_type, stage, fault)).expect("sound");
            assert_eq!(manifest.backend_type, backend_type);
            assert_eq!(manifest.variable_prefix, "TORTURE_");
        }
    }
}

#[test]
fn a_waker_that_panics_ends_the_process_and_nothing_unwinds_into_the_host() {
    let folder = folder();
    let plugin = sound_library(folder.path(), "sound");
    let (lines, status) = ended(child_that_saves(&plugin, Some("other")));
    assert_eq!(lines, ["loading", "loaded", "opened", "saved: true", "healthy"]);
    assert!(status.success());
    let (lines, status) = ended(child_that_saves(&plugin, Some("waker-panics")));
    assert_eq!(lines, ["loading", "loaded", "opened"]);
    assert_eq!(status.signal(), Some(SIGABRT));
}
