//! Large files: in parallel, within the memory that they may take, and nothing left behind.

use storage_core::SaveOptions;
use storage_tests::fixture::{Chunking, Content};

use super::*;

const LARGE: Content = Content::new(6, 256 << 20);

#[tokio::test]
async fn a_quarter_of_a_gibibyte_goes_up_and_down_in_parallel() {
    let opened = open().await;
    opened.saved("file", LARGE).await;
    let parts = opened.seen(is_upload("multipart"));
    assert_eq!(parts.len(), 32, "parts of 8 MiB");
    assert!(opened.proxy.most_at_once() > 2, "several are on their way at once");
    opened.holds("file", LARGE).await;
    assert_eq!(opened.seen(is_download).len(), 32, "ranges of 8 MiB");
    let saved = opened.backend.get_metadata(&key("file"), Default::default()).await.expect("described");
    assert_eq!(saved.checksums.crc32c, LARGE.checksums().crc32c);
    opened.nothing_but(&["file"]).await;
}

#[tokio::test]
async fn a_file_of_unknown_length_goes_in_parts_as_soon_as_it_is_larger_than_one() {
    let opened = open().await;
    for (name, size_bytes, parts) in [("one", 8 << 20, 1), ("two", (8 << 20) + 1, 2)] {
        let content = Content::new(7, size_bytes);
        let body = content.body(Chunking::Undeclared);
        let before = opened.seen(is_upload("multipart")).len();
        opened.backend.save(&key(name), body, SaveOptions::default()).await.expect("saved");
        assert_eq!(opened.seen(is_upload("multipart")).len() - before, parts, "{name}");
        opened.holds(name, content).await;
    }
    opened.nothing_but(&["one", "two"]).await;
}

#[tokio::test]
async fn parallel_uploads_can_be_turned_off() {
    let opened = open_with(&[("composite_threshold", "0")]).await;
    let content = Content::new(8, 40 << 20);
    opened.saved("file", content).await;
    assert!(opened.seen(ends_with("POST", "/compose")).is_empty());
    assert_eq!(opened.seen(|request| request.method == "PUT").len(), 5, "chunks of 8 MiB");
    opened.holds("file", content).await;
}

#[tokio::test]
async fn closing_waits_until_temporary_objects_are_gone() {
    let opened = open().await;
    opened.saved("file", Content::new(9, 64 << 20)).await;
    opened.backend.close().await.expect("closed");
    assert_eq!(opened.names().await, ["file"]);
}
