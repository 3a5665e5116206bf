//! Bytes that rot: a scrub finds every one of them and nothing else, goes on where it was broken off, and tells it in the
//! audit log and as an event. No read ever gives them out as the file.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use storage_core::{ErrorKind, Retry};
use storage_host::catalog::{Quota, UserId};
use storage_host::events::What;
use storage_host::service::{Damage, FileInfo, SaveFileOptions, ScrubOptions};
use storage_tests::faults::Fault;
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::{BACKEND, Rig};

use super::{MIB, RigExt, user};

async fn saved(rig: &Rig, user: &UserId, content: Content) -> FileInfo {
    let body = content.body(Chunking::Undeclared);
    rig.service.save_with(body, "a.bin", user, SaveFileOptions::default()).await.expect("saved")
}

/// The file on the disk that holds these bytes.
fn on_disk(rig: &Rig, content: Content) -> PathBuf {
    let bytes = content.bytes();
    let holds = |path: &PathBuf| std::fs::read(path).is_ok_and(|found| found == bytes);
    rig.contents_on_disk().into_iter().find(holds).expect("it is on the disk")
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_truncated_and_missing_bytes_are_found_told_and_never_served() {
    let rig = Rig::local().await;
    let ann = user("ann");
    let contents = [(1, 300_000), (2, MIB), (3, 5_000), (4, 70_000), (5, 0)]
        .map(|(seed, size)| Content::new(seed, size));
    let mut files = Vec::new();
    for content in contents {
        files.push(saved(&rig, &ann, content).await);
    }
    let clean = rig.service.scrub(ScrubOptions::default()).await.expect("read");
    assert!(clean.is_clean(), "{clean:?}");
    assert_eq!((clean.backends[BACKEND].versions, clean.backends[BACKEND].bytes), (5, 375_000 + MIB));

    let altered = on_disk(&rig, contents[0]);
    let mut bytes = std::fs::read(&altered).expect("read");
    bytes[150_000] ^= 1;
    std::fs::write(&altered, bytes).expect("altered");
    let truncated = std::fs::File::options().write(true).open(on_disk(&rig, contents[1])).expect("opened");
    truncated.set_len(MIB - 1).expect("truncated");
    std::fs::remove_file(on_disk(&rig, contents[2])).expect("removed");

    let found = rig.service.scrub(ScrubOptions::default()).await.expect("read");
    let mut damaged: Vec<_> =
        found.backends[BACKEND].damaged.iter().map(|object| (object.file, object.damage)).collect();
    damaged.sort();
    let mut expected = vec![
        (files[0].id, Damage::Altered),
        (files[1].id, Damage::Truncated),
        (files[2].id, Damage::Missing),
    ];
    expected.sort();
    assert_eq!(damaged, expected);
    assert!(!found.is_clean() && found.backends[BACKEND].unread.is_empty(), "{found:?}");

    let audit = rig.audit(&ann).await;
    let mut outcomes: Vec<_> =
        audit.iter().filter(|line| line.action == "scrub").map(|line| line.outcome.as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["altered", "missing", "truncated"]);
    let events = rig.events();
    let told = events.iter().filter_map(|event| match &event.what {
        What::VersionDamaged(damaged) => Some((damaged.file_id, damaged.damage.as_str())),
        _ => None,
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    let mut expected: Vec<_> =
        expected.iter().map(|(file, damage)| (file.as_uuid(), damage.name())).collect();
    expected.sort_unstable();
    assert_eq!(told, expected);

    // Every full read finds it too, and none gives the whole of something that is not the file.
    for (file, content) in files.iter().zip(contents) {
        let read = async { rig.service.retrieve(file.id, &ann).await?.bytes().await };
        match (read.await, damaged.iter().any(|(damaged, _)| *damaged == file.id)) {
            (Ok(bytes), false) => assert_eq!(bytes, content.bytes()),
            (Err(error), true) => {
                let kinds = [ErrorKind::ChecksumMismatch, ErrorKind::Corrupted];
                assert!(kinds.contains(&error.kind()), "{}", error.report());
            }
            (read, is_damaged) => panic!("{is_damaged}: {read:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_that_is_broken_off_goes_on_where_it_was_and_reads_everything_once() {
    for mut rig in Rig::each().await {
        let ann = user("ann");
        for seed in 0..12 {
            saved(&rig, &ann, Content::new(seed, 1_000)).await;
        }
        // A byte that no body has: seven reads go well.
        let mut reads = vec![Fault::AlterBody(u64::MAX); 7];
        reads.push(Fault::Error(ErrorKind::Unavailable, Retry::Never));
        rig.faults.next("retrieve", reads);
        let error = rig.service.scrub(ScrubOptions::default()).await.expect_err("the backend went away");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        rig.restart().await;
        let before = rig.faults.calls("retrieve");
        let rest = rig.service.scrub(ScrubOptions::default()).await.expect("read");
        let rest = &rest.backends[BACKEND];
        assert!(rest.resumed_after.is_some(), "{rest:?}");
        assert_eq!((rest.versions, rig.faults.calls("retrieve") - before), (5, 5));
        let anew = rig.service.scrub(ScrubOptions::default()).await.expect("read");
        assert_eq!((&anew.backends[BACKEND].resumed_after, anew.backends[BACKEND].versions), (&None, 12));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_reads_no_faster_than_it_was_told() {
    let rig = Rig::memory();
    let ann = user("ann");
    for seed in 0..3 {
        saved(&rig, &ann, Content::new(seed, 100_000)).await;
    }
    let options = ScrubOptions { bytes_per_second: NonZeroU64::new(500_000), ..ScrubOptions::default() };
    let begun = Instant::now();
    let report = rig.service.scrub(options).await.expect("read");
    assert_eq!(report.backends[BACKEND].bytes, 300_000);
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_come_wrong_once_are_read_again_before_anybody_is_told() {
    let rig = Rig::memory();
    let ann = user("ann");
    saved(&rig, &ann, Content::new(1, 200_000)).await;
    rig.faults.next("retrieve", [Fault::AlterBody(100_000)]);
    let report = rig.service.scrub(ScrubOptions::default()).await.expect("read");
    assert!(report.is_clean(), "{report:?}");
    rig.faults.next("retrieve", [Fault::AlterBody(100_000), Fault::AlterBody(100_000)]);
    let report = rig.service.scrub(ScrubOptions::default()).await.expect("read");
    assert_eq!(report.backends[BACKEND].damaged.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_says_what_it_cannot_bring_back_and_that_is_what_is_gone() {
    let mut rig = Rig::local().await;
    let ann = user("ann");
    let quota = Quota { max_bytes: Some(MIB), max_files: None };
    rig.service.set_quota(&ann, Some(quota)).await.expect("set");
    let tags = [("kind".to_owned(), "letter".to_owned())].into();
    let options = SaveFileOptions { tags, ..SaveFileOptions::default() };
    let file = rig.service.save_with("abc", "a.txt", &ann, options).await.expect("saved");
    rig.lose_catalog().await;
    let report = rig.service.rebuild_catalog().await.expect("rebuilt");
    for lost in ["quotas", "audit log", "keys", "times"] {
        assert!(report.lost.iter().any(|line| line.contains(lost)), "{lost}: {report:?}");
    }
    let back = rig.service.metadata(file.id, &ann, None).await.expect("back");
    assert_eq!((&back.tags, back.sha256), (&file.tags, file.sha256));
    assert!(back.created_at <= file.created_at, "its save began before it ended");
    assert_eq!(rig.service.usage(&ann).await.expect("usage").quota, Quota::default());
    assert!(rig.audit(&ann).await.iter().all(|line| line.action != "save"));
    assert_eq!(rig.text(&ann, &file).await, "abc");
}
