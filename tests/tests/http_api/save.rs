//! New files: raw bodies and forms, digests, metadata, and what must leave nothing behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use sha2::{Digest as _, Sha256};
use storage_host::catalog::Quota;
use storage_tests::http_host::{HttpHost, Setup, json, problem};

const PDF: &[u8] = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj\nendobj\n%%EOF\n";

#[tokio::test]
async fn a_raw_body_becomes_a_file_with_all_that_was_said_of_it() {
    let host = HttpHost::start().await;
    let response = host
        .call("anna", Method::POST, "/v1/files?filename=R%C3%A9sum%C3%A9.pdf")
        .header("X-Storage-Metadata", "job_id=42&title=R%C3%A9sum%C3%A9+2")
        .header("X-Storage-Tags", "kind=resume")
        .header("Content-Digest", format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(PDF))))
        .body(PDF)
        .send()
        .await
        .expect("an answer");
    let location = response.headers()["location"].to_str().expect("ASCII").to_owned();
    let etag = response.headers()["etag"].to_str().expect("ASCII").to_owned();
    let file = json(response, StatusCode::CREATED).await;
    let digest = hex::encode(Sha256::digest(PDF));
    assert_eq!(location, format!("/v1/files/{}", file["id"].as_str().expect("an id")));
    assert_eq!(etag, format!("\"{digest}\""));
    assert_eq!(file["sha256"], digest);
    assert_eq!(file["filename"], "Résumé.pdf");
    assert_eq!(file["content_type"], "application/pdf", "detected");
    assert_eq!(file["size_bytes"], PDF.len());
    assert_eq!(file["metadata"]["title"], "Résumé 2");
    assert_eq!(file["tags"]["kind"], "resume");
    assert_eq!((&file["version_number"], &file["user_id"]), (&1.into(), &"anna".into()));
    let described = host.call("anna", Method::GET, &location).send().await.expect("an answer");
    assert_eq!(json(described, StatusCode::OK).await, file);
}

#[tokio::test]
async fn what_curl_sends_unasked_is_not_taken_for_the_type() {
    let host = HttpHost::start().await;
    let save = async |content_type: &'static str| {
        let request = host.call("anna", Method::POST, "/v1/files?filename=a.pdf");
        let response =
            request.header("Content-Type", content_type).body(PDF).send().await.expect("an answer");
        json(response, StatusCode::CREATED).await["content_type"].clone()
    };
    assert_eq!(save("application/x-www-form-urlencoded").await, "application/pdf");
    assert_eq!(save("application/octet-stream").await, "application/pdf");
    assert_eq!(save("text/x-log; charset=utf-8").await, "text/x-log; charset=utf-8");
}

#[tokio::test]
async fn a_stream_without_a_length_arrives_whole() {
    let host = HttpHost::start().await;
    let chunks: Vec<_> = (0..100u8).map(|n| Ok::<_, std::io::Error>(Bytes::from(vec![n; 50_000]))).collect();
    let whole: Vec<u8> = (0..100u8).flat_map(|n| vec![n; 50_000]).collect();
    let file = host.save("anna", "big.bin", Body::wrap_stream(stream::iter(chunks))).await;
    assert_eq!(file["size_bytes"], 5_000_000);
    assert_eq!(file["sha256"], hex::encode(Sha256::digest(&whole)));
    let path = format!("/v1/files/{}/content", file["id"].as_str().expect("an id"));
    let response = host.call("anna", Method::GET, &path).send().await.expect("an answer");
    assert_eq!(response.bytes().await.expect("content"), whole);
}

#[tokio::test]
async fn a_wrong_digest_saves_nothing() {
    let host = HttpHost::start().await;
    for length in [10, 3_000_000] {
        let request = host.call("anna", Method::POST, "/v1/files?filename=a.bin");
        let request = request.header("X-Content-SHA256", "07".repeat(32)).body(vec![1; length]);
        problem(request.send().await.expect("an answer"), 422, "checksum_mismatch").await;
    }
    host.becomes_empty().await;
}

