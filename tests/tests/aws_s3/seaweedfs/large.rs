//! Large files: in parallel, in bounded memory, in parts of the caller's and of the server's.

use std::time::Duration;

use storage_core::{
    Checksums, CompleteOptions, CopyOptions, ErrorKind, ListPartsOptions, MetadataOptions, PartOptions,
    SaveOptions, Tier,
};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{Link, Proxy};
use storage_tests::servers::Server;

use super::opened;
use crate::rig::{holds, key, kind, open, save, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_quarter_gigabyte_goes_up_and_down_in_parallel_parts() {
    let server = Server::get("seaweedfs");
    let link = Link { latency: Duration::from_millis(20), ..Link::default() };
    let proxy = Proxy::behind(&server.endpoint, link).await;
    let backend = open(settings(&server, &proxy.endpoint(), &[])).await;
    let content = Content::new(9, 256 << 20);
    proxy.forget();
    let options = SaveOptions { checksums: content.checksums(), ..SaveOptions::default() };
    let saved = backend.save(&key("object"), content.body(Chunking::Undeclared), options).await;
    assert_eq!(saved.expect("saved").checksums, content.checksums());
    let sent = proxy.exchanges().into_iter().filter(|seen| seen.request.query("partNumber").is_some());
    assert_eq!(sent.count(), 32, "parts of 8 MiB");
    assert!((2..=8).contains(&proxy.most_at_once()), "{} at once", proxy.most_at_once());
    proxy.forget();
    holds(&backend, "object", content).await;
    assert_eq!(proxy.exchanges().len(), 32, "pieces of 8 MiB");
    assert!((2..=9).contains(&proxy.most_at_once()), "{} at once", proxy.most_at_once());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_reading_ahead_back() {
    let (proxy, backend) = opened(&[]).await;
    let content = Content::new(9, 256 << 20);
    save(&backend, "object", content).await;
    proxy.forget();
    let mut body = crate::rig::retrieve(&backend, "object").await.body;
    futures_util::StreamExt::next(&mut body).await.expect("a chunk").expect("no error");
    proxy.seen(|seen| seen.request.header("range").is_some() && seen.answered.is_some()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(proxy.exchanges().len() <= 9, "{} pieces were asked for", proxy.exchanges().len());
    drop(body);
    holds(&backend, "object", content).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_beyond_memory_is_sent_as_it_comes_and_its_digest_holds() {
    let (_proxy, backend) = opened(&[]).await;
    let upload = backend.begin_multipart(&key("object"), SaveOptions::default()).await.expect("begun");
    let content = Content::new(7, 70 << 20);
    let object = key("object");
    let send = |number, body, sha256| {
        let options =
            PartOptions { checksums: Checksums { sha256, ..Checksums::default() }, ..PartOptions::default() };
        backend.upload_part(&object, &upload, number, body, options)
    };
    let wrong = send(2, content.body(Chunking::Even), Some([0; 32])).await;
    assert_eq!(kind(wrong), ErrorKind::ChecksumMismatch);
    let short = send(2, content.body_that_declares(71 << 20), None).await;
    assert_eq!(kind(short), ErrorKind::LengthMismatch);
    let undeclared = send(2, content.body(Chunking::Undeclared), None).await;
    assert_eq!(kind(undeclared), ErrorKind::InvalidArgument);
    let part = send(1, content.body(Chunking::Even), Some(content.sha256())).await.expect("taken");
    assert_eq!((part.size_bytes, part.checksums.crc64nvme), (70 << 20, content.checksums().crc64nvme));
    let page =
        backend.list_parts(&key("object"), &upload, ListPartsOptions::default()).await.expect("listed");
    assert_eq!(page.parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1], "nothing of the others");
    let options = CompleteOptions {
        checksums: Checksums { crc64nvme: content.checksums().crc64nvme, ..Checksums::default() },
        ..CompleteOptions::default()
    };
    backend.complete_multipart(&key("object"), &upload, vec![part], options).await.expect("complete");
    holds(&backend, "object", content).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_copied_and_moved_in_parts_with_all_that_belongs_to_it() {
    let (proxy, backend) = opened(&[("copy_part_size", "5MiB")]).await;
    let content = Content::new(7, 17 << 20);
    let options = SaveOptions {
        content_type: Some("application/pdf".to_owned()),
        metadata: [("owner".to_owned(), "Ingénieur".to_owned())].into(),
        tags: [("team".to_owned(), "a b".to_owned())].into(),
        ..SaveOptions::default()
    };
    backend.save(&key("from"), content.body(Chunking::Even), options.clone()).await.expect("saved");
    proxy.forget();
    let copied = backend.copy(&key("from"), &key("to"), CopyOptions::default()).await.expect("copied");
    assert_eq!(copied.size_bytes, content.size_bytes);
    let exchanges = proxy.exchanges();
    let ranges: Vec<_> =
        exchanges.iter().filter_map(|seen| seen.request.header("x-amz-copy-source-range")).collect();
    assert_eq!(ranges.len(), 4, "{ranges:?}");
    backend.set_tier(&key("to"), Tier::Warm, Default::default()).await.expect("moved");
    holds(&backend, "to", content).await;
    let meta = backend.get_metadata(&key("to"), MetadataOptions::default()).await.expect("described");
    assert_eq!((meta.content_type, meta.metadata), (options.content_type, options.metadata));
    assert_eq!((meta.tags, meta.tier), (options.tags, Some(Tier::Warm)));
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_uploads_are_swept_by_their_age() {
    let (_proxy, backend) = opened(&[]).await;
    backend.begin_multipart(&key("object"), SaveOptions::default()).await.expect("begun");
    let sweep = |age: &str| backend.invoke("sweep_uploads", serde_json::json!({ "older_than": age }));
    assert_eq!(sweep("1h").await.expect("swept")["aborted"], 0, "a young one stays");
    assert_eq!(sweep("0s").await.expect("swept")["aborted"], 1);
    assert!(backend.list_uploads(Default::default()).await.expect("listed").uploads.is_empty());
}
