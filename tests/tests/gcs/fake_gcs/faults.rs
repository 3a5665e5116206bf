//! Every fault that the service can throw, once.

use std::time::Duration;

use serde_json::json;
use storage_core::{ErrorKind, Retry, SaveOptions, WriteCondition};
use storage_tests::fixture::Content;
use storage_tests::proxy::{End, Rule};

use super::*;

const SMALL: Content = Content::new(1, 100_000);
const MIDDLE: Content = Content::new(2, 20 << 20);

/// What one request reads.
const ONE_RANGE: Content = Content::new(4, 7 << 20);
const LARGE: Content = Content::new(3, 40 << 20);

fn told(code: u16, reason: &str, message: &str) -> String {
    json!({ "error": { "code": code, "message": message, "errors": [{ "reason": reason, "message": message }] } })
        .to_string()
}

/// The kind and retry of a save that Google answers like this, and the report.
async fn refused(code: u16, reason: &str, message: &str) -> (ErrorKind, Retry, String) {
    let opened = open().await;
    opened.proxy.add(Rule::on(is_upload("multipart")).answer(code, told(code, reason, message)));
    let error = opened.save("file", SMALL, SaveOptions::default()).await.expect_err("refused");
    opened.nothing_but(&[]).await;
    (error.kind(), error.retry(), error.report())
}

