//! `kill -9` at any moment: a folder on a local disk holds what was answered, whole, and nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use storage_core::{Backend, ConfigValues, ListVersionsOptions, OpenRequest};
use storage_tests::crash::{Step, WRITERS};
use storage_tests::plugins::plugin_path;

const ROUNDS: u64 = 12;

/// Writes until it is killed; gives the last number that each writer was answered.
fn write_and_kill(root: &Path, first: u64, delay: Duration) -> BTreeMap<u64, u64> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_local_writer"))
        .arg(plugin_path("local"))
        .arg(root)
        .arg(first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let output = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut answered = BTreeMap::new();
        for line in BufReader::new(output).lines() {
            let line = line.expect("a line");
            let (writer, number) = line.split_once(' ').expect("two numbers");
            answered.insert(writer.parse().expect("a writer"), number.parse().expect("a number"));
        }
        answered
    });
    #[allow(clippy::disallowed_methods, reason = "the kill comes at any moment, not after an event")]
    std::thread::sleep(delay);
    child.kill().expect("it is killed");
    let status = child.wait().expect("it ends");
    assert!(!status.success() && status.code().is_none(), "it ended by itself: {status}");
    reader.join().expect("no panic")
}

/// The names of all files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_every_answered_write_whole_and_nothing_else() {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().join("store");
    let module = storage_core::abi::load(&plugin_path("local")).expect("the plugin loads");
    let mut first = 0;
    let mut answered_steps = 0;
    for round in 0..ROUNDS {
        let killed = {
            let (root, delay) = (root.clone(), Duration::from_millis(60 + round * 37));
            tokio::task::spawn_blocking(move || write_and_kill(&root, first, delay)).await.expect("no panic")
        };
        let mut config = ConfigValues::new();
        config.set("path", root.display().to_string(), "test");
        config.set("versions_keep", "1", "test");
        let request = OpenRequest { name: "crash".to_owned(), config, ..OpenRequest::default() };
        let backend = module.open(request).await.expect("the store opens after a crash");
        for (writer, number) in &killed {
            let (writer, number) = (*writer, *number);
            answered_steps += number + 1 - first;
            // The next operation was under way and has happened wholly or not at all.
            let mut is_whole = false;
            for number in [number, number + 1] {
                is_whole |= Step { writer, number }.is_seen(&*backend).await.expect("it reads");
            }
            assert!(
                is_whole,
                "writer {writer} is neither at {number} nor at what was under way (round {round})"
            );
        }
        check_folder(&root, &*backend).await;
        first = killed.values().max().map_or(first, |last| last + 2);
    }
    assert!(answered_steps > ROUNDS * WRITERS, "hardly anything was written before the kill");
}

/// What lies in the folder is what the documents tell of; the staging folder was swept.
async fn check_folder(root: &Path, backend: &dyn Backend) {
    assert!(files(&root.join("staging")).is_empty(), "the staging folder was not swept");
    backend.invoke("prune", json!({})).await.expect("pruned");
    let page = backend.list_versions(ListVersionsOptions::default()).await.expect("listed");
    let contents = page.versions.iter().filter(|version| !version.is_delete_marker).count();
    let documents = page.versions.iter().filter(|version| version.is_latest).count();
    let found = files(&root.join("objects"));
    assert_eq!(found.len(), contents + documents, "{found:?}");
}
