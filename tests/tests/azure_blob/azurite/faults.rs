//! Every fault that the service or the way to it can have, provoked once.

use std::time::Duration;

use storage_core::{ByteStream, ErrorKind, Retry, SaveOptions};
use storage_tests::proxy::{End, Rule};

use crate::rig::{Rig, content, is_about, key, read, refusal, requests, save};

#[tokio::test]
async fn a_missing_container_is_told_with_the_command_that_creates_it() {
    let rig = Rig::new("azurite");
    let mut settings = rig.settings();
    settings.retain(|(key, _)| *key != "create_container");
    let error = refusal(settings).await;
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    for part in ["az storage container create", &rig.container, "AZURE_CREATE_CONTAINER"] {
        assert!(error.message().contains(part), "{part} is not in {error}");
    }
}

#[tokio::test]
async fn a_container_that_goes_while_it_is_used_is_told_the_same_way() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let body = "<Error><Code>ContainerNotFound</Code><Message>The specified container does not exist.</Message></Error>";
    proxy.add(Rule::on(is_about("object")).answer(404, body));
    let error = read(&backend, "object").await.expect_err("the container is gone");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(error.message().contains("az storage container create"), "{error}");
}

#[tokio::test]
async fn a_wrong_key_names_the_variable_and_the_clock() {
    let rig = Rig::new("azurite");
    let mut settings = rig.settings();
    settings.retain(|(key, _)| *key != "account_key");
    settings.push(("account_key", "d3Jvbmcga2V5".to_owned()));
    let error = refusal(settings).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthenticated, Retry::Never));
    assert!(error.message().contains("AZURE_ACCOUNT_KEY") && error.message().contains("clock"), "{error}");
    assert!(error.context().any(|(name, _)| name == "request_id"), "{error}");
}

#[tokio::test]
async fn a_busy_server_is_told_with_the_pause_that_it_asks_for() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let busy = Rule::on(is_about("object")).times(1).answer(503, "").response_header("retry-after", "7");
    let busy = proxy.add(busy.response_header("x-ms-error-code", "ServerBusy"));
    let error = save(&backend, "object", "text").await.expect_err("busy");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(7)));
    assert_eq!(busy.fired(), 1, "whole calls are the host's to repeat");
}

#[tokio::test]
async fn blocks_that_fail_are_sent_again_and_nothing_else_is() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "1MiB")]).await;
    let is_block =
        |request: &storage_tests::proxy::Request| request.query("comp").as_deref() == Some("block");
    let busy = proxy.add(Rule::on(is_block).after(1).times(2).answer(503, ""));
    let reset = proxy.add(Rule::on(is_block).after(2).times(1).cut_request(300_000, End::Reset));
    let bytes = content(9 << 20);
    save(&backend, "object", bytes.clone()).await.expect("saved");
    assert_eq!((busy.fired(), reset.fired()), (2, 1));
    assert_eq!(requests(&proxy, |seen| is_block(&seen.request)).len(), 9 + 3);
    assert!(read(&backend, "object").await.expect("read") == bytes);
}

#[tokio::test]
async fn a_block_that_fails_again_and_again_gives_up_and_leaves_the_old() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "1MiB")]).await;
    save(&backend, "object", "old").await.expect("saved");
    proxy.add(Rule::on(|request| request.query("comp").as_deref() == Some("block")).answer(500, ""));
    let error = save(&backend, "object", content(3 << 20)).await.expect_err("no block is taken");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::GaveUp));
    assert_eq!(read(&backend, "object").await.expect("read"), "old");
}

#[tokio::test]
async fn bytes_that_the_way_spoils_are_not_stored() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    proxy.add(Rule::on(|request| request.method == "PUT").alter_request(1_000));
    let error = save(&backend, "object", content(100_000)).await.expect_err("spoilt");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ChecksumMismatch, Retry::May));
    assert!(!backend.exists(&key("object")).await.expect("asked"));
}

#[tokio::test]
async fn a_block_that_the_way_spoils_is_sent_again() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "1MiB")]).await;
    let is_block =
        |request: &storage_tests::proxy::Request| request.query("comp").as_deref() == Some("block");
    let spoilt = proxy.add(Rule::on(is_block).after(1).times(1).alter_request(1_000));
    let bytes = content(3 << 20);
    save(&backend, "object", bytes.clone()).await.expect("saved");
    assert_eq!(spoilt.fired(), 1);
    assert!(read(&backend, "object").await.expect("read") == bytes);
}

