//! Signed URLs, which fake-gcs-server does not check: whose signature they carry, and what it binds.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::signature::Verifier as _;
use serde_json::json;
use sha2::Digest as _;
use storage_core::{Checksums, ErrorKind, PresignMethod, PresignRequest};
use storage_tests::fixture::Content;
use storage_tests::gcs::{SERVICE_ACCOUNT, service_account};
use storage_tests::proxy::Rule;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A URL, taken apart by somebody who knows only Google's documentation.
struct Taken {
    path: String,
    query: Vec<(String, String)>,
}

impl Taken {
    fn apart(url: &str) -> Self {
        let url = reqwest::Url::parse(url).expect("a URL");
        let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { path: url.path().to_owned(), query }
    }

    fn get(&self, name: &str) -> &str {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {:?}", self.query))
    }

    /// Whether the signature is the account's, for this method and these headers.
    fn is_signed(&self, method: &str, headers: &[(String, String)]) -> bool {
        let encode = |text: &str| -> String {
            text.bytes()
                .map(|byte| match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        char::from(byte).to_string()
                    }
                    byte => format!("%{byte:02X}"),
                })
                .collect()
        };
        let mut query: Vec<_> = self
            .query
            .iter()
            .filter(|(name, _)| name != "X-Goog-Signature")
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        query.sort();
        let mut headers = headers.to_vec();
        headers.push(("host".to_owned(), "127.0.0.1".to_owned()));
        headers.sort();
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!(
            "{method}\n{}\n{}\n{lines}\n{}\nUNSIGNED-PAYLOAD",
            self.path,
            query.join("&"),
            names.join(";")
        );
        let moment = self.get("X-Goog-Date");
        let scope = format!("{}/auto/storage/goog4_request", &moment[..8]);
        let digest = hex::encode(sha2::Sha256::digest(request.as_bytes()));
        let text = format!("GOOG4-RSA-SHA256\n{moment}\n{scope}\n{digest}");
        let account = service_account();
        let key =
            RsaPrivateKey::from_pkcs8_pem(account["private_key"].as_str().expect("a key")).expect("a key");
        let key = VerifyingKey::<rsa::sha2::Sha256>::new(key.to_public_key());
        let signature = hex::decode(self.get("X-Goog-Signature")).expect("hex");
        let signature = Signature::try_from(signature.as_slice()).expect("a signature");
        key.verify(text.as_bytes(), &signature).is_ok()
    }
}

#[tokio::test]
async fn a_url_carries_the_accounts_signature_of_exactly_this_request() {
    let opened = open().await;
    for name in ["file", "a b/é%2F+&?#;=.pdf", "日本/\"c\\d\"/📄"] {
        let request = PresignRequest {
            content_type: Some("application/pdf".to_owned()),
            content_disposition: Some("attachment; filename=\"a b.pdf\"".to_owned()),
            ..PresignRequest::new(key(name), PresignMethod::Get, HOUR)
        };
        let signed = opened.backend.presign(request).await.expect("signed");
        let taken = Taken::apart(&signed.url);
        assert!(taken.get("X-Goog-Credential").starts_with(&format!("{SERVICE_ACCOUNT}/")));
        assert_eq!(taken.get("X-Goog-Expires"), "3600");
        assert_eq!(taken.get("response-content-type"), "application/pdf");
        assert!(taken.is_signed("GET", &signed.headers), "{name}");
        assert!(!taken.is_signed("PUT", &signed.headers), "another method");
        assert!(!taken.is_signed("GET", &[("x-goog-meta-a".to_owned(), "b".to_owned())]), "another header");
        for (at, (altered, _)) in
            taken.query.iter().enumerate().filter(|(_, (name, _))| name != "X-Goog-Signature")
        {
            let mut other = Taken { path: taken.path.clone(), query: taken.query.clone() };
            other.query[at].1.push('0');
            assert!(!other.is_signed("GET", &signed.headers), "another {altered}");
        }
        let other = Taken { path: format!("{}x", taken.path), query: taken.query };
        assert!(!other.is_signed("GET", &signed.headers), "another object");
    }
}

