//! What a crash leaves: nothing that a user had, and nothing that cannot be explained.

use std::time::Duration;

use storage_core::{ErrorKind, ObjectKey};
use storage_host::catalog::{FileId, FileVersionId, Quota};
use storage_host::service::{FsckOptions, Metadata};
use storage_tests::faults::Fault;
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::{BACKEND, Rig};

use super::{MIB, RigExt, refused, replacing, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_save_whose_record_cannot_be_written_leaves_no_object() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let quota = Quota { max_bytes: Some(10 * MIB), max_files: None };
        rig.service.set_quota(&ann, Some(quota)).await.expect("set");
        let file = rig.saved(&ann, "a.txt", "old").await;
        rig.sql("CREATE TRIGGER full BEFORE INSERT ON versions BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
        for chunking in Chunking::ALL {
            let body = Content::new(1, MIB).body(chunking);
            assert!(rig.service.save(body, "b.bin", &ann, Metadata::new()).await.is_err());
            let body = Content::new(1, MIB).body(chunking);
            assert!(rig.service.save_with(body, "a.txt", &ann, replacing(&file)).await.is_err());
            assert!(rig.service.restore_version(file.id, &ann, file.version).await.is_err());
            rig.settles(&ann, 1).await;
        }
        assert_eq!(rig.unfinished().await, []);
        rig.sql("DROP TRIGGER full");
        assert_eq!(rig.text(&ann, &file).await, "old");
        rig.service.save("x", "b.bin", &ann, Metadata::new()).await.expect("saved");
        assert!(rig.fsck(false).await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_ends_when_nobody_knows_whether_it_was_recorded_keeps_its_object_until_that_is_known() {
    let mut rig = Rig::local().await;
    let ann = user("ann");
    let catalog = rig.service.catalog().clone();
    let last = Content::new(1, MIB).bytes();
    let chunks = futures_util::stream::once(async move {
        catalog.close().await.expect("closed");
        Ok(last)
    });
    let body = storage_core::ByteStream::from_stream(
        futures_util::StreamExt::chain(futures_util::stream::iter([Ok(vec![0; 100_000].into())]), chunks),
        None,
    );
    refused(rig.service.save(body, "a.bin", &ann, Metadata::new()).await, ErrorKind::Unavailable);
    assert_eq!(rig.objects().await.len(), 1);
    rig.restart().await;
    let report = rig.fsck(false).await;
    assert_eq!(report.backends[BACKEND].orphans, rig.objects().await);
    assert_eq!(rig.fsck(true).await.removed_objects, 1);
    rig.settles(&ann, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_a_killed_save_is_removed_by_repair_and_not_while_the_save_may_be_under_way() {
    for rig in Rig::each().await {
        let ann = user("ann");
        rig.saved(&ann, "a.txt", "kept").await;
        let key: ObjectKey =
            format!("users/ann/{}/{}/b.txt", FileId::new(), FileVersionId::new()).parse().expect("a key");
        let object = storage_host::catalog::Garbage { backend: BACKEND.to_owned(), key: key.clone() };
        rig.service.catalog().begin_object(&object).await.expect("recorded");
        rig.faults.inner().save(&key, "left".into(), Default::default()).await.expect("written");

        let quarter = FsckOptions { repair: true, age: Duration::from_secs(900) };
        let under_way = rig.service.fsck(quarter).await.expect("checked");
        assert!(under_way.is_clean(), "what is under way is no fault: {under_way:?}");
        assert_eq!(rig.objects().await.len(), 2);

        assert_eq!(rig.fsck(false).await.backends[BACKEND].orphans, [key.to_string()]);
        let repaired = rig.fsck(true).await;
        assert_eq!((repaired.removed_objects, repaired.is_clean()), (1, true));
        assert_eq!(rig.objects().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_nothing_explains_is_never_removed_and_a_rebuild_takes_it_up() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let (file, version) = (FileId::new(), FileVersionId::new());
        let key: ObjectKey = format!("users/ann/{file}/{version}/found.txt").parse().expect("a key");
        rig.faults.inner().save(&key, "found".into(), Default::default()).await.expect("written");
        let strange: ObjectKey = "users/ann/strange".parse().expect("a key");
        rig.faults.inner().save(&strange, "x".into(), Default::default()).await.expect("written");
        for repair in [false, true, true] {
            let report = rig.fsck(repair).await;
            assert_eq!(report.backends[BACKEND].unexplained, [key.to_string(), strange.to_string()]);
            assert_eq!(report.removed_objects, 0);
        }
        let rebuilt = rig.service.rebuild_catalog().await.expect("rebuilt");
        assert_eq!(rebuilt.backends[BACKEND].adopted, 1);
        assert_eq!(rebuilt.backends[BACKEND].foreign, [strange.to_string()]);
        let found = rig.service.retrieve(file, &ann).await.expect("taken up");
        assert_eq!(found.info.filename, "found.txt");
        assert_eq!(super::text(found).await, "found");
        assert_eq!(rig.fsck(true).await.backends[BACKEND].unexplained, [strange.to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_beside_a_running_service_finds_nothing_to_complain_of() {
    let rig = Rig::local().await;
    let ann = user("ann");
    let options = FsckOptions { repair: true, age: Duration::from_secs(900) };
    let work = async {
        for round in 0..30 {
            let file = rig.saved(&ann, "a.txt", "one").await;
            rig.service.save_with(format!("{round}"), "a.txt", &ann, replacing(&file)).await.expect("saved");
            if round % 2 == 0 {
                assert!(rig.service.delete(file.id, &ann).await.expect("deleted"));
            }
        }
    };
    let check = async {
        for _ in 0..30 {
            let report = rig.service.fsck(options).await.expect("checked");
            assert!(report.is_clean() && report.removed_objects == 0, "{report:?}");
        }
    };
    tokio::join!(work, check);
    assert_eq!(rig.objects().await.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_backend_is_an_error_of_its_call_alone() {
    let rig = Rig::memory();
    let ann = user("ann");
    rig.faults.next("save", [Fault::Panic]);
    let (service, owner) = (rig.service.clone(), ann.clone());
    let save = tokio::spawn(async move { service.save("x", "a.txt", &owner, Metadata::new()).await });
    // A native backend's panic goes through the call; a plugin's is an error (see the tests of the boundary).
    assert!(save.await.is_err());
    rig.settles(&ann, 0).await;
    rig.saved(&ann, "a.txt", "x").await;
}