#[tokio::test]
async fn a_read_that_breaks_goes_on_where_it_broke() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "1MiB")]).await;
    let bytes = content(5 << 20);
    save(&backend, "object", bytes.clone()).await.expect("saved");
    proxy.forget();
    let is_read = |request: &storage_tests::proxy::Request| {
        request.method == "GET" && request.path.ends_with("/object")
    };
    // The first answer, and one of those that are fetched ahead.
    let first = proxy.add(Rule::on(is_read).times(1).cut_response(300_000, End::Reset));
    let later = proxy.add(Rule::on(is_read).after(1).times(1).cut_response(500_000, End::Close));
    assert!(read(&backend, "object").await.expect("read") == bytes);
    assert_eq!((first.fired(), later.fired()), (1, 1));
    let again = requests(&proxy, |seen| {
        is_read(&seen.request) && !seen.request.header("x-ms-range").expect("a range").starts_with("bytes=0-")
    });
    assert!(
        again.iter().all(|seen| seen.request.header("if-match").is_some()),
        "pinned to the first answer's tag"
    );
    // Hyper may hand over less than arrived, but never starts from the front again.
    assert!(again.len() >= 4 + 2, "{}", again.len());
}

#[tokio::test]
async fn bytes_that_the_way_back_spoils_are_found_out() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    save(&backend, "object", content(100_000)).await.expect("saved");
    proxy.add(Rule::on(|request| request.method == "GET").alter_response(50_000));
    let error = read(&backend, "object").await.expect_err("spoilt");
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_no_mixture() {
    let rig = Rig::new("azurite");
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "1MiB")]).await;
    save(&backend, "object", content(40 << 20)).await.expect("saved");
    let found = backend.retrieve(&key("object"), Default::default()).await.expect("found");
    save(&backend, "object", content(41 << 20)).await.expect("replaced");
    let error = found.body.collect(1 << 30).await.expect_err("the rest is another content");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn of_two_large_saves_the_one_whose_blocks_went_says_so() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "1MiB")]).await;
    // The second finishes while the first waits for its list to be taken.
    let is_list =
        |request: &storage_tests::proxy::Request| request.query("comp").as_deref() == Some("blocklist");
    let first_list = proxy.add(Rule::on(is_list).times(1).delay(Duration::from_secs(8)));
    let slow = tokio::spawn({
        let backend = backend.clone();
        async move { save(&backend, "object", content(3 << 20)).await }
    });
    proxy.seen(|seen| is_list(&seen.request)).await;
    let other = content(4 << 20);
    save(&backend, "object", other.clone()).await.expect("saved");
    let error = slow.await.expect("no panic").expect_err("its blocks went");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::May));
    assert_eq!(first_list.fired(), 1);
    assert!(read(&backend, "object").await.expect("read") == other, "the content of one writer, whole");
}

#[tokio::test]
async fn a_dropped_large_save_lists_no_blocks() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "1MiB")]).await;
    save(&backend, "object", "old").await.expect("saved");
    let start = futures_util::stream::iter([Ok(content(3 << 20))]);
    let endless = futures_util::StreamExt::chain(start, futures_util::stream::pending());
    let body = ByteStream::from_stream(endless, None);
    let name = key("object");
    tokio::select! {
        answer = backend.save(&name, body, SaveOptions::default()) => panic!("it has no end: {answer:?}"),
        _ = proxy.seen(|seen| seen.request.query("comp").as_deref() == Some("block")) => {}
    }
    assert_eq!(read(&backend, "object").await.expect("read"), "old");
    assert!(requests(&proxy, |seen| seen.request.query("comp").as_deref() == Some("blocklist")).is_empty());
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("idle_timeout", "300ms")]).await;
    proxy.add(Rule::on(is_about("object")).delay(Duration::from_secs(30)));
    let error = read(&backend, "object").await.expect_err("silent");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::May));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_without_the_url() {
    let rig = Rig::new("azurite");
    let mut settings = rig.settings();
    settings.retain(|(key, _)| *key != "endpoint_url");
    settings.push(("endpoint_url", "http://127.0.0.1:1/devstoreaccount1".to_owned()));
    let error = refusal(settings).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May));
    assert!(!error.report().contains("comp=list"), "{}", error.report());
}

#[tokio::test]
async fn what_is_no_blob_service_is_told_as_that() {
    let (rig, proxy) = Rig::proxied().await;
    proxy.add(
        Rule::always().answer(301, "<html>moved</html>").response_header("location", "https://example.org/"),
    );
    let error = refusal(rig.settings()).await;
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(error.message().contains("AZURE_ENDPOINT_URL"), "{error}");
}

#[tokio::test]
async fn a_locked_object_is_told_as_that() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    for code in ["BlobImmutableDueToPolicy", "LeaseIdMissing"] {
        let rule =
            Rule::on(is_about("object")).times(1).answer(409, "").response_header("x-ms-error-code", code);
        proxy.add(rule);
        let error = backend.delete(&key("object"), Default::default()).await.expect_err("locked");
        assert_eq!(error.kind(), ErrorKind::ObjectLocked, "{code}");
    }
}
