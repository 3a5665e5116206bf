//! Encryption by KMS, object lock, Intelligent-Tiering, acceleration.

use serde_json::{Value, json};
use storage_core::{DeleteOptions, ErrorKind, MetadataOptions, SaveOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::proxy::{Request, Rule};

use super::opened;
use crate::rig::{holds, key, kind, save};

const CONTENT: Content = Content::new(1, 1_000);

#[tokio::test(flavor = "multi_thread")]
async fn kms_encrypts_with_the_key_that_is_named() {
    let settings = [("encryption", "aws:kms"), ("kms_key_id", "alias/resumes"), ("kms_bucket_key", "true")];
    let (proxy, backend) = opened(&settings).await;
    save(&backend, "object", CONTENT).await;
    holds(&backend, "object", CONTENT).await;
    let seen = &proxy.exchanges()[0].request;
    assert_eq!(seen.header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert_eq!(seen.header("x-amz-server-side-encryption-aws-kms-key-id"), Some("alias/resumes"));
    assert_eq!(seen.header("x-amz-server-side-encryption-bucket-key-enabled"), Some("true"));
    let meta = backend.get_metadata(&key("object"), MetadataOptions::default()).await.expect("described");
    assert_eq!(meta.extra.get("encryption").map(String::as_str), Some("aws:kms"));
}

/// The server does not know two layers: it never hears of the request.
#[tokio::test(flavor = "multi_thread")]
async fn kms_is_asked_to_encrypt_in_two_layers() {
    let (proxy, backend) = opened(&[("encryption", "aws:kms:dsse"), ("kms_key_id", "alias/resumes")]).await;
    let is_put = |request: &Request| request.method == "PUT";
    proxy.add(Rule::on(is_put).answer(200, "").response_header("etag", "\"1\""));
    save(&backend, "object", CONTENT).await;
    let seen = &proxy.exchanges()[0].request;
    assert_eq!(seen.header("x-amz-server-side-encryption"), Some("aws:kms:dsse"));
    assert_eq!(seen.header("x-amz-server-side-encryption-aws-kms-key-id"), Some("alias/resumes"));
    assert_eq!(seen.header("x-amz-server-side-encryption-bucket-key-enabled"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_kms_that_cannot_be_used_is_a_fault_of_the_configuration() {
    let (proxy, backend) = opened(&[("encryption", "aws:kms")]).await;
    let xml = "<Error><Code>KMS.DisabledException</Code><Message>The key is disabled.</Message></Error>";
    proxy.add(Rule::on(|request| request.method == "PUT").answer(400, xml));
    let body = CONTENT.body(Chunking::Buffer);
    let error = backend.save(&key("object"), body, SaveOptions::default()).await.expect_err("disabled");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(error.report().contains("AWS_S3_KMS_KEY_ID"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_object_is_not_deleted_until_it_may_be() {
    let (_proxy, backend) = opened(&[("object_lock", "true"), ("versioning", "true")]).await;
    let invoke = async |name: &str, arguments: Value| backend.invoke(name, arguments).await;
    let options = SaveOptions {
        extra: [
            ("object_lock_mode".to_owned(), "GOVERNANCE".to_owned()),
            ("object_lock_retain_until".to_owned(), "2099-01-31T12:00:00Z".to_owned()),
            ("object_lock_legal_hold".to_owned(), "on".to_owned()),
        ]
        .into(),
        ..SaveOptions::default()
    };
    let saved = backend.save(&key("object"), CONTENT.body(Chunking::Buffer), options).await.expect("saved");
    let version = saved.version;
    let told = invoke("get_object_lock", json!({ "key": "object" })).await.expect("told");
    assert_eq!((&told["mode"], &told["legal_hold"]), (&json!("GOVERNANCE"), &json!("ON")));
    assert!(
        told["retain_until"].as_str().is_some_and(|until| until.starts_with("2099-01-31T12:00:00")),
        "{told}"
    );
    let delete = async |bypass: bool| {
        let extra = bypass.then(|| ("bypass_governance_retention".to_owned(), "true".to_owned()));
        let extra = extra.into_iter().collect();
        let options = DeleteOptions { version: version.clone(), extra, ..DeleteOptions::default() };
        backend.delete(&key("object"), options).await
    };
    assert_eq!(kind(delete(false).await), ErrorKind::ObjectLocked);
    assert_eq!(kind(delete(true).await), ErrorKind::ObjectLocked, "nobody is above a legal hold");
    invoke("set_object_legal_hold", json!({ "key": "object", "state": "off" })).await.expect("lifted");
    assert_eq!(kind(delete(false).await), ErrorKind::ObjectLocked);
    assert!(delete(true).await.expect("the permission lifts it").existed);
    let lock = json!({ "mode": "GOVERNANCE", "days": 3 });
    invoke("set_bucket_object_lock", lock).await.expect("set");
    let told = invoke("get_bucket_object_lock", json!({})).await.expect("told");
    assert_eq!(
        (&told["enabled"], &told["mode"], &told["days"]),
        (&json!(true), &json!("GOVERNANCE"), &json!(3))
    );
    let both = json!({ "mode": "GOVERNANCE", "days": 3, "years": 1 });
    assert_eq!(kind(invoke("set_bucket_object_lock", both).await), ErrorKind::InvalidArgument);
    let until = json!({ "key": "object", "mode": "COMPLIANCE", "retain_until": "tomorrow" });
    assert_eq!(kind(invoke("set_object_retention", until).await), ErrorKind::InvalidArgument);
}

fn is_tiering(request: &Request) -> bool {
    request.query("intelligent-tiering").is_some()
}

/// The server never hears of these requests: it takes a `DELETE` for that of the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn intelligent_tiering_is_set_listed_and_deleted_by_name() {
    let (proxy, backend) = opened(&[]).await;
    let list = "<ListBucketIntelligentTieringConfigurationsOutput><IsTruncated>false</IsTruncated>\
                <IntelligentTieringConfiguration><Id>old</Id><Filter><Prefix>a/</Prefix></Filter>\
                <Status>Enabled</Status><Tiering><Days>90</Days><AccessTier>ARCHIVE_ACCESS</AccessTier></Tiering>\
                </IntelligentTieringConfiguration></ListBucketIntelligentTieringConfigurationsOutput>";
    let get = |request: &Request| is_tiering(request) && request.method == "GET";
    proxy.add(Rule::on(get).answer(200, list));
    proxy.add(Rule::on(is_tiering).answer(200, ""));
    let told = backend.invoke("list_intelligent_tiering", json!({})).await.expect("listed");
    assert_eq!(
        told["configurations"],
        json!([{ "id": "old", "prefix": "a/", "enabled": true, "archive_after_days": 90,
                 "deep_archive_after_days": null }])
    );
    let arguments = json!({ "id": "new", "prefix": "users/", "archive_after_days": 100, "deep_archive_after_days": "200" });
    backend.invoke("set_intelligent_tiering", arguments).await.expect("set");
    backend.invoke("delete_intelligent_tiering", json!({ "id": "new" })).await.expect("deleted");
    let asked = proxy.exchanges();
    assert!(asked.iter().all(|seen| is_tiering(&seen.request) && seen.spoilt), "none reached the server");
    let (put, delete) = (&asked[1].request, &asked[2].request);
    assert_eq!((put.method.as_str(), put.query("id").as_deref()), ("PUT", Some("new")));
    let body = String::from_utf8_lossy(&put.body);
    for part in [
        "<Id>new</Id>",
        "<Prefix>users/</Prefix>",
        "<Status>Enabled</Status>",
        "<Days>100</Days><AccessTier>ARCHIVE_ACCESS</AccessTier>",
        "<Days>200</Days><AccessTier>DEEP_ARCHIVE_ACCESS</AccessTier>",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    assert_eq!((delete.method.as_str(), delete.query("id").as_deref()), ("DELETE", Some("new")));
    let few = json!({ "id": "new", "archive_after_days": 30 });
    assert_eq!(kind(backend.invoke("set_intelligent_tiering", few).await), ErrorKind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn acceleration_is_turned_on_in_the_bucket() {
    let (proxy, backend) = opened(&[]).await;
    proxy.add(
        Rule::on(|request| request.query("accelerate").is_some() && request.method == "PUT").answer(200, ""),
    );
    backend.invoke("set_acceleration", json!({ "enabled": true })).await.expect("set");
    let body = String::from_utf8_lossy(&proxy.exchanges()[0].request.body).into_owned();
    assert!(body.contains("<Status>Enabled</Status>"), "{body}");
    let answer = "<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>";
    proxy.add(Rule::on(|request| request.query("accelerate").is_some()).answer(200, answer));
    let told = backend.invoke("get_acceleration", json!({})).await.expect("told");
    assert_eq!(told["enabled"], false);
}
