//! The end of an upload in parts, and what becomes of one that has none. Amazon's part is played from a script, since
//! SeaweedFS completes an upload twice.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use storage_core::{Backend, ByteRange, CopyOptions, ErrorKind, RetrieveOptions, Retry, SaveOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{End, Request, Rule};

use crate::amazon::Amazon;
use crate::conditions::{scripted, scripted_with};
use crate::rig::{key, open, settings};

const LARGE: Content = Content::new(3, 20 << 20);

fn is_completion(request: &Request) -> bool {
    request.method == "POST" && request.query("uploadId").is_some()
}

fn is_part(request: &Request) -> bool {
    request.query("partNumber").is_some()
}

fn digest_of(content: Content) -> String {
    BASE64.encode(content.checksums().crc64nvme.expect("a digest").to_be_bytes())
}

async fn is_aborted(amazon: &Amazon) {
    let abort = amazon.recorder.seen(|seen| {
        seen.request.method == "DELETE" && seen.request.query("uploadId").as_deref() == Some("upload")
    });
    tokio::time::timeout(std::time::Duration::from_secs(20), abort).await.expect("the upload is aborted");
}

async fn save(backend: &Arc<dyn Backend>) -> storage_core::Result<storage_core::SaveResult> {
    backend.save(&key("object"), LARGE.body(Chunking::Even), SaveOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_the_whole_go_with_their_digests() {
    let (amazon, backend) = scripted().await;
    save(&backend).await.expect("saved");
    let exchanges = amazon.recorder.exchanges();
    let begin = exchanges.iter().find(|seen| seen.request.query("uploads").is_some()).expect("it was begun");
    assert_eq!(begin.request.header("x-amz-checksum-algorithm"), Some("CRC64NVME"));
    assert_eq!(begin.request.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    let parts: Vec<_> = exchanges.iter().filter(|seen| is_part(&seen.request)).collect();
    assert_eq!(parts.len(), 3);
    for seen in parts {
        assert!(seen.request.header("x-amz-checksum-crc64nvme").is_some(), "{:?}", seen.request.query);
    }
    let completion = exchanges.iter().find(|seen| is_completion(&seen.request)).expect("it was completed");
    let whole = digest_of(LARGE);
    assert_eq!(completion.request.header("x-amz-checksum-crc64nvme"), Some(whole.as_str()));
    assert_eq!(completion.request.header("x-amz-mp-object-size"), Some("20971520"));
    let document = String::from_utf8_lossy(&completion.request.body).into_owned();
    assert_eq!(document.matches("<ChecksumCRC64NVME>").count(), 3, "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_too_large_for_memory_goes_with_its_digest_behind_it() {
    let (amazon, backend) = scripted_with(&[("part_size", "5MiB"), ("concurrency", "1")]).await;
    let upload = backend.begin_multipart(&key("object"), SaveOptions::default()).await.expect("begun");
    let content = Content::new(5, 6 << 20);
    let body = content.body(Chunking::Even);
    let part = backend.upload_part(&key("object"), &upload, 1, body, Default::default()).await.expect("sent");
    assert_eq!(part.checksums.crc64nvme, content.checksums().crc64nvme);
    let sent =
        amazon.recorder.exchanges().into_iter().find(|seen| is_part(&seen.request)).expect("it was sent");
    assert_eq!(sent.request.header("x-amz-trailer"), Some("x-amz-checksum-crc64nvme"));
    assert_eq!(sent.request.header("x-amz-decoded-content-length"), Some("6291456"));
}

/// The first answer to a completion is lost, and then there is no upload any more. What is under the key has this
/// digest.
async fn completes_with_a_lost_answer(digest: &str) -> storage_core::Result<storage_core::SaveResult> {
    let (amazon, backend) = scripted().await;
    let rules = &amazon.recorder;
    rules.clear_rules();
    let begun = "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>";
    let gone = "<Error><Code>NoSuchUpload</Code><Message>There is none.</Message></Error>";
    let head = Rule::on(|request| request.method == "HEAD").answer(200, "");
    let head = head.response_header("etag", "\"whole-3\"").response_header("content-length", "20971520");
    rules.add(head.response_header("x-amz-checksum-crc64nvme", digest));
    rules.add(Rule::on(|request| request.query("uploads").is_some()).answer(200, begun));
    rules.add(Rule::on(is_part).answer(200, "").response_header("etag", "\"x\""));
    rules.add(Rule::on(is_completion).times(1).drop_at_once(End::Reset));
    rules.add(Rule::on(is_completion).answer(404, gone));
    save(&backend).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_whose_answer_was_lost_is_told_by_the_object_that_it_made() {
    let saved = completes_with_a_lost_answer(&digest_of(LARGE)).await.expect("it happened");
    assert_eq!(saved.etag.map(|tag| tag.as_str().to_owned()).as_deref(), Some("whole-3"));
    let error = completes_with_a_lost_answer(&digest_of(Content::new(4, 20 << 20))).await;
    let error = error.expect_err("the object is another's");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_completed_is_aborted() {
    let (amazon, backend) = scripted().await;
    amazon.recorder.clear_rules();
    let begun = "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>";
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    amazon.recorder.add(Rule::on(|request| request.query("uploads").is_some()).answer(200, begun));
    amazon.recorder.add(Rule::on(is_part).answer(200, "").response_header("etag", "\"x\""));
    amazon.recorder.add(Rule::on(is_completion).answer(403, denied));
    let error = save(&backend).await.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.report());
    is_aborted(&amazon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_parts_that_fails_aborts_its_upload() {
    let (amazon, backend) = scripted().await;
    amazon.recorder.clear_rules();
    let begun = "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>";
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let head = Rule::on(|request| request.method == "HEAD").answer(200, "");
    let head = head.response_header("etag", "\"x\"").response_header("content-length", "20971520");
    amazon.recorder.add(head);
    amazon.recorder.add(Rule::on(|request| request.query("uploads").is_some()).answer(200, begun));
    amazon.recorder.add(Rule::on(is_part).answer(403, denied));
    let copied = backend.copy(&key("from"), &key("to"), CopyOptions::default()).await;
    assert_eq!(copied.expect_err("it is refused").kind(), ErrorKind::PermissionDenied);
    is_aborted(&amazon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_parts_of_other_bytes_is_no_copy() {
    let (amazon, backend) = scripted().await;
    amazon.recorder.clear_rules();
    let begun = "<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>";
    let part = "<CopyPartResult><ETag>\"x\"</ETag><ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME></CopyPartResult>";
    let head = Rule::on(|request| request.method == "HEAD").answer(200, "");
    let head = head.response_header("etag", "\"x\"").response_header("content-length", "20971520");
    amazon.recorder.add(head.response_header("x-amz-checksum-crc64nvme", &digest_of(LARGE)));
    amazon.recorder.add(Rule::on(|request| request.query("uploads").is_some()).answer(200, begun));
    amazon.recorder.add(Rule::on(is_part).answer(200, part));
    let copied = backend.copy(&key("from"), &key("to"), CopyOptions::default()).await;
    assert_eq!(copied.expect_err("they are others").kind(), ErrorKind::ChecksumMismatch);
    is_aborted(&amazon).await;
    assert!(!amazon.recorder.exchanges().iter().any(|seen| is_completion(&seen.request)), "it was completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_aborts_the_upload_that_it_begins() {
    let (amazon, backend) = scripted().await;
    let missing = "<Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>";
    amazon.recorder.add(Rule::always().answer(404, missing));
    assert!(backend.health().await.expect("it answers").problems.is_empty());
    is_aborted(&amazon).await;
}

mod seaweedfs {
    use storage_tests::proxy::Proxy;
    use storage_tests::servers::Server;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_read_goes_on_in_its_version_though_another_took_its_place() {
        let server = Server::get("seaweedfs");
        let proxy = Proxy::before(&server.endpoint).await;
        let backend = open(settings(&server, &proxy.endpoint(), &[("versioning", "true")])).await;
        let content = Content::new(6, 10 << 20);
        let put = |content: Content| {
            let backend = Arc::clone(&backend);
            async move { backend.save(&key("object"), content.body(Chunking::Even), SaveOptions::default()).await }
        };
        let saved = put(content).await.expect("saved");
        let is_get = |request: &Request| request.method == "GET" && request.path.ends_with("/object");
        proxy.add(Rule::on(is_get).times(1).cut_response(3_000_000, End::Reset));
        let found = backend.retrieve(&key("object"), RetrieveOptions::default()).await.expect("found");
        put(Content::new(7, 10 << 20)).await.expect("saved");
        content.compare(0..content.size_bytes, found.body).await.expect("all of the first version");
        let version = saved.version.expect("a version");
        let later =
            proxy.exchanges().into_iter().rev().find(|seen| is_get(&seen.request)).expect("it went on");
        assert_eq!(later.request.query("versionId").as_deref(), Some(version.as_str()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_of_another_range_are_not_taken_for_those_that_were_asked_for() {
        let server = Server::get("seaweedfs");
        let proxy = Proxy::before(&server.endpoint).await;
        let backend = open(settings(&server, &proxy.endpoint(), &[])).await;
        save(&backend).await.expect("saved");
        let is_get = |request: &Request| request.method == "GET" && request.path.ends_with("/object");
        proxy.add(Rule::on(is_get).times(1).cut_response(100_000, End::Reset));
        let other = Rule::on(is_get).response_header("content-range", "bytes 0-9/20971520");
        let wrong = proxy.add(other);
        // A part of an object has no digest that would tell.
        let range = Some(ByteRange::Bounded(1_000_000, 5_000_000));
        let options = RetrieveOptions { range, ..RetrieveOptions::default() };
        let found = backend.retrieve(&key("object"), options).await.expect("found");
        let error = found.body.collect(1 << 30).await.expect_err("the rest is another");
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::GaveUp),
            "{}",
            error.report()
        );
        assert!(wrong.fired() > 1, "it was asked for again");
    }
}