#[tokio::test]
async fn a_writer_is_bound_to_type_length_and_digests() {
    let opened = open_with(&[("storage_class", "NEARLINE")]).await;
    let content = Content::new(1, 1000);
    let all = content.checksums();
    let request = PresignRequest {
        content_type: Some("application/pdf".to_owned()),
        content_length_bytes: Some(1000),
        checksums: Checksums { md5: all.md5, crc32c: all.crc32c, ..Checksums::default() },
        ..PresignRequest::new(key("file"), PresignMethod::Put, HOUR)
    };
    let signed = opened.backend.presign(request.clone()).await.expect("signed");
    let header =
        |name: &str| signed.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(header("content-type"), Some("application/pdf"));
    assert_eq!(header("x-goog-content-length-range"), Some("1000,1000"));
    assert_eq!(header("content-md5").map(str::to_owned), all.md5.map(|md5| BASE64_STANDARD.encode(md5)));
    assert!(header("x-goog-hash").is_some_and(|hash| hash.starts_with("crc32c=")));
    assert_eq!(header("x-goog-storage-class"), Some("NEARLINE"));
    let taken = Taken::apart(&signed.url);
    assert!(taken.is_signed("PUT", &signed.headers));
    for at in 0..signed.headers.len() {
        let mut others = signed.headers.clone();
        others[at].1.push('0');
        assert!(!taken.is_signed("PUT", &others), "another {}", others[at].0);
        others.remove(at);
        assert!(!taken.is_signed("PUT", &others), "one is missing");
    }
    let request =
        PresignRequest { checksums: Checksums { sha256: all.sha256, ..Checksums::default() }, ..request };
    let error = opened.backend.presign(request).await.expect_err("Google checks no such digest");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn iam_signs_for_a_named_account() {
    let proxy = Proxy::before(&Server::get("fake_gcs").endpoint).await;
    let is_asked = |request: &Request| request.path.ends_with(":signBlob");
    let answer = json!({ "keyId": "1", "signedBlob": BASE64_STANDARD.encode("a signature") });
    proxy.add(Rule::on(is_asked).times(1).answer(200, answer.to_string()));
    let refusal = r#"{"error":{"code":403,"message":"no iam.serviceAccounts.signBlob","errors":[]}}"#;
    proxy.add(Rule::on(is_asked).answer(403, refusal));
    let bucket = new_bucket();
    let mut settings = settings(&proxy, &bucket);
    settings.push(("signer_email", "signer@p.iam.gserviceaccount.com".to_owned()));
    settings.push(("iam_endpoint_url", proxy.endpoint()));
    let backend = open_plugin(&settings).await.expect("opened");
    let opened = Opened { backend, proxy, bucket };
    let request = PresignRequest::new(key("file"), PresignMethod::Get, HOUR);
    let signed = opened.backend.presign(request.clone()).await.expect("signed");
    let taken = Taken::apart(&signed.url);
    assert_eq!(taken.get("X-Goog-Signature"), hex::encode("a signature"));
    assert!(taken.get("X-Goog-Credential").starts_with("signer@p.iam.gserviceaccount.com/"));
    let asked = opened.seen(is_asked).remove(0).request;
    let path = "/v1/projects/-/serviceAccounts/signer@p.iam.gserviceaccount.com:signBlob";
    assert_eq!(asked.path, path);
    assert!(asked.header("authorization").is_some());
    let text = BASE64_STANDARD.decode(json_of(&asked)["payload"].as_str().expect("a text")).expect("Base64");
    assert!(text.starts_with(b"GOOG4-RSA-SHA256\n"));
    let error = opened.backend.presign(request).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.report());
    assert!(error.report().contains("roles/iam.serviceAccountTokenCreator"), "{}", error.report());
}
