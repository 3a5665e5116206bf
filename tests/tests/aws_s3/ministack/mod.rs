//! What only Amazon has, on ministack: classes and restores, users and roles, KMS, CloudWatch, object lock.

mod accounts;
mod archive;
mod bucket;
mod express;
mod metrics;

use std::sync::Arc;

use storage_core::Backend;
use storage_tests::proxy::Proxy;
use storage_tests::servers::Server;

use crate::rig::{Settings, open, settings};

fn server() -> Server {
    Server::get("ministack")
}

/// The settings of a bucket, with every service of Amazon at the same place.
fn all_services(more: &[(&'static str, &str)]) -> Settings {
    let server = server();
    let mut settings = settings(&server, &server.endpoint, more);
    settings.push(("sts_endpoint_url", server.endpoint.clone()));
    settings.push(("cloudwatch_endpoint_url", server.endpoint.clone()));
    settings
}

async fn opened(more: &[(&'static str, &str)]) -> (Proxy, Arc<dyn Backend>) {
    let server = server();
    let proxy = Proxy::before(&server.endpoint).await;
    let backend = open(settings(&server, &proxy.endpoint(), more)).await;
    proxy.forget();
    (proxy, backend)
}

/// Asks a service something as the root user, whose signatures ministack does not look at, and gives the answer.
async fn root(service: &str, version: &str, form: &[(&str, &str)]) -> String {
    let server = server();
    let body = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let body: Vec<_> = body.chain([("Version".to_owned(), version.to_owned())]).collect();
    let credential = format!("{}/20261124/us-east-1/{service}/aws4_request", server.setting("access_key"));
    // Only the first call installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::Client::new()
        .post(&server.endpoint)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"),
        )
        .header("x-amz-date", "20261124T100000Z")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encode(&body))
        .send()
        .await
        .expect("ministack answers");
    let status = answer.status();
    let text = answer.text().await.expect("text");
    assert!(status.is_success(), "{form:?}: {status} {text}");
    text
}

fn encode(form: &[(String, String)]) -> String {
    let plain = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs: Vec<_> =
        form.iter().map(|(name, value)| format!("{}={}", plain(name), plain(value))).collect();
    pairs.join("&")
}

/// The content of the first element of this name.
fn element(xml: &str, name: &str) -> String {
    let rest = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}")).1;
    rest.split_once('<').expect("it ends").0.to_owned()
}
