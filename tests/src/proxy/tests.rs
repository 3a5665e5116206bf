//! What the proxy does to requests that pass it: an instrument that lies would make every test lie.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, put};
use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http_host::client;

/// What the server behind the proxy got.
#[derive(Default)]
struct Got {
    requests: AtomicUsize,
    bodies: std::sync::Mutex<Vec<Bytes>>,
}

/// A server that keeps what it is sent, and sends as many bytes as it is asked for.
async fn server() -> (String, Arc<Got>) {
    async fn take(State(got): State<Arc<Got>>, headers: HeaderMap, body: Bytes) -> HeaderMap {
        got.requests.fetch_add(1, Ordering::SeqCst);
        got.bodies.lock().expect("the bodies").push(body);
        headers
            .get("host")
            .map(|host| ("x-got-host".parse().expect("a name"), host.clone()))
            .into_iter()
            .collect()
    }
    async fn give(State(got): State<Arc<Got>>, Path(length): Path<usize>) -> Vec<u8> {
        got.requests.fetch_add(1, Ordering::SeqCst);
        pattern(length)
    }
    let got = Arc::new(Got::default());
    let router = Router::new()
        .route("/give/{length}", get(give))
        .route("/take", put(take))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&got));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, got)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect()
}

async fn proxy() -> (Proxy, Arc<Got>) {
    let (endpoint, got) = server().await;
    (Proxy::before(&endpoint).await, got)
}

async fn fetch(proxy: &Proxy, length: usize) -> reqwest::Result<Response> {
    client().get(format!("{}/give/{length}", proxy.endpoint())).send().await
}

async fn send(proxy: &Proxy, body: Vec<u8>) -> reqwest::Result<Response> {
    client().put(format!("{}/take", proxy.endpoint())).body(body).send().await
}

#[tokio::test]
async fn a_request_goes_on_byte_for_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let request = "PUT /a%2Fb%20c/%C3%A4?partNumber=1&prefix=a%2F HTTP/1.1\r\nHost: files.test:9000\r\n\
        X-Amz-Date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 Credential=x\r\n\
        x-amz-meta-Name:  spaced \r\nContent-Length: 5\r\n\r\nhello";
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the proxy");
        let mut got = Vec::new();
        while !got.ends_with(b"hello") {
            stream.read_buf(&mut got).await.expect("the request");
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nETag: \"x\"\r\n\r\n").await.expect("the answer");
        got
    });
    let proxy = Proxy::before(&format!("http://{address}")).await;
    let mut stream = tokio::net::TcpStream::connect(proxy.address).await.expect("the proxy");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).await.expect("the answer");
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert_eq!(answer, "HTTP/1.1 204 No Content\r\nETag: \"x\"\r\n\r\n");
    let got = String::from_utf8(server.await.expect("it answered")).expect("text");
    // White space around a value is no part of it.
    assert_eq!(got, request.replace("x-amz-meta-Name:  spaced ", "x-amz-meta-Name: spaced"));

    let seen = &proxy.exchanges()[0];
    assert_eq!(seen.request.path, "/a%2Fb%20c/%C3%A4");
    assert_eq!(seen.request.query("prefix").as_deref(), Some("a/"));
    assert_eq!(seen.request.query("partnumber"), None);
    assert_eq!(seen.request.header("x-amz-date"), Some("20260101T000000Z"));
    assert_eq!(seen.request.body, b"hello");
    assert_eq!(seen.answered.as_ref().expect("answered").header("etag"), Some("\"x\""));
    assert!(!seen.spoilt);
}

#[tokio::test]
async fn bodies_pass_whole_and_only_their_beginning_is_kept() {
    let (proxy, got) = proxy().await;
    let body = pattern(3_000_000);
    let answer = send(&proxy, body.clone()).await.expect("answered");
    assert_eq!(answer.headers()["x-got-host"], proxy.address.to_string(), "the header `Host` was changed");
    assert_eq!(got.bodies.lock().expect("the bodies")[0], body);
    let seen = proxy.exchanges().remove(0).request;
    assert_eq!((seen.body_bytes, seen.body.as_slice()), (3_000_000, &body[..64 << 10]));
    let answer = fetch(&proxy, 3_000_000).await.expect("answered").bytes().await.expect("whole");
    assert_eq!(answer, body);
}

