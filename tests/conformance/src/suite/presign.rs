//! URLs that carry their own permission.
//!
//! A URL of HTTP is followed with an HTTP client, any other by the backend's own `follow_url`, without which
//! the cases fail: a URL that nobody can use is none.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use storage_core::{ErrorKind, ObjectKey, PresignMethod, PresignRequest, PresignedUrl, SaveOptions};

use super::check::{FOLLOW_URL, honoured, refused};
use super::{Case, Checked, cases};

const HOUR: Duration = Duration::from_secs(3600);

/// An hour, or as long as a URL of this backend may be valid at most.
fn long(checked: &Checked) -> Duration {
    checked.backend.info().limits.max_presign_expiry.map_or(HOUR, |most| most.min(HOUR))
}
const TEXT: &str = "Ten years of Rust";

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_url_to_read_gives_the_content [PRESIGN_GET],
        a_url_may_set_what_is_answered [PRESIGN_GET],
        a_url_to_read_reaches_odd_keys [PRESIGN_GET],
        a_url_to_an_old_version_gives_it [PRESIGN_GET, VERSIONS],
        a_url_to_a_missing_object_gives_nothing [PRESIGN_GET],
        an_altered_url_gives_nothing [PRESIGN_GET],
        a_url_to_read_does_not_write [PRESIGN_GET],
        an_expired_url_gives_nothing [PRESIGN_GET] Clock,
        a_url_to_write_stores [PRESIGN_PUT],
        a_url_to_write_reaches_odd_keys [PRESIGN_PUT],
        a_url_to_write_does_not_read [PRESIGN_PUT],
        a_bound_content_type_is_kept [PRESIGN_PUT],
        a_writer_must_send_what_is_bound [PRESIGN_PUT],
        reads_are_bounded_in_time [PRESIGN_GET],
        writes_are_bounded_in_time [PRESIGN_PUT],
        a_url_says_when_it_expires [PRESIGN_GET],
        a_url_is_not_printed [PRESIGN_GET],
        a_version_cannot_be_written [PRESIGN_PUT, VERSIONS],
    ]
}

/// What following a URL gave: the content type, disposition and content; or nothing, where it was refused.
type Followed = Option<(Option<String>, Option<String>, String)>;

async fn sign(checked: &Checked, key: &ObjectKey, method: PresignMethod) -> PresignedUrl {
    let request = PresignRequest::new(key.clone(), method, long(checked));
    checked.backend.presign(request).await.expect("the URL is signed")
}

