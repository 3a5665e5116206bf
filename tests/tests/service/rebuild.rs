//! A lost catalog comes back from what the backends hold.

use storage_core::ErrorKind;
use storage_host::catalog::Garbage;
use storage_host::service::SaveFileOptions;
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::{BACKEND, Rig};

use super::{MIB, RigExt, metadata, refused, replacing, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalog_is_rebuilt_with_owners_versions_names_digests_and_metadata() {
    for mut rig in [Rig::local().await, Rig::memory()] {
        let (ann, bob) = (user("ann"), user("bob"));
        let options = SaveFileOptions {
            metadata: metadata([("title", "Lebenslauf – 履歴書"), ("k", "v")]),
            content_type: Some("application/x-own".to_owned()),
            ..SaveFileOptions::default()
        };
        let first = rig.service.save_with("one", "../résumé \"1\".pdf", &ann, options).await.expect("saved");
        let large = Content::new(1, 2 * MIB).body(Chunking::Undeclared);
        rig.service.save_with(large, "zwei.bin", &ann, replacing(&first)).await.expect("saved");
        rig.service.restore_version(first.id, &ann, first.version).await.expect("restored");
        let other = rig.saved(&bob, "b.txt", "bob's").await;
        let deleted = rig.saved(&ann, "gone.txt", "gone").await;
        assert!(rig.service.delete(deleted.id, &ann).await.expect("deleted"));
        let before = (
            rig.service.versions(first.id, &ann).await.expect("there"),
            rig.service.versions(other.id, &bob).await.expect("there"),
            rig.service.usage(&ann).await.expect("usage"),
        );

        rig.lose_catalog().await;
        refused(rig.service.metadata(first.id, &ann, None).await, ErrorKind::NotFound);
        let rebuilt = rig.service.rebuild_catalog().await.expect("rebuilt");
        let of_backend = &rebuilt.backends[BACKEND];
        assert_eq!((of_backend.adopted, of_backend.failed.len()), (4, 0), "{rebuilt:?}");

        let after = rig.service.versions(first.id, &ann).await.expect("back");
        let told = |versions: &[storage_host::service::FileInfo]| {
            versions
                .iter()
                .map(|version| {
                    (
                        (version.version, version.version_number, version.is_current),
                        (version.filename.clone(), version.content_type.clone()),
                        (version.size_bytes, version.sha256, version.metadata.clone()),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&after), told(&before.0));
        assert_eq!(told(&rig.service.versions(other.id, &bob).await.expect("back")), told(&before.1));
        refused(rig.service.metadata(first.id, &bob, None).await, ErrorKind::NotFound);
        assert_eq!(rig.service.usage(&ann).await.expect("usage"), before.2);
        assert_eq!(rig.text(&ann, &first).await, "one");

        let reads = rig.faults.calls("retrieve");
        let again = rig.service.rebuild_catalog().await.expect("rebuilt");
        assert_eq!((again.backends[BACKEND].adopted, again.backends[BACKEND].known), (0, 4));
        assert_eq!(rig.faults.calls("retrieve"), reads, "what is known is not read again");
        assert!(rig.fsck(false).await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_catalog_left_on_record_as_unfinished_is_not_taken_for_nobodys() {
    let mut rig = Rig::local().await;
    let ann = user("ann");
    let file = rig.saved(&ann, "a.txt", "kept").await;
    // As a process leaves it that is killed between the commit and the removal of the record.
    let key = rig.objects().await.remove(0).parse().expect("a key");
    let object = Garbage { backend: BACKEND.to_owned(), key };
    rig.service.catalog().begin_object(&object).await.expect("recorded");
    rig.lose_catalog().await;
    assert_eq!(rig.fsck(true).await.removed_objects, 0);
    assert_eq!(rig.service.rebuild_catalog().await.expect("rebuilt").backends[BACKEND].adopted, 1);
    assert_eq!(rig.text(&ann, &file).await, "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_contradicts_the_catalog_or_cannot_be_read_does_not_end_a_rebuild() {
    let mut rig = Rig::local().await;
    let (aaron, ann) = (user("aaron"), user("ann"));
    let file = rig.saved(&ann, "a.txt", "ann's").await;
    let options = SaveFileOptions::default();
    let body = Content::new(1, MIB).body(Chunking::Undeclared);
    let unreadable = rig.service.save_with(body, "b.bin", &aaron, options).await.expect("saved");
    let forged = format!("users/bob/{}/{}/a.txt", file.id, storage_host::catalog::FileVersionId::new());
    rig.faults
        .inner()
        .save(&forged.parse().expect("a key"), "bob's".into(), Default::default())
        .await
        .expect("written");
    rig.lose_catalog().await;
    rig.faults.next(
        "get_metadata",
        [storage_tests::faults::Fault::Error(ErrorKind::PermissionDenied, storage_core::Retry::Never)],
    );
    let rebuilt = rig.service.rebuild_catalog().await.expect("rebuilt");
    let failed = &rebuilt.backends[BACKEND].failed;
    assert_eq!(failed.len(), 2, "{rebuilt:?}");
    assert!(failed.iter().any(|(key, _)| *key == forged), "{failed:?}");
    let again = rig.service.rebuild_catalog().await.expect("rebuilt");
    assert_eq!(again.backends[BACKEND].adopted, 1);
    assert_eq!(rig.text(&ann, &file).await, "ann's");
    assert_eq!(rig.service.metadata(unreadable.id, &aaron, None).await.expect("back").size_bytes, MIB);
}