#[tokio::test]
async fn a_rule_counts_and_leaves_the_rest_alone() {
    let (proxy, got) = proxy().await;
    let rule = Rule::on(|request| request.method == "GET")
        .after(1)
        .times(2)
        .answer(503, "slow down")
        .response_header("retry-after", "1");
    let slow_down = proxy.add(rule);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(fetch(&proxy, 1).await.expect("answered").status().as_u16());
    }
    assert_eq!(statuses, [200, 503, 503, 200, 200]);
    assert_eq!(slow_down.fired(), 2);
    assert_eq!(got.requests.load(Ordering::SeqCst), 3, "the server heard of what the rule answered");
    let spoilt: Vec<bool> = proxy.exchanges().iter().map(|seen| seen.spoilt).collect();
    assert_eq!(spoilt, [false, true, true, false, false]);
    let answered = proxy.exchanges()[1].answered.clone().expect("answered");
    assert_eq!(answered.header("retry-after"), Some("1"));
    proxy.forget();
    assert!(proxy.exchanges().is_empty());
}

#[tokio::test]
async fn a_response_is_cut_after_exactly_so_many_bytes() {
    for end in [End::Close, End::Reset] {
        let (proxy, _got) = proxy().await;
        let cut = proxy.add(Rule::always().times(1).cut_response(100_000, end));
        let mut answer = fetch(&proxy, 200_000).await.expect("the head");
        assert_eq!(answer.content_length(), Some(200_000), "the announced length stays");
        let mut body = Vec::new();
        let error = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => panic!("{end:?}: it ended as if it were whole, after {}", body.len()),
                Err(error) => break error,
            }
        };
        assert_eq!(body, &pattern(200_000)[..100_000], "{end:?}: {error:?}");
        assert_eq!(cut.fired(), 1);
        let whole = fetch(&proxy, 200_000).await.expect("the next").bytes().await.expect("whole");
        assert_eq!(whole.len(), 200_000);
    }
}

#[tokio::test]
async fn a_request_is_cut_after_exactly_so_many_bytes() {
    for end in [End::Close, End::Reset] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the proxy");
            let mut got = Vec::new();
            let result = loop {
                match stream.read_buf(&mut got).await {
                    Ok(0) => break Ok(()),
                    Ok(_) => {}
                    Err(error) => break Err(error.kind()),
                }
            };
            (got, result)
        });
        let proxy = Proxy::before(&endpoint).await;
        proxy.add(Rule::always().cut_request(50_000, end));
        send(&proxy, pattern(500_000)).await.expect_err("there is nobody to answer");
        let (got, result) = server.await.expect("the server");
        let head = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(&got[head..], &pattern(500_000)[..50_000], "{end:?}");
        assert_eq!(result.is_err(), end == End::Reset, "{end:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_truncated_response_looks_whole() {
    let (proxy, _got) = proxy().await;
    proxy.add(Rule::always().times(1).truncate_response(1_000));
    let answer = fetch(&proxy, 5_000).await.expect("answered");
    assert_eq!(answer.content_length(), Some(1_000));
    assert_eq!(answer.bytes().await.expect("whole"), &pattern(5_000)[..1_000]);
}

#[tokio::test]
async fn one_byte_is_altered_wherever_it_lies() {
    let (proxy, got) = proxy().await;
    proxy.add(Rule::always().alter_response(150_000).alter_request(7));
    let mut expected = pattern(200_000);
    let body = fetch(&proxy, 200_000).await.expect("answered").bytes().await.expect("whole");
    expected[150_000] ^= 1;
    assert_eq!(body, expected);
    send(&proxy, pattern(10)).await.expect("answered");
    let mut expected = pattern(10);
    expected[7] ^= 1;
    assert_eq!(got.bodies.lock().expect("the bodies")[0], expected);
}