fn client() -> reqwest::Client {
    // Only the first call installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// What `follow_url` answers; nothing where the URL does not allow it or leads nowhere.
async fn follow(checked: &Checked, arguments: Value) -> Option<Value> {
    match checked.backend.invoke(FOLLOW_URL, arguments).await {
        Ok(answer) => Some(answer),
        Err(error) => {
            let refusals = [ErrorKind::PermissionDenied, ErrorKind::NotFound, ErrorKind::LengthMismatch];
            assert!(refusals.contains(&error.kind()), "{}", error.report());
            None
        }
    }
}

async fn get(checked: &Checked, url: &str) -> Followed {
    if !url.starts_with("http") {
        let answer = follow(checked, json!({ "url": url })).await?;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        return Some((text("content_type"), text("content_disposition"), text("body").unwrap_or_default()));
    }
    let answer = client().get(url).send().await.expect("the provider answers");
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let headers = (header("content-type"), header("content-disposition"));
    let succeeded = answer.status().is_success();
    let body = answer.text().await.expect("the body is text");
    succeeded.then_some((headers.0, headers.1, body))
}

async fn put(checked: &Checked, url: &str, headers: &[(String, String)], body: &str) -> bool {
    if !url.starts_with("http") {
        let headers: serde_json::Map<_, _> =
            headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let arguments = json!({ "url": url, "body": body, "headers": headers });
        return follow(checked, arguments).await.is_some();
    }
    let request = client().put(url).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send().await.expect("the provider answers").status().is_success()
}

async fn given(checked: &Checked, name: &str, text: &'static str) -> ObjectKey {
    let key = checked.key(name);
    let options = SaveOptions { content_type: Some("text/plain".to_owned()), ..SaveOptions::default() };
    checked.backend.save(&key, text.into(), options).await.expect("saved");
    key
}

async fn is_text(checked: &Checked, key: &ObjectKey, text: &str) {
    let found = checked.backend.retrieve(key, Default::default()).await.expect("found");
    assert_eq!(found.body.collect(1_000).await.expect("read"), text);
}

async fn gives_text(checked: &Checked, key: &ObjectKey) {
    let url = sign(checked, key, PresignMethod::Get).await.url;
    let (content_type, _, body) = get(checked, &url).await.expect("the URL is good");
    assert_eq!((content_type.as_deref(), body.as_str()), (Some("text/plain"), TEXT));
}

async fn a_url_to_read_gives_the_content(checked: Checked) {
    let key = given(&checked, "object", TEXT).await;
    gives_text(&checked, &key).await;
}

async fn a_url_may_set_what_is_answered(checked: Checked) {
    let key = given(&checked, "object", TEXT).await;
    let disposition = "attachment; filename=\"a b.pdf\"; filename*=UTF-8''%C3%A9.pdf";
    let request = PresignRequest {
        content_type: Some("application/pdf".to_owned()),
        content_disposition: Some(disposition.to_owned()),
        ..PresignRequest::new(key, PresignMethod::Get, long(&checked))
    };
    let signed = checked.backend.presign(request).await;
    if honoured(&signed) {
        let url = signed.expect("the URL is signed").url;
        let (content_type, found, body) = get(&checked, &url).await.expect("the URL is good");
        assert_eq!(content_type.as_deref(), Some("application/pdf"));
        assert_eq!(found.as_deref(), Some(disposition));
        assert_eq!(body, TEXT);
    }
}

async fn a_url_to_read_reaches_odd_keys(checked: Checked) {
    for name in ["a b/é%2F+&?#;=.pdf", "日本/\"c\\d\"/📄", "~x/(y)*'!"] {
        let key = given(&checked, name, TEXT).await;
        gives_text(&checked, &key).await;
    }
}

async fn a_url_to_an_old_version_gives_it(checked: Checked) {
    let key = given(&checked, "object", TEXT).await;
    let version = checked.describe(&key).await.expect("described").version;
    given(&checked, "object", "something else").await;
    let request = PresignRequest { version, ..PresignRequest::new(key, PresignMethod::Get, long(&checked)) };
    let url = checked.backend.presign(request).await.expect("the URL is signed").url;
    assert_eq!(get(&checked, &url).await.expect("the URL is good").2, TEXT);
}

async fn a_url_to_a_missing_object_gives_nothing(checked: Checked) {
    let url = sign(&checked, &checked.key("object"), PresignMethod::Get).await.url;
    assert_eq!(get(&checked, &url).await, None);
    // What appears later is read: the permission is for the key.
    given(&checked, "object", TEXT).await;
    assert_eq!(get(&checked, &url).await.expect("the URL is good").2, TEXT);
}

async fn an_altered_url_gives_nothing(checked: Checked) {
    let key = given(&checked, "object", TEXT).await;
    let other = given(&checked, "object2", "a secret").await;
    let url = sign(&checked, &key, PresignMethod::Get).await.url;
    let second = sign(&checked, &other, PresignMethod::Get).await.url;
    // The signature of one with the address of the other, and a signature with another last character.
    let mut altered = vec![url.replacen("/object?", "/object2?", 1)];
    let last = url.chars().next_back().expect("a URL is not empty");
    altered.push(format!("{}{}", &url[..url.len() - 1], if last == '0' { '1' } else { '0' }));
    if let (Some((_, signature)), Some((rest, _))) = (url.rsplit_once('/'), second.rsplit_once('/')) {
        altered.extend((!url.starts_with("http")).then(|| format!("{rest}/{signature}")));
    }
    for altered in altered.iter().filter(|altered| **altered != url) {
        assert_eq!(get(&checked, altered).await, None);
    }
}

async fn a_url_to_read_does_not_write(checked: Checked) {
    let key = given(&checked, "object", TEXT).await;
    let url = sign(&checked, &key, PresignMethod::Get).await.url;
    assert!(!put(&checked, &url, &[], "overwritten").await);
    is_text(&checked, &key, TEXT).await;
}

async fn an_expired_url_gives_nothing(checked: Checked) {
    let checked = checked.alone().await;
    let key = given(&checked, "object", TEXT).await;
    let url = sign(&checked, &key, PresignMethod::Get).await.url;
    checked.advance(long(&checked) - Duration::from_secs(60)).await;
    assert!(get(&checked, &url).await.is_some());
    checked.advance(Duration::from_secs(61)).await;
    assert_eq!(get(&checked, &url).await, None);
}

async fn a_url_to_write_stores(checked: Checked) {
    let key = checked.key("object");
    let signed = sign(&checked, &key, PresignMethod::Put).await;
    checked.is_missing(&key).await;
    assert!(put(&checked, &signed.url, &signed.headers, TEXT).await);
    is_text(&checked, &key, TEXT).await;
}

async fn a_url_to_write_reaches_odd_keys(checked: Checked) {
    for name in ["a b/é%2F+&?#;=.pdf", "日本/\"c\\d\"/📄", "~x/(y)*'!"] {
        let key = checked.key(name);
        let signed = sign(&checked, &key, PresignMethod::Put).await;
        assert!(put(&checked, &signed.url, &signed.headers, TEXT).await, "{name}");
        is_text(&checked, &key, TEXT).await;
    }
}

async fn a_url_to_write_does_not_read(checked: Checked) {
    let key = given(&checked, "object", TEXT).await;
    let url = sign(&checked, &key, PresignMethod::Put).await.url;
    assert_eq!(get(&checked, &url).await, None);
}

async fn a_bound_content_type_is_kept(checked: Checked) {
    let key = checked.key("object");
    let request = PresignRequest {
        content_type: Some("application/pdf".to_owned()),
        ..PresignRequest::new(key.clone(), PresignMethod::Put, long(&checked))
    };
    let signed = checked.backend.presign(request).await;
    if honoured(&signed) {
        let signed = signed.expect("the URL is signed");
        let bound = ("content-type", "application/pdf");
        let has =
            |(name, value): &(String, String)| (name.to_ascii_lowercase().as_str(), value.as_str()) == bound;
        assert!(signed.headers.iter().any(has), "the writer is told what to send");
        assert!(put(&checked, &signed.url, &signed.headers, TEXT).await);
        let found = checked.describe(&key).await.expect("described").content_type;
        assert_eq!(found.as_deref(), Some("application/pdf"));
    }
}

async fn a_writer_must_send_what_is_bound(checked: Checked) {
    let key = checked.key("object");
    let request = PresignRequest {
        content_type: Some("application/pdf".to_owned()),
        content_length_bytes: Some(TEXT.len() as u64),
        ..PresignRequest::new(key.clone(), PresignMethod::Put, long(&checked))
    };
    let signed = checked.backend.presign(request).await;
    if honoured(&signed) {
        let signed = signed.expect("the URL is signed");
        let other = [("content-type".to_owned(), "text/html".to_owned())];
        assert!(!put(&checked, &signed.url, &other, TEXT).await, "another content type");
        let rest: Vec<_> = signed
            .headers
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .cloned()
            .collect();
        assert!(!put(&checked, &signed.url, &rest, "a longer text than was bound").await, "another length");
        checked.is_missing(&key).await;
        assert!(put(&checked, &signed.url, &signed.headers, TEXT).await);
        is_text(&checked, &key, TEXT).await;
    }
}

async fn are_bounded_in_time(checked: Checked, method: PresignMethod) {
    let request = |expires_in| PresignRequest::new(checked.key("object"), method, expires_in);
    refused(checked.backend.presign(request(Duration::ZERO)).await, ErrorKind::InvalidArgument);
    let limit = checked.backend.info().limits.max_presign_expiry.expect("a limit is told");
    checked.backend.presign(request(limit)).await.expect("the limit itself is allowed");
    let beyond = limit + Duration::from_secs(1);
    refused(checked.backend.presign(request(beyond)).await, ErrorKind::InvalidArgument);
}

async fn reads_are_bounded_in_time(checked: Checked) {
    are_bounded_in_time(checked, PresignMethod::Get).await;
}

async fn writes_are_bounded_in_time(checked: Checked) {
    are_bounded_in_time(checked, PresignMethod::Put).await;
}

async fn a_url_says_when_it_expires(checked: Checked) {
    let before = SystemTime::now();
    let signed = sign(&checked, &checked.key("object"), PresignMethod::Get).await;
    // A provider's signature counts whole seconds.
    let second = Duration::from_secs(1);
    let expected = before + long(&checked) - second..=SystemTime::now() + long(&checked) + second;
    assert!(expected.contains(&signed.expires_at), "{:?}", signed.expires_at);
}

async fn a_url_is_not_printed(checked: Checked) {
    let signed = sign(&checked, &checked.key("object"), PresignMethod::Get).await;
    assert!(!format!("{signed:?}").contains(&signed.url));
}

async fn a_version_cannot_be_written(checked: Checked) {
    let key = given(&checked, "object", TEXT).await;
    let version = checked.describe(&key).await.expect("described").version;
    let request = PresignRequest { version, ..PresignRequest::new(key, PresignMethod::Put, long(&checked)) };
    let kind = checked.backend.presign(request).await.expect_err("no version is written").kind();
    assert!([ErrorKind::InvalidArgument, ErrorKind::Unsupported].contains(&kind), "{kind}");
}
