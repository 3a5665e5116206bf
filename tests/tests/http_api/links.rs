//! Signed links: what they open, and all that they refuse.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use storage_tests::http_host::{HttpHost, PUBLIC_URL, json as answer, problem};

/// The path of a new link for a file of these digits, and the file.
async fn link(host: &HttpHost, options: &Value) -> (String, Value) {
    let file = host.save("anna", "digits.txt", "0123456789").await;
    let path = format!("/v1/files/{}/download-link", file["id"].as_str().expect("an id"));
    let response = host.call("anna", Method::POST, &path).json(options).send().await.expect("an answer");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let link = answer(response, StatusCode::OK).await;
    let url = link["url"].as_str().expect("a URL");
    (url.strip_prefix(PUBLIC_URL).expect("the public URL").to_owned(), file)
}

#[tokio::test]
async fn a_link_downloads_without_credentials_and_with_ranges() {
    let host = HttpHost::start().await;
    let (path, _) = link(&host, &json!({"inline": true})).await;
    let whole = host.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()["content-disposition"], "inline; filename=\"digits.txt\"");
    let etag = whole.headers()["etag"].clone();
    assert_eq!(whole.text().await.expect("content"), "0123456789");
    let part = host.request(Method::GET, &path).header("range", "bytes=2-3").send().await;
    let part = part.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.text().await.expect("content"), "23");
    let head = host.request(Method::HEAD, &path).send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], "10");
    let known = host.request(Method::GET, &path).header("if-none-match", etag).send().await;
    assert_eq!(known.expect("an answer").status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_link_is_of_one_version() {
    let host = HttpHost::start().await;
    let (path, file) = link(&host, &json!({})).await;
    let content = format!("/v1/files/{}/content", file["id"].as_str().expect("an id"));
    let replaced = host.call("anna", Method::PUT, &content).body("new").send().await.expect("an answer");
    assert_eq!(replaced.status(), StatusCode::OK);
    let old = host.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(old.text().await.expect("content"), "0123456789");
}

#[tokio::test]
async fn a_link_never_writes() {
    let host = HttpHost::start().await;
    let (path, file) = link(&host, &json!({})).await;
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
        let response = host.request(method, &path).body("x").send().await.expect("an answer");
        let allow = response.headers()["allow"].to_str().expect("ASCII").to_owned();
        problem(response, 405, "method_not_allowed").await;
        assert!(allow.contains("GET") && allow.contains("HEAD") && !allow.contains("PUT"), "{allow}");
    }
    // Nor is its token a credential for anything else.
    let token = path.rsplit('/').next().expect("a token");
    let content = format!("/v1/files/{}/content", file["id"].as_str().expect("an id"));
    for method in [Method::GET, Method::PUT] {
        let response = host.request(method, &content).bearer_auth(token).send().await.expect("an answer");
        problem(response, 401, "unauthenticated").await;
    }
}

#[tokio::test]
async fn an_expired_link_says_so() {
    let host = HttpHost::start().await;
    let (path, _) = link(&host, &json!({"expires_in_seconds": 1})).await;
    let get = async || host.request(Method::GET, &path).send().await.expect("an answer");
    let expired = async {
        loop {
            let response = get().await;
            if response.status() != StatusCode::OK {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let response = tokio::time::timeout(Duration::from_secs(5), expired).await.expect("expired");
    let body = problem(response, 403, "link_expired").await;
    let token = path.rsplit('/').next().expect("a token");
    assert!(!body.to_string().contains(token), "a token is not repeated");
}

#[tokio::test]
async fn altered_and_foreign_links_are_refused() {
    let host = HttpHost::start().await;
    let (path, _) = link(&host, &json!({})).await;
    let token = path.rsplit('/').next().expect("a token");
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&parts[1]).expect("base64")).expect("JSON");
    claims["exp"] = json!(99_999_999_999u64);
    parts[1] = URL_SAFE_NO_PAD.encode(claims.to_string());
    let prolonged = parts.join(".");
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), parts[1]);
    let other_host = HttpHost::start().await;
    let (foreign, _) = link(&other_host, &json!({})).await;
    let foreign = foreign.rsplit('/').next().expect("a token").to_owned();
    let half = token[..token.len() / 2].to_owned();
    for altered in [prolonged, unsigned, foreign, half, "x".to_owned(), "..%2f..%2fusage".to_owned()] {
        for method in [Method::GET, Method::HEAD] {
            let response = host.request(method.clone(), &format!("/v1/links/{altered}")).send().await;
            let response = response.expect("an answer");
            if method == Method::HEAD {
                assert_eq!(response.status(), StatusCode::FORBIDDEN);
            } else {
                problem(response, 403, "link_invalid").await;
            }
        }
    }
}

#[tokio::test]
async fn a_link_to_a_deleted_file_opens_nothing() {
    let host = HttpHost::start().await;
    let (path, file) = link(&host, &json!({})).await;
    let file = format!("/v1/files/{}", file["id"].as_str().expect("an id"));
    let deleted = host.call("anna", Method::DELETE, &file).send().await.expect("an answer");
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    problem(host.request(Method::GET, &path).send().await.expect("an answer"), 404, "not_found").await;
}

#[tokio::test]
async fn expiries_that_are_not_allowed_are_refused() {
    let host = HttpHost::start().await;
    let file = host.save("anna", "a", "x").await;
    let path = format!("/v1/files/{}/download-link", file["id"].as_str().expect("an id"));
    for (body, code) in [
        (json!({"expires_in_seconds": 0}), "invalid_argument"),
        (json!({"expires_in_seconds": 1_000_000}), "invalid_argument"),
        (json!({"expires_in_seconds": -1}), "invalid_request"),
        (json!({"expires_in": 60}), "invalid_request"),
        (json!({"version": "x"}), "invalid_request"),
    ] {
        let response = host.call("anna", Method::POST, &path).json(&body).send().await.expect("an answer");
        problem(response, 400, code).await;
    }
    let empty = host.call("anna", Method::POST, &path).send().await.expect("an answer");
    assert_eq!(empty.status(), StatusCode::OK);
}
