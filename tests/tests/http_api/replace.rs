//! Versions: new content, conditions on it, former states.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use storage_tests::http_host::{HttpHost, json, problem};

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().expect("text").to_owned()
}

async fn put(host: &HttpHost, id: &str, content: &'static str, if_match: Option<&str>) -> reqwest::Response {
    let mut request = host.call("anna", Method::PUT, &format!("/v1/files/{id}/content"));
    if let Some(tag) = if_match {
        request = request.header("if-match", tag);
    }
    request.body(content).send().await.expect("an answer")
}

#[tokio::test]
async fn new_content_is_a_new_version_and_keeps_what_it_does_not_change() {
    let host = HttpHost::start().await;
    let request =
        host.call("anna", Method::POST, "/v1/files?filename=a.txt").header("X-Storage-Metadata", "a=1");
    let first = json(request.body("one").send().await.expect("an answer"), StatusCode::CREATED).await;
    let id = text(&first, "id");
    let second = json(put(&host, &id, "two", None).await, StatusCode::OK).await;
    assert_eq!((&second["id"], &second["version_number"]), (&first["id"], &2.into()));
    assert_eq!((&second["filename"], &second["metadata"]), (&first["filename"], &first["metadata"]));
    let request = host
        .call("anna", Method::PUT, &format!("/v1/files/{id}/content?filename=b.txt"))
        .header("X-Storage-Metadata", "b=2");
    let third = json(request.body("three").send().await.expect("an answer"), StatusCode::OK).await;
    assert_eq!(third["filename"], "b.txt");
    assert_eq!(third["metadata"], serde_json::json!({"b": "2"}));

    let versions = host.call("anna", Method::GET, &format!("/v1/files/{id}/versions")).send().await;
    let versions = json(versions.expect("an answer"), StatusCode::OK).await;
    let numbers: Vec<_> = versions["versions"].as_array().expect("a list").iter().collect();
    let numbers: Vec<_> = numbers.into_iter().map(|version| version["version_number"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(2), Some(1)]);
    let former = format!("/v1/files/{id}/content?version={}", text(&first, "version"));
    let former = host.call("anna", Method::GET, &former).send().await.expect("an answer");
    assert_eq!(former.text().await.expect("content"), "one");
}

#[tokio::test]
async fn nobody_overwrites_what_he_has_not_seen() {
    let host = HttpHost::start().await;
    let first = host.save("anna", "a.txt", "one").await;
    let (id, seen) = (text(&first, "id"), format!("\"{}\"", text(&first, "sha256")));
    json(put(&host, &id, "two", Some(&seen)).await, StatusCode::OK).await;
    problem(put(&host, &id, "three", Some(&seen)).await, 412, "precondition_failed").await;
    let request = host.call("anna", Method::PUT, &format!("/v1/files/{id}/content"));
    let request = request.header("if-none-match", "*").body("four");
    problem(request.send().await.expect("an answer"), 412, "precondition_failed").await;
    let content = host.call("anna", Method::GET, &format!("/v1/files/{id}/content")).send().await;
    assert_eq!(content.expect("an answer").text().await.expect("content"), "two");
}

#[tokio::test]
async fn nobody_deletes_what_he_has_not_seen() {
    let host = HttpHost::start().await;
    let first = host.save("anna", "a.txt", "one").await;
    let (id, seen) = (text(&first, "id"), format!("\"{}\"", text(&first, "sha256")));
    let second = json(put(&host, &id, "two", None).await, StatusCode::OK).await;
    let delete = async |path: &str, tag: &str| {
        let request = host.call("anna", Method::DELETE, path).header("if-match", tag);
        request.send().await.expect("an answer")
    };
    let file = format!("/v1/files/{id}");
    problem(delete(&file, &seen).await, 412, "precondition_failed").await;
    let former = format!("{file}/versions/{}", text(&first, "version"));
    problem(delete(&former, "\"other\"").await, 412, "precondition_failed").await;
    assert_eq!(delete(&former, &seen).await.status(), StatusCode::NO_CONTENT);
    let tag = format!("\"{}\"", text(&second, "sha256"));
    assert_eq!(delete(&file, &tag).await.status(), StatusCode::NO_CONTENT);
    problem(delete(&file, &tag).await, 404, "not_found").await;
}

