//! Multi-region access points: their host, and signatures that hold in every region (SigV4A).
//!
//! The key is that of Amazon's published test suite of signatures, so that its public half is known from there and
//! not derived by the code that signs.

use std::time::Duration;

use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{DerSignature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use storage_core::{Capabilities, CopyOptions, ErrorKind, PresignMethod, PresignRequest, SaveOptions, Tier};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{Request, Rule};

use crate::amazon::{ACCESS_KEY, Amazon};
use crate::rig::{key, kind, open};

const ARN: &str = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
const HOST: &str = "mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com";
const ALGORITHM: &str = "AWS4-ECDSA-P256-SHA256";
/// A point of the curve, as the files `public-key.json` of the suite have it.
const PUBLIC_KEY: &str = "04b6618f6a65740a99e650b33b6b4b5bd0d43b176d721a3edfea7e7d2d56d936b1\
                          865ed22a7eadc9c5cb9d2cbaca1b3699139fedc5043dc6661864218330c8e518";

/// An answer that serves for every request: an empty listing.
const EMPTY: &str =
    "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";

async fn answering() -> Amazon {
    // Nothing is handed on, so that nobody need be there.
    let amazon = Amazon::before("http://127.0.0.1:1").await;
    amazon.recorder.add(Rule::always().answer(200, EMPTY).response_header("etag", "\"x\""));
    amazon
}

/// Whether the signature is that of the published key over what was signed.
fn is_signed(canonical: &str, date: &str, scope: &str, signature: &str) -> bool {
    let hash = hex::encode(Sha256::digest(canonical));
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{hash}");
    let point = hex::decode(PUBLIC_KEY).expect("hexadecimal");
    let signature = DerSignature::try_from(hex::decode(signature).expect("hexadecimal").as_slice());
    let key = VerifyingKey::from_sec1_bytes(&point).expect("a point of the curve");
    key.verify(text.as_bytes(), &signature.expect("a signature")).is_ok()
}

/// The text that a signature covers, of these signed headers.
fn canonical(request: &Request, query: &str, signed: &str, hash: &str) -> String {
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", request.header(name).expect("a signed header is sent").trim()))
        .collect();
    format!("{}\n{}\n{query}\n{headers}\n{signed}\n{hash}", request.method, request.path)
}

/// The parameters in the order that signatures want.
fn sorted(query: &str) -> String {
    let pair = |text: &str| if text.contains('=') { text.to_owned() } else { format!("{text}=") };
    let mut pairs: Vec<_> = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
    pairs.sort();
    pairs.join("&")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_signed_for_all_regions_at_once() {
    let amazon = answering().await;
    let backend = open(amazon.settings(ARN, &[("storage_class", "STANDARD_IA")])).await;
    let body = Content::new(1, 1000).body(Chunking::Buffer);
    let options = SaveOptions { content_type: Some("text/plain".to_owned()), ..SaveOptions::default() };
    backend.save(&key("a b/object"), body, options).await.expect("saved");
    backend.delete_many(vec![key("one"), key("two")]).await.expect("deleted").into_iter().for_each(|one| {
        assert!(one.expect("deleted").existed);
    });
    let exchanges = amazon.recorder.exchanges();
    assert!(exchanges.len() >= 6, "a look at the bucket, a save, two deletes: {}", exchanges.len());
    for seen in &exchanges {
        let request = &seen.request;
        let what = format!("{} {} {:?}", request.method, request.path, request.query);
        assert_eq!(request.header("host"), Some(HOST), "{what}");
        assert_eq!(request.header("x-amz-region-set"), Some("*"), "{what}");
        assert_ne!(request.method, "POST", "many deletes in one are not to be had: {what}");
        let authorization = request.header("authorization").expect("it is signed");
        let rest = authorization.strip_prefix(ALGORITHM).unwrap_or_else(|| panic!("{what}: {authorization}"));
        let part = |name: &str| {
            let value = rest.split_once(&format!("{name}=")).expect("a part").1;
            value.split(", ").next().expect("its value").to_owned()
        };
        let date = request.header("x-amz-date").expect("a date");
        let scope = format!("{}/s3/aws4_request", &date[..8]);
        assert_eq!(part("Credential"), format!("{ACCESS_KEY}/{scope}"), "no region: {what}");
        let signed = part("SignedHeaders");
        assert!(signed.split(';').any(|name| name == "x-amz-region-set"), "{signed}");
        let hash = request.header("x-amz-content-sha256").expect("a digest of the body");
        let query = sorted(request.query.as_deref().unwrap_or_default());
        let canonical = canonical(request, &query, &signed, hash);
        assert!(is_signed(&canonical, date, &scope, &part("Signature")), "{what}: {canonical}");
        let altered = canonical.replace(HOST, "example.org");
        assert!(!is_signed(&altered, date, &scope, &part("Signature")), "another host: {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_signed_for_all_regions_at_once() {
    let amazon = answering().await;
    let backend = open(amazon.settings(ARN, &[])).await;
    for (method, name) in [(PresignMethod::Get, "GET"), (PresignMethod::Put, "PUT")] {
        let request = PresignRequest::new(key("object"), method, Duration::from_secs(3600));
        let signed = backend.presign(request).await.expect("signed");
        let (place, query) = signed.url.split_once('?').expect("parameters");
        assert_eq!(place, format!("https://{HOST}/object"));
        let (signature, others): (Vec<_>, Vec<_>) =
            query.split('&').partition(|pair| pair.starts_with("X-Amz-Signature="));
        let value = |wanted: &str| {
            let pair = others.iter().find_map(|pair| pair.strip_prefix(&format!("{wanted}=")));
            pair.unwrap_or_else(|| panic!("{wanted} is not in {query}"))
        };
        assert_eq!(value("X-Amz-Algorithm"), ALGORITHM);
        assert_eq!(value("X-Amz-Region-Set"), "%2A");
        assert_eq!(value("X-Amz-Expires"), "3600");
        let date = value("X-Amz-Date");
        let scope = format!("{}/s3/aws4_request", &date[..8]);
        assert_eq!(value("X-Amz-Credential"), format!("{ACCESS_KEY}/{scope}").replace('/', "%2F"));
        assert_eq!(value("X-Amz-SignedHeaders"), "host");
        let query = sorted(&others.join("&"));
        let canonical = format!("{name}\n/object\n{query}\nhost:{HOST}\n\nhost\nUNSIGNED-PAYLOAD");
        let signature = signature[0].trim_start_matches("X-Amz-Signature=");
        assert!(is_signed(&canonical, date, &scope, signature), "{canonical}");
        let longer = canonical.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200");
        assert!(!is_signed(&longer, date, &scope, signature), "the expiry is signed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_such_an_access_point_cannot_do_is_not_declared_and_not_asked_for() {
    let amazon = answering().await;
    let backend = open(amazon.settings(ARN, &[])).await;
    let info = backend.info();
    for missing in [Capabilities::COPY, Capabilities::TIERS, Capabilities::LIFECYCLE, Capabilities::VERSIONS]
    {
        assert!(!info.capabilities.has(missing), "{missing:?}");
    }
    let extensions: Vec<_> = info.extensions.iter().map(|extension| extension.name.as_str()).collect();
    assert!(extensions.contains(&"set_object_legal_hold") && !extensions.contains(&"set_acceleration"));
    amazon.recorder.forget();
    let unsupported = ErrorKind::Unsupported;
    assert_eq!(kind(backend.copy(&key("a"), &key("b"), CopyOptions::default()).await), unsupported);
    assert_eq!(kind(backend.set_tier(&key("a"), Tier::Cold, Default::default()).await), unsupported);
    assert_eq!(kind(backend.apply_lifecycle(Vec::new()).await), unsupported);
    assert_eq!(kind(backend.list_versions(Default::default()).await), unsupported);
    let options = SaveOptions { tier: Some(Tier::Cold), ..SaveOptions::default() };
    let body = Content::new(1, 10).body(Chunking::Buffer);
    assert_eq!(kind(backend.save(&key("a"), body, options).await), unsupported);
    assert!(amazon.recorder.exchanges().is_empty(), "S3 was asked");
}
