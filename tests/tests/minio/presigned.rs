//! Presigned URLs on servers that check them.

use std::time::Duration;

use storage_core::{Backend, PresignMethod, PresignRequest, SaveOptions};

use crate::{Settings, key};

fn client() -> reqwest::Client {
    // Only the first call installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn given(server: &str) -> std::sync::Arc<dyn Backend> {
    let backend = Settings::on(server).opened().await;
    backend.save(&key("a"), "text".into(), SaveOptions::default()).await.expect("saved");
    backend
}

async fn expires(server: &str) {
    let backend = given(server).await;
    let request = PresignRequest::new(key("a"), PresignMethod::Get, Duration::from_secs(2));
    let url = backend.presign(request).await.expect("signed").url;
    assert!(client().get(&url).send().await.expect("answered").status().is_success());
    let mut patience = 100;
    while client().get(&url).send().await.expect("answered").status().is_success() {
        patience -= 1;
        assert!(patience > 0, "it does not expire");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn binds_the_md5(server: &str) {
    let backend = given(server).await;
    let content = storage_tests::fixture::Content::new(1, 1_000);
    let mut request = PresignRequest::new(key("b"), PresignMethod::Put, Duration::from_secs(600));
    request.checksums.md5 = Some(content.md5());
    let signed = backend.presign(request).await.expect("signed");
    let put = |body: bytes::Bytes| {
        let request = client().put(&signed.url).body(body);
        signed.headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send()
    };
    assert!(put("other bytes".into()).await.expect("answered").status().is_client_error());
    assert!(!backend.exists(&key("b")).await.expect("answered"));
    assert!(put(content.bytes()).await.expect("answered").status().is_success());
}

mod seaweedfs {
    #[tokio::test]
    async fn a_url_expires() {
        super::expires("seaweedfs").await;
    }

    #[tokio::test]
    async fn a_url_binds_the_digest_of_what_is_written() {
        super::binds_the_md5("seaweedfs").await;
    }
}

mod juicefs {
    #[tokio::test]
    async fn a_url_expires() {
        super::expires("juicefs").await;
    }

    #[tokio::test]
    async fn a_url_binds_the_digest_of_what_is_written() {
        super::binds_the_md5("juicefs").await;
    }
}
