//! Uploads in parts: what is on the wire, what is left, and that two do not meet.

use std::time::Duration;

use serde_json::json;
use storage_core::{CompleteOptions, ErrorKind, ListPartsOptions, SaveOptions};
use storage_tests::proxy::{End, Rule};

use crate::rig::{Rig, content, key, read, requests, save};

#[tokio::test]
async fn a_whole_has_the_crc_of_its_parts_and_a_wrong_one_is_refused() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    let whole = content(9 << 20);
    let name = key("object");
    let upload = backend.begin_multipart(&name, SaveOptions::default()).await.expect("begun");
    let mut parts = Vec::new();
    for (number, range) in [(1, 0..4 << 20), (2, 4 << 20..9 << 20)] {
        let body = whole.slice(range).into();
        parts
            .push(backend.upload_part(&name, &upload, number, body, Default::default()).await.expect("sent"));
    }
    let wrong = storage_core::Checksums { crc64nvme: Some(1), ..Default::default() };
    let options = CompleteOptions { checksums: wrong, ..CompleteOptions::default() };
    let error = backend.complete_multipart(&name, &upload, parts.clone(), options).await.expect_err("wrong");
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
    let made = backend.complete_multipart(&name, &upload, parts, Default::default()).await.expect("complete");
    save(&backend, "same", whole.clone()).await.expect("saved");
    let same = backend.get_metadata(&key("same"), Default::default()).await.expect("described");
    assert_eq!(made.checksums.crc64nvme, same.checksums.crc64nvme);
    assert!(read(&backend, "object").await.expect("read") == whole);
}

#[tokio::test]
async fn an_upload_outlives_a_save_of_the_same_key() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    let name = key("object");
    let upload = backend.begin_multipart(&name, SaveOptions::default()).await.expect("begun");
    let part = backend.upload_part(&name, &upload, 1, content(1 << 20).into(), Default::default()).await;
    // Azure drops what waits under a name as soon as any writer of it finishes.
    save(&backend, "object", "between").await.expect("saved");
    let listed = backend.list_parts(&name, &upload, ListPartsOptions::default()).await.expect("listed");
    assert_eq!(listed.parts, [part.expect("sent")]);
    backend.complete_multipart(&name, &upload, listed.parts, Default::default()).await.expect("complete");
    assert!(read(&backend, "object").await.expect("read") == content(1 << 20));
}

#[tokio::test]
async fn an_empty_part_is_one() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    let name = key("object");
    let upload = backend.begin_multipart(&name, SaveOptions::default()).await.expect("begun");
    let first = backend.upload_part(&name, &upload, 1, "abc".into(), Default::default()).await.expect("sent");
    let empty = backend.upload_part(&name, &upload, 2, "".into(), Default::default()).await.expect("sent");
    assert_eq!(empty.size_bytes, 0);
    backend
        .complete_multipart(&name, &upload, vec![first, empty], Default::default())
        .await
        .expect("complete");
    assert_eq!(read(&backend, "object").await.expect("read"), "abc");
}

#[tokio::test]
async fn a_completion_that_breaks_leaves_the_upload_to_the_next() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let name = key("object");
    let upload = backend.begin_multipart(&name, SaveOptions::default()).await.expect("begun");
    let mut parts = Vec::new();
    for number in 1..=3 {
        let body = content(100_000).into();
        parts
            .push(backend.upload_part(&name, &upload, number, body, Default::default()).await.expect("sent"));
    }
    let is_final = |request: &storage_tests::proxy::Request| {
        request.path.ends_with("/object") && request.query("comp").as_deref() == Some("blocklist")
    };
    proxy.add(Rule::on(is_final).times(1).drop_at_once(End::Reset));
    let named = vec![parts[0].clone(), parts[2].clone()];
    let error =
        backend.complete_multipart(&name, &upload, named, Default::default()).await.expect_err("broken");
    assert!(error.retry().is_allowed(), "{error}");
    // Those that were not named then are still there.
    let listed = backend.list_parts(&name, &upload, ListPartsOptions::default()).await.expect("listed");
    assert_eq!(listed.parts.len(), 3);
    backend.complete_multipart(&name, &upload, parts, Default::default()).await.expect("complete");
    assert_eq!(read(&backend, "object").await.expect("read").len(), 300_000);
}

#[tokio::test]
async fn nothing_of_an_upload_is_left_when_it_ended() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let name = key("object");
    for complete in [true, false] {
        let upload = backend.begin_multipart(&name, SaveOptions::default()).await.expect("begun");
        let part =
            backend.upload_part(&name, &upload, 1, "abc".into(), Default::default()).await.expect("sent");
        if complete {
            backend
                .complete_multipart(&name, &upload, vec![part], Default::default())
                .await
                .expect("complete");
        } else {
            backend.abort_multipart(&name, &upload).await.expect("aborted");
        }
        let gone = |what: &str| {
            let path = format!("/.storage-uploads/{upload}{what}");
            requests(&proxy, |seen| seen.request.method == "DELETE" && seen.request.path.ends_with(&path))
                .len()
        };
        assert_eq!((gone(""), gone("/parts")), (1, 1), "complete: {complete}");
    }
}

#[tokio::test]
async fn old_uploads_are_swept_when_the_backend_opens_and_when_asked() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    let old = backend.begin_multipart(&key("old"), SaveOptions::default()).await.expect("begun");
    let opened = rig.open_with(&[("upload_expiry", "1ms")]).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !backend.list_uploads(Default::default()).await.expect("listed").uploads.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{old} is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    backend.begin_multipart(&key("old"), SaveOptions::default()).await.expect("begun");
    assert_eq!(backend.invoke("sweep_uploads", json!({})).await.expect("swept")["dropped_uploads"], 0);
    assert_eq!(opened.invoke("sweep_uploads", json!({})).await.expect("swept")["dropped_uploads"], 1);
}
