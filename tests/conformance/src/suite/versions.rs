//! Versions and delete markers.
//!
//! A backend whose provider makes no delete markers says so in its facts (`delete_markers: false`); then a delete
//! leaves old versions alone behind, none of which is the latest.

use storage_core::{
    ByteRange, CopyOptions, DeleteOptions, ErrorKind, ListVersionsOptions, MetadataOptions, ReadCondition,
    RetrieveOptions, SaveOptions, VersionId,
};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::Content;

pub(super) fn cases() -> Vec<Case> {
    cases![
        every_save_makes_a_version [VERSIONS],
        versions_come_newest_first [VERSIONS],
        an_old_version_is_read [VERSIONS],
        an_old_version_is_described [VERSIONS],
        a_range_of_an_old_version_is_read [VERSIONS],
        a_condition_is_that_of_the_version [VERSIONS],
        a_missing_version_is_not_found [VERSIONS],
        a_version_of_another_key_is_not_found [VERSIONS],
        a_delete_makes_a_marker_and_keeps_the_versions [VERSIONS],
        a_marker_cannot_be_read [VERSIONS],
        a_delete_of_nothing_makes_no_marker [VERSIONS],
        a_second_delete_makes_no_second_marker [VERSIONS],
        a_batch_delete_makes_markers [VERSIONS],
        an_old_version_is_deleted_for_good [VERSIONS],
        the_version_before_follows_a_deleted_one [VERSIONS],
        an_object_comes_back_when_its_marker_goes [VERSIONS],
        a_delete_of_a_missing_version_says_so [VERSIONS],
        the_last_version_takes_the_object_with_it [VERSIONS],
        a_save_after_a_delete_is_a_new_version [VERSIONS],
        an_old_version_is_restored_by_a_copy [VERSIONS, COPY],
        a_deleted_object_is_restored_by_a_copy [VERSIONS, COPY],
        a_copy_makes_a_version [VERSIONS, COPY],
        a_completed_upload_makes_a_version [VERSIONS, MULTIPART],
        a_failed_save_makes_no_version [VERSIONS],
        versions_are_listed_in_pages [VERSIONS],
        versions_are_listed_by_prefix [VERSIONS],
        a_foreign_page_token_is_refused [VERSIONS],
        if_match_deletes_the_known_version_only [VERSIONS, DELETE_IF_MATCH],
        versions_survive_a_restart [VERSIONS] Reopen,
    ]
}

fn content(number: u64) -> Content {
    Content::new(number, 1_000 + number)
}

/// Saves the object so many times and gives the names of the versions, oldest first.
async fn given(checked: &Checked, count: u64) -> Vec<VersionId> {
    let mut versions = Vec::new();
    for number in 1..=count {
        let options = SaveOptions {
            metadata: [("number".to_owned(), number.to_string())].into(),
            ..SaveOptions::default()
        };
        let saved = checked.save_with(&checked.key("object"), content(number), options).await;
        versions.push(saved.version.expect("a save names its version"));
    }
    versions
}

/// The listed versions: whether each is a marker, whether it is the latest, and its size.
async fn listed(checked: &Checked) -> Vec<(bool, u64)> {
    let versions = checked.versions(None).await;
    versions.iter().map(|version| (version.is_delete_marker, version.meta.size_bytes)).collect()
}

fn sizes(numbers: &[u64]) -> Vec<(bool, u64)> {
    numbers.iter().map(|number| (false, content(*number).size_bytes)).collect()
}

async fn delete(checked: &Checked, version: Option<VersionId>) -> storage_core::DeleteResult {
    let options = DeleteOptions { version, ..DeleteOptions::default() };
    checked.backend.delete(&checked.key("object"), options).await.expect("the delete succeeds")
}

/// Whether a delete makes a marker, and so many more versions.
fn markers(checked: &Checked) -> usize {
    usize::from(checked.backend.info().extra.get("delete_markers").is_none_or(|told| told != "false"))
}

async fn every_save_makes_a_version(checked: Checked) {
    let versions = given(&checked, 3).await;
    assert!(versions[0] != versions[1] && versions[1] != versions[2] && versions[0] != versions[2]);
    let key = checked.key("object");
    let found = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect("found");
    assert_eq!(found.meta.version.as_ref(), Some(&versions[2]));
    let described = checked.describe(&key).await.expect("described");
    assert_eq!(described.version.as_ref(), Some(&versions[2]));
}

