//! Keys of services and keys that sign links.

use super::*;
use crate::catalog::{KeyScope, ServiceKeyRecord};

fn key(id: &str, name: &str, made: u64) -> ServiceKeyRecord {
    ServiceKeyRecord {
        id: id.to_owned(),
        name: name.to_owned(),
        secret_sha256: [3; 32],
        scope: KeyScope::Files,
        created_at: at(made),
        revoked_at: None,
    }
}

#[tokio::test]
async fn a_service_key_is_found_by_id_until_and_after_it_is_revoked() {
    let catalog = fixture();
    catalog.add_service_key(key("k2", "backup", 2)).await.expect("added");
    catalog.add_service_key(key("k1", "web", 1)).await.expect("added");
    assert_eq!(catalog.service_key("k1").await.expect("no fault"), Some(key("k1", "web", 1)));
    assert_eq!(catalog.service_key("web").await.expect("no fault"), None);
    let ids: Vec<_> = catalog.service_keys().await.expect("keys").into_iter().map(|key| key.id).collect();
    assert_eq!(ids, ["k1", "k2"]);

    assert!(catalog.revoke_service_key("web", at(9)).await.expect("no fault"));
    assert!(!catalog.revoke_service_key("k1", at(10)).await.expect("revoked before"));
    assert!(!catalog.revoke_service_key("nobody", at(10)).await.expect("no fault"));
    let revoked = catalog.service_key("k1").await.expect("no fault").expect("still known");
    assert_eq!(revoked.revoked_at, Some(at(9)));
}

#[tokio::test]
async fn a_key_keeps_what_it_is_good_for() {
    let catalog = fixture();
    let admin = ServiceKeyRecord { scope: KeyScope::Admin, ..key("k1", "ops", 1) };
    catalog.add_service_key(admin.clone()).await.expect("added");
    assert_eq!(catalog.service_key("k1").await.expect("no fault"), Some(admin));
}

#[tokio::test]
async fn a_name_is_free_again_once_its_key_is_revoked() {
    let catalog = fixture();
    catalog.add_service_key(key("k1", "web", 1)).await.expect("added");
    assert_eq!(kind(catalog.add_service_key(key("k2", "web", 2)).await), ErrorKind::AlreadyExists);
    assert!(catalog.revoke_service_key("k1", at(3)).await.expect("no fault"));
    catalog.add_service_key(key("k2", "web", 4)).await.expect("the name is free");
    assert_eq!(kind(catalog.add_service_key(key("k1", "other", 5)).await), ErrorKind::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_link_key_is_made_once_whoever_asks_first() {
    let one = fixture();
    let two = reopen(&one.folder);
    let (a, b, c, d) = tokio::join!(one.link_keys(), two.link_keys(), one.link_keys(), two.link_keys());
    let a = a.expect("keys");
    assert_eq!(a.len(), 1);
    assert_eq!(a[0].secret.len(), 32);
    for other in [b, c, d] {
        assert!(other.expect("keys") == a);
    }
}

#[tokio::test]
async fn rotation_makes_a_newer_key_and_retires_the_others_once() {
    let catalog = fixture();
    let first = catalog.link_keys().await.expect("keys").remove(0);
    let second = catalog.rotate_link_keys(at(100)).await.expect("rotated");
    let third = catalog.rotate_link_keys(at(200)).await.expect("rotated");
    let keys = catalog.link_keys().await.expect("keys");
    let ids: Vec<_> = keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, [&third.id, &second.id, &first.id]);
    let retired: Vec<_> = keys.iter().map(|key| key.retired_at).collect();
    assert_eq!(retired, [None, Some(at(200)), Some(at(100))]);
    assert!(third.secret != second.secret && second.secret != first.secret);

    // After a leak: those that were retired before and would still work for a while go as well.
    catalog.rotate_link_keys(at(150)).await.expect("rotated");
    let keys = catalog.link_keys().await.expect("keys");
    let retired: Vec<_> = keys.iter().map(|key| key.retired_at).collect();
    assert_eq!(retired, [None, Some(at(150)), Some(at(150)), Some(at(100))]);
    assert!(!format!("{third:?}").contains(&hex::encode(&third.secret)));
}