#[tokio::test]
async fn refusals_tell_what_to_do_and_keep_googles_words() {
    for (code, reason, message, kind, advice) in [
        (
            401,
            "authError",
            "Invalid Credentials",
            ErrorKind::Unauthenticated,
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (403, "forbidden", "no storage.objects.create", ErrorKind::PermissionDenied, "roles"),
        (403, "retentionPolicyNotMet", "retained", ErrorKind::ObjectLocked, "retained"),
        (403, "accountDisabled", "no billing", ErrorKind::PermissionDenied, "billing"),
        (
            404,
            "notFound",
            "The specified bucket does not exist.",
            ErrorKind::ConfigInvalid,
            "gcloud storage buckets",
        ),
        (400, "userProjectMissing", "requester pays", ErrorKind::ConfigInvalid, "GCS_USER_PROJECT"),
    ] {
        let (found, retry, report) = refused(code, reason, message).await;
        assert_eq!((found, retry), (kind, Retry::Never), "{report}");
        assert!(report.contains(advice) && report.contains(message), "{report}");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_told_with_the_command_that_creates_it() {
    let proxy = Proxy::before(&Server::get("fake_gcs").endpoint).await;
    let mut settings = settings(&proxy, "no-such-bucket");
    settings.retain(|(key, _)| *key != "create_bucket");
    settings.push(("location", "EU".to_owned()));
    let error = open_plugin(&settings).await.err().expect("there is none");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{}", error.report());
    let command = "gcloud storage buckets create gs://no-such-bucket --project=storage-tests --location=EU";
    assert!(
        error.report().contains(command) && error.report().contains("GCS_CREATE_BUCKET"),
        "{}",
        error.report()
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_the_variable() {
    let proxy = Proxy::before("http://127.0.0.1:9").await;
    let mut settings = settings(&proxy, "bucket");
    settings.retain(|(key, _)| *key != "endpoint_url");
    settings.push(("endpoint_url", "http://127.0.0.1:9".to_owned()));
    let error = open_plugin(&settings).await.err().expect("nobody answers");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May), "{}", error.report());
    assert!(error.report().contains("GCS_ENDPOINT_URL"), "{}", error.report());
}

#[tokio::test]
async fn health_names_the_permission_that_is_missing() {
    let opened = open().await;
    let granted = r#"{"permissions":["storage.objects.get","storage.objects.list"]}"#;
    opened.proxy.add(Rule::on(ends_with("GET", "/iam/testPermissions")).answer(200, granted));
    let health = opened.backend.health().await.expect("it answers");
    assert_eq!(health.problems.len(), 2, "{health:?}");
    assert!(health.problems[0].contains("storage.objects.create"), "{health:?}");
    assert!(health.problems[1].contains("storage.objects.delete"), "{health:?}");
    let request = opened.only(ends_with("GET", "/iam/testPermissions"));
    assert!(request.query.is_some_and(|query| query.matches("permissions=").count() == 4));
}

#[tokio::test]
async fn parts_that_are_slowed_down_are_sent_again() {
    let opened = open().await;
    let is_part = is_upload("multipart");
    let slow_down =
        opened.proxy.add(Rule::on(is_part.clone()).times(2).answer(503, told(503, "backendError", "slow")));
    let limited = Rule::on(is_part).times(1).answer(429, told(429, "rateLimitExceeded", "slower"));
    let limited = opened.proxy.add(limited.response_header("retry-after", "1"));
    opened.saved("file", LARGE).await;
    assert_eq!((slow_down.fired(), limited.fired()), (2, 1));
    opened.holds("file", LARGE).await;
    opened.nothing_but(&["file"]).await;
}

#[tokio::test]
async fn a_part_that_breaks_midway_is_sent_again() {
    let opened = open().await;
    let cut = opened.proxy.add(Rule::on(is_upload("multipart")).times(2).cut_request(3 << 20, End::Reset));
    opened.saved("file", LARGE).await;
    assert_eq!(cut.fired(), 2);
    opened.holds("file", LARGE).await;
}

#[tokio::test]
async fn a_service_that_stays_away_fails_the_save_and_leaves_nothing() {
    let opened = open().await;
    opened.saved("file", SMALL).await;
    let is_last = |request: &Request| is_upload("multipart")(request) && request.body_bytes < (9 << 20);
    opened.proxy.add(Rule::on(is_last).after(3).answer(403, told(403, "forbidden", "no more")));
    let error = opened.save("file", LARGE, SaveOptions::default()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.report());
    opened.proxy.clear_rules();
    opened.holds("file", SMALL).await;
    opened.nothing_but(&["file"]).await;
}

#[tokio::test]
async fn a_chunk_of_a_session_goes_on_from_where_the_service_has_it() {
    let opened = open().await;
    let range = |request: &Request| request.header("content-range").unwrap_or_default().to_owned();
    let is_second = move |request: &Request| range(request).starts_with("bytes 8388608-");
    let broken = opened.proxy.add(Rule::on(is_second).times(1).drop_at_once(End::Reset));
    // The service has the first chunk and a half of the second, says this rule; the server would end the upload here.
    let is_question = move |request: &Request| range(request) == "bytes */*";
    let has = Rule::on(is_question).times(1).answer(308, "").response_header("range", "bytes=0-8388607");
    let asked = opened.proxy.add(has);
    opened.saved("file", MIDDLE).await;
    assert_eq!((broken.fired(), asked.fired()), (1, 1));
    opened.holds("file", MIDDLE).await;
    let last = opened.seen(|request| range(request).ends_with(&format!("/{}", MIDDLE.size_bytes)));
    let digest = last.last().and_then(|last| last.request.header("x-goog-hash").map(str::to_owned));
    assert!(
        digest.is_some_and(|digest| digest.starts_with("crc32c=")),
        "the last chunk tells the digest of all"
    );
}

#[tokio::test]
async fn a_conditional_save_whose_answer_is_lost_is_recognised() {
    let opened = open().await;
    let lost = opened.proxy.add(Rule::on(is_upload("multipart")).times(1).lose_answer(End::Reset));
    let options = || SaveOptions { condition: WriteCondition::IfAbsent, ..SaveOptions::default() };
    opened.save("file", SMALL, options()).await.expect("it is the caller's own file that is there");
    assert_eq!(lost.fired(), 1);
    opened.holds("file", SMALL).await;
    let error = opened.save("file", SMALL, options()).await.expect_err("now it is there");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{}", error.report());
    let meta = opened.backend.get_metadata(&key("file"), Default::default()).await.expect("described");
    assert!(meta.metadata.is_empty(), "the mark is nobody's metadata: {:?}", meta.metadata);
}

#[tokio::test]
async fn bytes_that_change_on_the_way_up_are_not_kept() {
    let opened = open().await;
    opened.proxy.add(Rule::on(is_upload("multipart")).alter_request(50_000));
    let error = opened.save("file", SMALL, SaveOptions::default()).await.expect_err("altered");
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{}", error.report());
    opened.nothing_but(&[]).await;
}

#[tokio::test]
async fn a_part_that_changes_on_the_way_up_stores_nothing() {
    let opened = open().await;
    opened.proxy.add(Rule::on(is_upload("multipart")).after(2).times(1).alter_request(5_000_000));
    let error = opened.save("file", LARGE, SaveOptions::default()).await.expect_err("altered");
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{}", error.report());
    opened.nothing_but(&[]).await;
}

#[tokio::test]
async fn a_read_that_breaks_goes_on_from_where_it_broke() {
    let opened = open().await;
    let saved = opened.saved("file", ONE_RANGE).await;
    opened.proxy.add(Rule::on(is_download).times(1).cut_response(4_000_000, End::Reset));
    opened.proxy.add(Rule::on(is_download).times(1).cut_response(2_000_000, End::Close));
    opened.holds("file", ONE_RANGE).await;
    let reads = opened.seen(is_download);
    assert_eq!(reads.len(), 3);
    let starts: Vec<u64> = reads
        .iter()
        .map(|read| {
            read.request.header("range").and_then(|range| range.strip_prefix("bytes=")).expect("a range")
        })
        .map(|range| range.split('-').next().expect("a start").parse().expect("a number"))
        .collect();
    assert!(starts[0] == 0 && starts[1] > 0 && starts[2] > starts[1], "{starts:?}");
    let pinned = saved.etag.as_ref().map(|tag| tag.as_str().to_owned());
    let generations: Vec<_> = reads.iter().map(|read| read.request.query("generation")).collect();
    assert_eq!(generations, [None, pinned.clone(), pinned], "all of the content that was there first");
}

#[tokio::test]
async fn parallel_reads_that_break_go_on_too() {
    let opened = open().await;
    opened.saved("file", LARGE).await;
    let cut = opened.proxy.add(Rule::on(is_download).after(1).times(3).cut_response(1_000_000, End::Reset));
    opened.holds("file", LARGE).await;
    assert_eq!(cut.fired(), 3);
}

#[tokio::test]
async fn bytes_that_change_on_the_way_down_are_an_error() {
    let opened = open().await;
    for (name, content) in [("small", SMALL), ("large", LARGE)] {
        opened.saved(name, content).await;
        opened.proxy.add(Rule::on(is_download).times(1).alter_response(70_000));
        let found = opened.backend.retrieve(&key(name), RetrieveOptions::default()).await.expect("found");
        let error = found.body.collect(64 << 20).await.expect_err("altered");
        assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{}", error.report());
    }
}

#[tokio::test]
async fn a_read_whose_object_is_replaced_midway_is_an_error_and_no_mixture() {
    let opened = open().await;
    opened.saved("file", ONE_RANGE).await;
    opened.proxy.add(Rule::on(is_download).times(1).cut_response(5_000_000, End::Reset));
    let gone = told(404, "notFound", "No such object");
    opened.proxy.add(Rule::on(is_download).after(0).answer(404, gone));
    let found = opened.backend.retrieve(&key("file"), RetrieveOptions::default()).await.expect("found");
    let error = found.body.collect(64 << 20).await.expect_err("it is gone");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::May), "{}", error.report());
}

#[tokio::test]
async fn a_silent_service_is_a_timeout() {
    let opened = open_with(&[("read_timeout", "500ms")]).await;
    opened.proxy.add(Rule::on(is_download).delay(Duration::from_secs(60)));
    opened.saved("file", SMALL).await;
    let error = opened.backend.retrieve(&key("file"), RetrieveOptions::default()).await.expect_err("silent");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::May), "{}", error.report());
}

