//! The server itself: ids, faults within, HTTP/2, draining.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Body, Method, StatusCode};
use storage_core::memory::MemoryBackend;
use storage_host::catalog::Quota;
use storage_host::config::HttpConfig;
use storage_tests::faults::{Fault, Faults};
use storage_tests::http_host::{HttpHost, Setup, problem};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn every_answer_carries_a_request_id_and_the_clients_where_it_is_sane() {
    let host = HttpHost::start().await;
    let ask = async |id: &str| {
        let request = host.request(Method::GET, "/health/live").header("X-Request-Id", id);
        let response = request.send().await.expect("an answer");
        response.headers()["x-request-id"].to_str().expect("ASCII").to_owned()
    };
    assert_eq!(ask("job-7.a").await, "job-7.a");
    for strange in ["a b", "\"x\"", &"x".repeat(200)] {
        let made = ask(strange).await;
        assert!(uuid::Uuid::try_parse(&made).is_ok(), "{made}");
    }
}

#[tokio::test]
async fn a_fault_within_is_one_problem_and_tells_nothing_unless_in_debug_mode() {
    for debug in [false, true] {
        let backend = Faults::around(Arc::new(MemoryBackend::new("memory")));
        backend.always("save", Fault::Panic);
        let host = HttpHost::with(Setup { backend, debug, ..Setup::default() }).await;
        let request = host.call("anna", Method::POST, "/v1/files?filename=a").body("x");
        let body = problem(request.send().await.expect("an answer"), 500, "internal").await;
        assert_eq!(body.to_string().contains("told to panic"), debug, "{body}");
        let live = host.request(Method::GET, "/health/live").send().await.expect("an answer");
        assert_eq!(live.status(), StatusCode::OK, "the host lives on");
    }
}

#[tokio::test]
async fn requests_under_way_are_finished_before_the_host_stops() {
    let mut host = HttpHost::with(limited()).await;
    let (sender, chunks) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let chunks =
        tokio_util::io::StreamReader::new(futures_util::stream::unfold(chunks, |mut chunks| async {
            chunks.recv().await.map(|chunk| (chunk.map(Bytes::from), chunks))
        }));
    let body = Body::wrap_stream(tokio_util::io::ReaderStream::new(chunks));
    let request = host.call("anna", Method::POST, "/v1/files?filename=a").body(body);
    let upload = tokio::spawn(request.send());
    for _ in 0..30 {
        sender.send(Ok(vec![1; 100_000])).await.expect("taken");
    }
    host.saves_something("anna").await;
    host.begin_stop();
    // The port is closed at once, so that a balancer goes elsewhere.
    let closed = async {
        while TcpStream::connect(host.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("closed");
    sender.send(Ok(vec![3; 100])).await.expect("taken");
    drop(sender);
    let response = upload.await.expect("no panic").expect("an answer");
    assert_eq!(response.status(), StatusCode::CREATED);
    tokio::time::timeout(Duration::from_secs(5), host.stopped()).await.expect("stopped");
}

#[tokio::test]
async fn requests_that_do_not_end_are_broken_off_after_the_drain_timeout() {
    let http = HttpConfig { drain_timeout: Duration::from_millis(300), ..Setup::default().http };
    let host = HttpHost::with(Setup { http, ..limited() }).await;
    let (sender, mut chunks) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx)));
    let mut client = http2(&host).await;
    let upload = client.send_request(upload(&host).body(body.boxed()).expect("a request"));
    let upload = tokio::spawn(upload);
    for _ in 0..30 {
        sender.send(Ok(Frame::data(Bytes::from(vec![1; 100_000])))).await.expect("taken");
    }
    host.saves_something("anna").await;
    let backend = host.backend.clone();
    tokio::time::timeout(Duration::from_secs(5), host.stopped()).await.expect("stopped");
    assert!(upload.await.expect("no panic").is_err());
    let page = backend.list_files(storage_core::ListOptions::default()).await.expect("a listing");
    assert!(page.objects.is_empty());
}

/// A host with a quota, so that a save under way shows in the usage.
fn limited() -> Setup {
    Setup { quota: Quota { max_bytes: Some(1 << 30), max_files: None }, ..Setup::default() }
}

type Http2Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

async fn http2(host: &HttpHost) -> hyper::client::conn::http2::SendRequest<Http2Body> {
    let stream = TokioIo::new(TcpStream::connect(host.address).await.expect("connected"));
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

fn upload(host: &HttpHost) -> http::request::Builder {
    http::Request::post(format!("http://{}/v1/files?filename=a", host.address))
        .header(AUTHORIZATION, format!("Bearer {}", host.key()))
        .header("x-user-id", "anna")
}

#[tokio::test]
async fn http2_is_spoken_and_a_stream_that_is_reset_saves_nothing() {
    let host = HttpHost::with(limited()).await;
    let mut client = http2(&host).await;
    let body = Full::new(Bytes::from(vec![1; 3_000_000])).map_err(|never| match never {}).boxed();
    let response =
        client.send_request(upload(&host).body(body).expect("a request")).await.expect("an answer");
    assert_eq!((response.status(), response.version()), (StatusCode::CREATED, http::Version::HTTP_2));

    let (sender, mut chunks) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx))).boxed();
    let left = CancellationToken::new();
    let request = client.send_request(upload(&host).body(body).expect("a request"));
    let running = tokio::spawn(left.clone().run_until_cancelled_owned(request));
    for _ in 0..20 {
        sender.send(Ok(Frame::data(Bytes::from(vec![1; 100_000])))).await.expect("taken");
    }
    host.saves_something("anna").await;
    left.cancel();
    running.await.expect("no panic");
    drop(sender);
    let settled = async {
        loop {
            let usage = host.call("anna", Method::GET, "/v1/usage").send().await.expect("an answer");
            let usage = usage.json::<serde_json::Value>().await.expect("JSON");
            if usage["reserved_bytes"] == 0 && host.objects().await == 1 {
                assert_eq!(usage["files"], 1);
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), settled).await.expect("nothing was left behind");
}

#[tokio::test]
async fn content_that_was_damaged_is_not_taken_for_the_file() {
    let faults = Faults::around(Arc::new(MemoryBackend::new("memory")));
    let host = HttpHost::with(Setup { backend: faults.clone(), ..Setup::default() }).await;
    let file = host.save("anna", "a", vec![1; 3_000_000]).await;
    let path = format!("/v1/files/{}/content", file["id"].as_str().expect("an id"));
    faults.always("retrieve", Fault::AlterBody(2_000_000));
    let response = host.call("anna", Method::GET, &path).send().await.expect("an answer");
    assert!(response.status().is_server_error() || response.bytes().await.is_err());
}
