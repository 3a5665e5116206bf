//! Versions: nothing that was saved is lost by saving again.

use storage_core::ErrorKind;
use storage_host::service::{CopyFileOptions, RetrieveFileOptions, SaveFileOptions};
use storage_tests::rig::Rig;

use super::{RigExt, metadata, refused, replacing, text, user};

#[tokio::test(flavor = "multi_thread")]
async fn replacing_adds_a_version_and_the_old_ones_stay_readable() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let first = rig.saved(&ann, "cv.txt", "one").await;
        let second =
            rig.service.save_with("two", "new name.txt", &ann, replacing(&first)).await.expect("saved");
        assert_eq!((second.id, second.version_number), (first.id, 2));
        assert_eq!(second.created_at, first.created_at, "it is the same file");

        let versions = rig.service.versions(first.id, &ann).await.expect("there");
        let told: Vec<_> = versions
            .iter()
            .map(|version| (version.version_number, version.is_current, version.version))
            .collect();
        assert_eq!(told, [(2, true, second.version), (1, false, first.version)], "newest first");
        assert_eq!(rig.text(&ann, &first).await, "two");
        let old = RetrieveFileOptions { version: Some(first.version), ..RetrieveFileOptions::default() };
        let old = rig.service.retrieve_with(first.id, &ann, old).await.expect("there");
        assert_eq!(old.info.filename, "cv.txt");
        assert_eq!(text(old).await, "one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_a_version_that_is_not_current_any_more_is_refused_and_leaves_nothing() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let first = rig.saved(&ann, "cv.txt", "one").await;
        let on_first = SaveFileOptions { if_current: Some(first.version), ..replacing(&first) };
        let second = rig.service.save_with("two", "cv.txt", &ann, on_first.clone()).await.expect("current");
        refused(
            rig.service.save_with("three", "cv.txt", &ann, on_first).await,
            ErrorKind::PreconditionFailed,
        );
        rig.settles(&ann, 2).await;
        assert_eq!(rig.service.metadata(first.id, &ann, None).await.expect("there"), second);
        assert_eq!(rig.text(&ann, &first).await, "two");
        let alone = SaveFileOptions { if_current: Some(first.version), ..SaveFileOptions::default() };
        refused(rig.service.save_with("x", "x", &ann, alone).await, ErrorKind::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writers_that_replace_the_same_version_one_wins() {
    let rig = Rig::local().await;
    let ann = user("ann");
    let first = rig.saved(&ann, "cv.txt", "one").await;
    let writers = (0..16).map(|number| {
        let options = SaveFileOptions { if_current: Some(first.version), ..replacing(&first) };
        rig.service.save_with(format!("writer {number}"), "cv.txt", &ann, options)
    });
    let results = futures_util::future::join_all(writers).await;
    let won: Vec<_> = results.iter().enumerate().filter(|(_, result)| result.is_ok()).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(rig.text(&ann, &first).await, format!("writer {}", won[0].0));
    rig.settles(&ann, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_makes_a_new_version_of_the_old_content() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let options = SaveFileOptions { metadata: metadata([("k", "old")]), ..SaveFileOptions::default() };
        let first = rig.service.save_with("one", "old.txt", &ann, options).await.expect("saved");
        rig.service.save_with("two", "new.txt", &ann, replacing(&first)).await.expect("saved");
        let restored = rig.service.restore_version(first.id, &ann, first.version).await.expect("restored");
        assert_eq!((restored.version_number, restored.is_current), (3, true));
        assert_eq!((restored.filename.as_str(), &restored.metadata), ("old.txt", &first.metadata));
        assert_eq!(rig.text(&ann, &first).await, "one");
        assert_eq!(rig.service.versions(first.id, &ann).await.expect("there").len(), 3);
        assert_eq!(rig.service.usage(&ann).await.expect("usage").bytes, 9, "each version counts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_version_is_gone_and_its_number_is_never_used_again() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let first = rig.saved(&ann, "cv.txt", "one").await;
        let second = rig.service.save_with("two", "cv.txt", &ann, replacing(&first)).await.expect("saved");
        let current = rig.service.delete_version(first.id, &ann, second.version).await;
        refused(current, ErrorKind::InvalidArgument);
        let third = rig.service.restore_version(first.id, &ann, first.version).await.expect("restored");
        assert!(rig.service.delete_version(first.id, &ann, second.version).await.expect("deleted"));
        assert!(!rig.service.delete_version(first.id, &ann, second.version).await.expect("twice"));
        let gone = RetrieveFileOptions { version: Some(second.version), ..RetrieveFileOptions::default() };
        refused(rig.service.retrieve_with(first.id, &ann, gone).await, ErrorKind::NotFound);
        let fourth = rig.service.save_with("four", "cv.txt", &ann, replacing(&first)).await.expect("saved");
        assert_eq!((third.version_number, fourth.version_number), (3, 4));
        let numbers = rig.service.versions(first.id, &ann).await.expect("there");
        assert_eq!(numbers.iter().map(|version| version.version_number).collect::<Vec<_>>(), [4, 3, 1]);
        assert_eq!(rig.objects().await.len(), 3);
        assert_eq!(rig.service.usage(&ann).await.expect("usage").bytes, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_a_file_of_its_own() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let options = SaveFileOptions { metadata: metadata([("k", "v")]), ..SaveFileOptions::default() };
        let first = rig.service.save_with("one", "cv.txt", &ann, options).await.expect("saved");
        rig.service.save_with("two", "cv.txt", &ann, replacing(&first)).await.expect("saved");
        let options = CopyFileOptions { version: Some(first.version), ..CopyFileOptions::default() };
        let copy = rig.service.copy(first.id, &ann, options).await.expect("copied");
        assert_ne!(copy.id, first.id);
        assert_eq!((copy.version_number, &copy.metadata, copy.sha256), (1, &first.metadata, first.sha256));
        let named = CopyFileOptions {
            filename: Some("other.txt".to_owned()),
            metadata: Some(metadata([("x", "y")])),
            ..CopyFileOptions::default()
        };
        let other = rig.service.copy(first.id, &ann, named).await.expect("copied");
        assert_eq!((other.filename.as_str(), &other.metadata), ("other.txt", &metadata([("x", "y")])));
        assert!(rig.service.delete(first.id, &ann).await.expect("deleted"));
        assert_eq!(rig.text(&ann, &copy).await, "one");
        assert_eq!(rig.text(&ann, &other).await, "two");
        assert_eq!(rig.objects().await.len(), 2);
    }
}
