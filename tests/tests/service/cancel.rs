//! Callers who go away: what they did not wait for is either done or has left nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use storage_core::{ByteStream, Error, ErrorKind, Retry};
use storage_host::catalog::Quota;
use storage_host::service::{Metadata, SaveFileOptions};
use storage_tests::faults::Fault;
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::{BACKEND, Rig};
use tokio::sync::Notify;

use super::{KIB, MIB, RigExt, refused, replacing, user};

async fn limited(rig: &Rig) -> storage_host::catalog::UserId {
    let ann = user("ann");
    let quota = Quota { max_bytes: Some(100 * MIB), max_files: Some(100) };
    rig.service.set_quota(&ann, Some(quota)).await.expect("set");
    ann
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_is_dropped_midway_leaves_no_object_no_reservation_and_no_file() {
    for rig in Rig::each().await {
        let ann = limited(&rig).await;
        for size_bytes in [90 * KIB, 9 * MIB] {
            let (body, taken) = Content::new(1, size_bytes + 1).body_that_stalls(size_bytes);
            let save = rig.service.save(body, "a.bin", &ann, Metadata::new());
            tokio::select! {
                _ = save => panic!("the source never ends"),
                () = taken.notified() => {}
            }
            rig.settles(&ann, 0).await;
            let usage = rig.service.usage(&ann).await.expect("usage");
            assert_eq!((usage.bytes, usage.files), (0, 0));
        }
        assert!(rig.contents_on_disk().is_empty(), "{:?}", rig.contents_on_disk());
        assert!(rig.fsck(false).await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_is_dropped_at_any_poll_is_done_or_leaves_nothing() {
    for rig in Rig::each().await {
        let ann = limited(&rig).await;
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        for chunking in [Chunking::Buffer, Chunking::Odd] {
            for polls in 0..60 {
                let content = Content::new(polls, 700 * KIB);
                let mut save = Box::pin(rig.service.save_with(
                    content.body(chunking),
                    "a.bin",
                    &ann,
                    SaveFileOptions::default(),
                ));
                for _ in 0..polls {
                    if save.as_mut().now_or_never().is_some() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_micros(polls * 20)).await;
                }
                drop(save);
            }
        }
        // What was going on goes on by itself.
        let tasks = tokio::runtime::Handle::current().metrics();
        while tasks.num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rig.settles_reservations(&ann).await;
        // A backend may finish what it was at after the removal of it. Such an object is provably nobody's.
        let found = rig.fsck(false).await;
        let backend = &found.backends[BACKEND];
        assert!(backend.unexplained.is_empty() && backend.missing.is_empty(), "{found:?}");
        let repaired = rig.fsck(true).await;
        assert!(repaired.is_clean(), "{repaired:?}");
        let usage = rig.service.usage(&ann).await.expect("usage");
        assert_eq!(usage.bytes, usage.files * 700 * KIB);
        assert_eq!(rig.objects().await.len() as u64, usage.files);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_is_dropped_when_the_bytes_are_stored_and_not_yet_answered_leaves_nothing() {
    for rig in Rig::each().await {
        let ann = limited(&rig).await;
        for chunking in Chunking::ALL {
            rig.faults.next("save", [Fault::StallAfter]);
            let save = rig.service.save(Content::new(1, MIB).body(chunking), "a.bin", &ann, Metadata::new());
            tokio::select! {
                _ = save => panic!("the backend never answers"),
                () = rig.faults.stalled() => {}
            }
            rig.settles(&ann, 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_finishes_after_it_was_told_to_stop_is_still_found_and_removed() {
    let rig = Rig::memory();
    let ann = limited(&rig).await;
    rig.faults.next("save", [Fault::ErrorAfter(ErrorKind::Timeout, Retry::May)]);
    refused(rig.service.save("late", "a.txt", &ann, Metadata::new()).await, ErrorKind::Timeout);
    rig.settles(&ann, 0).await;
    let record = rig.unfinished().await;
    assert_eq!(record.len(), 1, "until enough time has passed nobody can say that nothing comes any more");
    let late = record.into_iter().next().expect("one").key;
    rig.faults.inner().save(&late, "late".into(), Default::default()).await.expect("the late write");
    assert_eq!(rig.service.collect_garbage(Duration::ZERO).await.expect("collected"), 1);
    rig.settles(&ann, 0).await;
    assert_eq!(rig.unfinished().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_gives_its_own_error_and_leaves_nothing() {
    for rig in Rig::each().await {
        let ann = limited(&rig).await;
        for after in [0, 1, 64 * KIB + 1, 3 * MIB] {
            let error = Error::new(ErrorKind::Cancelled, "the client went away").with_context("at", after);
            let body = Content::new(1, 4 * MIB).body_that_fails(after, error);
            let error =
                refused(rig.service.save(body, "a.bin", &ann, Metadata::new()).await, ErrorKind::Cancelled);
            assert!(error.report().contains("the client went away"), "{}", error.report());
            rig.settles(&ann, 0).await;
        }
        assert!(rig.contents_on_disk().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_dropped_leaves_the_old_content() {
    for rig in Rig::each().await {
        let ann = limited(&rig).await;
        let file = rig.saved(&ann, "a.txt", "old").await;
        let (body, taken) = Content::new(1, MIB).body_that_stalls(200 * KIB);
        let save = rig.service.save_with(body, "a.txt", &ann, replacing(&file));
        tokio::select! {
            _ = save => panic!("the source never ends"),
            () = taken.notified() => {}
        }
        rig.settles(&ann, 1).await;
        assert_eq!(rig.text(&ann, &file).await, "old");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_while_it_is_replaced_stays_deleted_and_nothing_is_left() {
    for rig in Rig::each().await {
        let ann = limited(&rig).await;
        let file = rig.saved(&ann, "a.txt", "old").await;
        let content = Content::new(1, MIB);
        let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gate = {
            let (reached, go_on) = (reached.clone(), go_on.clone());
            stream::once(async move {
                reached.notify_one();
                go_on.notified().await;
                Ok(content.slice(0..KIB))
            })
        };
        let first = content.slice(0..200 * KIB);
        let body = ByteStream::from_stream(stream::iter([Ok(first)]).chain(gate), None);
        let (save, deleted) =
            tokio::join!(rig.service.save_with(body, "a.txt", &ann, replacing(&file)), async {
                reached.notified().await;
                let deleted = rig.service.delete(file.id, &ann).await;
                go_on.notify_one();
                deleted
            });
        assert!(deleted.expect("deleted"));
        refused(save, ErrorKind::NotFound);
        rig.settles(&ann, 0).await;
        assert_eq!(rig.service.usage(&ann).await.expect("usage").bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_save_that_slept_until_its_object_may_have_been_removed_is_refused_and_not_answered() {
    let rig = Rig::memory();
    let ann = user("ann");
    let slept = stream::once(async {
        tokio::time::advance(Duration::from_secs(20 * 60)).await;
        Ok("and the rest".into())
    });
    let long = stream::iter([Ok(vec![7; 100 * KIB as usize].into())]).chain(slept);
    let body = ByteStream::from_stream(long, None);
    refused(rig.service.save(body, "a.txt", &ann, Metadata::new()).await, ErrorKind::Timeout);
    assert!(rig.objects().await.is_empty());
    assert_eq!(rig.service.usage(&ann).await.expect("usage").files, 0);
}
