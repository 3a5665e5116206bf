//! Tiers, the archive, and the way out of it.

use std::time::{Duration, SystemTime};

use storage_core::{
    Capabilities, ErrorKind, ObjectKey, RestoreOptions, RestoreSpeed, RestoreStatus, RetrieveOptions,
    SaveOptions, SetTierOptions, Tier,
};

use super::check::{honoured, refused};
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn cases() -> Vec<Case> {
    cases![
        an_object_tells_its_tier [TIERS],
        a_save_goes_to_the_tier_that_was_asked_for [TIERS],
        an_object_moves_between_tiers [TIERS],
        a_move_keeps_content_tag_and_time [TIERS],
        a_move_of_a_missing_object_is_not_found [TIERS],
        an_old_version_moves_alone [TIERS, VERSIONS],
        what_is_not_archived_is_not_restored [RESTORE],
        a_restore_of_a_missing_object_is_not_found [RESTORE],
        an_archived_object_is_not_read [RESTORE],
        an_archived_object_is_described_and_listed [RESTORE],
        an_archived_object_may_be_deleted [RESTORE],
        an_archived_object_may_be_overwritten [RESTORE],
        an_archived_object_is_not_copied [RESTORE, COPY],
        a_restore_is_under_way_once_asked_for [RESTORE],
        a_restore_may_be_asked_for_again [RESTORE],
        a_restored_object_is_read_for_a_while [RESTORE] Clock,
        an_expedited_restore_is_faster_than_a_bulk_one [RESTORE] Clock,
    ]
}

/// The tiers that a save accepts.
async fn tiers(checked: &Checked) -> Vec<Tier> {
    let mut tiers = Vec::new();
    for tier in Tier::ALL {
        let options = SaveOptions { tier: Some(tier), ..SaveOptions::default() };
        let body = Content::new(1, 1_000).body(Chunking::Buffer);
        match checked.backend.save(&checked.key(tier.name()), body, options).await {
            Ok(_) => tiers.push(tier),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.report());
                checked.is_missing(&checked.key(tier.name())).await;
            }
        }
    }
    assert!(tiers.len() > 1, "a backend with tiers has two at least");
    tiers
}

async fn tier_of(checked: &Checked, key: &ObjectKey) -> Option<Tier> {
    checked.describe(key).await.expect("described").tier
}

async fn set_tier(checked: &Checked, key: &ObjectKey, tier: Tier) {
    let moved = checked.backend.set_tier(key, tier, SetTierOptions::default()).await;
    moved.expect("the object moves");
}

async fn an_object_tells_its_tier(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    assert!(tier_of(&checked, &key).await.is_some());
}

async fn a_save_goes_to_the_tier_that_was_asked_for(checked: Checked) {
    for tier in tiers(&checked).await {
        assert_eq!(tier_of(&checked, &checked.key(tier.name())).await, Some(tier));
    }
}

async fn an_object_moves_between_tiers(checked: Checked) {
    let key = checked.key("object");
    let warm_first = tiers(&checked).await.into_iter().filter(|tier| *tier != Tier::Glacier);
    checked.save(&key, Content::new(1, 1_000)).await;
    for tier in warm_first {
        set_tier(&checked, &key, tier).await;
        assert_eq!(tier_of(&checked, &key).await, Some(tier));
        set_tier(&checked, &key, tier).await;
        checked.holds(&key, Content::new(1, 1_000)).await;
    }
}

async fn a_move_keeps_content_tag_and_time(checked: Checked) {
    let key = checked.key("object");
    let metadata = [("owner".to_owned(), "Ingénieur".to_owned())].into();
    let options = SaveOptions { metadata, ..SaveOptions::default() };
    checked.save_with(&key, Content::new(1, 100_000), options).await;
    let before = checked.describe(&key).await.expect("described");
    let tiers = tiers(&checked).await;
    let other = tiers.into_iter().find(|tier| *tier != Tier::Glacier && Some(*tier) != before.tier);
    set_tier(&checked, &key, other.expect("another tier")).await;
    let after = checked.describe(&key).await.expect("described");
    assert_eq!((after.size_bytes, after.metadata), (before.size_bytes, before.metadata));
    checked.holds(&key, Content::new(1, 100_000)).await;
}

async fn a_move_of_a_missing_object_is_not_found(checked: Checked) {
    let answer = checked.backend.set_tier(&checked.key("object"), Tier::Hot, Default::default()).await;
    refused(answer, ErrorKind::NotFound);
}

async fn an_old_version_moves_alone(checked: Checked) {
    let key = checked.key("object");
    let old = checked.save(&key, Content::new(1, 10)).await.version;
    checked.save(&key, Content::new(2, 20)).await;
    let newest = tier_of(&checked, &key).await;
    let tiers = tiers(&checked).await;
    let other = tiers.into_iter().find(|tier| *tier != Tier::Glacier && Some(*tier) != newest);
    let options = SetTierOptions { version: old.clone(), ..SetTierOptions::default() };
    let moved = checked.backend.set_tier(&key, other.expect("another tier"), options).await;
    // Some providers move the current version alone: then it is said.
    if !honoured(&moved) {
        return assert_eq!(tier_of(&checked, &key).await, newest);
    }
    assert_eq!(tier_of(&checked, &key).await, newest);
    let options = storage_core::MetadataOptions { version: old, ..Default::default() };
    assert_eq!(checked.backend.get_metadata(&key, options).await.expect("described").tier, other);
}

async fn archived(checked: &Checked) -> ObjectKey {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 1_000)).await;
    set_tier(checked, &key, Tier::Glacier).await;
    key
}

