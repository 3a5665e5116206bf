//! Download links: they open one version of one file for a while, and nothing else.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use storage_core::memory::MemoryBackend;
use storage_core::{Capabilities, Error, ErrorKind};
use storage_host::catalog::{FileId, UserId};
use storage_host::config::LinkMode;
use storage_host::service::{DownloadLink, FileInfo, LINK_PATH, LinkOptions, RetrieveFileOptions};
use storage_tests::rig::Rig;

use super::{RigExt, refused, replacing, text, user};

fn token(link: &DownloadLink) -> &str {
    let base = format!("https://files.example{LINK_PATH}");
    link.url.strip_prefix(&base).expect("a link of the host's")
}

async fn open(rig: &Rig, token: &str) -> storage_core::Result<String> {
    let (content, _) = rig.service.open_link(token, RetrieveFileOptions::default()).await?;
    Ok(text(content).await)
}

fn code(error: &Error) -> Option<String> {
    error.context().find(|(name, _)| *name == "code").map(|(_, code)| code.to_owned())
}

async fn denied(rig: &Rig, token: &str, expected: &str) {
    let error = refused(open(rig, token).await, ErrorKind::PermissionDenied);
    assert_eq!(code(&error).as_deref(), Some(expected), "{}", error.report());
}

/// Signs claims as the host does, with its newest key unless another one is given.
async fn forge(rig: &Rig, algorithm: Algorithm, secret: Option<&[u8]>, claims: &Value) -> String {
    let keys = rig.service.catalog().link_keys().await.expect("keys");
    let key = keys.first().expect("a key");
    let header = Header { kid: Some(key.id.clone()), ..Header::new(algorithm) };
    encode(&header, claims, &EncodingKey::from_secret(secret.unwrap_or(&key.secret))).expect("signed")
}

