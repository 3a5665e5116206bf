//! Storage classes, the archive, and the way out of it.

use storage_core::{
    ByteRange, ErrorKind, LifecycleRule, MetadataOptions, RestoreOptions, RestoreSpeed, RestoreStatus,
    RetrieveOptions, SaveOptions, SetTierOptions, Tier,
};
use storage_tests::fixture::{Chunking, Content};

use super::opened;
use crate::rig::{eventually, holds, key, kind};

const CONTENT: Content = Content::new(1, 1_000);

#[tokio::test(flavor = "multi_thread")]
async fn every_class_can_be_asked_for_and_is_told_with_its_tier() {
    for (class, tier) in [
        ("STANDARD", Tier::Hot),
        ("REDUCED_REDUNDANCY", Tier::Hot),
        ("INTELLIGENT_TIERING", Tier::Hot),
        ("STANDARD_IA", Tier::Warm),
        ("ONEZONE_IA", Tier::Warm),
        ("GLACIER_IR", Tier::Cold),
        ("GLACIER", Tier::Glacier),
        ("DEEP_ARCHIVE", Tier::Glacier),
    ] {
        let (proxy, backend) = opened(&[("storage_class", class)]).await;
        for (name, content) in [("small", CONTENT), ("large", Content::new(2, 20 << 20))] {
            let body = content.body(Chunking::Even);
            backend.save(&key(name), body, SaveOptions::default()).await.expect("saved");
            let meta = backend.get_metadata(&key(name), MetadataOptions::default()).await.expect("described");
            assert_eq!((meta.storage_class.as_deref(), meta.tier), (Some(class), Some(tier)), "{name}");
        }
        let page = backend.list_files(Default::default()).await.expect("listed");
        assert!(page.objects.iter().all(|object| object.storage_class.as_deref() == Some(class)), "{page:?}");
        let asked = proxy.exchanges()[0].request.header("x-amz-storage-class").map(str::to_owned);
        assert_eq!(asked.as_deref(), Some(class).filter(|class| *class != "STANDARD"));
        // The class of one save outweighs that of the configuration.
        let options = SaveOptions {
            extra: [("storage_class".to_owned(), "GLACIER_IR".to_owned())].into(),
            ..SaveOptions::default()
        };
        backend.save(&key("small"), CONTENT.body(Chunking::Buffer), options).await.expect("saved");
        let meta = backend.get_metadata(&key("small"), MetadataOptions::default()).await.expect("described");
        assert_eq!(meta.storage_class.as_deref(), Some("GLACIER_IR"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_object_comes_back_after_its_restore_and_only_then() {
    for class in ["GLACIER", "DEEP_ARCHIVE"] {
        let (proxy, backend) = opened(&[("tier_glacier", class)]).await;
        let object = key("object");
        backend.save(&object, CONTENT.body(Chunking::Buffer), SaveOptions::default()).await.expect("saved");
        backend.set_tier(&object, Tier::Glacier, SetTierOptions::default()).await.expect("archived");
        let error = backend.retrieve(&object, RetrieveOptions::default()).await.expect_err("archived");
        assert_eq!(error.kind(), ErrorKind::ObjectArchived);
        assert!(error.report().contains("ask for a restore"), "it says what to do: {}", error.report());
        let back = backend.set_tier(&object, Tier::Hot, SetTierOptions::default()).await;
        assert_eq!(kind(back), ErrorKind::ObjectArchived);
        let status = || async { backend.restore_status(&object, None).await.expect("told") };
        assert_eq!(status().await, RestoreStatus::Archived);
        proxy.forget();
        let options =
            RestoreOptions { days: Some(3), speed: RestoreSpeed::Bulk, ..RestoreOptions::default() };
        backend.restore(&object, options.clone()).await.expect("begun");
        let asked = proxy.exchanges().into_iter().find(|seen| seen.request.method == "POST").expect("asked");
        let body = String::from_utf8_lossy(&asked.request.body).into_owned();
        assert!(body.contains("<Days>3</Days>") && body.contains("<Tier>Bulk</Tier>"), "{body}");
        // It takes the server two seconds, which a busy machine may take to ask; the conformance suite is stricter.
        assert_ne!(status().await, RestoreStatus::Archived);
        backend.restore(&object, options).await.expect("asking again is no fault");
        eventually("the restore", || async {
            matches!(status().await, RestoreStatus::Restored { until: Some(_) }).then_some(())
        })
        .await;
        holds(&backend, "object", CONTENT).await;
        let options = RetrieveOptions { range: Some(ByteRange::Suffix(7)), ..RetrieveOptions::default() };
        let found = backend.retrieve(&object, options).await.expect("read");
        CONTENT.compare(993..1_000, found.body).await.expect("the end");
        let meta = backend.get_metadata(&object, MetadataOptions::default()).await.expect("described");
        assert_eq!(meta.tier, Some(Tier::Glacier), "what was restored is a copy for a while");
        backend.set_tier(&object, Tier::Hot, SetTierOptions::default()).await.expect("moved for good");
        assert_eq!(status().await, RestoreStatus::NotArchived);
        holds(&backend, "object", CONTENT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_that_cannot_be_are_told_why() {
    let (_proxy, backend) = opened(&[("storage_class", "DEEP_ARCHIVE")]).await;
    let save = |name: &'static str, tier| {
        let options = SaveOptions { tier, ..SaveOptions::default() };
        let backend = std::sync::Arc::clone(&backend);
        async move { backend.save(&key(name), CONTENT.body(Chunking::Buffer), options).await.expect("saved") }
    };
    save("deep", None).await;
    save("hot", Some(Tier::Hot)).await;
    let expedited = RestoreOptions { speed: RestoreSpeed::Expedited, ..RestoreOptions::default() };
    let error = backend.restore(&key("deep"), expedited).await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.report().contains("standard"), "{}", error.report());
    let no_days = RestoreOptions { days: Some(0), ..RestoreOptions::default() };
    assert_eq!(kind(backend.restore(&key("deep"), no_days).await), ErrorKind::InvalidArgument);
    let hot = backend.restore(&key("hot"), RestoreOptions::default()).await;
    assert_eq!(kind(hot), ErrorKind::InvalidArgument);
    let speed = SetTierOptions { speed: Some(RestoreSpeed::Bulk), ..SetTierOptions::default() };
    assert_eq!(kind(backend.set_tier(&key("hot"), Tier::Warm, speed).await), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_rules_are_set_beside_those_of_others() {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    let (proxy, backend) = opened(&[]).await;
    let rule = |id: &str| LifecycleRule {
        id: id.to_owned(),
        prefix: "users/".to_owned(),
        enabled: true,
        transitions: vec![(30 * DAY, Tier::Warm), (90 * DAY, Tier::Glacier)],
        expire_after: Some(365 * DAY + DAY / 2),
        expire_old_versions_after: Some(10 * DAY),
        abort_uploads_after: Some(2 * DAY),
    };
    // Rules of somebody else, which the service reads and must write again as they are.
    let foreign = "<LifecycleConfiguration><Rule><ID>theirs</ID><Filter><Prefix>logs/</Prefix></Filter>\
                   <Status>Enabled</Status><Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>";
    let is_read = |request: &storage_tests::proxy::Request| {
        request.method == "GET" && request.query("lifecycle").is_some()
    };
    proxy.add(storage_tests::proxy::Rule::on(is_read).times(1).answer(200, foreign));
    let report = backend.apply_lifecycle(vec![rule("age")]).await.expect("applied");
    assert!(report.applied && report.notes.len() == 1 && report.notes[0].contains("366 days"), "{report:?}");
    let put = |exchanges: &[storage_tests::proxy::Exchange]| {
        let put = exchanges.iter().rfind(|seen| seen.request.method == "PUT").expect("set");
        String::from_utf8_lossy(&put.request.body).into_owned()
    };
    let xml = put(&proxy.exchanges());
    for part in [
        "<ID>theirs</ID>",
        "<ID>storage-service:age</ID>",
        "<Days>30</Days><StorageClass>STANDARD_IA</StorageClass>",
        "<Days>90</Days><StorageClass>GLACIER</StorageClass>",
        "<NoncurrentDays>10</NoncurrentDays>",
        "<DaysAfterInitiation>2</DaysAfterInitiation>",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    backend.apply_lifecycle(vec![rule("other")]).await.expect("applied");
    let xml = put(&proxy.exchanges());
    assert!(xml.contains("theirs") && xml.contains("service:other") && !xml.contains("service:age"), "{xml}");
    backend.apply_lifecycle(Vec::new()).await.expect("dropped");
    let xml = put(&proxy.exchanges());
    assert!(xml.contains("theirs") && !xml.contains("storage-service"), "{xml}");
    let early = LifecycleRule { transitions: vec![(DAY, Tier::Warm)], ..rule("early") };
    let error = backend.apply_lifecycle(vec![early]).await.expect_err("S3 waits 30 days");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.report().contains("early") && error.report().contains("30 days"), "{}", error.report());
}
