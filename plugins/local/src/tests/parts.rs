//! Uploads in parts.

use storage_core::{
    Checksums, CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, UploadId,
    WriteCondition,
};

use super::*;

async fn part(backend: &LocalBackend, upload: &UploadId, number: u32, body: Bytes) -> Part {
    let sent = backend.upload_part(&key("k"), upload, number, body.into(), PartOptions::default()).await;
    sent.expect("sent")
}

fn large(byte: u8) -> Bytes {
    Bytes::from(vec![byte; 2 * 1024 * 1024 + 1])
}

#[tokio::test]
async fn parts_survive_a_restart_and_make_the_object() {
    let home = Home::new();
    let backend = home.open().await;
    let options = SaveOptions { content_type: Some("video/mp4".to_owned()), ..SaveOptions::default() };
    let upload = backend.begin_multipart(&key("k"), options).await.expect("begun");
    let second = part(&backend, &upload, 7, large(2)).await;
    part(&backend, &upload, 2, Bytes::from_static(b"to be replaced")).await;
    let first = part(&backend, &upload, 2, large(1)).await;
    part(&backend, &upload, 9, Bytes::from_static(b"not named")).await;
    drop(backend);

    let backend = home.open().await;
    let page =
        backend.list_parts(&key("k"), &upload, ListPartsOptions { after: Some(1), limit: Some(2) }).await;
    let page = page.expect("parts");
    assert_eq!((page.parts, page.next_after), (vec![first.clone(), second.clone()], Some(7)));
    let uploads = backend.list_uploads(ListUploadsOptions::default()).await.expect("uploads").uploads;
    assert_eq!((uploads.len(), &uploads[0].id, uploads[0].key.as_str()), (1, &upload, "k"));
    assert_eq!(kind(read(&backend, "k", None).await), ErrorKind::NotFound);

    let saved =
        backend.complete_multipart(&key("k"), &upload, vec![first, second], CompleteOptions::default()).await;
    assert_eq!(saved.expect("completed").size_bytes, 2 * large(1).len() as u64);
    let found = backend.retrieve(&key("k"), RetrieveOptions::default()).await.expect("there");
    assert_eq!(found.meta.content_type.as_deref(), Some("video/mp4"));
    let whole = found.body.collect(u64::MAX).await.expect("whole");
    assert!(whole == [large(1), large(2)].concat());
    assert_eq!(home.files().len(), 2, "nothing is left of the upload");
    let options = ListPartsOptions::default();
    assert_eq!(kind(backend.list_parts(&key("k"), &upload, options).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_wrong_with_a_completion_leaves_the_upload_open() {
    let home = Home::new();
    let backend = home.open().await;
    save(&backend, "k", "old").await;
    let upload = backend.begin_multipart(&key("k"), SaveOptions::default()).await.expect("begun");
    let one = part(&backend, &upload, 1, Bytes::from_static(b"one")).await;
    let two = part(&backend, &upload, 2, Bytes::from_static(b"two")).await;
    let none = CompleteOptions::default;
    let absent = CompleteOptions { condition: WriteCondition::IfAbsent, ..none() };
    let checksums = Checksums { sha256: Some([0; 32]), ..Checksums::default() };
    let other = Part { etag: storage_core::ETag::new("x"), ..one.clone() };
    let missing = Part { number: 3, ..one.clone() };
    for (parts, options, expected) in [
        (vec![], none(), ErrorKind::InvalidArgument),
        (vec![two.clone(), one.clone()], none(), ErrorKind::InvalidArgument),
        (vec![other], none(), ErrorKind::InvalidArgument),
        (vec![one.clone(), missing], none(), ErrorKind::InvalidArgument),
        (vec![one.clone()], absent, ErrorKind::AlreadyExists),
        (vec![one.clone()], CompleteOptions { checksums, ..none() }, ErrorKind::ChecksumMismatch),
    ] {
        assert_eq!(kind(backend.complete_multipart(&key("k"), &upload, parts, options).await), expected);
        assert_eq!(read(&backend, "k", None).await.expect("old"), "old");
    }
    assert!(!home.files().iter().any(|file| file.starts_with("staging")));
    backend.complete_multipart(&key("k"), &upload, vec![one, two], none()).await.expect("still open");
    assert_eq!(read(&backend, "k", None).await.expect("new"), "onetwo");
}

#[tokio::test]
async fn an_aborted_upload_is_gone_and_foreign_names_are_no_paths() {
    let home = Home::new();
    let backend = home.open().await;
    let upload = backend.begin_multipart(&key("k"), SaveOptions::default()).await.expect("begun");
    part(&backend, &upload, 1, large(1)).await;
    let wrong = PartOptions {
        checksums: Checksums { crc64nvme: Some(1), ..Checksums::default() },
        ..PartOptions::default()
    };
    let sent = backend.upload_part(&key("k"), &upload, 2, large(2).into(), wrong).await;
    assert_eq!(kind(sent), ErrorKind::ChecksumMismatch);
    for number in [0, 10_001] {
        let sent = backend.upload_part(&key("k"), &upload, number, "x".into(), PartOptions::default()).await;
        assert_eq!(kind(sent), ErrorKind::InvalidArgument);
    }
    for (owner, id) in
        [("other", upload.clone()), ("k", UploadId::new("../objects")), ("k", UploadId::new(""))]
    {
        for body in [Bytes::from_static(b"x"), large(3)] {
            let sent = backend.upload_part(&key(owner), &id, 1, body.into(), PartOptions::default()).await;
            assert_eq!(kind(sent), ErrorKind::NotFound);
        }
        assert!(!backend.abort_multipart(&key(owner), &id).await.expect("nothing").existed);
    }
    assert!(backend.abort_multipart(&key("k"), &upload).await.expect("aborted").existed);
    assert!(!backend.abort_multipart(&key("k"), &upload).await.expect("again").existed);
    let sent = backend.upload_part(&key("k"), &upload, 1, "x".into(), PartOptions::default()).await;
    assert_eq!(kind(sent), ErrorKind::NotFound);
    assert_eq!(home.files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_races_with_the_abort_is_kept_or_refused_and_nothing_stays() {
    let home = Home::new();
    let backend = std::sync::Arc::new(home.open_with(&[("fsync", "false")]).await.expect("open"));
    for _ in 0..40 {
        let upload = backend.begin_multipart(&key("k"), SaveOptions::default()).await.expect("begun");
        let senders = (1..=8).map(|number| {
            let (backend, upload) = (std::sync::Arc::clone(&backend), upload.clone());
            tokio::spawn(async move {
                backend.upload_part(&key("k"), &upload, number, "part".into(), PartOptions::default()).await
            })
        });
        let senders: Vec<_> = senders.collect();
        assert!(backend.abort_multipart(&key("k"), &upload).await.expect("aborted").existed);
        for sender in senders {
            if let Err(error) = sender.await.expect("no panic") {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            }
        }
        assert_eq!(home.files(), [""; 0]);
    }
}
