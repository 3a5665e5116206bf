//! What Azurite takes without checking, seen on the requests.

use serde_json::json;
use storage_core::{CopyOptions, DeleteOptions, ETag, ErrorKind, SaveOptions, Tier, WriteCondition};
use storage_tests::proxy::Rule;

use crate::rig::{Rig, content, is_about, key, requests, save};

#[tokio::test]
async fn a_save_names_everything_that_is_kept_with_the_object() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("blob_tier", "Cool")]).await;
    let options = SaveOptions {
        content_type: Some("application/pdf".to_owned()),
        cache_control: Some("no-store".to_owned()),
        metadata: [("user-id".to_owned(), "Ingénieur".to_owned())].into(),
        tags: [("team a".to_owned(), "1+1".to_owned())].into(),
        condition: WriteCondition::IfMatch(ETag::new("0x1")),
        ..SaveOptions::default()
    };
    // The condition does not hold; what was asked is what counts.
    let saved = backend.save(&key("object"), "text".into(), options).await;
    assert_eq!(saved.expect_err("no such tag").kind(), ErrorKind::PreconditionFailed);
    let put = &requests(&proxy, |seen| is_about("object")(&seen.request))[0].request;
    for (name, value) in [
        ("x-ms-blob-type", "BlockBlob"),
        ("x-ms-blob-content-type", "application/pdf"),
        ("x-ms-blob-cache-control", "no-store"),
        ("x-ms-access-tier", "Cool"),
        ("x-ms-tags", "team+a=1%2B1"),
        ("x-ms-meta-x0user_2did", "=?UTF-8?B?SW5nw6luaWV1cg==?="),
        ("if-match", "\"0x1\""),
        ("x-ms-version", "2026-04-06"),
    ] {
        assert_eq!(put.header(name), Some(value), "{name}");
    }
    assert!(put.header("x-ms-content-crc64").is_some() && put.header("x-ms-meta-x1crc64nvme").is_some());
}

#[tokio::test]
async fn a_tier_of_the_save_outweighs_the_configured_one() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("blob_tier", "Cool")]).await;
    for (tier, azure) in
        [(Tier::Hot, "Hot"), (Tier::Warm, "Cool"), (Tier::Cold, "Cold"), (Tier::Glacier, "Archive")]
    {
        proxy.forget();
        let options = SaveOptions { tier: Some(tier), ..SaveOptions::default() };
        backend.save(&key("object"), "text".into(), options).await.expect("saved");
        let put = &requests(&proxy, |seen| seen.request.method == "PUT")[0].request;
        assert_eq!(put.header("x-ms-access-tier"), Some(azure));
        let found = backend.get_metadata(&key("object"), Default::default()).await.expect("described");
        assert_eq!((found.tier, found.storage_class.as_deref()), (Some(tier), Some(azure)));
    }
}

#[tokio::test]
async fn a_small_file_is_one_request_and_a_large_one_blocks_in_parallel() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("block_size", "1MiB"), ("single_size", "2MiB")]).await;
    proxy.forget();
    save(&backend, "object", content(2 << 20)).await.expect("saved");
    assert_eq!(requests(&proxy, |seen| is_about("object")(&seen.request)).len(), 1);
    proxy.forget();
    save(&backend, "object", content(24 << 20)).await.expect("saved");
    let blocks = requests(&proxy, |seen| seen.request.query("comp").as_deref() == Some("block"));
    assert_eq!(blocks.len(), 1 + 22, "the first is as large as a single request");
    assert!(blocks.iter().all(|seen| seen.request.header("x-ms-content-crc64").is_some()));
    let lengths: std::collections::BTreeSet<_> =
        blocks.iter().map(|seen| seen.request.query("blockid").expect("a name").len()).collect();
    assert_eq!(lengths.len(), 1, "Azure wants names of one length");
    assert!((2..=8).contains(&proxy.most_at_once()), "{} at once", proxy.most_at_once());
}

#[tokio::test]
async fn a_delete_takes_the_snapshots_along_and_names_its_condition() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let tag = save(&backend, "object", "text").await.expect("saved").etag;
    let options = DeleteOptions { if_match: tag.clone(), ..DeleteOptions::default() };
    backend.delete(&key("object"), options).await.expect("deleted");
    let delete = &requests(&proxy, |seen| seen.request.method == "DELETE")[0].request;
    assert_eq!(delete.header("x-ms-delete-snapshots"), Some("include"));
    assert_eq!(delete.header("if-match"), Some(format!("\"{}\"", tag.expect("a tag")).as_str()));
}