#[tokio::test]
async fn an_answer_is_replaced_or_lost_only_after_the_server_has_done_its_work() {
    let (proxy, got) = proxy().await;
    proxy
        .add(Rule::always().times(1).replace_response(200, "<Error/>").without_response_header("x-got-host"));
    proxy.add(Rule::always().times(1).lose_answer(End::Reset));
    let answer = send(&proxy, pattern(5)).await.expect("answered");
    assert!(answer.headers().get("x-got-host").is_none(), "the header was to be removed");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("text")), (200, "<Error/>".to_owned()));
    assert_eq!(got.requests.load(Ordering::SeqCst), 1);
    send(&proxy, pattern(5)).await.expect_err("the answer is lost");
    assert_eq!(got.requests.load(Ordering::SeqCst), 2, "the server never heard of it");
    assert!(proxy.exchanges()[1].answered.is_none());
}

#[tokio::test]
async fn a_connection_is_dropped_before_anything_is_forwarded() {
    let (proxy, got) = proxy().await;
    proxy.add(Rule::always().times(1).drop_at_once(End::Reset));
    // A body keeps the client from trying again by itself.
    send(&proxy, pattern(5)).await.expect_err("reset");
    assert_eq!(got.requests.load(Ordering::SeqCst), 0);
    send(&proxy, pattern(5)).await.expect("the next passes");
}

#[tokio::test]
async fn a_server_that_is_gone_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    drop(listener);
    let proxy = Proxy::before(&endpoint).await;
    assert_eq!(fetch(&proxy, 1).await.expect("answered").status(), 502);
}

#[tokio::test]
async fn speed_and_distance_are_as_told() {
    let (endpoint, _got) = server().await;
    let link = Link { latency: Duration::from_millis(20), ..Link::default() };
    let proxy = Proxy::behind(&endpoint, link).await;
    let client = client();
    let url = format!("{}/give/40960", proxy.endpoint());
    let time = async || {
        let started = Instant::now();
        client.get(&url).send().await.expect("answered").bytes().await.expect("whole");
        started.elapsed()
    };
    let first = time().await;
    assert!(first >= Duration::from_millis(80), "a connection and a request: {first:?}");
    let second = time().await;
    assert!(second >= Duration::from_millis(40), "a request: {second:?}");
    assert_eq!(proxy.connections(), 1);

    proxy.add(Rule::always().throttle(400_000));
    let throttled = time().await;
    assert!(throttled >= Duration::from_millis(120), "40 KiB at 400 kB/s: {throttled:?}");
}

#[tokio::test]
async fn the_same_seed_throws_the_same_dice() {
    let mut runs = Vec::new();
    let client = client();
    for seed in [1, 1, 2] {
        let (endpoint, _got) = server().await;
        let proxy = Proxy::behind(&endpoint, Link { seed, ..Link::default() }).await;
        proxy.add(Rule::always().chance(0.5).answer(500, ""));
        let mut failed = Vec::new();
        for _ in 0..32 {
            let url = format!("{}/give/1", proxy.endpoint());
            failed.push(client.get(url).send().await.expect("answered").status() == 500);
        }
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let failures = runs[0].iter().filter(|failed| **failed).count();
    assert!((8..=24).contains(&failures), "{failures} of 32 at even odds");
}

#[tokio::test]
async fn what_is_under_way_at_the_same_time_is_counted() {
    let (proxy, _got) = proxy().await;
    let gate = proxy.add(Rule::always().times(3).delay(Duration::from_millis(100)));
    let requests = futures_util::future::join_all((0..3).map(|_| fetch(&proxy, 10)));
    let answers = requests.await;
    assert_eq!(gate.fired(), 3);
    assert_eq!(proxy.most_at_once(), 3);
    drop(answers);
    proxy.seen(|exchange| exchange.answered.is_some()).await;
    proxy.forget();
    proxy.clear_rules();
    fetch(&proxy, 10).await.expect("answered").bytes().await.expect("whole");
    assert_eq!(proxy.most_at_once(), 1);
}
