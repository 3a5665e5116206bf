//! Content: ranges, conditions, headers.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use storage_tests::http_host::{HttpHost, problem};

const CONTENT: &str = "0123456789";

struct Saved {
    host: HttpHost,
    path: String,
    etag: String,
}

async fn saved() -> Saved {
    let host = HttpHost::start().await;
    let file = host.save("anna", "digits.txt", CONTENT).await;
    let path = format!("/v1/files/{}/content", text(&file, "id"));
    let etag = format!("\"{}\"", text(&file, "sha256"));
    Saved { host, path, etag }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().expect("text").to_owned()
}

impl Saved {
    async fn get(&self, headers: &[(&str, &str)]) -> Response {
        self.send(Method::GET, headers).await
    }

    async fn send(&self, method: Method, headers: &[(&str, &str)]) -> Response {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        self.host.call("anna", method, &self.path).headers(headers).send().await.expect("an answer")
    }
}

#[tokio::test]
async fn content_comes_with_the_headers_that_describe_it() {
    let saved = saved().await;
    let response = saved.get(&[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    for (name, value) in [
        ("etag", saved.etag.as_str()),
        ("content-length", "10"),
        ("content-disposition", "attachment; filename=\"digits.txt\""),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-cache"),
        ("repr-digest", "sha-256=:hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=:"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(headers["content-type"].to_str().expect("ASCII").starts_with("text/plain"));
    assert!(headers.contains_key("last-modified"));
    assert!(headers["content-security-policy"].to_str().expect("ASCII").contains("sandbox"));
    assert_eq!(response.text().await.expect("content"), CONTENT);

    let head = saved.send(Method::HEAD, &[("range", "bytes=0-1")]).await;
    assert_eq!(head.status(), StatusCode::OK);
    for name in ["etag", "content-length", "content-type", "content-disposition", "last-modified"] {
        assert_eq!(head.headers()[name], headers[name], "{name}");
    }
}

#[tokio::test]
async fn one_range_is_a_part_and_anything_else_the_whole() {
    let saved = saved().await;
    for (range, content_range, content) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=-99", "bytes 0-9/10", CONTENT),
    ] {
        let response = saved.get(&[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(response.headers()["content-range"], content_range);
        assert_eq!(response.headers()["content-length"], content.len().to_string());
        assert_eq!(response.text().await.expect("content"), content);
    }
    for range in ["bytes=0-1,4-5", "lines=1-2", "bytes=5-2", "nonsense"] {
        let response = saved.get(&[("range", range)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{range}");
        assert!(!response.headers().contains_key("content-range"));
        assert_eq!(response.text().await.expect("content"), CONTENT);
    }
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let response = saved.get(&[("range", range)]).await;
        assert_eq!(response.headers()["content-range"], "bytes */10", "{range}");
        problem(response, 416, "range_not_satisfiable").await;
    }
}

#[tokio::test]
async fn an_empty_file_is_answered_whole_and_has_no_range() {
    let host = HttpHost::start().await;
    let file = host.save("anna", "empty", "").await;
    let path = format!("/v1/files/{}/content", text(&file, "id"));
    let response = host.call("anna", Method::GET, &path).send().await.expect("an answer");
    assert_eq!(response.headers()["content-length"], "0");
    assert_eq!(response.text().await.expect("content"), "");
    let response = host.call("anna", Method::GET, &path).header("range", "bytes=0-").send().await;
    problem(response.expect("an answer"), 416, "range_not_satisfiable").await;
}

#[tokio::test]
async fn a_client_that_has_the_content_is_not_sent_it_again() {
    let saved = saved().await;
    let modified = saved.get(&[]).await.headers()["last-modified"].to_str().expect("ASCII").to_owned();
    let weak = format!("W/{}", saved.etag);
    let listed = format!("\"a\", {}", saved.etag);
    for header in [
        ("if-none-match", saved.etag.as_str()),
        ("if-none-match", &weak),
        ("if-none-match", &listed),
        ("if-none-match", "*"),
        ("if-modified-since", &modified),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let response = saved.send(method, &[header]).await;
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{header:?}");
            assert_eq!(response.headers()["etag"], saved.etag);
            assert_eq!(response.text().await.expect("nothing"), "");
        }
    }
    let response = saved.get(&[("if-none-match", "\"other\""), ("if-modified-since", &modified)]).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_412_and_a_malformed_one_400() {
    let saved = saved().await;
    assert_eq!(saved.get(&[("if-match", &saved.etag)]).await.status(), StatusCode::OK);
    assert_eq!(saved.get(&[("if-match", "*")]).await.status(), StatusCode::OK);
    problem(saved.get(&[("if-match", "\"other\"")]).await, 412, "precondition_failed").await;
    let before = ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT");
    problem(saved.get(&[before]).await, 412, "precondition_failed").await;
    problem(saved.get(&[("if-match", "other")]).await, 400, "invalid_request").await;
}

#[tokio::test]
async fn a_range_of_content_that_changed_is_answered_whole() {
    let saved = saved().await;
    let range = ("range", "bytes=0-1");
    let same = saved.get(&[range, ("if-range", &saved.etag)]).await;
    assert_eq!(same.status(), StatusCode::PARTIAL_CONTENT);
    let changed = saved.get(&[range, ("if-range", "\"other\"")]).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert_eq!(changed.text().await.expect("content"), CONTENT);
}

#[tokio::test]
async fn a_name_cannot_break_out_of_its_header() {
    let host = HttpHost::start().await;
    let file = host.save("anna", "a\"; filename=\"evil é.exe", "x").await;
    let path = format!("/v1/files/{}/content?disposition=inline", text(&file, "id"));
    let response = host.call("anna", Method::GET, &path).send().await.expect("an answer");
    assert_eq!(
        response.headers()["content-disposition"],
        "inline; filename=\"a_; filename=_evil _.exe\"; filename*=UTF-8''a%22%3B%20filename%3D%22evil%20%C3%A9.exe"
    );
}

#[tokio::test]
async fn ids_that_are_none_are_named() {
    let host = HttpHost::start().await;
    for path in ["/v1/files/42", "/v1/files/42/content", "/v1/files/..%2f..%2fetc/versions"] {
        let response = host.call("anna", Method::GET, path).send().await.expect("an answer");
        let body = problem(response, 400, "invalid_request").await;
        assert!(body["detail"].to_string().contains("UUID"), "{body}");
    }
}