#[tokio::test]
async fn a_copy_is_the_services_work() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let bytes = content(3 << 20);
    save(&backend, "from", bytes.clone()).await.expect("saved");
    proxy.forget();
    backend.copy(&key("from"), &key("to"), CopyOptions::default()).await.expect("copied");
    let copy = &requests(&proxy, |seen| seen.request.method == "PUT")[0].request;
    assert_eq!(copy.header("x-ms-requires-sync"), Some("true"));
    assert!(copy.header("x-ms-source-if-match").is_some() && copy.header("x-ms-copy-source").is_some());
    proxy.forget();
    let replace = SaveOptions { content_type: Some("text/new".to_owned()), ..SaveOptions::default() };
    let options = CopyOptions { replace: Some(replace), ..CopyOptions::default() };
    backend.copy(&key("from"), &key("to"), options).await.expect("copied");
    let sent: u64 = proxy.exchanges().iter().map(|seen| seen.request.body_bytes).sum();
    assert!(sent < 10_000, "{sent} bytes were sent: the content does not pass here");
}

#[tokio::test]
async fn an_old_services_listing_without_a_start_is_filtered_here() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    for name in ["a", "b", "c"] {
        save(&backend, name, "x").await.expect("saved");
    }
    let all = requests(&proxy, |_| true).len();
    assert!(all >= 3);
    // The answer to a listing of everything, in the place of one that starts later.

    let options = storage_core::ListOptions { start_after: Some("a".to_owned()), ..Default::default() };
    let page = backend.list_files(options.clone()).await.expect("listed");
    assert_eq!(page.objects.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    let asked = requests(&proxy, |seen| seen.request.query("startFrom").is_some());
    assert_eq!(asked[0].request.query("startFrom").as_deref(), Some("a"));
    let xml = "<?xml version=\"1.0\"?><EnumerationResults><Blobs>\
        <Blob><Name>a</Name><Properties><Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified>\
        <Content-Length>1</Content-Length></Properties></Blob>\
        <Blob><Name>b</Name><Properties><Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified>\
        <Content-Length>1</Content-Length></Properties></Blob></Blobs><NextMarker /></EnumerationResults>";
    proxy.add(Rule::on(|request| request.query("startFrom").is_some()).answer(200, xml));
    let page = backend.list_files(options).await.expect("listed");
    assert_eq!(page.objects.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn soft_delete_and_immutability_are_asked_for_in_azures_words() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    proxy.add(Rule::on(|request| request.path.ends_with("/object")).answer(200, ""));
    for (name, arguments) in [
        ("undelete", json!({ "key": "object" })),
        ("set_immutability", json!({ "key": "object", "until": "2030-01-01T00:00:00Z", "mode": "Locked" })),
        ("delete_immutability", json!({ "key": "object" })),
        ("set_legal_hold", json!({ "key": "object", "hold": true })),
    ] {
        backend.invoke(name, arguments).await.expect(name);
    }
    let asked: Vec<_> = requests(&proxy, |seen| seen.request.path.ends_with("/object"))
        .into_iter()
        .map(|seen| seen.request)
        .collect();
    let told: Vec<_> =
        asked.iter().map(|asked| (asked.method.as_str(), asked.query("comp").unwrap_or_default())).collect();
    let policies = || "immutabilityPolicies".to_owned();
    assert_eq!(
        told,
        [
            ("PUT", "undelete".to_owned()),
            ("PUT", policies()),
            ("DELETE", policies()),
            ("PUT", "legalhold".to_owned())
        ]
    );
    assert_eq!(asked[1].header("x-ms-immutability-policy-mode"), Some("Locked"));
    let until = asked[1].header("x-ms-immutability-policy-until-date");
    assert_eq!(until, Some("Tue, 01 Jan 2030 00:00:00 GMT"));
    assert_eq!(asked[3].header("x-ms-legal-hold"), Some("true"));
}

#[tokio::test]
async fn deleted_objects_that_are_kept_are_listed() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let entry = |name: &str, deleted: bool| {
        format!(
            "<Blob><Name>{name}</Name><Deleted>{deleted}</Deleted><Properties><Last-Modified>Sun, 06 Nov 1994 08:49:37 \
             GMT</Last-Modified><Content-Length>5</Content-Length><RemainingRetentionDays>3</RemainingRetentionDays>\
             </Properties></Blob>"
        )
    };
    let xml = format!(
        "<EnumerationResults><Blobs>{}{}</Blobs><NextMarker/></EnumerationResults>",
        entry("gone", true),
        entry("here", false)
    );
    proxy.add(Rule::on(|request| request.query("include").as_deref() == Some("deleted")).answer(200, xml));
    let found = backend.invoke("list_deleted", json!({ "prefix": "" })).await.expect("listed");
    assert_eq!(found, json!({ "deleted": [{ "key": "gone", "size_bytes": 5, "days_left": 3 }] }));
}
