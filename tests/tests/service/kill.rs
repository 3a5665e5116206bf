//! `kill -9` while clients work: what was answered holds, and what is left can be explained.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use storage_core::ErrorKind;
use storage_host::catalog::FileQuery;
use storage_host::service::{FsckOptions, RetrieveFileOptions, SimpleStorageService};
use storage_tests::answers::{Answers, CLIENTS, owner};
use storage_tests::fixture::Content;
use storage_tests::rig::{BACKEND, open_service};
use tempfile::TempDir;

use super::refused;

const ROUNDS: u64 = 8;

/// Lets clients work until so many answers have come, kills them, and adds what was answered.
fn work_and_kill(folder: &Path, round: u64, answers: &mut Answers) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_service_writer"))
        .args(["write", folder.to_str().expect("a path"), &round.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..20 + round * 17 {
        answers.note(&lines.next().expect("it works until it is killed").expect("a line"));
    }
    child.kill().expect("killed");
    for line in lines {
        answers.note(&line.expect("a line"));
    }
    assert!(child.wait().expect("it ends").code().is_none(), "it was killed");
}

async fn check_answers(service: &SimpleStorageService, answers: &Answers) {
    for (file, versions) in &answers.saved {
        let user = owner(versions[0].1).expect("a user");
        let delete = answers.deletes.get(file);
        if let Some((_, true)) = delete {
            refused(service.metadata(*file, &user, None).await, ErrorKind::NotFound);
            continue;
        }
        if delete.is_some() && service.metadata(*file, &user, None).await.is_err() {
            // It was being deleted, and is.
            continue;
        }
        for (version, _, seed, size_bytes) in versions {
            let options = RetrieveFileOptions { version: Some(*version), ..Default::default() };
            let found =
                service.retrieve_with(*file, &user, options).await.expect("what was answered is there");
            let content = Content::new(*seed, *size_bytes);
            content.compare(0..*size_bytes, found.body).await.expect("whole");
        }
    }
}

/// Whatever the catalog lists can be read, and usage is what the list says.
async fn check_lists(service: &SimpleStorageService) {
    for client in 0..CLIENTS {
        let user = owner(client).expect("a user");
        let query = FileQuery { limit: 1_000, ..FileQuery::default() };
        let files = service.list(&user, query).await.expect("listed").files;
        let (mut bytes, mut versions) = (0, 0);
        for file in &files {
            for version in service.versions(file.id, &user).await.expect("there") {
                let options = RetrieveFileOptions { version: Some(version.version), ..Default::default() };
                let found = service.retrieve_with(file.id, &user, options).await.expect("there");
                assert_eq!(found.bytes().await.expect("whole").len() as u64, version.size_bytes);
                bytes += version.size_bytes;
                versions += 1;
            }
        }
        let usage = service.usage(&user).await.expect("usage");
        assert_eq!((usage.bytes, usage.files, usage.versions), (bytes, files.len() as u64, versions));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_answered_save_brings_back_no_deleted_file_and_leaves_only_provable_orphans() {
    let folder = TempDir::with_prefix("storage-kill-").expect("a folder");
    let mut answers = Answers::default();
    let mut orphans = 0;
    for round in 0..ROUNDS {
        let path = folder.path().to_owned();
        answers = tokio::task::spawn_blocking(move || {
            work_and_kill(&path, round, &mut answers);
            answers
        })
        .await
        .expect("no panic");
        let service = open_service(folder.path()).await;
        check_answers(&service, &answers).await;
        let age = std::time::Duration::ZERO;
        let found = service.fsck(FsckOptions { repair: false, age }).await.expect("checked");
        let backend = &found.backends[BACKEND];
        assert!(found.catalog_problems.is_empty() && found.wrong_usage.is_empty(), "{found:?}");
        assert!(backend.unexplained.is_empty(), "{found:?}");
        assert!(backend.missing.is_empty() && backend.wrong_size.is_empty(), "{found:?}");
        orphans += backend.orphans.len();
        let repaired = service.fsck(FsckOptions { repair: true, age }).await.expect("repaired");
        assert!(repaired.is_clean(), "{repaired:?}");
        let backend = &repaired.backends[BACKEND];
        assert_eq!(backend.objects, backend.versions);
        check_lists(&service).await;
        service.close().await.expect("closed");
    }
    assert!(answers.saved.len() > 20 && answers.deletes.len() > 5, "hardly anything was done");
    assert!(orphans > 0, "no kill ever hit a save between its bytes and its record");
}

#[test]
fn a_stream_of_a_gibibyte_takes_little_memory_on_its_way_in_and_out() {
    let folder = TempDir::with_prefix("storage-stream-").expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_service_writer"))
        .args(["stream", folder.path().to_str().expect("a path"), &(1_u64 << 30).to_string()])
        .output()
        .expect("it runs");
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{told} {}", String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<u64> = told.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [before_kib, peak_kib] = numbers[..] else { panic!("two numbers: {told}") };
    let grown_kib = peak_kib.saturating_sub(before_kib);
    assert!(grown_kib < 64 * 1024, "grew by {grown_kib} KiB over {before_kib}");
}
