//! Reads: of missing objects, under conditions, and while the object changes.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{
    DeleteOptions, ETag, ErrorKind, ObjectMeta, ReadCondition, Result, RetrieveOptions, Retrieved,
};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::Content;

const CHUNK: u64 = CHUNK_BYTES as u64;

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_missing_object_is_not_found,
        a_deleted_object_is_not_found,
        a_folder_of_keys_is_not_found,
        the_description_is_that_of_the_metadata,
        a_half_read_body_may_be_dropped,
        an_overwrite_does_not_reach_a_body_being_read,
        a_delete_does_not_reach_a_body_being_read,
        if_match_reads_the_known_content,
        if_match_refuses_other_content,
        if_none_match_answers_not_modified_for_the_known_content,
        if_none_match_reads_other_content,
        if_modified_since_reads_what_is_newer,
        if_modified_since_answers_not_modified_for_what_is_not_newer,
        if_unmodified_since_reads_what_is_not_newer,
        if_unmodified_since_refuses_what_is_newer,
        a_tag_outweighs_a_time,
        a_condition_on_a_missing_object_is_not_found,
    ]
}

async fn read_if(checked: &Checked, condition: ReadCondition) -> Result<Retrieved> {
    let options = RetrieveOptions { condition, ..RetrieveOptions::default() };
    checked.backend.retrieve(&checked.key("object"), options).await
}

async fn given(checked: &Checked) -> (ObjectMeta, ETag) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 1_000)).await;
    let meta = checked.describe(&key).await.expect("described");
    let tag = meta.etag.clone().expect("an object has a tag");
    (meta, tag)
}

async fn reads(answer: Result<Retrieved>) {
    let found = answer.expect("the condition holds");
    Content::new(1, 1_000).compare(0..1_000, found.body).await.expect("the content");
}

async fn a_missing_object_is_not_found(checked: Checked) {
    checked.is_missing(&checked.key("object")).await;
    checked.is_missing(&checked.key("no/such/folder/object")).await;
}

async fn a_deleted_object_is_not_found(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    checked.backend.delete(&key, DeleteOptions::default()).await.expect("deleted");
    checked.is_missing(&key).await;
}

async fn a_folder_of_keys_is_not_found(checked: Checked) {
    checked.save(&checked.key("a/b/c"), Content::new(1, 10)).await;
    checked.is_missing(&checked.key("a")).await;
    checked.is_missing(&checked.key("a/b")).await;
}

async fn the_description_is_that_of_the_metadata(checked: Checked) {
    let (meta, _) = given(&checked).await;
    let found = read_if(&checked, ReadCondition::default()).await.expect("found");
    assert_eq!((&found.meta.key, found.meta.size_bytes), (&meta.key, meta.size_bytes));
    assert_eq!((found.meta.etag, found.meta.version), (meta.etag, meta.version));
    assert_eq!((found.meta.content_type, found.meta.metadata), (meta.content_type, meta.metadata));
    let seconds =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).expect("since 1970").as_secs();
    assert_eq!(seconds(found.meta.last_modified), seconds(meta.last_modified));
}

async fn a_half_read_body_may_be_dropped(checked: Checked) {
    let key = checked.key("object");
    let content = Content::new(1, 8 * CHUNK);
    checked.save(&key, content).await;
    for _ in 0..3 {
        let found = checked.backend.retrieve(&key, RetrieveOptions::default()).await;
        let mut body = found.expect("found").body;
        body.next().await.expect("a chunk").expect("no error");
    }
    checked.holds(&key, content).await;
}

async fn an_overwrite_does_not_reach_a_body_being_read(checked: Checked) {
    let key = checked.key("object");
    let old = Content::new(1, 16 * CHUNK);
    checked.save(&key, old).await;
    let found = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect("found");
    checked.save(&key, Content::new(2, 16 * CHUNK)).await;
    old.compare(0..old.size_bytes, found.body).await.expect("all bytes are of one version");
    checked.holds(&key, Content::new(2, 16 * CHUNK)).await;
}

