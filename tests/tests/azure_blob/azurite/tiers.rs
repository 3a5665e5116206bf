//! The way out of the archive, which takes Azure hours and Azurite no time: its states are the proxy's.

use storage_core::{
    ErrorKind, RestoreOptions, RestoreSpeed, RestoreStatus, SaveOptions, SetTierOptions, Tier,
};
use storage_tests::proxy::{Proxy, Rule};

use crate::rig::{Rig, is_about, key, read, requests};

async fn archived() -> (std::sync::Arc<dyn storage_core::Backend>, Proxy) {
    let (rig, proxy) = Rig::proxied().await;
    let backend = rig.open_with(&[("rehydrate_tier", "Cold")]).await;
    let options = SaveOptions { tier: Some(Tier::Glacier), ..SaveOptions::default() };
    backend.save(&key("object"), "text".into(), options).await.expect("saved");
    proxy.forget();
    (backend, proxy)
}

/// What Azure says of an object that is on its way.
fn pending() -> Rule {
    Rule::on(|request| request.method == "HEAD")
        .response_header("x-ms-access-tier", "Archive")
        .response_header("x-ms-archive-status", "rehydrate-pending-to-cold")
        .response_header("x-ms-rehydrate-priority", "High")
}

fn tier_requests(proxy: &Proxy) -> Vec<(Option<String>, Option<String>)> {
    requests(proxy, |seen| seen.request.query("comp").as_deref() == Some("tier"))
        .into_iter()
        .map(|seen| {
            let header = |name| seen.request.header(name).map(str::to_owned);
            (header("x-ms-access-tier"), header("x-ms-rehydrate-priority"))
        })
        .collect()
}

#[tokio::test]
async fn a_restore_names_the_tier_and_the_priority() {
    for (speed, priority) in [
        (RestoreSpeed::Expedited, "High"),
        (RestoreSpeed::Standard, "Standard"),
        (RestoreSpeed::Bulk, "Standard"),
    ] {
        let (backend, proxy) = archived().await;
        let options = RestoreOptions { speed, ..RestoreOptions::default() };
        backend.restore(&key("object"), options).await.expect("asked for");
        assert_eq!(tier_requests(&proxy), [(Some("Cold".to_owned()), Some(priority.to_owned()))]);
    }
}

#[tokio::test]
async fn a_restore_under_way_is_told_and_not_asked_for_again() {
    let (backend, proxy) = archived().await;
    proxy.add(pending());
    let status = backend.restore_status(&key("object"), None).await.expect("told");
    assert_eq!(status, RestoreStatus::InProgress);
    backend.restore(&key("object"), RestoreOptions::default()).await.expect("it is under way already");
    assert_eq!(tier_requests(&proxy), []);
    let meta = backend.get_metadata(&key("object"), Default::default()).await.expect("described");
    assert_eq!(meta.extra.get("archive_status").map(String::as_str), Some("rehydrate-pending-to-cold"));
    assert_eq!(meta.extra.get("rehydrate_priority").map(String::as_str), Some("High"));
    assert_eq!(meta.tier, Some(Tier::Glacier));
    let error = read(&backend, "object").await.expect_err("not yet");
    assert_eq!(error.kind(), ErrorKind::ObjectArchived);
}

#[tokio::test]
async fn a_read_during_a_restore_is_told_as_archived() {
    let (backend, proxy) = archived().await;
    let rule = Rule::on(is_about("object")).answer(409, "");
    proxy.add(rule.response_header("x-ms-error-code", "BlobBeingRehydrated"));
    let error = read(&backend, "object").await.expect_err("not yet");
    assert_eq!(error.kind(), ErrorKind::ObjectArchived);
    assert!(error.message().contains("15 hours"), "{error}");
}

#[tokio::test]
async fn another_tier_for_an_object_on_its_way_is_a_conflict() {
    let (backend, proxy) = archived().await;
    let rule = Rule::on(|request| request.query("comp").as_deref() == Some("tier")).answer(409, "");
    proxy.add(rule.response_header("x-ms-error-code", "BlobBeingRehydrated"));
    let answer = backend.set_tier(&key("object"), Tier::Hot, SetTierOptions::default()).await;
    assert_eq!(answer.expect_err("on its way").kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_restore_for_some_days_is_refused() {
    let (backend, proxy) = archived().await;
    let options = RestoreOptions { days: Some(3), ..RestoreOptions::default() };
    let error = backend.restore(&key("object"), options).await.expect_err("for good only");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(tier_requests(&proxy), []);
}
