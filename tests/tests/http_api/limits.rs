//! Limits and faults of the wire: bodies that break off, clients that stall, requests that are too large.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::stream;
use reqwest::{Body, Method};
use storage_host::config::HttpConfig;
use storage_tests::http_host::{HttpHost, Setup, problem};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn http(change: impl FnOnce(&mut HttpConfig)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup.http);
    setup
}

/// The head of an upload over a bare connection.
fn upload_head(host: &HttpHost, framing: &str) -> String {
    format!(
        "POST /v1/files?filename=a.bin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nX-User-Id: anna\r\n{framing}\r\n\r\n",
        host.key()
    )
}

async fn connect(host: &HttpHost) -> TcpStream {
    TcpStream::connect(host.address).await.expect("connected")
}

/// What the host sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    // A connection that is cut may end in a reset after the answer.
    let _ = read.await.expect("the host ends the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn an_upload_that_is_too_large_is_refused_before_it_is_sent_and_while_it_is() {
    let host = HttpHost::with(http(|http| http.max_upload_bytes = 1_000_000)).await;
    host.save("anna", "fits", vec![1; 1_000_000]).await;
    let mut stream = connect(&host).await;
    let head = upload_head(&host, "Content-Length: 1000001\r\nExpect: 100-continue");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 413", "and not 100");

    let chunks = stream::iter((0..30).map(|_| Ok::<_, std::io::Error>(vec![1; 100_000])));
    let request = host.call("anna", Method::POST, "/v1/files?filename=a.bin").body(Body::wrap_stream(chunks));
    if let Ok(response) = request.send().await {
        problem(response, 413, "too_large").await;
    }
    let usage = host.call("anna", Method::GET, "/v1/usage").send().await.expect("an answer");
    assert_eq!(usage.json::<serde_json::Value>().await.expect("JSON")["files"], 1);
}

