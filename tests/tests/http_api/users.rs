//! Users: what each sees, lists and deletes, and that nobody learns of anybody else's files.

use reqwest::{Method, StatusCode};
use storage_tests::http_host::{HttpHost, json, problem};

#[tokio::test]
async fn of_two_users_neither_sees_the_others_file() {
    let host = HttpHost::start().await;
    let file = host.save("anna", "secret.txt", "of anna").await;
    let id = file["id"].as_str().expect("an id");
    let version = file["version"].as_str().expect("a version");
    let missing = uuid::Uuid::now_v7().to_string();
    for (method, path) in [
        (Method::GET, "/v1/files/{id}"),
        (Method::DELETE, "/v1/files/{id}"),
        (Method::GET, "/v1/files/{id}/content"),
        (Method::PUT, "/v1/files/{id}/content"),
        (Method::GET, "/v1/files/{id}/versions"),
        (Method::POST, "/v1/files/{id}/versions/{version}/restore"),
        (Method::DELETE, "/v1/files/{id}/versions/{version}"),
        (Method::POST, "/v1/files/{id}/copy"),
        (Method::POST, "/v1/files/{id}/download-link"),
    ] {
        let answer = async |id: &str| {
            let path = path.replace("{id}", id).replace("{version}", version);
            let request = host.call("ben", method.clone(), &path);
            let mut body = problem(request.send().await.expect("an answer"), 404, "not_found").await;
            for own in ["request_id", "instance"] {
                body.as_object_mut().expect("an object").remove(own);
            }
            body.to_string().replace(id, "ID")
        };
        assert_eq!(answer(id).await, answer(&missing).await, "{method} {path}");
    }
    let head = host.call("ben", Method::HEAD, &format!("/v1/files/{id}/content")).send().await;
    assert_eq!(head.expect("an answer").status(), StatusCode::NOT_FOUND);
    let list = host.call("ben", Method::GET, "/v1/files").send().await.expect("an answer");
    assert_eq!(json(list, StatusCode::OK).await["files"], serde_json::json!([]));
    let content = host.call("anna", Method::GET, &format!("/v1/files/{id}/content")).send().await;
    assert_eq!(content.expect("an answer").text().await.expect("content"), "of anna");
}

#[tokio::test]
async fn a_listing_is_paged_sorted_and_filtered() {
    let host = HttpHost::start().await;
    for name in ["b2", "a1", "b1", "b3", "c1"] {
        host.save("anna", name, name.to_owned()).await;
    }
    let mut names = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let mut query = vec![("prefix", "b"), ("sort", "filename"), ("order", "desc"), ("limit", "2")];
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let request = host.call("anna", Method::GET, "/v1/files").query(&query);
        let page = json(request.send().await.expect("an answer"), StatusCode::OK).await;
        let files = page["files"].as_array().expect("a list");
        names.extend(files.iter().map(|file| file["filename"].as_str().expect("a name").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(names, ["b3", "b2", "b1"]);
    let query = [("cursor", cursor.expect("a second page")), ("sort", "size".to_owned())];
    let request = host.call("anna", Method::GET, "/v1/files").query(&query);
    problem(request.send().await.expect("an answer"), 400, "invalid_argument").await;
}

#[tokio::test]
async fn faulty_questions_name_the_parameter() {
    let host = HttpHost::start().await;
    for (query, code) in [
        ("limit=x", "invalid_request"),
        ("limit=0", "invalid_argument"),
        ("limit=1001", "invalid_argument"),
        ("sort=colour", "invalid_request"),
        ("order=up", "invalid_request"),
        ("sorting=size", "invalid_request"),
        ("cursor=nonsense", "invalid_argument"),
    ] {
        let request = host.call("anna", Method::GET, &format!("/v1/files?{query}"));
        let body = problem(request.send().await.expect("an answer"), 400, code).await;
        let name = query.split('=').next().expect("a name");
        assert!(body.to_string().contains(name), "{body}");
    }
}

#[tokio::test]
async fn a_deleted_file_is_gone() {
    let host = HttpHost::start().await;
    let file = host.save("anna", "a.txt", "x").await;
    let path = format!("/v1/files/{}", file["id"].as_str().expect("an id"));
    let delete = async || host.call("anna", Method::DELETE, &path).send().await.expect("an answer");
    assert_eq!(delete().await.status(), StatusCode::NO_CONTENT);
    problem(delete().await, 404, "not_found").await;
    let response = host.call("anna", Method::GET, &format!("{path}/content")).send().await;
    problem(response.expect("an answer"), 404, "not_found").await;
    host.becomes_empty().await;
}
