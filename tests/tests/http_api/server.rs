//! The server itself: ids, faults within, HTTP/2, draining.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{Builder, SendRequest};
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

async fn http2(host: &HttpHost) -> SendRequest<Http2Body> {
    http2_with(host, Builder::new(TokioExecutor::new())).await
}

/// A client that takes at most so many bytes of an answer before it has looked at them.
async fn http2_with_window(host: &HttpHost, bytes: u32) -> SendRequest<Http2Body> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(bytes);
    http2_with(host, builder).await
}

async fn http2_with(host: &HttpHost, builder: Builder<TokioExecutor>) -> SendRequest<Http2Body> {
    let stream = TokioIo::new(TcpStream::connect(host.address).await.expect("connected"));
    let (client, connection) = builder.handshake(stream).await.expect("HTTP/2");
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

/// A host that is soon out of patience, and a file of some chunks on it.
async fn impatient_with_file(idle_timeout: Duration) -> (HttpHost, String, usize) {
    let http = HttpConfig { idle_timeout, ..Setup::default().http };
    let host = HttpHost::with(Setup { http, ..Setup::default() }).await;
    let size_bytes = 1_500_000;
    let file = host.save("anna", "a", vec![1; size_bytes]).await;
    let path = format!("/v1/files/{}/content", file["id"].as_str().expect("an id"));
    (host, path, size_bytes)
}

fn read(host: &HttpHost, method: Method, path: &str) -> http::Request<Http2Body> {
    http::Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", host.address))
        .header(AUTHORIZATION, format!("Bearer {}", host.key()))
        .header("x-user-id", "anna")
        .body(Empty::new().map_err(|never| match never {}).boxed())
        .expect("a request")
}

#[tokio::test]
async fn an_http2_answer_that_its_client_does_not_take_is_cut_and_the_connection_goes_on() {
    let (host, path, _) = impatient_with_file(Duration::from_millis(400)).await;
    let mut client = http2_with_window(&host, 0).await;
    for path in [path.as_str(), "/v1/files"] {
        let response = client.send_request(read(&host, Method::GET, path)).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let cut = tokio::time::timeout(Duration::from_secs(10), response.into_body().collect());
        assert!(cut.await.expect("the answer is cut").is_err(), "{path}");
    }
    let response = client.send_request(read(&host, Method::HEAD, &path)).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_http2_client_that_takes_its_answer_slowly_gets_it_whole() {
    let idle_timeout = Duration::from_millis(500);
    let (host, path, size_bytes) = impatient_with_file(idle_timeout).await;
    let mut client = http2_with_window(&host, 64 * 1024).await;
    let response = client.send_request(read(&host, Method::GET, &path)).await.expect("an answer");
    let (mut body, mut received) = (response.into_body(), 0);
    let started = std::time::Instant::now();
    while let Some(frame) = body.frame().await {
        received += frame.expect("not cut").into_data().expect("content").len();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(received, size_bytes);
    assert!(started.elapsed() > idle_timeout * 4, "each chunk took longer than the idle timeout");
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