#[tokio::test]
async fn malformed_requests_name_what_is_wrong() {
    let host = HttpHost::start().await;
    for (query, header, code, field) in [
        ("", ("x", "y"), "invalid_request", "filename"),
        ("?filename=a&mode=x", ("x", "y"), "invalid_request", ""),
        ("?filename=%E9t%E9.txt", ("x", "y"), "invalid_request", "filename"),
        ("?filename=a&tier=lukewarm", ("x", "y"), "invalid_request", "tier"),
        ("?filename=a", ("Content-Digest", "sha-512=:AA==:"), "invalid_request", "content-digest"),
        ("?filename=a", ("X-Storage-Metadata", "a"), "invalid_request", "x-storage-metadata"),
        ("?filename=a", ("X-Storage-Metadata", "A=b"), "invalid_argument", ""),
        ("?filename=a%0D%0Ab", ("x", "y"), "invalid_argument", ""),
        ("?filename=", ("x", "y"), "invalid_argument", ""),
    ] {
        let request = host.call("anna", Method::POST, &format!("/v1/files{query}"));
        let response = request.header(header.0, header.1).body("x").send().await.expect("an answer");
        let body = problem(response, 400, code).await;
        assert!(body["detail"].is_string(), "{body}");
        if !field.is_empty() {
            assert_eq!(body["errors"][0]["field"], field, "{body}");
        }
    }
    let request = host.call("anna", Method::POST, "/v1/files?filename=a").header("Content-Encoding", "gzip");
    problem(request.body("x").send().await.expect("an answer"), 415, "unsupported_media_type").await;
    assert_eq!(host.objects().await, 0);
}

#[tokio::test]
async fn names_that_look_like_paths_stay_names() {
    let host = HttpHost::start().await;
    for name in ["../../etc/passwd", "..", "C:\\boot.ini", "a/b", "%2e%2e/x"] {
        let file = host.save("anna", name, "x").await;
        assert_eq!(file["filename"], name);
    }
    let page = host.backend.list_files(storage_core::ListOptions::default()).await.expect("a listing");
    assert!(page.objects.iter().all(|object| object.key.as_str().starts_with("users/anna/")));
}

#[tokio::test]
async fn a_browsers_form_saves_its_file() {
    let host = HttpHost::start().await;
    let file = Part::bytes(PDF).file_name("Résumé.pdf").mime_str("application/pdf").expect("a type");
    let form = Form::new().text("metadata", r#"{"job_id": "42"}"#).part("file", file);
    let request = host.call("anna", Method::POST, "/v1/files").multipart(form);
    let file = json(request.send().await.expect("an answer"), StatusCode::CREATED).await;
    assert_eq!(file["filename"], "Résumé.pdf");
    assert_eq!(file["metadata"]["job_id"], "42");
    assert_eq!(file["size_bytes"], PDF.len());
}

#[tokio::test]
async fn headers_that_describe_a_raw_body_are_refused_beside_a_form() {
    let host = HttpHost::start().await;
    for path in ["/v1/files", "/v1/files/batch"] {
        for (header, field) in [
            ("x-content-sha256", "sha256"),
            ("content-digest", "sha256"),
            ("x-storage-metadata", "metadata"),
            ("x-storage-tags", "tags"),
        ] {
            let form = Form::new().part("file", Part::bytes(PDF).file_name("a.pdf"));
            let request = host.call("anna", Method::POST, path).header(header, "07".repeat(32));
            let response = request.multipart(form).send().await.expect("an answer");
            let body = problem(response, 400, "invalid_request").await;
            assert_eq!(body["errors"][0]["field"], header, "{body}");
            assert!(body["detail"].as_str().expect("a detail").contains(field), "{body}");
        }
        let form = Form::new().part("file", Part::bytes(PDF).file_name("a.pdf"));
        let request = host.call("anna", Method::POST, path).header("Content-Encoding", "gzip");
        let response = request.multipart(form).send().await.expect("an answer");
        problem(response, 415, "unsupported_media_type").await;
    }
    assert_eq!(host.objects().await, 0);
}

#[tokio::test]
async fn a_form_that_says_more_after_its_file_saves_nothing() {
    let host = HttpHost::start().await;
    for length in [10, 3_000_000] {
        let file = || Part::bytes(vec![1; length]).file_name("a.bin");
        let forms = [
            Form::new().part("file", file()).text("metadata", "{}"),
            Form::new().part("file", file()).part("file", file()),
            Form::new().text("colour", "red").part("file", file()),
            Form::new().text("metadata", "{}"),
        ];
        for form in forms {
            let request = host.call("anna", Method::POST, "/v1/files").multipart(form);
            problem(request.send().await.expect("an answer"), 400, "invalid_request").await;
        }
    }
    host.becomes_empty().await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_with_its_numbers() {
    let quota = Quota { max_bytes: Some(100), max_files: None };
    let host = HttpHost::with(Setup { quota, ..Setup::default() }).await;
    host.save("anna", "a.bin", vec![1; 60]).await;
    let request = host.call("anna", Method::POST, "/v1/files?filename=b.bin").body(vec![1; 41]);
    let body = problem(request.send().await.expect("an answer"), 403, "quota_exceeded").await;
    assert!(body["context"].to_string().contains("100"), "{body}");
    host.save("ben", "b.bin", vec![1; 100]).await;
    let usage = host.call("anna", Method::GET, "/v1/usage").send().await.expect("an answer");
    let usage = json(usage, StatusCode::OK).await;
    assert_eq!((&usage["bytes"], &usage["files"], &usage["max_bytes"]), (&60.into(), &1.into(), &100.into()));
}