#[tokio::test]
async fn a_dropped_save_leaves_nothing() {
    let opened = open().await;
    for at in [10 << 20, 35 << 20] {
        let (body, taken) = Content::new(9, 64 << 20).body_that_stalls(at);
        let file = key("file");
        tokio::select! {
            answer = opened.backend.save(&file, body, SaveOptions::default()) => panic!("{answer:?}"),
            () = taken.notified() => {}
        }
        opened.nothing_but(&[]).await;
    }
}

#[tokio::test]
async fn what_a_dead_process_left_is_removed_when_it_is_a_day_old() {
    let opened = open().await;
    let young = r#"{"items":[{"name":"/.storage/components/x/part-0","generation":"1","size":"1",
        "timeCreated":"2020-01-01T00:00:00Z"},{"name":"/.storage/components/y/part-0","generation":"2","size":"1",
        "timeCreated":"2999-01-01T00:00:00Z"}]}"#;
    let is_components =
        |request: &Request| request.query("prefix").as_deref() == Some("/.storage/components/");
    opened.proxy.add(Rule::on(is_components).answer(200, young));
    let removed = opened.backend.invoke("remove_forgotten_parts", json!({})).await.expect("swept");
    assert_eq!(removed["removed"], 1);
    let removals = opened.seen(|request| request.method == "DELETE");
    // The look that a backend takes when it opens may have come upon it as well.
    assert!(!removals.is_empty());
    for Exchange { request, .. } in removals {
        assert!(request.path.ends_with("%2Fx%2Fpart-0"), "{}", request.path);
        assert_eq!(
            request.query("generation").as_deref(),
            Some("1"),
            "for good, also where versions are kept"
        );
    }
}
