//! Versions, which Azurite does not keep: seen on the requests, with Azure's answers given by the proxy.

use storage_core::{
    Capabilities, DeleteOptions, ErrorKind, ListVersionsOptions, MetadataOptions, PresignMethod,
    PresignRequest, RetrieveOptions, VersionId,
};
use storage_tests::proxy::Rule;

use crate::rig::{Rig, key, requests, save};

const OLD: &str = "2026-01-02T03:04:05.1234567Z";
const NEW: &str = "2026-01-02T03:04:06.1234567Z";

fn entry(name: &str, version: &str, current: bool) -> String {
    let current = if current { "<IsCurrentVersion>true</IsCurrentVersion>" } else { "" };
    format!(
        "<Blob><Name>{name}</Name><VersionId>{version}</VersionId>{current}<Properties><Last-Modified>Sun, 06 Nov 1994 \
         08:49:37 GMT</Last-Modified><Content-Length>3</Content-Length><Etag>0x1</Etag></Properties></Blob>"
    )
}

#[tokio::test]
async fn a_write_and_a_read_tell_the_version_that_azure_names() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("versioning", "true")]).await;
    assert!(backend.info().capabilities.has(Capabilities::VERSIONS));
    proxy.add(Rule::on(|request| request.path.ends_with("/object")).response_header("x-ms-version-id", NEW));
    let saved = save(&backend, "object", "text").await.expect("saved");
    assert_eq!(saved.version, Some(VersionId::new(NEW)));
    let described =
        backend.get_metadata(&key("object"), MetadataOptions::default()).await.expect("described");
    assert_eq!(described.version, Some(VersionId::new(NEW)));
}

#[tokio::test]
async fn a_version_is_named_in_every_request_about_it() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("versioning", "true")]).await;
    save(&backend, "object", "text").await.expect("saved");
    let version = Some(VersionId::new(OLD));
    proxy.forget();
    let options = RetrieveOptions { version: version.clone(), ..RetrieveOptions::default() };
    // Azurite knows no versions, and gives the present content.
    let _ = backend.retrieve(&key("object"), options).await;
    let options = MetadataOptions { version: version.clone(), ..MetadataOptions::default() };
    let _ = backend.get_metadata(&key("object"), options).await;
    let options = storage_core::SetTierOptions { version: version.clone(), ..Default::default() };
    let _ = backend.set_tier(&key("object"), storage_core::Tier::Cold, options).await;
    let options = DeleteOptions { version: version.clone(), ..DeleteOptions::default() };
    let _ = backend.delete(&key("object"), options).await;
    let seen = requests(&proxy, |_| true);
    let methods: Vec<_> = seen.iter().map(|seen| seen.request.method.as_str()).collect();
    assert_eq!(methods[..4], ["GET", "HEAD", "PUT", "DELETE"]);
    assert!(seen.iter().take(4).all(|seen| seen.request.query("versionid").as_deref() == Some(OLD)));
    assert_eq!(seen[3].request.header("x-ms-delete-snapshots"), None, "a version has none");
    let hour = std::time::Duration::from_secs(3600);
    let request = PresignRequest { version, ..PresignRequest::new(key("object"), PresignMethod::Get, hour) };
    let url = backend.presign(request).await.expect("signed").url;
    assert!(url.contains("versionid=2026-01-02T03%3A04%3A05.1234567Z") && url.contains("sr=bv"), "{url}");
}

#[tokio::test]
async fn texts_that_name_no_version_are_asked_for_nowhere() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("versioning", "true")]).await;
    save(&backend, "object", "text").await.expect("saved");
    proxy.forget();
    for text in ["no-such-version", "..", "", "2026-01-02", "é"] {
        let version = Some(VersionId::new(text));
        let options = RetrieveOptions { version: version.clone(), ..RetrieveOptions::default() };
        let answer = backend.retrieve(&key("object"), options).await;
        assert_eq!(answer.expect_err("none").kind(), ErrorKind::NotFound, "{text}");
        let options = DeleteOptions { version, ..DeleteOptions::default() };
        assert!(!backend.delete(&key("object"), options).await.expect("a success").existed);
    }
    assert!(proxy.exchanges().is_empty());
}

#[tokio::test]
async fn versions_are_listed_newest_first() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("versioning", "true")]).await;
    let entries = [entry("a", OLD, false), entry("a", NEW, true), entry("b", OLD, false)].concat();
    let xml = format!("<EnumerationResults><Blobs>{entries}</Blobs><NextMarker/></EnumerationResults>");
    proxy.add(
        Rule::on(|request| request.query("include").as_deref() == Some("versions,metadata")).answer(200, xml),
    );
    let (mut seen, mut options) = (Vec::new(), ListVersionsOptions { limit: Some(2), ..Default::default() });
    loop {
        let page = backend.list_versions(options.clone()).await.expect("listed");
        let told = |version: &storage_core::ObjectVersion| {
            (version.meta.key.to_string(), version.meta.version.clone(), version.is_latest)
        };
        seen.extend(page.versions.iter().map(told));
        options.page_token = page.next_page_token;
        if options.page_token.is_none() {
            break;
        }
    }
    let version = |key: &str, name, latest| (key.to_owned(), Some(VersionId::new(name)), latest);
    // The object b was deleted: it has a version and no current one.
    assert_eq!(seen, [version("a", NEW, true), version("a", OLD, false), version("b", OLD, false)]);
}

#[tokio::test]
async fn the_current_version_goes_in_two_steps() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("versioning", "true")]).await;
    save(&backend, "object", "text").await.expect("saved");
    let named = |request: &storage_tests::proxy::Request| request.query("versionid").is_some();
    let refusal = Rule::on(named).times(1).answer(403, "");
    proxy.add(refusal.response_header("x-ms-error-code", "OperationNotAllowedOnRootBlob"));
    proxy.add(Rule::on(named).answer(202, ""));
    proxy.add(Rule::on(|request| request.method == "HEAD").response_header("x-ms-version-id", NEW));
    proxy.forget();
    let options = DeleteOptions { version: Some(VersionId::new(NEW)), ..DeleteOptions::default() };
    assert!(backend.delete(&key("object"), options).await.expect("deleted").existed);
    let asked: Vec<_> = requests(&proxy, |_| true)
        .iter()
        .map(|seen| {
            (seen.request.method.clone(), named(&seen.request), seen.request.header("if-match").is_some())
        })
        .collect();
    let step = |method: &str, named, pinned| (method.to_owned(), named, pinned);
    assert_eq!(
        asked,
        [
            step("DELETE", true, false),
            step("HEAD", false, false),
            step("DELETE", false, true),
            step("DELETE", true, false)
        ]
    );
    assert!(!backend.exists(&key("object")).await.expect("asked"));
}

#[tokio::test]
async fn health_tells_a_configuration_that_contradicts_the_account() {
    let (rig, proxy) = Rig::proxied().await;
    let hopeful = rig.open_with(&[("versioning", "true")]).await;
    let problems = hopeful.health().await.expect("it answers").problems;
    assert!(problems.len() == 1 && problems[0].contains("keeps no versions"), "{problems:?}");
    let unaware = rig.open().await;
    proxy.add(Rule::on(|request| request.method == "PUT").response_header("x-ms-version-id", NEW));
    let problems = unaware.health().await.expect("it answers").problems;
    assert!(problems.len() == 1 && problems[0].contains("AZURE_VERSIONING=true"), "{problems:?}");
}
