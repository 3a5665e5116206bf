//! Quotas: what fits is taken, what does not is refused, whoever races whom.

use futures_util::future::join_all;
use storage_core::{ByteStream, ErrorKind};
use storage_host::catalog::{Quota, UserId};
use storage_host::service::{CopyFileOptions, FileInfo, Metadata, SaveFileOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::Rig;

use super::{KIB, RigExt, refused, replacing, user};

async fn limit(rig: &Rig, user: &UserId, max_bytes: Option<u64>, max_files: Option<u64>) {
    rig.service.set_quota(user, Some(Quota { max_bytes, max_files })).await.expect("set");
}

/// So many writers at once, each with a task of its own; gives what was saved.
async fn race(rig: &Rig, user: &UserId, writers: u64, body: impl Fn(u64) -> ByteStream) -> Vec<FileInfo> {
    let tasks: Vec<_> = (0..writers)
        .map(|number| {
            let (service, user, body) = (rig.service.clone(), user.clone(), body(number));
            tokio::spawn(async move {
                service.save_with(body, &format!("{number}.bin"), &user, SaveFileOptions::default()).await
            })
        })
        .collect();
    let mut saved = Vec::new();
    for result in join_all(tasks).await {
        match result.expect("no panic") {
            Ok(file) => saved.push(file),
            Err(error) => assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{}", error.report()),
        }
    }
    saved
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_race_for_the_last_100_kib_fill_them_exactly() {
    for rig in Rig::each().await {
        for (number, chunking) in
            [Chunking::Buffer, Chunking::Odd, Chunking::Undeclared].into_iter().enumerate()
        {
            let racer = user(&format!("racer-{number}"));
            limit(&rig, &racer, Some(1_000 * KIB), None).await;
            rig.service
                .save(Content::new(1, 900 * KIB).body(Chunking::Buffer), "first.bin", &racer, Metadata::new())
                .await
                .expect("fits");
            let saved = race(&rig, &racer, 64, |seed| Content::new(seed, 10 * KIB).body(chunking)).await;
            assert_eq!(saved.len(), 10, "{}", chunking.name());
            rig.settles(&racer, 11 * (number + 1)).await;
            assert_eq!(rig.service.usage(&racer).await.expect("usage").bytes, 1_000 * KIB);
            let more = rig.service.save("x", "x.bin", &racer, Metadata::new()).await;
            refused(more, ErrorKind::QuotaExceeded);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn long_streams_that_race_never_overshoot_and_never_refuse_what_fits() {
    for rig in Rig::each().await {
        for (number, chunking) in [Chunking::Odd, Chunking::Undeclared].into_iter().enumerate() {
            let racer = user(&format!("racer-{number}"));
            limit(&rig, &racer, Some(100 * KIB), None).await;
            let saved = race(&rig, &racer, 64, |seed| Content::new(seed, 100 * KIB).body(chunking)).await;
            assert_eq!(saved.len(), 1, "{}", chunking.name());
            rig.settles(&racer, number + 1).await;
            assert_eq!(rig.service.usage(&racer).await.expect("usage").bytes, 100 * KIB);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bytes_that_race_one_by_one_fill_a_quota_to_the_last() {
    let rig = Rig::memory();
    let ann = user("ann");
    limit(&rig, &ann, Some(40), None).await;
    assert_eq!(race(&rig, &ann, 64, |seed| Content::new(seed, 1).body(Chunking::Undeclared)).await.len(), 40);
    let usage = rig.service.usage(&ann).await.expect("usage");
    assert_eq!((usage.bytes, usage.files), (40, 40));
    rig.settles(&ann, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_files_is_limited_and_versions_are_no_files() {
    for rig in Rig::each().await {
        let ann = user("ann");
        limit(&rig, &ann, None, Some(3)).await;
        let saved = race(&rig, &ann, 16, |seed| Content::new(seed, 90 * KIB).body(Chunking::Odd)).await;
        assert_eq!(saved.len(), 3);
        rig.settles(&ann, 3).await;
        let error =
            refused(rig.service.save("x", "x", &ann, Metadata::new()).await, ErrorKind::QuotaExceeded);
        assert!(error.context().count() >= 2, "says what is used and what may be: {}", error.report());
        rig.service
            .save_with("two", "a.bin", &ann, replacing(&saved[0]))
            .await
            .expect("a version is no file");
        assert!(rig.service.delete(saved[0].id, &ann).await.expect("deleted"));
        rig.saved(&ann, "b.bin", "x").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_counts_and_usage_is_exact_after_deletes() {
    for rig in Rig::each().await {
        let ann = user("ann");
        limit(&rig, &ann, Some(10), None).await;
        let first = rig.saved(&ann, "a.txt", "12345").await;
        let second = rig.service.save_with("123", "a.txt", &ann, replacing(&first)).await.expect("fits");
        refused(
            rig.service.save_with("123", "a.txt", &ann, replacing(&first)).await,
            ErrorKind::QuotaExceeded,
        );
        refused(rig.service.restore_version(first.id, &ann, first.version).await, ErrorKind::QuotaExceeded);
        refused(rig.service.copy(first.id, &ann, CopyFileOptions::default()).await, ErrorKind::QuotaExceeded);
        assert!(rig.service.delete_version(first.id, &ann, first.version).await.expect("deleted"));
        rig.service.save_with("1234567", "a.txt", &ann, replacing(&first)).await.expect("fits again");
        let usage = rig.service.usage(&ann).await.expect("usage");
        assert_eq!((usage.bytes, usage.files, usage.versions), (10, 1, 2));
        assert_eq!(second.version_number, 2);
        assert!(rig.service.delete(first.id, &ann).await.expect("deleted"));
        rig.settles(&ann, 0).await;
        let usage = rig.service.usage(&ann).await.expect("usage");
        assert_eq!((usage.bytes, usage.files, usage.versions), (0, 0, 0));
        rig.service.save("1234567890", "b.txt", &ann, Metadata::new()).await.expect("all of it is free");
        assert_eq!(rig.fsck(false).await.wrong_usage, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_failed_has_given_its_room_back_when_it_answers() {
    for rig in Rig::each().await {
        let ann = user("ann");
        limit(&rig, &ann, Some(200 * KIB), Some(1)).await;
        let content = Content::new(1, 200 * KIB);
        for _ in 0..10 {
            let error = storage_core::Error::new(ErrorKind::Cancelled, "the client went away");
            let failed = rig
                .service
                .save(content.body_that_fails(150 * KIB, error), "a.bin", &ann, Metadata::new())
                .await;
            refused(failed, ErrorKind::Cancelled);
            let usage = rig.service.usage(&ann).await.expect("usage");
            assert_eq!((usage.reserved_bytes, usage.reserved_files), (0, 0));
        }
        rig.service.save(content.body(Chunking::Even), "a.bin", &ann, Metadata::new()).await.expect("fits");
    }
}
