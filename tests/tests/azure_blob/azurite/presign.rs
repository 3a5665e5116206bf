//! Signed URLs, refused where they must be. The suite of every backend has more of them.

use std::time::Duration;

use storage_core::{ErrorKind, PresignMethod, PresignRequest, PresignedUrl};

use crate::rig::{Rig, key, read, save};

const HOUR: Duration = Duration::from_secs(3600);

async fn get(url: &str) -> reqwest::Response {
    client().get(url).send().await.expect("the server answers")
}

fn client() -> reqwest::Client {
    // Only the first call installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn sign(rig: &Rig, method: PresignMethod, expires_in: Duration) -> PresignedUrl {
    let backend = rig.open().await;
    save(&backend, "object", "text").await.expect("saved");
    backend.presign(PresignRequest::new(key("object"), method, expires_in)).await.expect("signed")
}

#[tokio::test]
async fn a_url_stops_working_when_it_says() {
    let rig = Rig::new("azurite");
    let signed = sign(&rig, PresignMethod::Get, Duration::from_secs(2)).await;
    assert!(get(&signed.url).await.status().is_success());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while get(&signed.url).await.status().is_success() {
        assert!(tokio::time::Instant::now() < deadline, "it still works");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(std::time::SystemTime::now() > signed.expires_at - Duration::from_secs(1));
}

#[tokio::test]
async fn every_parameter_is_bound_by_the_signature() {
    let rig = Rig::new("azurite");
    let signed = sign(&rig, PresignMethod::Get, HOUR).await.url;
    for (from, to) in [("sp=r", "sp=rw"), ("se=2", "se=3"), ("spr=https", "spr=http"), ("sr=b", "sr=c")] {
        let altered = signed.replacen(from, to, 1);
        assert_ne!(altered, signed);
        assert_eq!(get(&altered).await.status().as_u16(), 403, "{from}");
    }
    let altered = signed.replacen("&sig=", "&rsct=text%2Fhtml&sig=", 1);
    assert_eq!(get(&altered).await.status().as_u16(), 403, "what is answered is bound too");
}

#[tokio::test]
async fn a_url_to_read_deletes_nothing_and_one_to_write_neither() {
    let rig = Rig::new("azurite");
    for method in [PresignMethod::Get, PresignMethod::Put] {
        let signed = sign(&rig, method, HOUR).await;
        let answer = client().delete(&signed.url).send().await.expect("the server answers");
        assert_eq!(answer.status().as_u16(), 403);
    }
    assert_eq!(read(&rig.open().await, "object").await.expect("read"), "text");
}

#[tokio::test]
async fn what_a_signature_cannot_bind_is_refused() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    let put = || PresignRequest::new(key("object"), PresignMethod::Put, HOUR);
    for request in [
        PresignRequest { content_type: Some("text/plain".to_owned()), ..put() },
        PresignRequest { content_disposition: Some("inline".to_owned()), ..put() },
        PresignRequest { content_length_bytes: Some(4), ..put() },
    ] {
        assert_eq!(backend.presign(request).await.expect_err("unbound").kind(), ErrorKind::Unsupported);
    }
}
