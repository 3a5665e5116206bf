//! What the provider and the network can do wrong, each once.

use std::time::Duration;

use storage_core::{ErrorKind, PartOptions, RetrieveOptions, Retry, SaveOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{End, Request, Rule};
use storage_tests::servers::Server;

use super::{opened, proxied};
use crate::rig::{holds, key, kind, open, refusal, retrieve, save, settings};

/// Two parts more than go in one request.
const LARGE: Content = Content::new(3, (32 << 20) + 12_345);

fn is_part(request: &Request) -> bool {
    request.method == "PUT" && request.query("partNumber").is_some()
}

fn is_completion(request: &Request) -> bool {
    request.method == "POST" && request.query("uploadId").is_some()
}

fn is_object(request: &Request) -> bool {
    request.path.ends_with("/object")
        && request.query.as_deref().is_none_or(|query| !query.contains("upload"))
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_told_by_the_variable_that_is_wrong() {
    let server = Server::get("seaweedfs");
    let wrong_secret = settings(&server, &server.endpoint, &[("secret_access_key", "hunter2hunter2")]);
    let error = refusal(wrong_secret).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}", error.report());
    let told = format!("{} {error:?}", error.report());
    assert!(told.contains("AWS_SECRET_ACCESS_KEY") && !told.contains("hunter2"), "{told}");
    let error = refusal(settings(&server, &server.endpoint, &[("access_key_id", "AKIANOBODY")])).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.report().contains("AWS_ACCESS_KEY_ID"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_told_with_the_command_that_creates_it() {
    let server = Server::get("seaweedfs");
    let error = refusal(settings(&server, &server.endpoint, &[("create_bucket", "false")])).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConfigInvalid, Retry::Never));
    let told = error.report();
    assert!(told.contains("aws s3api create-bucket --bucket aws-s3-"), "{told}");
    assert!(told.contains("AWS_S3_CREATE_BUCKET"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_another_region_is_told_with_its_region() {
    let (proxy, settings) = proxied(&[]).await;
    let xml = "<Error><Code>PermanentRedirect</Code><Message>Use the endpoint.</Message></Error>";
    proxy.add(Rule::always().answer(301, xml).response_header("x-amz-bucket-region", "eu-central-1"));
    let error = refusal(settings).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConfigInvalid, Retry::Never));
    let told = error.report();
    assert!(told.contains("AWS_REGION") && told.contains("eu-central-1"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_told_and_may_be_right_the_next_time() {
    let (proxy, backend) = opened(&[]).await;
    let xml =
        "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>";
    proxy.add(Rule::on(|request| request.method == "PUT").times(1).answer(403, xml));
    let body = Content::new(1, 10).body(Chunking::Buffer);
    let error = backend.save(&key("object"), body, SaveOptions::default()).await.expect_err("skewed");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthenticated, Retry::May));
    assert!(error.report().contains("clock"), "{}", error.report());
    save(&backend, "object", Content::new(1, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_credentials_are_found_by_the_probe_with_what_is_missing() {
    let server = Server::get("seaweedfs");
    let all = settings(&server, &server.endpoint, &[]);
    let backend = open(all.clone()).await;
    assert!(backend.health().await.expect("healthy").problems.is_empty());
    let mut readonly = all;
    readonly.retain(|(key, _)| !["access_key_id", "secret_access_key"].contains(key));
    readonly.push(("access_key_id", server.setting("readonly_access_key").to_owned()));
    readonly.push(("secret_access_key", server.setting("readonly_secret_key").to_owned()));
    let backend = open(readonly).await;
    let problems = backend.health().await.expect("it answers").problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    for (problem, permission) in problems.iter().zip(["s3:PutObject", "s3:DeleteObject"]) {
        assert!(problem.contains(permission), "{problem}");
        assert!(problem.contains("storage backends policy aws_hot"), "it says what to do: {problem}");
    }
    let body = Content::new(1, 10).body(Chunking::Buffer);
    let saved = backend.save(&key("object"), body, SaveOptions::default()).await;
    assert_eq!(kind(saved), ErrorKind::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_told_to_slow_down_is_sent_again() {
    let (proxy, backend) = opened(&[]).await;
    let slow_down = Rule::on(is_part).times(2).answer(503, "<Error><Code>SlowDown</Code></Error>");
    let slow_down = proxy.add(slow_down);
    save(&backend, "object", LARGE).await;
    assert_eq!(slow_down.fired(), 2);
    holds(&backend, "object", LARGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_save_that_is_told_to_slow_down_is_the_hosts_to_repeat_when_it_was_told() {
    let (proxy, backend) = opened(&[]).await;
    let rule = Rule::on(is_object).answer(503, "<Error><Code>SlowDown</Code></Error>");
    let slow_down = proxy.add(rule.response_header("retry-after", "3"));
    let body = Content::new(1, 10).body(Chunking::Buffer);
    let error = backend.save(&key("object"), body, SaveOptions::default()).await.expect_err("refused");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::After(Duration::from_secs(3))));
    assert_eq!(slow_down.fired(), 1, "nobody beneath the host repeats it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_within_a_part_costs_that_part_alone() {
    let (proxy, backend) = opened(&[]).await;
    let cut = proxy.add(Rule::on(is_part).after(1).times(2).cut_request(1_000_000, End::Reset));
    save(&backend, "object", LARGE).await;
    assert_eq!(cut.fired(), 2);
    let parts = proxy.exchanges().into_iter().filter(|seen| is_part(&seen.request)).count();
    assert_eq!(parts, 5 + 2, "five parts, two of them twice");
    holds(&backend, "object", LARGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_never_gets_through_aborts_the_upload() {
    let (proxy, backend) = opened(&[]).await;
    proxy.add(Rule::on(is_part).after(2).drop_at_once(End::Reset));
    let body = LARGE.body(Chunking::Even);
    let error = backend.save(&key("object"), body, SaveOptions::default()).await.expect_err("refused");
    assert_eq!(error.retry(), Retry::GaveUp, "the host must not repeat it: {}", error.report());
    proxy.seen(|seen| seen.request.method == "DELETE" && seen.answered.is_some()).await;
    let page = backend.list_uploads(Default::default()).await.expect("listed");
    assert!(page.uploads.is_empty(), "{:?}", page.uploads);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_aborted_when_its_save_is_dropped_and_closing_waits_for_that() {
    let (proxy, backend) = opened(&[]).await;
    let (body, taken) = LARGE.body_that_stalls(20 << 20);
    let object = key("object");
    tokio::select! {
        answer = backend.save(&object, body, SaveOptions::default()) => panic!("{answer:?}"),
        () = taken.notified() => {}
    }
    backend.close().await.expect("closed");
    let aborted = proxy.exchanges().into_iter().find(|seen| seen.request.method == "DELETE");
    assert!(aborted.expect("the upload was aborted").answered.is_some(), "before closing answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_within_a_success_is_no_success() {
    let (proxy, backend) = opened(&[]).await;
    let xml = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>Try again.</Message></Error>";
    let broken = proxy.add(Rule::on(is_completion).times(1).answer(200, xml));
    save(&backend, "object", LARGE).await;
    assert_eq!(broken.fired(), 1);
    assert!(
        proxy.exchanges().iter().filter(|seen| is_completion(&seen.request)).count() > 1,
        "it was repeated"
    );
    holds(&backend, "object", LARGE).await;
    let forever = proxy.add(Rule::on(is_completion).answer(200, xml));
    let answer = backend.save(&key("other"), LARGE.body(Chunking::Even), SaveOptions::default()).await;
    let error = answer.expect_err("it fails each time");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::GaveUp));
    assert!(forever.fired() > 1);
    assert!(!backend.exists(&key("other")).await.expect("exists answers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_whose_answer_is_lost_has_happened_once() {
    let (proxy, backend) = opened(&[("versioning", "true")]).await;
    let lost = proxy.add(Rule::on(is_completion).times(1).lose_answer(End::Reset));
    save(&backend, "object", LARGE).await;
    assert_eq!(lost.fired(), 1);
    holds(&backend, "object", LARGE).await;
    let page = backend.list_uploads(Default::default()).await.expect("listed");
    assert!(page.uploads.is_empty(), "{:?}", page.uploads);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_breaks_off_goes_on_where_it_broke() {
    let (proxy, backend) = opened(&[]).await;
    let content = Content::new(4, 10 << 20);
    save(&backend, "object", content).await;
    proxy.forget();
    let cut = proxy.add(Rule::on(is_object).times(2).cut_response(3_000_000, End::Reset));
    holds(&backend, "object", content).await;
    assert_eq!(cut.fired(), 2);
    let ranges: Vec<_> =
        proxy.exchanges().iter().map(|seen| seen.request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert!(ranges[0].is_none() && ranges[1..].iter().flatten().all(|range| range != "bytes=0-10485759"));
    let pinned = proxy.exchanges()[1].request.header("if-match").map(str::to_owned);
    assert!(pinned.is_some(), "it goes on with the same content alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_object_is_not_mixed_into_a_read_that_goes_on() {
    let (proxy, backend) = opened(&[]).await;
    save(&backend, "object", Content::new(4, 10 << 20)).await;
    proxy.add(Rule::on(|request| request.method == "GET").times(1).cut_response(3_000_000, End::Reset));
    let found = retrieve(&backend, "object").await;
    save(&backend, "object", Content::new(5, 10 << 20)).await;
    let error = found.body.collect(1 << 30).await.expect_err("the rest is of another object");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_altered_on_the_way_down_is_an_error() {
    let (proxy, backend) = opened(&[]).await;
    for (name, content) in [("small/object", Content::new(4, 1 << 20)), ("large/object", LARGE)] {
        save(&backend, name, content).await;
        let altered = proxy.add(Rule::on(is_object).times(1).alter_response(500_000));
        let error = retrieve(&backend, name).await.body.collect(1 << 30).await.expect_err("altered");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::ChecksumMismatch, Retry::May), "{name}");
        assert_eq!(altered.fired(), 1);
        holds(&backend, name, content).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_altered_on_the_way_up_is_refused_and_leaves_nothing() {
    let (proxy, backend) = opened(&[]).await;
    let altered = proxy.add(Rule::on(is_object).times(1).alter_request(500_000));
    let body = Content::new(4, 1 << 20).body(Chunking::Buffer);
    let error = backend.save(&key("object"), body, SaveOptions::default()).await.expect_err("altered");
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{}", error.report());
    assert_eq!(altered.fired(), 1);
    assert!(!backend.exists(&key("object")).await.expect("exists answers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_timeout_that_may_pass() {
    let (proxy, backend) = opened(&[("read_timeout", "1s")]).await;
    proxy.add(Rule::on(is_object).delay(Duration::from_secs(5)));
    let error = backend.retrieve(&key("object"), RetrieveOptions::default()).await.expect_err("silent");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::May));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_endpoint_is_unavailable() {
    let server = Server::get("seaweedfs");
    // A port that was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = refusal(settings(&server, &endpoint, &[])).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_parts_than_there_may_be_are_refused_before_they_are_sent() {
    let (proxy, backend) = opened(&[]).await;
    let upload = backend.begin_multipart(&key("object"), SaveOptions::default()).await.expect("begun");
    proxy.forget();
    let body = Content::new(1, 10).body(Chunking::Buffer);
    let sent = backend.upload_part(&key("object"), &upload, 10_001, body, PartOptions::default()).await;
    assert_eq!(kind(sent), ErrorKind::InvalidArgument);
    assert!(proxy.exchanges().is_empty());
}
