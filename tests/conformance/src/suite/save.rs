//! Saves: content of every size comes back whole, and replaces what was there.

use storage_core::stream::CHUNK_BYTES;
use storage_core::{ErrorKind, RetrieveOptions, SaveOptions, WriteCondition};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

const CHUNK: u64 = CHUNK_BYTES as u64;

const SIZES: [(&str, u64); 7] = [
    ("nothing", 0),
    ("one_byte", 1),
    ("a_chunk_less_a_byte", CHUNK - 1),
    ("a_chunk", CHUNK),
    ("a_chunk_and_a_byte", CHUNK + 1),
    ("several_chunks", 3 * CHUNK + 12_345),
    ("64_mib", 64 << 20),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases![
        the_answer_tells_what_was_stored,
        what_was_saved_is_seen_by_every_read,
        an_overwrite_replaces_the_content,
        an_overwrite_replaces_the_attributes,
        other_content_has_another_tag,
        saves_survive_a_restart [] Reopen,
        if_absent_saves_where_nothing_is [WRITE_IF_ABSENT],
        if_absent_refuses_where_something_is [WRITE_IF_ABSENT],
        if_absent_saves_where_something_was_deleted [WRITE_IF_ABSENT],
        if_match_saves_over_the_known_content [WRITE_IF_MATCH],
        if_match_refuses_over_other_content [WRITE_IF_MATCH],
        if_match_refuses_where_nothing_is [WRITE_IF_MATCH],
        a_refused_save_stores_nothing [WRITE_IF_ABSENT],
    ];
    for (name, size_bytes) in SIZES {
        for chunking in Chunking::ALL {
            // A buffer of this size is what the other bodies are there to avoid.
            if (size_bytes, chunking) == (64 << 20, Chunking::Buffer) {
                continue;
            }
            let name = format!("{name}_as_{}_comes_back_whole", chunking.name());
            let content = Content::new(size_bytes, size_bytes);
            cases.push(Case::new(module_path!(), name, move |checked| {
                comes_back_whole(checked, content, chunking)
            }));
        }
    }
    cases
}

async fn comes_back_whole(checked: Checked, content: Content, chunking: Chunking) {
    let key = checked.key("object");
    let saved = checked.backend.save(&key, content.body(chunking), SaveOptions::default()).await;
    assert_eq!(saved.expect("the save succeeds").size_bytes, content.size_bytes);
    checked.holds(&key, content).await;
    assert_eq!(checked.describe(&key).await.expect("described").size_bytes, content.size_bytes);
}

async fn the_answer_tells_what_was_stored(checked: Checked) {
    let key = checked.key("object");
    let content = Content::new(1, 100_000);
    let saved = checked.save(&key, content).await;
    let described = checked.describe(&key).await.expect("described");
    assert_eq!((saved.size_bytes, described.size_bytes), (content.size_bytes, content.size_bytes));
    assert_eq!(saved.etag, described.etag);
    assert!(saved.etag.is_some(), "a save gives a tag");
    content.checksums().verify(&saved.checksums).expect("the digests of the answer are right");
    content.checksums().verify(&described.checksums).expect("the digests of the metadata are right");
}

async fn what_was_saved_is_seen_by_every_read(checked: Checked) {
    let key = checked.key("object");
    checked.is_missing(&key).await;
    assert!(checked.listed().await.is_empty());
    checked.save(&key, Content::new(1, 10)).await;
    checked.holds(&key, Content::new(1, 10)).await;
    assert!(checked.backend.exists(&key).await.expect("exists answers"));
    checked.describe(&key).await.expect("described");
    assert_eq!(checked.listed().await, ["object"]);
}

async fn an_overwrite_replaces_the_content(checked: Checked) {
    let key = checked.key("object");
    for (seed, size_bytes) in [(1, 2 * CHUNK), (2, 10), (3, 0), (4, CHUNK + 1)] {
        checked.save(&key, Content::new(seed, size_bytes)).await;
        checked.holds(&key, Content::new(seed, size_bytes)).await;
    }
    assert_eq!(checked.listed().await, ["object"]);
}

