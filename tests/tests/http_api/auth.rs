//! Credentials: service keys and tokens over the wire. (How tokens are verified is tested beside the code.)

use std::time::{Duration, SystemTime};

use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use reqwest::{Method, StatusCode};
use serde_json::json;
use storage_host::config::AuthConfig;
use storage_tests::http_host::{HttpHost, Setup, problem};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn host_with_tokens() -> HttpHost {
    let auth = AuthConfig { jwt_hs256_secret: Some(SECRET.into()), ..AuthConfig::default() };
    HttpHost::with(Setup { auth, ..Setup::default() }).await
}

fn token(user: &str) -> String {
    let claims = json!({"sub": user, "exp": get_current_timestamp() + 60});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("signed")
}

#[tokio::test]
async fn wrong_credentials_are_refused_with_a_challenge() {
    let host = host_with_tokens().await;
    let key = host.key().to_owned();
    let (id, _) = key.strip_prefix("sk_").and_then(|key| key.split_once('_')).expect("two parts");
    let headers = [
        None,
        Some("Basic YTpi".to_owned()),
        Some("Bearer".to_owned()),
        Some("Bearer x".to_owned()),
        Some(format!("Bearer {key}x")),
        Some(format!("Bearer sk_{id}_")),
        Some("Bearer sk_0000000000000000_x".to_owned()),
        Some(format!("Bearer {}", token("anna").replace('.', "_"))),
    ];
    for header in headers {
        let mut request = host.request(Method::GET, "/v1/usage").header("X-User-Id", "anna");
        if let Some(header) = &header {
            request = request.header("Authorization", header);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"storage\"", "{header:?}");
        let body = problem(response, 401, "unauthenticated").await;
        assert!(!body.to_string().contains(&key), "{body}");
    }
}

#[tokio::test]
async fn a_service_key_must_say_for_whom_it_acts() {
    let host = HttpHost::start().await;
    let request = host.request(Method::GET, "/v1/usage").bearer_auth(host.key());
    problem(request.send().await.expect("an answer"), 400, "user_required").await;
    let request = host.call("../anna", Method::GET, "/v1/usage");
    problem(request.send().await.expect("an answer"), 400, "invalid_request").await;
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_seconds() {
    let host = HttpHost::start().await;
    let usage =
        async || host.call("anna", Method::GET, "/v1/usage").send().await.expect("an answer").status();
    assert_eq!(usage().await, StatusCode::OK);
    assert!(host.service.catalog().revoke_service_key("tests", SystemTime::now()).await.expect("revoked"));
    let refused = async {
        while usage().await != StatusCode::UNAUTHORIZED {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(8), refused).await.expect("refused within 5 seconds");
}

#[tokio::test]
async fn an_end_user_acts_for_himself_only() {
    let host = host_with_tokens().await;
    host.save("anna", "a.txt", "x").await;
    let request = || host.request(Method::GET, "/v1/files").bearer_auth(token("anna"));
    let list = request().send().await.expect("an answer").json::<serde_json::Value>().await.expect("JSON");
    assert_eq!(list["files"].as_array().expect("a list").len(), 1);
    let own = request().header("X-User-Id", "anna").send().await.expect("an answer");
    assert_eq!(own.status(), StatusCode::OK);
    let others = request().header("X-User-Id", "ben").send().await.expect("an answer");
    problem(others, 403, "permission_denied").await;
    let others = host.request(Method::GET, "/v1/files").bearer_auth(token("ben")).send().await;
    let list = others.expect("an answer").json::<serde_json::Value>().await.expect("JSON");
    assert_eq!(list["files"], json!([]));
}

#[tokio::test]
async fn the_audit_log_names_the_caller_and_the_correlation_id() {
    let host = HttpHost::start().await;
    let request = host.call("anna", Method::POST, "/v1/files?filename=a").header("X-Correlation-Id", "job-7");
    assert_eq!(request.body("x").send().await.expect("an answer").status(), StatusCode::CREATED);
    let lines = host.service.catalog().audit_log(None, 10).await.expect("lines");
    let line = lines.iter().find(|line| line.action == "save").expect("a line");
    assert_eq!(line.actor, "key:tests");
    assert_eq!(line.remote.as_deref(), Some("127.0.0.1"));
    assert_eq!(line.correlation_id.as_deref(), Some("job-7"));
}