async fn a_delete_does_not_reach_a_body_being_read(checked: Checked) {
    let key = checked.key("object");
    let old = Content::new(1, 16 * CHUNK);
    checked.save(&key, old).await;
    let found = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect("found");
    checked.backend.delete(&key, DeleteOptions::default()).await.expect("deleted");
    old.compare(0..old.size_bytes, found.body).await.expect("all bytes are of one version");
}

async fn if_match_reads_the_known_content(checked: Checked) {
    let (_, tag) = given(&checked).await;
    reads(read_if(&checked, ReadCondition { if_match: Some(tag), ..Default::default() }).await).await;
}

async fn if_match_refuses_other_content(checked: Checked) {
    let (_, tag) = given(&checked).await;
    checked.save(&checked.key("object"), Content::new(2, 1_000)).await;
    let answer = read_if(&checked, ReadCondition { if_match: Some(tag), ..Default::default() }).await;
    refused(answer, ErrorKind::PreconditionFailed);
}

async fn if_none_match_answers_not_modified_for_the_known_content(checked: Checked) {
    let (_, tag) = given(&checked).await;
    let answer = read_if(&checked, ReadCondition { if_none_match: Some(tag), ..Default::default() }).await;
    refused(answer, ErrorKind::NotModified);
}

async fn if_none_match_reads_other_content(checked: Checked) {
    let other = checked.save(&checked.key("object"), Content::new(2, 1_000)).await.etag;
    given(&checked).await;
    reads(read_if(&checked, ReadCondition { if_none_match: other, ..Default::default() }).await).await;
}

async fn if_modified_since_reads_what_is_newer(checked: Checked) {
    let (meta, _) = given(&checked).await;
    let moment = Some(meta.last_modified - Duration::from_secs(2));
    reads(read_if(&checked, ReadCondition { if_modified_since: moment, ..Default::default() }).await).await;
}

async fn if_modified_since_answers_not_modified_for_what_is_not_newer(checked: Checked) {
    let (meta, _) = given(&checked).await;
    let moment = Some(meta.last_modified);
    let answer = read_if(&checked, ReadCondition { if_modified_since: moment, ..Default::default() }).await;
    refused(answer, ErrorKind::NotModified);
}

async fn if_unmodified_since_reads_what_is_not_newer(checked: Checked) {
    let (meta, _) = given(&checked).await;
    let moment = Some(meta.last_modified);
    reads(read_if(&checked, ReadCondition { if_unmodified_since: moment, ..Default::default() }).await).await;
}

async fn if_unmodified_since_refuses_what_is_newer(checked: Checked) {
    let (meta, _) = given(&checked).await;
    let moment = Some(meta.last_modified - Duration::from_secs(2));
    let answer = read_if(&checked, ReadCondition { if_unmodified_since: moment, ..Default::default() }).await;
    refused(answer, ErrorKind::PreconditionFailed);
}

async fn a_tag_outweighs_a_time(checked: Checked) {
    let (meta, tag) = given(&checked).await;
    let past = Some(meta.last_modified - Duration::from_secs(2));
    let matching =
        ReadCondition { if_match: Some(tag), if_unmodified_since: past, ..ReadCondition::default() };
    reads(read_if(&checked, matching).await).await;
    let other = checked.save(&checked.key("other"), Content::new(2, 1_000)).await.etag;
    let now = Some(meta.last_modified);
    let changed = ReadCondition { if_none_match: other, if_modified_since: now, ..ReadCondition::default() };
    reads(read_if(&checked, changed).await).await;
}

async fn a_condition_on_a_missing_object_is_not_found(checked: Checked) {
    let tag = checked.save(&checked.key("other"), Content::new(1, 10)).await.etag;
    let conditions = [
        ReadCondition { if_match: tag.clone(), ..ReadCondition::default() },
        ReadCondition { if_none_match: tag, ..ReadCondition::default() },
        ReadCondition { if_modified_since: Some(SystemTime::now()), ..ReadCondition::default() },
        ReadCondition { if_unmodified_since: Some(SystemTime::now()), ..ReadCondition::default() },
    ];
    for condition in conditions {
        refused(read_if(&checked, condition).await, ErrorKind::NotFound);
    }
}