async fn an_overwrite_replaces_the_attributes(checked: Checked) {
    let key = checked.key("object");
    let options = SaveOptions {
        content_type: Some("application/pdf".to_owned()),
        cache_control: Some("no-store".to_owned()),
        metadata: [("old".to_owned(), "1".to_owned())].into(),
        ..SaveOptions::default()
    };
    checked.save_with(&key, Content::new(1, 10), options).await;
    let options = SaveOptions {
        content_type: Some("text/plain".to_owned()),
        metadata: [("new".to_owned(), "2".to_owned())].into(),
        ..SaveOptions::default()
    };
    checked.save_with(&key, Content::new(1, 10), options).await;
    let described = checked.describe(&key).await.expect("described");
    assert_eq!(described.content_type.as_deref(), Some("text/plain"));
    assert_eq!(described.cache_control, None);
    assert_eq!(described.metadata, [("new".to_owned(), "2".to_owned())].into());
}

async fn other_content_has_another_tag(checked: Checked) {
    let key = checked.key("object");
    let first = checked.save(&key, Content::new(1, 1000)).await.etag;
    let second = checked.save(&key, Content::new(2, 1000)).await.etag;
    assert_ne!(first, second);
}

async fn saves_survive_a_restart(checked: Checked) {
    let key = checked.key("object");
    let options =
        SaveOptions { metadata: [("a".to_owned(), "b".to_owned())].into(), ..SaveOptions::default() };
    checked.save_with(&key, Content::new(1, CHUNK + 1), options).await;
    let before = checked.describe(&key).await.expect("described");
    let reopened = checked.reopened().await;
    reopened.holds(&key, Content::new(1, CHUNK + 1)).await;
    assert_eq!(reopened.describe(&key).await.expect("described"), before);
}

async fn save_if(
    checked: &Checked,
    condition: WriteCondition,
) -> storage_core::Result<storage_core::SaveResult> {
    let options = SaveOptions { condition, ..SaveOptions::default() };
    checked.backend.save(&checked.key("object"), Content::new(9, 99).body(Chunking::Buffer), options).await
}

async fn if_absent_saves_where_nothing_is(checked: Checked) {
    save_if(&checked, WriteCondition::IfAbsent).await.expect("nothing is there");
    checked.holds(&checked.key("object"), Content::new(9, 99)).await;
}

async fn if_absent_refuses_where_something_is(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    refused(save_if(&checked, WriteCondition::IfAbsent).await, ErrorKind::AlreadyExists);
    checked.holds(&key, Content::new(1, 10)).await;
}

async fn if_absent_saves_where_something_was_deleted(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    checked.backend.delete(&key, Default::default()).await.expect("deleted");
    save_if(&checked, WriteCondition::IfAbsent).await.expect("nothing is there any more");
    checked.holds(&key, Content::new(9, 99)).await;
}

async fn if_match_saves_over_the_known_content(checked: Checked) {
    let key = checked.key("object");
    let tag = checked.save(&key, Content::new(1, 10)).await.etag.expect("a save gives a tag");
    save_if(&checked, WriteCondition::IfMatch(tag)).await.expect("the tag is the current one");
    checked.holds(&key, Content::new(9, 99)).await;
}

async fn if_match_refuses_over_other_content(checked: Checked) {
    let key = checked.key("object");
    let tag = checked.save(&key, Content::new(1, 10)).await.etag.expect("a save gives a tag");
    checked.save(&key, Content::new(2, 20)).await;
    refused(save_if(&checked, WriteCondition::IfMatch(tag)).await, ErrorKind::PreconditionFailed);
    checked.holds(&key, Content::new(2, 20)).await;
}

async fn if_match_refuses_where_nothing_is(checked: Checked) {
    let other = checked.save(&checked.key("other"), Content::new(1, 10)).await;
    let tag = other.etag.expect("a save gives a tag");
    refused(save_if(&checked, WriteCondition::IfMatch(tag)).await, ErrorKind::PreconditionFailed);
    checked.is_missing(&checked.key("object")).await;
}

async fn a_refused_save_stores_nothing(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let large = Content::new(2, 17 << 20).body(Chunking::Undeclared);
    let options = SaveOptions { condition: WriteCondition::IfAbsent, ..SaveOptions::default() };
    refused(checked.backend.save(&key, large, options).await, ErrorKind::AlreadyExists);
    checked.nothing_but(&["object"]).await;
    let found = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect("still there");
    assert_eq!(found.meta.size_bytes, 10);
}
