//! Snapshots, tags and facts of the account, through the extensions.

use serde_json::json;

use crate::rig::{Rig, key, read, save};

#[tokio::test]
async fn a_snapshot_is_kept_listed_and_restored() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    save(&backend, "object", "old").await.expect("saved");
    save(&backend, "object2", "other").await.expect("saved");
    let made = backend.invoke("create_snapshot", json!({ "key": "object" })).await.expect("made");
    let snapshot = made["snapshot"].as_str().expect("named");
    backend.invoke("create_snapshot", json!({ "key": "object2" })).await.expect("made");
    save(&backend, "object", "newer").await.expect("saved");
    let listed = backend.invoke("list_snapshots", json!({ "key": "object" })).await.expect("listed");
    assert_eq!(listed, json!({ "snapshots": [{ "snapshot": snapshot, "size_bytes": 3 }] }));
    let arguments = json!({ "key": "object", "snapshot": snapshot });
    let restored = backend.invoke("restore_snapshot", arguments).await.expect("restored");
    assert_eq!(restored["size_bytes"], 3);
    assert_eq!(read(&backend, "object").await.expect("read"), "old");
    assert!(backend.delete(&key("object"), Default::default()).await.expect("deleted").existed);
}

#[tokio::test]
async fn objects_are_found_by_their_tags() {
    let rig = Rig::new("azurite");
    let backend = rig.open().await;
    save(&backend, "a./b", "x").await.expect("saved");
    save(&backend, "other", "x").await.expect("saved");
    let tags = json!({ "key": "a./b", "tags": { "team": "a b" } });
    assert_eq!(backend.invoke("set_tags", tags).await.expect("set"), json!({ "tags": 1 }));
    let described = backend.get_metadata(&key("a./b"), Default::default()).await.expect("described");
    assert_eq!(described.tags.get("team").map(String::as_str), Some("a b"));
    let found = backend.invoke("find_by_tags", json!({ "where": "\"team\" = 'a b'" })).await.expect("found");
    assert_eq!(found, json!({ "keys": ["a./b"] }));
}

#[tokio::test]
async fn the_account_tells_its_kind() {
    let rig = Rig::new("azurite");
    let told = rig.open().await.invoke("account_info", json!({})).await.expect("told");
    assert_eq!((&told["kind"], &told["sku"]), (&json!("StorageV2"), &json!("Standard_RAGRS")));
}
