//! `storage scrub`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("listed").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn what_is_damaged_is_listed_ends_with_code_8_and_is_in_the_audit_log() {
    let sandbox = Sandbox::new();
    let id = sandbox.put("ada", "a.txt", b"what was saved");
    sandbox.put("ada", "b.txt", b"another file");
    let begun = Instant::now();
    let run = sandbox.storage(&["scrub", "--rate", "100B/s"]).succeeded();
    assert!(begun.elapsed() >= Duration::from_millis(260), "26 bytes in {:?}", begun.elapsed());
    assert_eq!(run.text(), "local: 2 versions read, 26 B\neverything is what was saved\n");

    let holds = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| bytes == b"what was saved");
    let content = files(&sandbox.path("storage")).into_iter().find(holds).expect("it is on the disk");
    fs::write(&content, b"what was SAVED").expect("altered");
    let run = sandbox.storage(&["scrub"]).ended(8);
    assert!(run.text().contains("DAMAGE") && run.text().contains("altered"), "{}", run.text());
    assert!(run.text().contains(&id) && run.text().ends_with("not everything is what was saved\n"));
    let json = sandbox.storage(&["scrub", "--backend", "local", "--json"]).ended(8).json();
    let damaged = &json["backends"]["local"]["damaged"];
    assert_eq!((&damaged[0]["file"], &damaged[0]["damage"]), (&id.clone().into(), &"altered".into()));
    assert_eq!(damaged.as_array().map(Vec::len), Some(1));
    let audit = sandbox.storage(&["catalog", "audit", "--json"]).succeeded().json();
    assert_eq!((&audit[0]["action"], &audit[0]["outcome"]), (&"scrub".into(), &"altered".into()));
    let read = sandbox.storage(&["get", &id, "--user", "ada"]).ended(8);
    assert_eq!(read.text(), "");
}

#[test]
fn a_rate_or_a_backend_that_means_nothing_is_refused() {
    let sandbox = Sandbox::new();
    for rate in ["fast", "50MiB", "0/s"] {
        sandbox.storage(&["scrub", "--rate", rate]).ended(2).tells(&["50MiB/s"]);
    }
    sandbox.storage(&["scrub", "--backend", "elsewhere"]).ended(4).tells(&["elsewhere"]);
}
