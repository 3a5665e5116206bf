//! The OpenAPI document: that it is what the service does, and that nothing in it is open by mistake.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use storage_tests::http_host::{HttpHost, json};

async fn document(host: &HttpHost) -> Value {
    let response = host.request(Method::GET, "/openapi.json").send().await.expect("an answer");
    json(response, StatusCode::OK).await
}

/// Every operation: its method, its path and its description.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "head", "put", "post", "delete", "patch"] {
            if let Some(operation) = item.get(method) {
                let method = method.to_uppercase().parse().expect("a method");
                operations.push((method, path.clone(), operation.clone()));
            }
        }
    }
    operations
}

#[tokio::test]
async fn every_documented_route_exists_and_is_closed_unless_it_says_otherwise() {
    let host = HttpHost::start().await;
    let document = document(&host).await;
    let operations = operations(&document);
    assert_eq!(
        operations.len(),
        25,
        "a route was added or removed: change this number with docs/http-api.md"
    );
    for (method, path, operation) in operations {
        let id = uuid::Uuid::now_v7().to_string();
        let concrete = path.replace("{id}", &id).replace("{version}", &id).replace("{token}", "x");
        let response = host.request(method.clone(), &concrete).send().await.expect("an answer");
        let status = response.status();
        let is_open = operation["security"][0] == serde_json::json!({});
        if is_open {
            assert!(path.starts_with("/health/") || path.starts_with("/v1/links/"), "{path} is open");
            assert!(![404, 405].contains(&status.as_u16()), "{method} {path}: {status}");
        } else {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_operation_is_described_with_its_answers_and_errors() {
    let host = HttpHost::start().await;
    let document = document(&host).await;
    assert_eq!(document["openapi"].as_str().map(|version| &version[..4]), Some("3.1."));
    assert!(document["components"]["schemas"]["Problem"]["properties"]["code"].is_object());
    for scheme in ["service_key", "user_id", "user_token"] {
        assert!(document["components"]["securitySchemes"][scheme].is_object(), "{scheme}");
    }
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
        if path != "/health/live" {
            assert!(responses.keys().any(|status| status.starts_with('5')), "{name}");
        }
        let placeholders = path.matches('{').count();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, placeholders, "{name}");
    }
    let references = document.to_string();
    for reference in references.split("#/components/schemas/").skip(1) {
        let name: String = reference.chars().take_while(|c| c.is_alphanumeric()).collect();
        assert!(document["components"]["schemas"][&name].is_object(), "{name} is not defined");
    }
}

#[tokio::test]
async fn only_bodies_that_may_not_be_empty_are_required() {
    let host = HttpHost::start().await;
    let operations = operations(&document(&host).await);
    let mut optional = Vec::new();
    for (_, path, operation) in &operations {
        let body = &operation["requestBody"];
        if body.is_object() && body["required"] != true {
            assert!(body["content"]["application/json"]["schema"]["$ref"].is_string(), "{path}");
            optional.push(path.as_str());
        }
    }
    assert_eq!(optional, ["/v1/files/{id}/copy", "/v1/files/{id}/download-link"]);
}

#[tokio::test]
async fn the_page_for_users_names_every_route() {
    let host = HttpHost::start().await;
    let page = include_str!("../../../docs/http-api.md");
    for (method, path, _) in operations(&document(&host).await) {
        assert!(page.contains(&format!("`{method} {path}`")), "docs/http-api.md lacks {method} {path}");
    }
}

#[tokio::test]
async fn a_page_shows_the_document() {
    let host = HttpHost::start().await;
    let response = host.request(Method::GET, "/docs/").send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.text().await.expect("HTML").contains("swagger-ui"));
    let redirect = host.request(Method::GET, "/docs").send().await.expect("an answer");
    assert_eq!(redirect.headers()["location"], "/docs/");
    let settings = host.request(Method::GET, "/docs/swagger-initializer.js").send().await.expect("an answer");
    assert!(settings.text().await.expect("script").contains("/openapi.json"));
}