fn claims(file: &FileInfo, seconds_from_now: i64) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs();
    json!({
        "aud": "storage-link", "file": file.id, "ver": file.version, "mth": "GET",
        "exp": now.saturating_add_signed(seconds_from_now), "inl": false,
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

async fn link(rig: &Rig, file: FileId, user: &UserId) -> DownloadLink {
    rig.service.get_download_url(file, user, None).await.expect("a link")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_the_version_that_it_was_made_for_and_the_log_says_so() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let first = rig.saved(&ann, "a.txt", "one").await;
        let made = link(&rig, first.id, &ann).await;
        let left = made.expires_at.duration_since(SystemTime::now()).expect("later");
        assert!(left > Duration::from_secs(3_590) && left <= Duration::from_secs(3_600));
        assert_eq!(open(&rig, token(&made)).await.expect("works"), "one");
        let second = rig.service.save_with("two", "a.txt", &ann, replacing(&first)).await.expect("saved");
        assert_eq!(open(&rig, token(&made)).await.expect("works"), "one");
        let other = RetrieveFileOptions { version: Some(second.version), ..Default::default() };
        let (content, inline) = rig.service.open_link(token(&made), other).await.expect("works");
        assert_eq!((text(content).await.as_str(), inline), ("one", false));
        let options = LinkOptions { inline: true, ..LinkOptions::default() };
        let shown = rig.service.get_download_url_with(first.id, &ann, options).await.expect("a link");
        let (content, inline) =
            rig.service.open_link(token(&shown), Default::default()).await.expect("works");
        assert_eq!((text(content).await.as_str(), inline), ("two", true));
        let lines = rig.audit(&ann).await;
        let read = lines.iter().filter(|line| line.action == "retrieve");
        assert!(
            read.clone().count() == 4 && read.clone().all(|line| line.actor.starts_with("link:")),
            "{lines:?}"
        );
        assert!(!format!("{made:?}").contains(token(&made)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_expired_altered_or_signed_for_something_else_are_refused_with_a_code() {
    let rig = Rig::memory();
    let ann = user("ann");
    let file = rig.saved(&ann, "a.txt", "one").await;
    let made = link(&rig, file.id, &ann).await;
    let good = forge(&rig, Algorithm::HS256, None, &claims(&file, 60)).await;
    assert_eq!(open(&rig, &good).await.expect("the forge is a good one"), "one");

    let expired = forge(&rig, Algorithm::HS256, None, &claims(&file, -1)).await;
    denied(&rig, &expired, "link_expired").await;
    for (what, forged) in [
        ("foreign secret", forge(&rig, Algorithm::HS256, Some(b"another secret"), &claims(&file, 60)).await),
        ("other algorithm", forge(&rig, Algorithm::HS384, None, &claims(&file, 60)).await),
        (
            "user token",
            forge(&rig, Algorithm::HS256, None, &json!({"sub": "ann", "exp": 4_000_000_000_u64})).await,
        ),
        (
            "other audience",
            forge(&rig, Algorithm::HS256, None, &with(claims(&file, 60), "aud", json!("storage"))).await,
        ),
        ("upload", forge(&rig, Algorithm::HS256, None, &with(claims(&file, 60), "mth", json!("PUT"))).await),
        ("no expiry", {
            let mut claims = claims(&file, 60);
            claims.as_object_mut().expect("an object").remove("exp");
            forge(&rig, Algorithm::HS256, None, &claims).await
        }),
    ] {
        let error = refused(open(&rig, &forged).await, ErrorKind::PermissionDenied);
        assert_eq!(code(&error).as_deref(), Some("link_invalid"), "{what}");
    }
    let parts: Vec<&str> = token(&made).split('.').collect();
    let unsigned = {
        use base64::Engine as _;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        format!("{header}.{}.", parts[1])
    };
    let other =
        forge(&rig, Algorithm::HS256, None, &claims(&rig.saved(&ann, "b.txt", "two").await, 60)).await;
    let other: Vec<&str> = other.split('.').collect();
    let spliced = format!("{}.{}.{}", parts[0], other[1], parts[2]);
    let cut = &token(&made)[..token(&made).len() - 1];
    for altered in [unsigned.as_str(), &spliced, cut, "", "x", "a.b.c", "../../etc/passwd"] {
        denied(&rig, altered, "link_invalid").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_link_at_all_is_refused_without_the_catalog() {
    let rig = Rig::memory();
    rig.service.catalog().close().await.expect("closed");
    for garbage in ["", "x", "a.b.c", "eyJhbGciOiJIUzI1NiJ9.e30.AA"] {
        denied(&rig, garbage, "link_invalid").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_outlives_its_file_or_its_version() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let first = rig.saved(&ann, "a.txt", "one").await;
        let old = link(&rig, first.id, &ann).await;
        rig.service.save_with("two", "a.txt", &ann, replacing(&first)).await.expect("saved");
        let new = link(&rig, first.id, &ann).await;
        assert!(rig.service.delete_version(first.id, &ann, first.version).await.expect("deleted"));
        refused(open(&rig, token(&old)).await, ErrorKind::NotFound);
        assert_eq!(open(&rig, token(&new)).await.expect("works"), "two");
        assert!(rig.service.delete(first.id, &ann).await.expect("deleted"));
        refused(open(&rig, token(&new)).await, ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_former_key_work_until_it_is_retired() {
    let mut rig = Rig::memory();
    let ann = user("ann");
    let file = rig.saved(&ann, "a.txt", "one").await;
    let old = link(&rig, file.id, &ann).await;
    let catalog = rig.service.catalog().clone();
    catalog.rotate_link_keys(SystemTime::now() + Duration::from_secs(3_600)).await.expect("rotated");
    let new = link(&rig, file.id, &ann).await;
    for link in [&old, &new] {
        assert_eq!(open(&rig, token(link)).await.expect("works"), "one");
    }
    rig.restart().await;
    for link in [&old, &new] {
        assert_eq!(open(&rig, token(link)).await.expect("works after a restart"), "one");
    }
    let catalog = rig.service.catalog().clone();
    catalog.rotate_link_keys(SystemTime::now()).await.expect("rotated");
    denied(&rig, token(&new), "link_invalid").await;
    assert_eq!(open(&rig, token(&link(&rig, file.id, &ann).await)).await.expect("works"), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expiry_of_a_link_has_bounds() {
    let rig = Rig::memory();
    let ann = user("ann");
    let file = rig.saved(&ann, "a.txt", "one").await;
    for seconds in [0, 24 * 3_600 + 1, u64::MAX] {
        let expires_in = Some(Duration::from_secs(seconds));
        refused(rig.service.get_download_url(file.id, &ann, expires_in).await, ErrorKind::InvalidArgument);
    }
    let made = rig.service.get_download_url(file.id, &ann, Some(Duration::from_secs(24 * 3_600))).await;
    assert_eq!(open(&rig, token(&made.expect("the longest"))).await.expect("works"), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_signs_where_it_can_and_may() {
    let can = || std::sync::Arc::new(MemoryBackend::new("main"));
    let ann = user("ann");
    for mode in [LinkMode::Auto, LinkMode::Backend] {
        let memory = can();
        let rig = Rig::over_backend(memory.clone()).with_links(mode);
        let file = rig.saved(&ann, "résumé.txt", "one").await;
        let made = link(&rig, file.id, &ann).await;
        let followed = memory.follow_get(&made.url).await.expect("the backend's own");
        assert_eq!(followed.body.collect(99).await.expect("whole"), "one");
        assert!(rig.service.delete(file.id, &ann).await.expect("deleted"));
        assert!(memory.follow_get(&made.url).await.is_err(), "nor does this one outlive its file");
    }
    let rig = Rig::over_backend(can()).with_links(LinkMode::Host);
    let file = rig.saved(&ann, "a.txt", "one").await;
    assert_eq!(open(&rig, token(&link(&rig, file.id, &ann).await)).await.expect("works"), "one");

    let cannot = || std::sync::Arc::new(MemoryBackend::new("main").with_capabilities(Capabilities::none()));
    let rig = Rig::over_backend(cannot()).with_links(LinkMode::Auto);
    let file = rig.saved(&ann, "a.txt", "one").await;
    assert_eq!(open(&rig, token(&link(&rig, file.id, &ann).await)).await.expect("works"), "one");
    let rig = Rig::over_backend(cannot()).with_links(LinkMode::Backend);
    let file = rig.saved(&ann, "a.txt", "one").await;
    refused(rig.service.get_download_url(file.id, &ann, None).await, ErrorKind::Unsupported);
}
