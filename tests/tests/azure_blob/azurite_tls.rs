//! Over TLS with an authority of its own: tokens of Entra ID in every form, and signatures by a key that they ask for.
//!
//! Tokens come from a stub in the place of Entra ID. Azurite checks their audience, issuer and time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use storage_core::{Backend, ErrorKind, PresignMethod, PresignRequest};
use storage_tests::proxy::{Proxy, Rule};
use storage_tests::servers::Server;

use crate::rig::{Rig, Settings, content, key, open, read, refusal, requests, save};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
const HOUR: Duration = Duration::from_secs(3600);

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("since 1970").as_secs()
}

/// A token as Entra ID gives it; its signature is none, which Azurite does not mind.
fn token(audience: &str) -> String {
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = now_seconds();
    let claims = json!({
        "aud": audience,
        "iss": format!("https://sts.windows.net/{TENANT}/"),
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600,
        "oid": CLIENT, "tid": TENANT,
    });
    format!("{}.{}.c2ln", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims))
}

/// What stands for Entra ID and for the platform that offers an identity.
async fn authority(expires_in: u64) -> Proxy {
    // Only what the rules answer is asked of it: the server behind it never hears anything.
    let proxy = Proxy::before(&Server::get("azurite").endpoint).await;
    let token = token("https://storage.azure.com");
    let answer = json!({
        "token_type": "Bearer", "expires_in": expires_in, "ext_expires_in": expires_in, "access_token": token,
        "expires_on": (now_seconds() + expires_in).to_string(), "resource": "https://storage.azure.com",
    });
    proxy.add(
        Rule::always().answer(200, answer.to_string()).response_header("content-type", "application/json"),
    );
    proxy
}

fn client_secret(rig: &Rig, authority: &Proxy) -> Settings {
    let mut settings = rig.place();
    settings.extend([
        ("tenant_id", TENANT.to_owned()),
        ("client_id", CLIENT.to_owned()),
        ("client_secret", "a secret".to_owned()),
        ("authority_host", authority.endpoint()),
        ("create_container", "true".to_owned()),
    ]);
    settings
}

async fn works(backend: &Arc<dyn Backend>) {
    let bytes = content(9 << 20);
    save(backend, "object", bytes.clone()).await.expect("saved");
    backend.copy(&key("object"), &key("copy"), Default::default()).await.expect("copied");
    assert!(read(backend, "copy").await.expect("read") == bytes);
    assert_eq!(backend.health().await.expect("healthy").problems, [""; 0]);
}

#[tokio::test]
async fn a_client_secret_signs_in() {
    let (rig, authority) = (Rig::new("azurite_tls"), authority(3600).await);
    works(&open(client_secret(&rig, &authority)).await.expect("opened")).await;
    let asked = requests(&authority, |_| true);
    assert_eq!(asked.len(), 1, "the token is kept");
    assert_eq!(asked[0].request.path, format!("/{TENANT}/oauth2/v2.0/token"));
    let body = String::from_utf8_lossy(&asked[0].request.body).into_owned();
    assert!(body.contains("grant_type=client_credentials") && body.contains("storage.azure.com"), "{body}");
}

#[tokio::test]
async fn a_token_is_fetched_anew_before_it_expires() {
    // A token that is about to expire is none to go on with.
    let (rig, authority) = (Rig::new("azurite_tls"), authority(5).await);
    let backend = open(client_secret(&rig, &authority)).await.expect("opened");
    let before = requests(&authority, |_| true).len();
    save(&backend, "object", "text").await.expect("saved");
    assert!(requests(&authority, |_| true).len() > before);
}

#[tokio::test]
async fn a_workload_identity_signs_in_with_the_file_as_it_is_now() {
    let (rig, authority) = (Rig::new("azurite_tls"), authority(5).await);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").expect("written");
    let mut settings = rig.place();
    settings.extend([
        ("tenant_id", TENANT.to_owned()),
        ("client_id", CLIENT.to_owned()),
        ("federated_token_file", file.display().to_string()),
        ("authority_host", authority.endpoint()),
        ("create_container", "true".to_owned()),
    ]);
    let backend = open(settings).await.expect("opened");
    std::fs::write(&file, "second\n").expect("written");
    save(&backend, "object", "text").await.expect("saved");
    let asserted = |text: &str| {
        let asserts = format!("client_assertion={text}&");
        requests(&authority, |seen| {
            (String::from_utf8_lossy(&seen.request.body).into_owned() + "&").contains(&asserts)
        })
        .len()
    };
    assert!(asserted("first") > 0 && asserted("second") > 0);
}

