//! Names and metadata as users give them.

use storage_core::ErrorKind;
use storage_host::service::{CopyFileOptions, Metadata, SaveFileOptions, content_disposition};
use storage_tests::rig::Rig;

use super::{metadata, refused, user};

#[tokio::test(flavor = "multi_thread")]
async fn file_names_are_kept_as_they_are_and_never_leave_their_place() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let longest = "ü".repeat(127) + "x";
        let names = [
            "résumé 日本.pdf",
            "a \"quoted\" 'name'.txt",
            "../../../../etc/passwd",
            "..",
            "a/b\\c.txt",
            "CON",
            ".hidden",
            "trailing. ",
            "%2e%2e%2f",
            longest.as_str(),
        ];
        for name in names {
            let id = rig.service.save(name.to_owned(), name, &ann, Metadata::new()).await.expect(name);
            let found = rig.service.retrieve(id, &ann).await.expect(name);
            assert_eq!(found.info.filename, name);
            assert_eq!(found.bytes().await.expect("whole"), name);
            let header = content_disposition(name, false);
            assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{header}");
        }
        let objects = rig.objects().await;
        assert_eq!(objects.len(), names.len());
        for key in objects {
            assert!(key.starts_with("users/ann/") && key.split('/').count() == 5, "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_could_forge_headers_or_are_too_long_are_refused_and_nothing_is_saved() {
    let rig = Rig::memory();
    let ann = user("ann");
    let long = "x".repeat(256);
    for name in ["", " ", "a\r\nSet-Cookie: x", "a\nb", "a\0b", "cv\u{202E}fdp.exe", &long] {
        let failed = rig.service.save("x", name, &ann, Metadata::new()).await;
        let error = refused(failed, ErrorKind::InvalidArgument);
        assert!(!error.report().contains(['\r', '\n']), "{}", error.report());
    }
    let file = rig.service.save("x", "a.txt", &ann, Metadata::new()).await.expect("saved");
    let options = CopyFileOptions { filename: Some("a\r\nb".to_owned()), ..CopyFileOptions::default() };
    refused(rig.service.copy(file, &ann, options).await, ErrorKind::InvalidArgument);
    assert_eq!(rig.objects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_in_any_script_and_tags_come_back() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let given = metadata([("title", "Lebenslauf für München – 履歴書 🙂"), ("empty", "")]);
        let tags = metadata([("stage", "draft v1")]);
        let options =
            SaveFileOptions { metadata: given.clone(), tags: tags.clone(), ..SaveFileOptions::default() };
        let saved = rig.service.save_with("x", "a.txt", &ann, options).await.expect("saved");
        let found = rig.service.metadata(saved.id, &ann, None).await.expect("there");
        assert_eq!((found.metadata, found.tags), (given, tags));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_belong_to_the_service_or_do_not_fit_beside_its_own_are_refused() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let id = rig.service.save("x", "a.txt", &ann, Metadata::new()).await.expect("saved");
        let fits = "v".repeat(1_699 - "k".len());
        let too_long = "v".repeat(1_699);
        let longest_name = "n".repeat(255);
        for (given, kind) in [
            (metadata([("storage-sha256", "00")]), ErrorKind::InvalidArgument),
            (metadata([("storage-x", "00")]), ErrorKind::InvalidArgument),
            (metadata([("Upper", "x")]), ErrorKind::InvalidArgument),
            (metadata([("k", "a\r\nb")]), ErrorKind::InvalidArgument),
            (metadata([("k", too_long.as_str())]), ErrorKind::TooLarge),
        ] {
            refused(rig.service.save("x", &longest_name, &ann, given.clone()).await, kind);
            let options = CopyFileOptions { metadata: Some(given), ..CopyFileOptions::default() };
            refused(rig.service.copy(id, &ann, options).await, kind);
        }
        let given = metadata([("k", fits.as_str())]);
        let kept = rig.service.save("x", &longest_name, &ann, given.clone()).await.expect("just fits");
        assert_eq!(rig.service.metadata(kept, &ann, None).await.expect("there").metadata, given);
        assert_eq!(rig.objects().await.len(), 2);
        assert_eq!(rig.faults.calls("save"), 2, "what cannot be kept never reaches the backend");
    }
}
