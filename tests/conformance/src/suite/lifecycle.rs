//! Rules that the provider itself applies. What they do takes days, so that only a backend whose clock can
//! be put forward shows it.

use std::time::Duration;

use storage_core::{ErrorKind, LifecycleRule, Tier};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::Content;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn cases() -> Vec<Case> {
    cases![
        rules_are_applied_or_handed_to_an_administrator [LIFECYCLE],
        two_rules_of_one_name_are_refused_by_name [LIFECYCLE],
        objects_expire_at_their_age [LIFECYCLE] Clock,
        rules_concern_their_prefix_alone [LIFECYCLE] Clock,
        a_disabled_rule_does_not_act [LIFECYCLE] Clock,
        new_rules_take_the_place_of_old_ones [LIFECYCLE] Clock,
        objects_move_to_colder_tiers [LIFECYCLE, TIERS] Clock,
        old_versions_expire [LIFECYCLE, VERSIONS] Clock,
        forgotten_uploads_are_aborted [LIFECYCLE, MULTIPART] Clock,
    ]
}

fn rule(checked: &Checked, id: &str) -> LifecycleRule {
    LifecycleRule {
        id: id.to_owned(),
        prefix: checked.prefix.clone(),
        enabled: true,
        transitions: Vec::new(),
        expire_after: None,
        expire_old_versions_after: None,
        abort_uploads_after: None,
    }
}

fn expiring(checked: &Checked, id: &str) -> LifecycleRule {
    LifecycleRule { expire_after: Some(30 * DAY), ..rule(checked, id) }
}

async fn apply(checked: &Checked, rules: Vec<LifecycleRule>) {
    let report = checked.backend.apply_lifecycle(rules).await.expect("the rules are taken");
    assert!(report.applied);
}

async fn rules_are_applied_or_handed_to_an_administrator(checked: Checked) {
    let checked = checked.alone().await;
    let rules = vec![expiring(&checked, "conformance")];
    let report = checked.backend.apply_lifecycle(rules).await.expect("the rules are taken");
    assert_ne!(report.applied, report.document.is_some(), "{report:?}");
    checked.backend.apply_lifecycle(Vec::new()).await.expect("the rules are dropped");
}

async fn two_rules_of_one_name_are_refused_by_name(checked: Checked) {
    let checked = checked.alone().await;
    let rules = vec![expiring(&checked, "twice"), expiring(&checked, "twice")];
    let answer = checked.backend.apply_lifecycle(rules).await;
    assert!(answer.as_ref().expect_err("twice").report().contains("twice"), "the rule is named");
    refused(answer, ErrorKind::InvalidArgument);
}

async fn objects_expire_at_their_age(checked: Checked) {
    let checked = checked.alone().await;
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    apply(&checked, vec![expiring(&checked, "expire")]).await;
    checked.advance(29 * DAY).await;
    checked.holds(&key, Content::new(1, 10)).await;
    checked.advance(2 * DAY).await;
    checked.is_missing(&key).await;
}

async fn rules_concern_their_prefix_alone(checked: Checked) {
    let checked = checked.alone().await;
    checked.save_all(["a/1", "b/1"].map(str::to_owned)).await;
    let prefix = format!("{}a/", checked.prefix);
    apply(&checked, vec![LifecycleRule { prefix, ..expiring(&checked, "expire") }]).await;
    checked.advance(31 * DAY).await;
    assert_eq!(checked.listed().await, ["b/1"]);
}

async fn a_disabled_rule_does_not_act(checked: Checked) {
    let checked = checked.alone().await;
    checked.save_all(["a".to_owned()]).await;
    apply(&checked, vec![LifecycleRule { enabled: false, ..expiring(&checked, "expire") }]).await;
    checked.advance(31 * DAY).await;
    assert_eq!(checked.listed().await, ["a"]);
}

async fn new_rules_take_the_place_of_old_ones(checked: Checked) {
    let checked = checked.alone().await;
    checked.save_all(["a".to_owned()]).await;
    apply(&checked, vec![expiring(&checked, "expire")]).await;
    apply(&checked, Vec::new()).await;
    checked.advance(31 * DAY).await;
    assert_eq!(checked.listed().await, ["a"]);
}

async fn objects_move_to_colder_tiers(checked: Checked) {
    let checked = checked.alone().await;
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let transitions = vec![(30 * DAY, Tier::Warm), (90 * DAY, Tier::Cold)];
    apply(&checked, vec![LifecycleRule { transitions, ..rule(&checked, "cool") }]).await;
    for (days, tier) in [(0, Tier::Hot), (31, Tier::Warm), (60, Tier::Cold)] {
        checked.advance(days * DAY).await;
        assert_eq!(checked.describe(&key).await.expect("described").tier, Some(tier));
    }
    checked.holds(&key, Content::new(1, 10)).await;
}

async fn old_versions_expire(checked: Checked) {
    let checked = checked.alone().await;
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    checked.advance(60 * DAY).await;
    checked.save(&key, Content::new(2, 20)).await;
    let expire_old_versions_after = Some(30 * DAY);
    apply(&checked, vec![LifecycleRule { expire_old_versions_after, ..rule(&checked, "forget") }]).await;
    assert_eq!(checked.versions(None).await.len(), 2, "it counts from when a newer one came");
    checked.advance(31 * DAY).await;
    assert_eq!(checked.versions(None).await.len(), 1);
    checked.holds(&key, Content::new(2, 20)).await;
}

async fn forgotten_uploads_are_aborted(checked: Checked) {
    let checked = checked.alone().await;
    let key = checked.key("object");
    checked.begin(&key).await;
    let abort_uploads_after = Some(7 * DAY);
    apply(&checked, vec![LifecycleRule { abort_uploads_after, ..rule(&checked, "abort") }]).await;
    checked.advance(6 * DAY).await;
    assert_eq!(checked.uploads().await.len(), 1);
    checked.advance(2 * DAY).await;
    assert!(checked.uploads().await.is_empty());
}
