//! Credentials of every form that can be had here: who is asked for a token, and that the token is sent.

use serde_json::json;
use storage_core::{ErrorKind, SaveOptions};
use storage_tests::fixture::Content;
use storage_tests::proxy::Rule;

use super::*;

const FILE: Content = Content::new(1, 1000);

/// Opens with these credentials in place of the service account's key.
async fn open_as(proxy: Proxy, credentials: Value, more: &[(&'static str, String)]) -> Result<Opened> {
    let bucket = new_bucket();
    let mut settings = settings(&proxy, &bucket);
    settings.retain(|(key, _)| *key != "credentials_file");
    settings.push(("credentials_json", credentials.to_string()));
    settings.extend(more.iter().cloned());
    let backend = open_plugin(&settings).await?;
    Ok(Opened { backend, proxy, bucket })
}

async fn proxy() -> Proxy {
    Proxy::before(&Server::get("fake_gcs").endpoint).await
}

/// The `Authorization` of every request for data.
fn authorizations(opened: &Opened) -> std::collections::BTreeSet<String> {
    let requests = opened.seen(|request| request.path.contains("storage/v1/"));
    requests.iter().map(|seen| seen.request.header("authorization").unwrap_or("none").to_owned()).collect()
}

#[tokio::test]
async fn a_service_accounts_key_signs_its_own_tokens() {
    let opened = open().await;
    opened.saved("file", FILE).await;
    let sent = authorizations(&opened);
    assert!(!sent.is_empty() && sent.iter().all(|sent| sent.starts_with("Bearer ey")), "{sent:?}");
}

#[tokio::test]
async fn an_external_account_exchanges_its_token() {
    let proxy = proxy().await;
    let folder = tempfile::tempdir().expect("a folder");
    let subject = folder.path().join("token");
    std::fs::write(&subject, "subject-token").expect("written");
    let exchanged = json!({
        "access_token": "federated-token",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    });
    let exchange = proxy.add(
        Rule::on(ends_with("POST", "/v1/token"))
            .answer(200, exchanged.to_string())
            .response_header("content-type", "application/json"),
    );
    let credentials = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", proxy.endpoint()),
        "credential_source": { "file": subject },
    });
    let opened = open_as(proxy, credentials, &[]).await.expect("opened");
    opened.saved("file", FILE).await;
    assert!(exchange.fired() >= 1);
    assert_eq!(authorizations(&opened).into_iter().collect::<Vec<_>>(), ["Bearer federated-token"]);
    let error = opened.backend.presign(storage_core::PresignRequest::new(
        key("file"),
        storage_core::PresignMethod::Get,
        Duration::from_secs(60),
    ));
    let error = error.await.expect_err("nobody signs");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.report());
    assert!(error.report().contains("GCS_SIGNER_EMAIL"), "{}", error.report());
}

#[tokio::test]
async fn an_impersonated_account_is_asked_for_with_the_sources_token() {
    let proxy = proxy().await;
    let token = json!({ "accessToken": "impersonated-token", "expireTime": "2999-01-01T00:00:00Z" });
    let is_asked = |request: &Request| request.path.ends_with(":generateAccessToken");
    proxy.add(
        Rule::on(is_asked).answer(200, token.to_string()).response_header("content-type", "application/json"),
    );
    let account = "target@p.iam.gserviceaccount.com";
    let credentials = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url":
            format!("{}/v1/projects/-/serviceAccounts/{account}:generateAccessToken", proxy.endpoint()),
        "source_credentials": storage_tests::gcs::service_account(),
    });
    let opened = open_as(proxy, credentials, &[]).await.expect("opened");
    opened.saved("file", FILE).await;
    assert_eq!(authorizations(&opened).into_iter().collect::<Vec<_>>(), ["Bearer impersonated-token"]);
    let asked = &opened.seen(is_asked)[0].request;
    assert!(asked.header("authorization").is_some_and(|sent| sent.starts_with("Bearer ey")));
}

#[tokio::test]
async fn without_credentials_none_are_sent() {
    let opened = open_with(&[("auth", "none")]).await;
    opened.saved("file", FILE).await;
    assert_eq!(authorizations(&opened).into_iter().collect::<Vec<_>>(), ["none"]);
}

#[tokio::test]
async fn credentials_that_are_refused_are_told_and_not_printed() {
    let proxy = proxy().await;
    let folder = tempfile::tempdir().expect("a folder");
    let subject = folder.path().join("token");
    std::fs::write(&subject, "hunter2").expect("written");
    let refusal = json!({ "error": "invalid_grant", "error_description": "the token has expired" });
    proxy.add(Rule::on(ends_with("POST", "/v1/token")).answer(400, refusal.to_string()));
    let credentials = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", proxy.endpoint()),
        "credential_source": { "file": subject },
    });
    let error = open_as(proxy, credentials, &[]).await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}", error.report());
    let told = format!("{} {error:?}", error.report());
    assert!(told.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_session_that_may_be_written_to_is_in_no_error() {
    let opened = open().await;
    let is_chunk = |request: &Request| request.method == "PUT";
    opened.proxy.add(Rule::on(is_chunk).answer(403, r#"{"error":{"code":403,"message":"no","errors":[]}}"#));
    let error =
        opened.save("file", Content::new(1, 17 << 20), SaveOptions::default()).await.expect_err("refused");
    let told = format!("{} {error:?}", error.report());
    assert!(!told.contains("upload_id"), "{told}");
}
