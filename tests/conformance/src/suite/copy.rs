//! Copies inside a backend.

use storage_core::{CopyOptions, ErrorKind, ObjectKey, Result, SaveOptions, SaveResult, WriteCondition};

use super::check::{honoured, refused};
use super::{Case, Checked, cases};
use crate::fixture::Content;

const CONTENT: Content = Content::new(1, 3_000_000);

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_copy_has_the_content [COPY],
        a_copy_keeps_the_attributes [COPY],
        a_copy_of_nothing_bytes_is_empty [COPY],
        a_copy_of_64_mib_is_whole [COPY],
        a_copy_may_have_other_attributes [COPY],
        a_copy_replaces_what_was_there [COPY],
        a_copy_is_independent_of_its_source [COPY],
        a_copy_onto_itself_changes_the_attributes [COPY],
        a_copy_between_odd_keys [COPY],
        a_copy_below_its_source [COPY],
        a_copy_of_a_missing_object_is_not_found [COPY],
        a_failed_copy_leaves_the_target [COPY],
        a_copy_if_absent_is_not_ignored [COPY],
        a_copy_if_match_is_not_ignored [COPY],
        a_copy_of_known_content_only_is_not_ignored [COPY],
        a_condition_in_the_replacement_is_refused [COPY],
        digests_in_the_replacement_are_refused [COPY],
        tags_are_copied [COPY, TAGS],
    ]
}

fn keys(checked: &Checked) -> (ObjectKey, ObjectKey) {
    (checked.key("from"), checked.key("to"))
}

async fn copy(checked: &Checked, options: CopyOptions) -> Result<SaveResult> {
    let (from, to) = keys(checked);
    checked.backend.copy(&from, &to, options).await
}

fn described() -> SaveOptions {
    SaveOptions {
        content_type: Some("application/pdf".to_owned()),
        content_language: Some("de".to_owned()),
        metadata: [("owner".to_owned(), "Ingénieur".to_owned())].into(),
        ..SaveOptions::default()
    }
}

fn replacement() -> SaveOptions {
    SaveOptions {
        content_type: Some("text/plain".to_owned()),
        metadata: [("new".to_owned(), "1".to_owned())].into(),
        ..SaveOptions::default()
    }
}

async fn a_copy_has_the_content(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save(&from, CONTENT).await;
    let copied = copy(&checked, CopyOptions::default()).await.expect("copied");
    assert_eq!(copied.size_bytes, CONTENT.size_bytes);
    assert_eq!(copied.etag, checked.describe(&to).await.expect("described").etag);
    CONTENT.checksums().verify(&copied.checksums).expect("the digests are right");
    checked.holds(&to, CONTENT).await;
    checked.holds(&from, CONTENT).await;
    assert_eq!(checked.listed().await, ["from", "to"]);
}

async fn a_copy_keeps_the_attributes(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save_with(&from, CONTENT, described()).await;
    copy(&checked, CopyOptions::default()).await.expect("copied");
    let meta = checked.describe(&to).await.expect("described");
    assert_eq!(meta.key, to);
    assert_eq!((meta.content_type, meta.metadata), (described().content_type, described().metadata));
    assert_eq!(meta.content_language, described().content_language);
}

async fn a_copy_of_nothing_bytes_is_empty(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save(&from, Content::new(1, 0)).await;
    copy(&checked, CopyOptions::default()).await.expect("copied");
    checked.holds(&to, Content::new(1, 0)).await;
}

async fn a_copy_of_64_mib_is_whole(checked: Checked) {
    let (from, to) = keys(&checked);
    let large = Content::new(6, 64 << 20);
    checked.save(&from, large).await;
    copy(&checked, CopyOptions::default()).await.expect("copied");
    checked.holds(&to, large).await;
}

async fn a_copy_may_have_other_attributes(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save_with(&from, CONTENT, described()).await;
    let options = CopyOptions { replace: Some(replacement()), ..CopyOptions::default() };
    copy(&checked, options).await.expect("copied");
    let meta = checked.describe(&to).await.expect("described");
    assert_eq!((meta.content_type, meta.metadata), (replacement().content_type, replacement().metadata));
    assert_eq!(meta.content_language, None, "nothing of the source's attributes is kept");
    checked.holds(&to, CONTENT).await;
    let source = checked.describe(&from).await.expect("described");
    assert_eq!(source.metadata, described().metadata, "the source is as it was");
}

async fn a_copy_replaces_what_was_there(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save(&from, CONTENT).await;
    checked.save_with(&to, Content::new(2, 20), described()).await;
    copy(&checked, CopyOptions::default()).await.expect("copied");
    checked.holds(&to, CONTENT).await;
    assert!(checked.describe(&to).await.expect("described").metadata.is_empty());
}

async fn a_copy_is_independent_of_its_source(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save(&from, CONTENT).await;
    copy(&checked, CopyOptions::default()).await.expect("copied");
    checked.save(&from, Content::new(2, 20)).await;
    checked.holds(&to, CONTENT).await;
    checked.backend.delete(&from, Default::default()).await.expect("deleted");
    checked.holds(&to, CONTENT).await;
}