#[tokio::test]
async fn a_managed_identity_signs_in() {
    let (rig, authority) = (Rig::new("azurite_tls"), authority(3600).await);
    let mut settings = rig.place();
    settings.extend([
        ("auth", "managed_identity".to_owned()),
        ("client_id", CLIENT.to_owned()),
        ("identity_endpoint", format!("{}/msi/token", authority.endpoint())),
        ("identity_header", "a platform's secret".to_owned()),
        ("create_container", "true".to_owned()),
    ]);
    works(&open(settings).await.expect("opened")).await;
    let asked = &requests(&authority, |_| true)[0].request;
    assert_eq!(asked.path, "/msi/token");
    assert_eq!(asked.query("resource").as_deref(), Some("https://storage.azure.com"));
    assert_eq!(asked.query("client_id").as_deref(), Some(CLIENT));
    assert_eq!(asked.header("x-identity-header"), Some("a platform's secret"));
}

#[tokio::test]
async fn a_token_that_the_service_refuses_is_told_as_that() {
    let (rig, authority) = (Rig::new("azurite_tls"), Proxy::before(&Server::get("azurite").endpoint).await);
    let answer =
        json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": token("https://other.net") });
    authority.add(
        Rule::always().answer(200, answer.to_string()).response_header("content-type", "application/json"),
    );
    let error = refusal(client_secret(&rig, &authority)).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_secret_that_entra_id_refuses_names_the_variables() {
    let (rig, authority) = (Rig::new("azurite_tls"), Proxy::before(&Server::get("azurite").endpoint).await);
    let answer =
        json!({ "error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret" });
    authority.add(
        Rule::always().answer(401, answer.to_string()).response_header("content-type", "application/json"),
    );
    let error = refusal(client_secret(&rig, &authority)).await;
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.message().contains("AZURE_CLIENT_ID"), "{error}");
    assert!(error.report().contains("AADSTS7000215"), "{}", error.report());
    assert!(!error.report().contains("a secret"), "{}", error.report());
}

#[tokio::test]
async fn an_entra_id_that_does_not_answer_is_no_wrong_secret() {
    let rig = Rig::new("azurite_tls");
    let authority = authority(3600).await;
    let mut settings = client_secret(&rig, &authority);
    settings.retain(|(key, _)| *key != "authority_host");
    settings.push(("authority_host", "http://127.0.0.1:1".to_owned()));
    let error = refusal(settings).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
    assert!(error.retry().is_allowed());
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_told_with_the_variable() {
    let rig = Rig::new("azurite_tls");
    let mut settings = rig.settings();
    settings.retain(|(key, _)| *key != "ca_file");
    let error = refusal(settings).await;
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(error.message().contains("AZURE_CA_FILE"), "{error}");
}

fn client(server: &Server) -> reqwest::Client {
    // Only the first call installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = std::fs::read(server.setting("ca_file")).expect("the authority");
    let authority = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    reqwest::Client::builder().tls_certs_merge([authority]).build().expect("a client")
}

#[tokio::test]
async fn a_key_of_the_identity_signs_urls_and_is_asked_for_once() {
    let (rig, authority) = (Rig::new("azurite_tls"), authority(3600).await);
    let backend = open(client_secret(&rig, &authority)).await.expect("opened");
    save(&backend, "object", "text").await.expect("saved");
    let client = client(&rig.server);
    let request = |name: &str, method| PresignRequest::new(key(name), method, HOUR);
    let read_url = backend.presign(request("object", PresignMethod::Get)).await.expect("signed").url;
    assert!(
        read_url.contains("skoid=") && read_url.contains("spr=https&"),
        "a key of the identity's, for TLS alone"
    );
    let answer = client.get(&read_url).send().await.expect("answered");
    assert_eq!(answer.text().await.expect("text"), "text");
    let altered = read_url.replacen("sp=r", "sp=rw", 1);
    assert_eq!(client.get(&altered).send().await.expect("answered").status().as_u16(), 403);
    let elsewhere = read_url.replacen("/object?", "/other?", 1);
    assert_eq!(client.get(&elsewhere).send().await.expect("answered").status().as_u16(), 403);
    let signed = backend.presign(request("written", PresignMethod::Put)).await.expect("signed");
    let put = client.put(&signed.url).body("by url");
    let put = signed.headers.iter().fold(put, |put, (name, value)| put.header(name, value));
    assert!(put.send().await.expect("answered").status().is_success());
    assert_eq!(read(&backend, "written").await.expect("read"), "by url");
    let put = client.put(&read_url).header("x-ms-blob-type", "BlockBlob").body("x");
    assert_eq!(put.send().await.expect("answered").status().as_u16(), 403);
}
