//! Reads from the secondary of a geo-redundant account while the primary does not answer.

use serde_json::{Value, json};
use storage_core::{ErrorKind, ListOptions};
use storage_tests::proxy::{End, Rule};

use crate::rig::{Rig, content, key, read, save};

fn to_primary(request: &storage_tests::proxy::Request) -> bool {
    !request.path.contains("-secondary")
}

#[tokio::test]
async fn reads_go_to_the_secondary_where_that_is_allowed() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("read_secondary", "true")]).await;
    let bytes = content(20 << 20);
    save(&backend, "object", bytes.clone()).await.expect("saved");
    let here = backend.get_metadata(&key("object"), Default::default()).await.expect("described");
    assert_eq!(here.extra.get("served_by"), None);
    proxy.add(Rule::on(to_primary).drop_at_once(End::Reset));
    assert!(read(&backend, "object").await.expect("read") == bytes);
    let there = backend.get_metadata(&key("object"), Default::default()).await.expect("described");
    assert_eq!(there.extra.get("served_by").map(String::as_str), Some("secondary"));
    assert!(backend.exists(&key("object")).await.expect("asked"));
    assert_eq!(backend.list_files(ListOptions::default()).await.expect("listed").objects.len(), 1);
    let error = save(&backend, "object", "x").await.expect_err("the secondary takes no writes");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn reads_stay_with_the_primary_otherwise() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    save(&backend, "object", "text").await.expect("saved");
    proxy.add(Rule::on(to_primary).answer(503, ""));
    assert_eq!(read(&backend, "object").await.expect_err("busy").kind(), ErrorKind::Unavailable);
    assert!(proxy.exchanges().iter().all(|seen| to_primary(&seen.request)));
}

#[tokio::test]
async fn what_the_secondary_does_not_have_yet_is_the_primarys_failure() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("read_secondary", "true")]).await;
    proxy.add(Rule::on(to_primary).answer(500, ""));
    let error = read(&backend, "object").await.expect_err("nobody has it");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "it may well be there: {error}");
    assert!(error.context().any(|(name, _)| name == "secondary"), "{error}");
}

#[tokio::test]
async fn the_secondary_tells_until_when_it_has_everything() {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open().await;
    let xml = "<?xml version=\"1.0\"?><StorageServiceStats><GeoReplication><Status>live</Status><LastSyncTime>\
               Sun, 06 Nov 1994 08:49:37 GMT</LastSyncTime></GeoReplication></StorageServiceStats>";
    proxy.add(Rule::on(|request| request.query("comp").as_deref() == Some("stats")).answer(200, xml));
    let status = backend.invoke("replication_status", json!({})).await.expect("told");
    assert_eq!(status, json!({ "status": "live", "last_sync_time": "1994-11-06T08:49:37Z" }));
    proxy.clear_rules();
    let status = backend.invoke("replication_status", json!({})).await.expect("told");
    assert_eq!(status["status"], Value::from("live"), "as the server itself has it");
}
