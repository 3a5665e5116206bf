//! Health routes.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use storage_core::memory::MemoryBackend;
use storage_core::{ErrorKind, Retry};
use storage_tests::faults::{Fault, Faults};
use storage_tests::http_host::{HttpHost, Setup, json, problem};

#[tokio::test]
async fn the_storage_report_has_the_documented_shape_and_needs_no_credentials() {
    let host = HttpHost::start().await;
    host.save("anna", "a", vec![1; 2_000_000]).await;
    let report = host.request(Method::GET, "/health/storage").send().await.expect("an answer");
    let report = json(report, StatusCode::OK).await;
    let latency = report["backends"]["memory"]["latency_ms"].as_u64().expect("a number");
    let expected = serde_json::json!({
        "backends": {"memory": {"healthy": true, "latency_ms": latency}},
        "primary_backend": "memory",
        "total_files": 1,
        "total_size_gb": 0.002,
    });
    assert_eq!(report, expected);
    for path in ["/health/live", "/health/ready"] {
        let response = host.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_primary_backend_that_is_down_is_told_and_why_only_to_services() {
    let faults = Faults::around(Arc::new(MemoryBackend::new("memory")));
    faults.always("health", Fault::Error(ErrorKind::Unavailable, Retry::May));
    let host = HttpHost::with(Setup { backend: faults.clone(), ..Setup::default() }).await;
    let ready = async || host.request(Method::GET, "/health/ready").send().await.expect("an answer");
    let response = ready().await;
    assert!(response.headers().contains_key("retry-after"));
    problem(response, 503, "unavailable").await;
    let live = host.request(Method::GET, "/health/live").send().await.expect("an answer");
    assert_eq!(live.status(), StatusCode::OK);
    let report = host.request(Method::GET, "/health/storage").send().await.expect("an answer");
    let report = json(report, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(report["backends"]["memory"]["healthy"], false);
    assert!(report["backends"]["memory"].get("problems").is_none());
    let report = host.request(Method::GET, "/health/storage").bearer_auth(host.key()).send().await;
    let report = json(report.expect("an answer"), StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(report["backends"]["memory"]["problems"].to_string().contains("told to fail"), "{report}");
    faults.heal();
    let recovered = async {
        while ready().await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), recovered).await.expect("recovered within a second");
}