async fn status(checked: &Checked, key: &ObjectKey) -> RestoreStatus {
    checked.backend.restore_status(key, None).await.expect("the status is told")
}

async fn restore(checked: &Checked, key: &ObjectKey, speed: RestoreSpeed) {
    let options = RestoreOptions { days: Some(2), speed, ..RestoreOptions::default() };
    if !honoured(&checked.backend.restore(key, options).await) {
        // A provider that brings objects back for good, and not for some days.
        let options = RestoreOptions { speed, ..RestoreOptions::default() };
        checked.backend.restore(key, options).await.expect("the restore begins");
    }
}

async fn is_unreadable(checked: &Checked, key: &ObjectKey) {
    let answer = checked.backend.retrieve(key, RetrieveOptions::default()).await;
    refused(answer, ErrorKind::ObjectArchived);
}

async fn what_is_not_archived_is_not_restored(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    assert_eq!(status(&checked, &key).await, RestoreStatus::NotArchived);
    let answer = checked.backend.restore(&key, RestoreOptions::default()).await;
    refused(answer, ErrorKind::InvalidArgument);
}

async fn a_restore_of_a_missing_object_is_not_found(checked: Checked) {
    let key = checked.key("object");
    refused(checked.backend.restore(&key, RestoreOptions::default()).await, ErrorKind::NotFound);
    refused(checked.backend.restore_status(&key, None).await, ErrorKind::NotFound);
}

async fn an_archived_object_is_not_read(checked: Checked) {
    let key = archived(&checked).await;
    assert_eq!(status(&checked, &key).await, RestoreStatus::Archived);
    let error = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect_err("archived");
    assert!(error.report().contains("restore"), "it says what to do: {}", error.report());
    is_unreadable(&checked, &key).await;
}

async fn an_archived_object_is_described_and_listed(checked: Checked) {
    let key = archived(&checked).await;
    let meta = checked.describe(&key).await.expect("described");
    assert_eq!((meta.size_bytes, meta.tier), (1_000, Some(Tier::Glacier)));
    assert!(checked.backend.exists(&key).await.expect("exists answers"));
    assert_eq!(checked.listed().await, ["object"]);
}

async fn an_archived_object_may_be_deleted(checked: Checked) {
    let key = archived(&checked).await;
    assert!(checked.backend.delete(&key, Default::default()).await.expect("deleted").existed);
    checked.is_missing(&key).await;
}

async fn an_archived_object_may_be_overwritten(checked: Checked) {
    let key = archived(&checked).await;
    let new = Content::new(2, 20);
    let answer = checked.backend.save(&key, new.body(Chunking::Buffer), SaveOptions::default()).await;
    if answer.is_err() {
        // A provider may want it deleted first; then the archived one is as it was.
        refused(answer, ErrorKind::ObjectArchived);
        assert_eq!(status(&checked, &key).await, RestoreStatus::Archived);
        assert_eq!(checked.describe(&key).await.expect("described").size_bytes, 1_000);
        assert!(checked.backend.delete(&key, Default::default()).await.expect("deleted").existed);
        checked.save(&key, new).await;
    }
    checked.holds(&key, new).await;
}

async fn an_archived_object_is_not_copied(checked: Checked) {
    let key = archived(&checked).await;
    let answer = checked.backend.copy(&key, &checked.key("copy"), Default::default()).await;
    refused(answer, ErrorKind::ObjectArchived);
    checked.is_missing(&checked.key("copy")).await;
}

async fn a_restore_is_under_way_once_asked_for(checked: Checked) {
    let key = archived(&checked).await;
    restore(&checked, &key, RestoreSpeed::Standard).await;
    assert_eq!(status(&checked, &key).await, RestoreStatus::InProgress);
    is_unreadable(&checked, &key).await;
}

async fn a_restore_may_be_asked_for_again(checked: Checked) {
    let key = archived(&checked).await;
    restore(&checked, &key, RestoreSpeed::Standard).await;
    restore(&checked, &key, RestoreSpeed::Standard).await;
    assert_eq!(status(&checked, &key).await, RestoreStatus::InProgress);
}

async fn a_restored_object_is_read_for_a_while(checked: Checked) {
    let checked = checked.alone().await;
    let key = archived(&checked).await;
    restore(&checked, &key, RestoreSpeed::Standard).await;
    checked.advance(24 * HOUR).await;
    match status(&checked, &key).await {
        RestoreStatus::Restored { until } => {
            assert!(until.is_none_or(|until| until > SystemTime::now() + 24 * HOUR), "{until:?}");
        }
        other => panic!("{other:?}"),
    }
    checked.holds(&key, Content::new(1, 1_000)).await;
    assert_eq!(tier_of(&checked, &key).await, Some(Tier::Glacier), "a restore is a copy for a while");
    checked.advance(48 * HOUR).await;
    assert_eq!(status(&checked, &key).await, RestoreStatus::Archived);
    is_unreadable(&checked, &key).await;
}

async fn an_expedited_restore_is_faster_than_a_bulk_one(checked: Checked) {
    assert!(checked.has(Capabilities::TIERS));
    let checked = checked.alone().await;
    let fast = archived(&checked).await;
    let slow = checked.key("slow");
    checked.save(&slow, Content::new(2, 20)).await;
    set_tier(&checked, &slow, Tier::Glacier).await;
    restore(&checked, &fast, RestoreSpeed::Expedited).await;
    restore(&checked, &slow, RestoreSpeed::Bulk).await;
    checked.advance(HOUR).await;
    checked.holds(&fast, Content::new(1, 1_000)).await;
    is_unreadable(&checked, &slow).await;
    checked.advance(12 * HOUR).await;
    checked.holds(&slow, Content::new(2, 20)).await;
}