async fn a_copy_onto_itself_changes_the_attributes(checked: Checked) {
    let key = checked.key("object");
    checked.save_with(&key, CONTENT, described()).await;
    let options = CopyOptions { replace: Some(replacement()), ..CopyOptions::default() };
    checked.backend.copy(&key, &key, options).await.expect("copied");
    let meta = checked.describe(&key).await.expect("described");
    assert_eq!((meta.content_type, meta.metadata), (replacement().content_type, replacement().metadata));
    checked.holds(&key, CONTENT).await;
}

async fn a_copy_between_odd_keys(checked: Checked) {
    let (from, to) = (checked.key("a b/é%2F+&?#.pdf"), checked.key("日本/\"c\\d\"/📄"));
    checked.save(&from, CONTENT).await;
    checked.backend.copy(&from, &to, CopyOptions::default()).await.expect("copied");
    checked.holds(&to, CONTENT).await;
}

async fn a_copy_below_its_source(checked: Checked) {
    let (from, to) = (checked.key("a"), checked.key("a/b"));
    checked.save(&from, CONTENT).await;
    checked.backend.copy(&from, &to, CopyOptions::default()).await.expect("copied");
    checked.holds(&from, CONTENT).await;
    checked.holds(&to, CONTENT).await;
}

async fn a_copy_of_a_missing_object_is_not_found(checked: Checked) {
    refused(copy(&checked, CopyOptions::default()).await, ErrorKind::NotFound);
    checked.nothing_but(&[]).await;
}

async fn a_failed_copy_leaves_the_target(checked: Checked) {
    let (_, to) = keys(&checked);
    checked.save_with(&to, Content::new(2, 20), described()).await;
    refused(copy(&checked, CopyOptions::default()).await, ErrorKind::NotFound);
    checked.holds(&to, Content::new(2, 20)).await;
    assert_eq!(checked.describe(&to).await.expect("described").metadata, described().metadata);
}

async fn a_copy_if_absent_is_not_ignored(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save(&from, CONTENT).await;
    let options = CopyOptions { condition: WriteCondition::IfAbsent, ..CopyOptions::default() };
    if honoured(&copy(&checked, options.clone()).await) {
        checked.holds(&to, CONTENT).await;
        checked.save(&to, Content::new(2, 20)).await;
        refused(copy(&checked, options).await, ErrorKind::AlreadyExists);
        checked.holds(&to, Content::new(2, 20)).await;
    } else {
        checked.is_missing(&to).await;
    }
}

async fn a_copy_if_match_is_not_ignored(checked: Checked) {
    let (from, to) = keys(&checked);
    checked.save(&from, CONTENT).await;
    let known = checked.save(&to, Content::new(2, 20)).await.etag.expect("a save gives a tag");
    let options = CopyOptions { condition: WriteCondition::IfMatch(known), ..CopyOptions::default() };
    if honoured(&copy(&checked, options.clone()).await) {
        checked.holds(&to, CONTENT).await;
        refused(copy(&checked, options).await, ErrorKind::PreconditionFailed);
    } else {
        checked.holds(&to, Content::new(2, 20)).await;
    }
}

async fn a_copy_of_known_content_only_is_not_ignored(checked: Checked) {
    let (from, to) = keys(&checked);
    let source_if_match = checked.save(&from, CONTENT).await.etag;
    let options = CopyOptions { source_if_match, ..CopyOptions::default() };
    if honoured(&copy(&checked, options.clone()).await) {
        checked.holds(&to, CONTENT).await;
        checked.save(&from, Content::new(2, 20)).await;
        refused(copy(&checked, options).await, ErrorKind::PreconditionFailed);
        checked.holds(&to, CONTENT).await;
    } else {
        checked.is_missing(&to).await;
    }
}

async fn is_refused(checked: Checked, replace: SaveOptions) {
    let (from, to) = keys(&checked);
    checked.save(&from, CONTENT).await;
    let options = CopyOptions { replace: Some(replace), ..CopyOptions::default() };
    refused(copy(&checked, options).await, ErrorKind::InvalidArgument);
    checked.is_missing(&to).await;
}

async fn a_condition_in_the_replacement_is_refused(checked: Checked) {
    is_refused(checked, SaveOptions { condition: WriteCondition::IfAbsent, ..SaveOptions::default() }).await;
}

async fn digests_in_the_replacement_are_refused(checked: Checked) {
    is_refused(checked, SaveOptions { checksums: CONTENT.checksums(), ..SaveOptions::default() }).await;
}

async fn tags_are_copied(checked: Checked) {
    let (from, to) = keys(&checked);
    let tags = [("team".to_owned(), "a".to_owned())].into();
    checked.save_with(&from, CONTENT, SaveOptions { tags, ..SaveOptions::default() }).await;
    copy(&checked, CopyOptions::default()).await.expect("copied");
    let tags = checked.describe(&to).await.expect("described").tags;
    assert_eq!(tags, [("team".to_owned(), "a".to_owned())].into());
}
