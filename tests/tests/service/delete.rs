//! Deleting: gone at once for the user, gone from the disk as soon as the backend lets go.

use std::time::Duration;

use futures_util::StreamExt;
use storage_core::{ErrorKind, Retry};
use storage_host::catalog::Garbage;
use storage_host::service::{DeleteFileOptions, SaveFileOptions};
use storage_tests::faults::Fault;
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::{BACKEND, Rig};

use super::{MIB, RigExt, refused, replacing, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_leaves_nothing_on_the_disk_and_a_second_delete_finds_nothing() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let kept = rig.saved(&ann, "kept.txt", "kept").await;
        let file = rig.saved(&ann, "a.txt", "one").await;
        rig.service.save_with("two", "a.txt", &ann, replacing(&file)).await.expect("saved");
        assert!(rig.service.delete(file.id, &ann).await.expect("deleted"));
        assert_eq!(rig.objects().await.len(), 1);
        assert!(rig.contents_on_disk().len() <= 1, "not even as an old version of the backend's");
        assert!(!rig.service.delete(file.id, &ann).await.expect("nothing there"));
        refused(rig.service.retrieve(file.id, &ann).await, ErrorKind::NotFound);
        let usage = rig.service.usage(&ann).await.expect("usage");
        assert_eq!((usage.bytes, usage.files, usage.versions), (4, 1, 1));
        assert_eq!(rig.garbage().await, []);
        assert_eq!(rig.text(&ann, &kept).await, "kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_gone_at_once_even_if_the_backend_does_not_let_go_and_its_objects_are_removed_later() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let file = rig.saved(&ann, "a.txt", "one").await;
        rig.faults.always("delete", Fault::Error(ErrorKind::Unavailable, Retry::May));
        assert!(rig.service.delete(file.id, &ann).await.expect("deleted"));
        refused(rig.service.retrieve(file.id, &ann).await, ErrorKind::NotFound);
        assert_eq!(rig.service.usage(&ann).await.expect("usage").bytes, 0);
        assert_eq!((rig.objects().await.len(), rig.garbage().await.len()), (1, 1));
        assert_eq!(rig.service.collect_garbage(Duration::ZERO).await.expect("tried"), 0);
        let report = rig.fsck(false).await;
        assert_eq!(report.backends.values().next().expect("a backend").orphans, rig.objects().await);

        rig.faults.heal();
        assert_eq!(rig.service.collect_garbage(Duration::ZERO).await.expect("collected"), 1);
        assert_eq!((rig.objects().await.len(), rig.garbage().await.len()), (0, 0));
        assert!(rig.fsck(false).await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_is_dropped_is_done_or_not_and_forgets_no_object() {
    let rig = Rig::memory();
    let ann = user("ann");
    let file = rig.saved(&ann, "a.txt", "one").await;
    rig.faults.next("delete", [Fault::Stall]);
    tokio::select! {
        _ = rig.service.delete(file.id, &ann) => panic!("the backend never answers"),
        () = rig.faults.stalled() => {}
    }
    refused(rig.service.retrieve(file.id, &ann).await, ErrorKind::NotFound);
    assert_eq!(rig.garbage().await.len(), 1);
    assert_eq!(rig.service.collect_garbage(Duration::ZERO).await.expect("collected"), 1);
    assert!(rig.objects().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_that_cannot_be_removed_does_not_keep_the_others() {
    let rig = Rig::memory();
    let ann = user("ann");
    rig.faults.always("delete", Fault::Error(ErrorKind::Unavailable, Retry::May));
    let limited = SaveFileOptions { sha256: Some([0; 32]), ..SaveFileOptions::default() };
    for number in 0..4 {
        let body = Content::new(number, MIB).body(Chunking::Even);
        refused(
            rig.service.save_with(body, "a.bin", &ann, limited.clone()).await,
            ErrorKind::ChecksumMismatch,
        );
    }
    // A backend that is no longer configured is one that nothing can be removed from.
    let elsewhere = Garbage { backend: "elsewhere".to_owned(), key: "users/ann/x".parse().expect("a key") };
    rig.service.catalog().begin_object(&elsewhere).await.expect("recorded");
    rig.faults.heal();
    rig.service.collect_garbage(Duration::ZERO).await.expect("the rest is collected");
    rig.settles(&ann, 0).await;
    assert_eq!(rig.unfinished().await, [elsewhere]);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_objects_cannot_be_removed_those_behind_them_are() {
    const STUCK: usize = 1_100;
    let rig = Rig::memory();
    let ann = user("ann");
    // Before the rig's own backend in every order.
    for number in 0..STUCK {
        let key = format!("users/ann/{number}").parse().expect("a key");
        let elsewhere = Garbage { backend: "elsewhere".to_owned(), key };
        rig.service.catalog().begin_object(&elsewhere).await.expect("recorded");
    }
    rig.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
         INSERT INTO garbage SELECT 'elsewhere', 'users/ann/' || i, 0 FROM n",
    );
    let file = rig.saved(&ann, "a.txt", "one").await;
    rig.faults.next("delete", [Fault::Error(ErrorKind::Unavailable, Retry::Never)]);
    assert!(rig.service.delete(file.id, &ann).await.expect("deleted"));
    let key = "users/ann/left/over".parse().expect("a key");
    let left = Garbage { backend: BACKEND.to_owned(), key };
    rig.service.catalog().begin_object(&left).await.expect("recorded");

    assert_eq!(rig.service.collect_garbage(Duration::ZERO).await.expect("collected"), 2);
    assert_eq!(rig.objects().await.len(), 0);
    let stuck = rig.service.catalog().garbage(Duration::ZERO, None, 10_000).await.expect("the garbage");
    assert_eq!(stuck.len(), STUCK);
    assert!(stuck.iter().all(|object| object.backend == "elsewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_does_not_wait_for_a_backend_that_hangs() {
    let rig = Rig::memory();
    let ann = user("ann");
    let file = rig.saved(&ann, "a.txt", "one").await;
    rig.faults.always("delete", Fault::Stall);
    let deleted = tokio::time::timeout(Duration::from_secs(30), rig.service.delete(file.id, &ann)).await;
    assert!(deleted.expect("an answer").expect("deleted"));
    refused(rig.service.retrieve(file.id, &ann).await, ErrorKind::NotFound);
    assert_eq!(rig.garbage().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_another_by_now_is_not_deleted() {
    let rig = Rig::memory();
    let ann = user("ann");
    let first = rig.saved(&ann, "a.txt", "one").await;
    let second = rig.service.save_with("two", "a.txt", &ann, replacing(&first)).await.expect("saved");
    let seen = DeleteFileOptions { if_current: Some(first.version) };
    refused(rig.service.delete_with(first.id, &ann, seen).await, ErrorKind::PreconditionFailed);
    assert_eq!(rig.text(&ann, &second).await, "two");
    let seen = DeleteFileOptions { if_current: Some(second.version) };
    assert!(rig.service.delete_with(first.id, &ann, seen).await.expect("deleted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_in_progress_gets_the_whole_file_though_it_is_deleted_meanwhile() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let content = Content::new(1, 4 * MIB);
        let options = SaveFileOptions::default();
        let file =
            rig.service.save_with(content.body(Chunking::Even), "a.bin", &ann, options).await.expect("saved");
        let mut body = rig.service.retrieve(file.id, &ann).await.expect("there").body;
        let first = body.next().await.expect("a chunk").expect("bytes");
        assert!(rig.service.delete(file.id, &ann).await.expect("deleted"));
        assert_eq!(first, content.slice(0..first.len() as u64));
        content.compare(first.len() as u64..4 * MIB, body).await.expect("the rest");
    }
}
