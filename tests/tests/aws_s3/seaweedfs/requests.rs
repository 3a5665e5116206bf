//! Requests as they are sent: how many, and with what.

use std::time::Duration;

use storage_core::{Checksums, ErrorKind, PresignMethod, PresignRequest, RetrieveOptions, SaveOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{Exchange, Rule};

use super::opened;
use crate::rig::{holds, key, kind, save, text};

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn header<'a>(seen: &'a Exchange, name: &str) -> Option<&'a str> {
    seen.request.header(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_is_one_request_each_way_with_its_digest() {
    let (proxy, backend) = opened(&[]).await;
    let content = Content::new(1, 5_000_000);
    save(&backend, "object", content).await;
    holds(&backend, "object", content).await;
    let exchanges = proxy.exchanges();
    assert_eq!(exchanges.len(), 2, "one up, one down");
    assert!(header(&exchanges[0], "x-amz-checksum-crc64nvme").is_some(), "the digest goes along");
    assert_eq!(header(&exchanges[1], "x-amz-checksum-mode"), Some("ENABLED"), "and is asked for");
    for _ in 0..5 {
        holds(&backend, "object", content).await;
    }
    // One that is being handed back may come too late for the next request.
    assert!(proxy.connections() <= 3, "connections are kept: {}", proxy.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_customer_goes_along_with_every_request() {
    let (proxy, backend) = opened(&[("encryption", "customer"), ("customer_key", KEY)]).await;
    // SeaweedFS answers it twice, which the SDK does not take for one.
    const TWICE: &str = "x-amz-server-side-encryption-customer-key-md5";
    proxy.add(Rule::always().without_response_header(TWICE));
    for content in [Content::new(1, 1_000), Content::new(2, 20 << 20)] {
        save(&backend, "object", content).await;
        holds(&backend, "object", content).await;
    }
    backend.copy(&key("object"), &key("copy"), Default::default()).await.expect("copied");
    let about_objects = proxy.exchanges().into_iter().filter(|seen| {
        let is_end = seen.request.method == "DELETE";
        let is_about_tags = seen.request.query("tagging").is_some();
        seen.request.path.matches('/').count() > 1 && !is_end && !is_about_tags
    });
    for seen in about_objects {
        assert_eq!(
            header(&seen, "x-amz-server-side-encryption-customer-key"),
            Some(KEY),
            "{} {}",
            seen.request.method,
            seen.request.path
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_key_encrypted_cannot_be_read() {
    let (_proxy, settings) = super::proxied(&[("encryption", "customer"), ("customer_key", KEY)]).await;
    let backend = crate::rig::open(settings.clone()).await;
    save(&backend, "object", Content::new(1, 1_000)).await;
    let mut without = settings;
    without.retain(|(key, _)| !["encryption", "customer_key"].contains(key));
    let other = crate::rig::open(without).await;
    let answer = other.retrieve(&key("object"), RetrieveOptions::default()).await;
    assert_eq!(kind(answer), ErrorKind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_asked_for_as_it_is_configured() {
    for (settings, headers) in [
        (&[("encryption", "AES256")][..], &[("x-amz-server-side-encryption", "AES256")][..]),
        (
            &[("encryption", "aws:kms"), ("kms_key_id", "app-key"), ("kms_bucket_key", "true")],
            &[
                ("x-amz-server-side-encryption", "aws:kms"),
                ("x-amz-server-side-encryption-aws-kms-key-id", "app-key"),
                ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
            ],
        ),
    ] {
        let (proxy, backend) = opened(settings).await;
        for content in [Content::new(1, 1_000), Content::new(2, 20 << 20)] {
            save(&backend, "object", content).await;
            holds(&backend, "object", content).await;
        }
        backend.copy(&key("object"), &key("copy"), Default::default()).await.expect("copied");
        let exchanges = proxy.exchanges();
        let begins = exchanges.iter().filter(|seen| {
            let is_part = seen.request.query("partNumber").is_some();
            seen.request.method == "PUT" && !is_part || seen.request.query("uploads").is_some()
        });
        let mut count = 0;
        for seen in begins {
            count += 1;
            for (name, value) in headers {
                assert_eq!(header(seen, name), Some(*value), "{} {}", seen.request.method, seen.request.path);
            }
        }
        assert_eq!(count, 3, "a put, an upload, a copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_headers_cannot_carry_goes_as_a_data_url() {
    let (proxy, backend) = opened(&[]).await;
    let metadata = [("plain".to_owned(), "a b".to_owned()), ("other".to_owned(), "é".to_owned())].into();
    let options = SaveOptions { metadata, ..SaveOptions::default() };
    let body = Content::new(1, 10).body(Chunking::Buffer);
    backend.save(&key("object"), body, options).await.expect("saved");
    let seen = &proxy.exchanges()[0];
    assert_eq!(header(seen, "x-amz-meta-plain"), Some("a b"));
    assert_eq!(header(seen, "x-amz-meta-other"), Some("data:;base64,w6k="));
}

async fn signed(
    backend: &std::sync::Arc<dyn storage_core::Backend>,
    request: PresignRequest,
) -> (String, reqwest::header::HeaderMap) {
    let signed = backend.presign(request).await.expect("signed");
    let headers = signed.headers.iter().map(|(name, value)| {
        let name = reqwest::header::HeaderName::try_from(name.as_str()).expect("a name");
        (name, value.parse().expect("a value"))
    });
    (signed.url, headers.collect())
}

fn client() -> reqwest::Client {
    // Only the first call installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_ends_with_its_time() {
    let (_proxy, backend) = opened(&[]).await;
    save(&backend, "object", Content::new(1, 10)).await;
    let second = Duration::from_secs(1);
    let (url, _) = signed(&backend, PresignRequest::new(key("object"), PresignMethod::Get, 6 * second)).await;
    assert!(client().get(&url).send().await.expect("answered").status().is_success());
    tokio::time::sleep(7 * second).await;
    assert_eq!(client().get(&url).send().await.expect("answered").status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_to_write_takes_the_content_whose_digest_was_bound_alone() {
    let (_proxy, backend) = opened(&[]).await;
    let hour = Duration::from_secs(3600);
    let content = Content::new(1, 100);
    let mut request = PresignRequest::new(key("object"), PresignMethod::Put, hour);
    request.checksums = Checksums { sha256: Some(content.sha256()), ..Checksums::default() };
    request.content_type = Some("text/plain".to_owned());
    let (url, headers) = signed(&backend, request.clone()).await;
    let put = |body: bytes::Bytes| client().put(&url).headers(headers.clone()).body(body).send();
    let other = put(Content::new(2, 100).bytes()).await.expect("answered").status();
    assert!(other.is_client_error(), "{other}");
    assert!(!backend.exists(&key("object")).await.expect("exists answers"));
    let right = put(content.bytes()).await.expect("answered").status();
    assert!(right.is_success(), "{right}");
    assert_eq!(text(&backend, "object").await, content.bytes());
    request.checksums.crc32c = Some(1);
    assert_eq!(kind(backend.presign(request).await), ErrorKind::Unsupported, "S3 binds one digest");
}