async fn versions_come_newest_first(checked: Checked) {
    let saved = given(&checked, 4).await;
    let versions = checked.versions(None).await;
    let names: Vec<_> = versions.iter().map(|one| one.meta.version.clone().expect("named")).collect();
    assert_eq!(names, saved.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(versions.iter().map(|one| one.is_latest).collect::<Vec<_>>(), [true, false, false, false]);
    assert!(versions.is_sorted_by(|newer, older| newer.meta.last_modified >= older.meta.last_modified));
    assert_eq!(listed(&checked).await, sizes(&[4, 3, 2, 1]));
    assert_eq!(checked.listed().await, ["object"], "a listing of files gives the object once");
}

async fn an_old_version_is_read(checked: Checked) {
    let versions = given(&checked, 3).await;
    for (version, number) in versions.into_iter().zip(1..) {
        checked.version_holds(&checked.key("object"), Some(version), content(number)).await;
    }
    checked.holds(&checked.key("object"), content(3)).await;
}

async fn an_old_version_is_described(checked: Checked) {
    let versions = given(&checked, 2).await;
    let options = MetadataOptions { version: Some(versions[0].clone()), ..MetadataOptions::default() };
    let meta = checked.backend.get_metadata(&checked.key("object"), options).await.expect("described");
    assert_eq!(meta.version.as_ref(), Some(&versions[0]));
    assert_eq!(meta.size_bytes, content(1).size_bytes);
    assert_eq!(meta.metadata.get("number").map(String::as_str), Some("1"));
}

async fn a_range_of_an_old_version_is_read(checked: Checked) {
    let versions = given(&checked, 2).await;
    let options = RetrieveOptions {
        version: Some(versions[0].clone()),
        range: Some(ByteRange::Bounded(10, 20)),
        ..RetrieveOptions::default()
    };
    let found = checked.backend.retrieve(&checked.key("object"), options).await.expect("found");
    assert_eq!((found.meta.size_bytes, found.range), (content(1).size_bytes, 10..20));
    content(1).compare(10..20, found.body).await.expect("the old bytes");
}

async fn a_condition_is_that_of_the_version(checked: Checked) {
    let versions = given(&checked, 2).await;
    let newest = checked.describe(&checked.key("object")).await.expect("described").etag;
    let condition = ReadCondition { if_match: newest, ..ReadCondition::default() };
    let options =
        RetrieveOptions { version: Some(versions[0].clone()), condition, ..RetrieveOptions::default() };
    let answer = checked.backend.retrieve(&checked.key("object"), options).await;
    refused(answer, ErrorKind::PreconditionFailed);
}

async fn version_is_missing(checked: &Checked, key: &str, version: VersionId) {
    let key = checked.key(key);
    let options = RetrieveOptions { version: Some(version.clone()), ..RetrieveOptions::default() };
    refused(checked.backend.retrieve(&key, options).await, ErrorKind::NotFound);
    let options = MetadataOptions { version: Some(version), ..MetadataOptions::default() };
    refused(checked.backend.get_metadata(&key, options).await, ErrorKind::NotFound);
}

async fn a_missing_version_is_not_found(checked: Checked) {
    given(&checked, 1).await;
    for version in ["no-such-version", "..", "../object", "é", ""] {
        version_is_missing(&checked, "object", VersionId::new(version)).await;
    }
}

async fn a_version_of_another_key_is_not_found(checked: Checked) {
    let version = given(&checked, 1).await.remove(0);
    checked.save(&checked.key("other"), Content::new(9, 9)).await;
    version_is_missing(&checked, "other", version.clone()).await;
    version_is_missing(&checked, "missing", version).await;
}

async fn a_delete_makes_a_marker_and_keeps_the_versions(checked: Checked) {
    let versions = given(&checked, 2).await;
    let deleted = delete(&checked, None).await;
    let markers = markers(&checked);
    assert_eq!((deleted.existed, deleted.delete_marker), (true, markers == 1));
    checked.is_missing(&checked.key("object")).await;
    assert!(checked.listed().await.is_empty(), "a listing of files does not give it");
    let all = checked.versions(None).await;
    let are_markers: Vec<_> = all.iter().map(|one| one.is_delete_marker).collect();
    assert_eq!(are_markers, [true, false, false][1 - markers..]);
    let marker = all[..markers].first().and_then(|one| one.meta.version.clone());
    assert_eq!(marker, deleted.version, "the answer names the marker");
    assert!(all[markers..].iter().all(|one| !one.is_latest));
    for (version, number) in versions.into_iter().zip(1..) {
        checked.version_holds(&checked.key("object"), Some(version), content(number)).await;
    }
}

async fn a_marker_cannot_be_read(checked: Checked) {
    given(&checked, 1).await;
    let marker = delete(&checked, None).await.version;
    assert_eq!(marker.is_some(), markers(&checked) == 1, "the marker is named");
    match marker {
        Some(marker) => version_is_missing(&checked, "object", marker).await,
        None => checked.is_missing(&checked.key("object")).await,
    }
}

async fn a_delete_of_nothing_makes_no_marker(checked: Checked) {
    let deleted = delete(&checked, None).await;
    assert!(!deleted.existed && !deleted.delete_marker && deleted.version.is_none(), "{deleted:?}");
    assert!(checked.versions(None).await.is_empty());
}

async fn a_second_delete_makes_no_second_marker(checked: Checked) {
    given(&checked, 1).await;
    delete(&checked, None).await;
    let deleted = delete(&checked, None).await;
    assert!(!deleted.existed && !deleted.delete_marker, "{deleted:?}");
    assert_eq!(checked.versions(None).await.len(), 1 + markers(&checked));
}

async fn a_batch_delete_makes_markers(checked: Checked) {
    given(&checked, 1).await;
    let keys = vec![checked.key("missing"), checked.key("object")];
    let results = checked.backend.delete_many(keys).await.expect("the call succeeds");
    let results: Vec<_> = results.into_iter().map(|result| result.expect("each succeeds")).collect();
    let markers = markers(&checked);
    assert!(!results[0].existed && results[1].existed, "{results:?}");
    assert_eq!(results[1].delete_marker, markers == 1, "{results:?}");
    assert_eq!(checked.versions(None).await.len(), 1 + markers);
}

async fn an_old_version_is_deleted_for_good(checked: Checked) {
    let versions = given(&checked, 3).await;
    let deleted = delete(&checked, Some(versions[1].clone())).await;
    assert!(deleted.existed && !deleted.delete_marker, "{deleted:?}");
    assert_eq!(deleted.version.as_ref(), Some(&versions[1]));
    version_is_missing(&checked, "object", versions[1].clone()).await;
    assert_eq!(listed(&checked).await, sizes(&[3, 1]));
    checked.holds(&checked.key("object"), content(3)).await;
}

async fn the_version_before_follows_a_deleted_one(checked: Checked) {
    let versions = given(&checked, 3).await;
    delete(&checked, Some(versions[2].clone())).await;
    let follows = markers(&checked) == 1;
    if follows {
        checked.holds(&checked.key("object"), content(2)).await;
    } else {
        // Where there are no markers, the last place of the latest stays empty.
        checked.is_missing(&checked.key("object")).await;
    }
    let all = checked.versions(None).await;
    assert_eq!(all.iter().map(|one| one.is_latest).collect::<Vec<_>>(), [follows, false]);
    assert_eq!(listed(&checked).await, sizes(&[2, 1]));
}

async fn an_object_comes_back_when_its_marker_goes(checked: Checked) {
    let versions = given(&checked, 2).await;
    let marker = delete(&checked, None).await.version;
    if markers(&checked) == 0 {
        restore(&checked, versions[1].clone()).await;
        return checked.holds(&checked.key("object"), content(2)).await;
    }
    assert!(delete(&checked, marker).await.existed);
    checked.holds(&checked.key("object"), content(2)).await;
    assert_eq!(checked.listed().await, ["object"]);
    assert_eq!(listed(&checked).await, sizes(&[2, 1]));
}

async fn a_delete_of_a_missing_version_says_so(checked: Checked) {
    let version = given(&checked, 1).await.remove(0);
    for missing in ["no-such-version", "../object"] {
        let deleted = delete(&checked, Some(VersionId::new(missing))).await;
        assert!(!deleted.existed && !deleted.delete_marker, "{deleted:?}");
    }
    delete(&checked, Some(version.clone())).await;
    assert!(!delete(&checked, Some(version)).await.existed);
}

async fn the_last_version_takes_the_object_with_it(checked: Checked) {
    for version in given(&checked, 2).await {
        delete(&checked, Some(version)).await;
    }
    checked.is_missing(&checked.key("object")).await;
    assert!(checked.versions(None).await.is_empty());
    assert!(checked.listed().await.is_empty());
}

async fn a_save_after_a_delete_is_a_new_version(checked: Checked) {
    given(&checked, 1).await;
    delete(&checked, None).await;
    checked.save(&checked.key("object"), content(2)).await;
    checked.holds(&checked.key("object"), content(2)).await;
    let all = checked.versions(None).await;
    let are_markers: Vec<_> = all.iter().map(|one| one.is_delete_marker).collect();
    assert_eq!(
        are_markers,
        if markers(&checked) == 1 { vec![false, true, false] } else { vec![false, false] }
    );
    assert_eq!(all.iter().filter(|one| one.is_latest).count(), 1);
}

async fn restore(checked: &Checked, version: VersionId) {
    let key = checked.key("object");
    let options = CopyOptions { source_version: Some(version), ..CopyOptions::default() };
    checked.backend.copy(&key, &key, options).await.expect("copied");
}

async fn an_old_version_is_restored_by_a_copy(checked: Checked) {
    let versions = given(&checked, 3).await;
    restore(&checked, versions[0].clone()).await;
    checked.holds(&checked.key("object"), content(1)).await;
    let metadata = checked.describe(&checked.key("object")).await.expect("described").metadata;
    assert_eq!(metadata.get("number").map(String::as_str), Some("1"));
    assert_eq!(listed(&checked).await, sizes(&[1, 3, 2, 1]));
}

async fn a_deleted_object_is_restored_by_a_copy(checked: Checked) {
    let versions = given(&checked, 2).await;
    delete(&checked, None).await;
    restore(&checked, versions[0].clone()).await;
    checked.holds(&checked.key("object"), content(1)).await;
}

async fn a_copy_makes_a_version(checked: Checked) {
    given(&checked, 1).await;
    let other = checked.key("other");
    checked.save(&other, content(7)).await;
    let copied = checked.backend.copy(&other, &checked.key("object"), CopyOptions::default()).await;
    let version = copied.expect("copied").version;
    assert!(version.is_some());
    assert_eq!(version, checked.describe(&checked.key("object")).await.expect("described").version);
    let object = checked.versions(None).await.into_iter().filter(|one| one.meta.key != other);
    assert_eq!(object.count(), 2);
}

async fn a_completed_upload_makes_a_version(checked: Checked) {
    let old = given(&checked, 1).await.remove(0);
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let part = checked.part(&key, &upload, 1, content(5)).await;
    let saved = checked.complete(&key, &upload, vec![part]).await.expect("complete");
    assert!(saved.version.is_some());
    assert_eq!(listed(&checked).await, sizes(&[5, 1]));
    checked.version_holds(&key, Some(old), content(1)).await;
}

async fn a_failed_save_makes_no_version(checked: Checked) {
    given(&checked, 1).await;
    let body = content(2).body_that_declares(9_999);
    let answer = checked.backend.save(&checked.key("object"), body, SaveOptions::default()).await;
    refused(answer, ErrorKind::LengthMismatch);
    assert_eq!(listed(&checked).await, sizes(&[1]));
}

async fn versions_are_listed_in_pages(checked: Checked) {
    given(&checked, 3).await;
    for name in ["a-b", "a/b", "a0"] {
        checked.save(&checked.key(name), content(1)).await;
        checked.save(&checked.key(name), content(2)).await;
    }
    delete(&checked, None).await;
    let all = checked.versions(None).await;
    assert_eq!(all.len(), 9 + markers(&checked));
    assert!(all.is_sorted_by(|one, next| one.meta.key <= next.meta.key), "by key in byte order");
    for limit in [1, 2, 7] {
        assert_eq!(checked.versions(Some(limit)).await, all, "pages of {limit}");
    }
}

async fn versions_are_listed_by_prefix(checked: Checked) {
    given(&checked, 2).await;
    checked.save(&checked.key("object2"), content(1)).await;
    checked.save(&checked.key("other"), content(1)).await;
    for (prefix, count) in [("object", 3), ("object2", 1), ("o", 4), ("x", 0)] {
        let prefix = format!("{}{prefix}", checked.prefix);
        let options = ListVersionsOptions { prefix, ..ListVersionsOptions::default() };
        let page = checked.backend.list_versions(options).await.expect("listed");
        assert_eq!(page.versions.len(), count);
    }
}

async fn a_foreign_page_token_is_refused(checked: Checked) {
    given(&checked, 2).await;
    for token in ["", "not a token", "AAAA", "x.1/y"] {
        let page_token = Some(token.to_owned());
        let options = ListVersionsOptions { prefix: checked.prefix.clone(), page_token, limit: None };
        refused(checked.backend.list_versions(options).await, ErrorKind::InvalidArgument);
    }
}

async fn if_match_deletes_the_known_version_only(checked: Checked) {
    let versions = given(&checked, 2).await;
    let newest = checked.describe(&checked.key("object")).await.expect("described").etag;
    let mut options =
        DeleteOptions { version: Some(versions[0].clone()), if_match: newest, ..DeleteOptions::default() };
    let answer = checked.backend.delete(&checked.key("object"), options.clone()).await;
    refused(answer, ErrorKind::PreconditionFailed);
    assert_eq!(listed(&checked).await, sizes(&[2, 1]));
    options.version = Some(versions[1].clone());
    checked.backend.delete(&checked.key("object"), options).await.expect("the tag is the version's");
    assert_eq!(listed(&checked).await, sizes(&[1]));
    checked.version_holds(&checked.key("object"), Some(versions[0].clone()), content(1)).await;
}

async fn versions_survive_a_restart(checked: Checked) {
    let versions = given(&checked, 3).await;
    delete(&checked, None).await;
    let before = checked.versions(None).await;
    let reopened = checked.reopened().await;
    assert_eq!(reopened.versions(None).await, before);
    reopened.version_holds(&checked.key("object"), Some(versions[1].clone()), content(2)).await;
}
