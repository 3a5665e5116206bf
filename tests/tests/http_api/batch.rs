//! Many files in one request.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use storage_host::catalog::Quota;
use storage_host::config::HttpConfig;
use storage_tests::http_host::{HttpHost, Setup, json as answer, problem};

fn file(name: &str, content: Vec<u8>) -> Part {
    Part::bytes(content).file_name(name.to_owned())
}

async fn send(host: &HttpHost, form: Form) -> Value {
    let request = host.call("anna", Method::POST, "/v1/files/batch").multipart(form);
    answer(request.send().await.expect("an answer"), StatusCode::OK).await
}

fn members(results: &Value, member: &str) -> Vec<Value> {
    results["results"].as_array().expect("a list").iter().map(|result| result[member].clone()).collect()
}

#[tokio::test]
async fn small_and_large_files_are_saved_in_their_order_each_with_its_own_fields() {
    let host = HttpHost::start().await;
    let mut form = Form::new();
    let sizes: Vec<usize> = (0..30).map(|n| if n % 7 == 3 { 2_500_000 + n } else { n }).collect();
    for (n, size) in sizes.iter().enumerate() {
        form = form.text("metadata", format!("{{\"n\": {n}}}"));
        form = form.part("file", file(&format!("f{n}"), vec![n as u8; *size]));
    }
    let results = send(&host, form).await;
    assert_eq!((&results["saved"], &results["failed"]), (&30.into(), &0.into()));
    for (n, saved) in members(&results, "file").iter().enumerate() {
        assert_eq!(saved["filename"], format!("f{n}"));
        assert_eq!(saved["size_bytes"], sizes[n]);
        assert_eq!(saved["metadata"]["n"], n.to_string());
    }
    assert_eq!(host.objects().await, 30);
}

#[tokio::test]
async fn one_file_that_fails_does_not_keep_the_others() {
    let quota = Quota { max_bytes: Some(5_000_000), max_files: None };
    let http = HttpConfig { max_upload_bytes: 2_000_000, ..Setup::default().http };
    let host = HttpHost::with(Setup { quota, http, ..Setup::default() }).await;
    let form = Form::new()
        .part("file", file("fits", vec![1; 1_000]))
        .part("file", file("larger than an upload", vec![1; 2_000_001]))
        .part("file", file("takes much of the quota", vec![1; 2_000_000]))
        .part("file", file("takes more of it", vec![1; 2_000_000]))
        .part("file", file("larger than what is left", vec![1; 2_000_000]))
        .text("sha256", "07".repeat(32))
        .part("file", file("not its digest", vec![1; 10]))
        .part("file", file("fits too", vec![1; 2_000]));
    let results = send(&host, form).await;
    assert_eq!((&results["saved"], &results["failed"]), (&4.into(), &3.into()));
    let codes: Vec<_> = members(&results, "problem").iter().map(|problem| problem["code"].clone()).collect();
    let expected = json!([null, "too_large", null, null, "quota_exceeded", "checksum_mismatch", null]);
    assert_eq!(Value::from(codes), expected, "{results}");
    let names = members(&results, "filename");
    assert_eq!(names[6], "fits too");
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let host = HttpHost::start().await;
    let request = host.call("anna", Method::POST, "/v1/files/batch").body("x");
    problem(request.send().await.expect("an answer"), 415, "unsupported_media_type").await;
}

#[tokio::test]
async fn a_faulty_field_fails_the_file_that_follows_it_and_no_other() {
    let host = HttpHost::start().await;
    let form = Form::new()
        .part("file", file("sound", vec![1]))
        .text("colour", "red")
        .part("file", file("unknown field", vec![1; 2_000_000]))
        .text("metadata", "no JSON")
        .part("file", file("metadata", vec![1]))
        .text("sha256", "07")
        .part("file", file("digest", vec![1]))
        .text("tier", "lukewarm")
        .part("file", file("tier", vec![1]))
        .text("metadata", "x".repeat(20_000))
        .part("file", file("too long", vec![1]))
        .part("file", Part::bytes(&b"no name"[..]))
        .part("file", file("sound too", vec![2]));
    let results = send(&host, form).await;
    assert_eq!((&results["saved"], &results["failed"]), (&2.into(), &6.into()), "{results}");
    let names = ["sound", "unknown field", "metadata", "digest", "tier", "too long", "", "sound too"];
    assert_eq!(Value::from(members(&results, "filename")), json!(names));
    let codes: Vec<_> = members(&results, "problem").iter().map(|problem| problem["code"].clone()).collect();
    let bad = "invalid_request";
    assert_eq!(Value::from(codes), json!([null, bad, bad, bad, bad, "too_large", bad, null]), "{results}");
    assert_eq!(host.objects().await, 2);
}

#[tokio::test]
async fn a_form_that_cannot_be_read_on_is_told_in_one_last_result() {
    let host = HttpHost::start().await;
    let sound = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n";
    for (rest, code) in [
        ("--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n", "invalid_request"),
        (
            "--B\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{}\r\n--B--\r\n",
            "invalid_request",
        ),
        ("--B\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{", "length_mismatch"),
    ] {
        let request = host.call("anna", Method::POST, "/v1/files/batch").body(format!("{sound}{rest}"));
        let request = request.header("content-type", "multipart/form-data; boundary=B");
        let results = answer(request.send().await.expect("an answer"), StatusCode::OK).await;
        assert_eq!((&results["saved"], &results["failed"]), (&1.into(), &1.into()), "{results}");
        assert_eq!(Value::from(members(&results, "filename")), json!(["a", ""]));
        assert_eq!(members(&results, "problem")[1]["code"], code, "{results}");
    }
}

#[tokio::test]
async fn many_files_are_deleted_with_one_result_each() {
    let host = HttpHost::start().await;
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        ids.push(host.save("anna", name, "x").await["id"].clone());
    }
    ids.push(host.save("ben", "c", "x").await["id"].clone());
    let request = host.call("anna", Method::POST, "/v1/files/batch-delete").json(&json!({ "ids": ids }));
    let results = answer(request.send().await.expect("an answer"), StatusCode::OK).await;
    assert_eq!((&results["deleted"], &results["failed"]), (&2.into(), &1.into()));
    assert_eq!(Value::from(members(&results, "id")), Value::from(ids));
    assert_eq!(members(&results, "problem")[2]["code"], "not_found");
    for body in [json!({"ids": []}), json!({"ids": ["x"]}), json!({})] {
        let request = host.call("anna", Method::POST, "/v1/files/batch-delete").json(&body);
        problem(request.send().await.expect("an answer"), 400, "invalid_request").await;
    }
}