#[tokio::test]
async fn a_body_that_ends_early_saves_nothing_and_says_so() {
    let host = HttpHost::start().await;
    for (framing, body) in [
        ("Content-Length: 3000000", vec![1; 2_000_000]),
        ("Content-Length: 30", vec![1; 20]),
        ("Transfer-Encoding: chunked", b"a\r\n0123456789\r\nff\r\nabc".to_vec()),
    ] {
        let mut stream = connect(&host).await;
        stream.write_all(upload_head(&host, framing).as_bytes()).await.expect("sent");
        stream.write_all(&body).await.expect("sent");
        stream.shutdown().await.expect("half closed");
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.contains("length_mismatch"), "{framing}: {answer}");
    }
    host.becomes_empty().await;
    let usage = host.call("anna", Method::GET, "/v1/usage").send().await.expect("an answer");
    let usage = usage.json::<serde_json::Value>().await.expect("JSON");
    assert_eq!((&usage["files"], &usage["reserved_bytes"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let host = HttpHost::start().await;
    for framing in ["Content-Length: 9000000", "Transfer-Encoding: chunked"] {
        let mut stream = connect(&host).await;
        stream.write_all(upload_head(&host, framing).as_bytes()).await.expect("sent");
        let body = match framing.starts_with("Content") {
            true => vec![1; 4_000_000],
            false => [format!("{:x}\r\n", 5_000_000).into_bytes(), vec![1; 4_000_000]].concat(),
        };
        stream.write_all(&body).await.expect("sent");
        drop(stream);
    }
    host.becomes_empty().await;
    let files = host.call("anna", Method::GET, "/v1/files").send().await.expect("an answer");
    assert_eq!(files.json::<serde_json::Value>().await.expect("JSON")["files"], serde_json::json!([]));
}

#[tokio::test]
async fn a_client_that_stops_sending_is_told_and_cut_off() {
    let host = HttpHost::with(http(|http| http.idle_timeout = Duration::from_millis(300))).await;
    for (head, body) in [
        (upload_head(&host, "Content-Length: 9000000"), vec![1; 2_000_000]),
        (
            upload_head(&host, "Content-Length: 100\r\nContent-Type: application/json")
                .replace("/v1/files?filename=a.bin", "/v1/files/batch-delete"),
            b"{".to_vec(),
        ),
    ] {
        let mut stream = connect(&host).await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&body).await.expect("sent");
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    }
    host.becomes_empty().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let host = HttpHost::with(http(|http| http.idle_timeout = Duration::from_millis(500))).await;
    let file = host.save("anna", "big", vec![1; 64 * 1024 * 1024]).await;
    let mut stream = connect(&host).await;
    let head = upload_head(&host, "Connection: close").replace(
        "POST /v1/files?filename=a.bin",
        &format!("GET /v1/files/{}/content", file["id"].as_str().expect("an id")),
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut received = 0;
    let mut buffer = vec![0; 1024 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        received += count;
    }
    assert!(received < 64 * 1024 * 1024, "the rest was not sent");
}

#[tokio::test]
async fn a_client_that_sends_no_request_is_cut_off() {
    let host = HttpHost::with(http(|http| http.header_timeout = Duration::from_millis(300))).await;
    for sent in ["", "PRI * HT", "GET /v1/files HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = connect(&host).await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{sent:?}: {answer}");
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let host = HttpHost::start().await;
    let long = "x".repeat(9_000);
    let response = host.call("anna", Method::GET, &format!("/v1/files?prefix={long}")).send().await;
    problem(response.expect("an answer"), 414, "uri_too_long").await;
    let response =
        host.call("anna", Method::GET, "/v1/files").header("x-long", "x".repeat(40_000)).send().await;
    problem(response.expect("an answer"), 431, "headers_too_large").await;
    let mut request = host.call("anna", Method::GET, "/v1/files");
    for n in 0..200 {
        request = request.header(format!("x-{n}"), "x");
    }
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let big = host.call("anna", Method::POST, "/v1/files/batch-delete");
    let big = big.header("content-type", "application/json").body(vec![b' '; 300_000]);
    problem(big.send().await.expect("an answer"), 413, "too_large").await;
}

#[tokio::test]
async fn paths_and_methods_that_there_are_not_are_problems_too() {
    let host = HttpHost::start().await;
    for path in ["/", "/v1", "/v1/file", "/v2/files", "/v1/files/a/b/c/d", "/..%2f..%2fetc/passwd"] {
        let response = host.call("anna", Method::GET, path).send().await.expect("an answer");
        problem(response, 404, "route_not_found").await;
    }
    let response = host.call("anna", Method::PATCH, "/v1/files").send().await.expect("an answer");
    let allow = response.headers()["allow"].to_str().expect("ASCII").to_owned();
    problem(response, 405, "method_not_allowed").await;
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn parameters_that_a_route_does_not_know_are_refused_and_do_nothing() {
    let host = HttpHost::start().await;
    let file = host.save("anna", "a", "x").await;
    let path = format!("/v1/files/{}", file["id"].as_str().expect("an id"));
    let version = format!("{path}/versions/{}", file["version"].as_str().expect("a version"));
    for (method, path) in [
        (Method::DELETE, path.clone()),
        (Method::GET, path.clone()),
        (Method::POST, format!("{path}/copy")),
        (Method::POST, format!("{path}/download-link")),
        (Method::GET, format!("{path}/versions")),
        (Method::POST, format!("{version}/restore")),
        (Method::DELETE, version),
        (Method::GET, "/v1/usage".to_owned()),
        (Method::POST, "/v1/files/batch".to_owned()),
        (Method::POST, "/v1/files/batch-delete".to_owned()),
    ] {
        let request = host.call("anna", method.clone(), &format!("{path}?versions=1"));
        let body = problem(request.send().await.expect("an answer"), 400, "invalid_request").await;
        assert!(body["detail"].as_str().expect("a detail").contains("versions"), "{method} {path}: {body}");
    }
    assert_eq!(host.objects().await, 1);
}