#[tokio::test]
async fn of_many_who_saw_the_same_content_one_replaces_it() {
    let host = HttpHost::start().await;
    let first = host.save("anna", "a.txt", "one").await;
    let (id, seen) = (text(&first, "id"), format!("\"{}\"", text(&first, "sha256")));
    let contents = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let attempts = contents.map(|content| put(&host, &id, content, Some(&seen)));
    let statuses = futures_util::future::join_all(attempts).await;
    let won = statuses.iter().filter(|response| response.status() == StatusCode::OK).count();
    let lost =
        statuses.iter().filter(|response| response.status() == StatusCode::PRECONDITION_FAILED).count();
    assert_eq!((won, lost), (1, contents.len() - 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_decided_on_the_very_version_that_is_answered() {
    let host = HttpHost::start().await;
    let first = host.save("anna", "a.txt", "one").await;
    let (id, seen) = (text(&first, "id"), format!("\"{}\"", text(&first, "sha256")));
    let path = format!("/v1/files/{id}/content");
    let writes = async {
        for turn in 0..100 {
            let content = if turn % 2 == 0 { "two" } else { "one" };
            assert_eq!(put(&host, &id, content, None).await.status(), StatusCode::OK);
        }
    };
    let reads = async || {
        for _ in 0..200 {
            let request = host.call("anna", Method::GET, &path).header("if-match", &seen);
            let response = request.send().await.expect("an answer");
            if response.status() == StatusCode::OK {
                assert_eq!(response.text().await.expect("content"), "one");
            }
        }
    };
    tokio::join!(writes, reads(), reads(), reads());
}

#[tokio::test]
async fn a_former_version_is_brought_back_and_another_deleted() {
    let host = HttpHost::start().await;
    let first = host.save("anna", "a.txt", "one").await;
    let id = text(&first, "id");
    let second = json(put(&host, &id, "two", None).await, StatusCode::OK).await;
    let version = |of: &Value, rest: &str| format!("/v1/files/{id}/versions/{}{rest}", text(of, "version"));

    let response = host.call("anna", Method::DELETE, &version(&second, "")).send().await.expect("an answer");
    problem(response, 400, "invalid_argument").await;
    let response = host.call("anna", Method::POST, &version(&first, "/restore")).send().await;
    let third = json(response.expect("an answer"), StatusCode::OK).await;
    assert_eq!((&third["sha256"], &third["version_number"]), (&first["sha256"], &3.into()));

    let response = host.call("anna", Method::DELETE, &version(&second, "")).send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let response = host.call("anna", Method::DELETE, &version(&second, "")).send().await.expect("an answer");
    problem(response, 404, "not_found").await;
    let response = host.call("anna", Method::POST, &version(&second, "/restore")).send().await;
    problem(response.expect("an answer"), 404, "not_found").await;
}

#[tokio::test]
async fn a_file_that_is_not_there_cannot_be_replaced() {
    let host = HttpHost::start().await;
    let id = uuid::Uuid::now_v7().to_string();
    problem(put(&host, &id, "x", None).await, 404, "not_found").await;
    assert_eq!(host.objects().await, 0);
}

#[tokio::test]
async fn a_copy_is_a_file_of_its_own() {
    let host = HttpHost::start().await;
    let original = host.save("anna", "a.txt", "one").await;
    let path = format!("/v1/files/{}", text(&original, "id"));
    let request = host.call("anna", Method::POST, &format!("{path}/copy"));
    let request = request.json(&serde_json::json!({"filename": "b.txt", "metadata": {"a": "1"}}));
    let copy = json(request.send().await.expect("an answer"), StatusCode::CREATED).await;
    assert_ne!(copy["id"], original["id"]);
    assert_eq!((&copy["filename"], &copy["sha256"]), (&"b.txt".into(), &original["sha256"]));
    let deleted = host.call("anna", Method::DELETE, &path).send().await.expect("an answer");
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let copy = format!("/v1/files/{}/content", text(&copy, "id"));
    let content = host.call("anna", Method::GET, &copy).send().await.expect("an answer");
    assert_eq!(content.text().await.expect("content"), "one");
}

#[tokio::test]
async fn a_form_does_not_become_the_content_of_a_version() {
    let host = HttpHost::start().await;
    let id = text(&host.save("anna", "a.txt", "one").await, "id");
    let path = format!("/v1/files/{id}/content");
    let form = Form::new().part("file", Part::bytes(&b"two"[..]).file_name("a.txt"));
    let response = host.call("anna", Method::PUT, &path).multipart(form).send().await.expect("an answer");
    let body = problem(response, 415, "unsupported_media_type").await;
    assert!(body["detail"].as_str().expect("a detail").contains("POST /v1/files"), "{body}");
    let content = host.call("anna", Method::GET, &path).send().await.expect("an answer");
    assert_eq!(content.text().await.expect("content"), "one");
}
