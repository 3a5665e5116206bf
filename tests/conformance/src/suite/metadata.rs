//! Headers, user metadata and tags come back as they were given.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use storage_core::object::MAX_METADATA_BYTES;
use storage_core::{ErrorKind, ListOptions, RetrieveOptions, SaveOptions};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

pub(super) fn cases() -> Vec<Case> {
    cases![
        every_header_comes_back,
        headers_that_were_not_given_are_absent,
        metadata_comes_back,
        metadata_may_be_of_any_language,
        metadata_may_look_like_an_encoding,
        as_much_metadata_as_is_allowed_comes_back,
        too_much_metadata_is_refused,
        an_illegal_metadata_name_is_refused,
        a_control_character_in_metadata_is_refused,
        a_header_with_a_line_break_is_refused,
        the_time_is_that_of_the_save,
        an_overwrite_is_no_older_than_what_it_replaces,
        tags_come_back[TAGS],
        too_many_tags_are_refused[TAGS],
        listings_carry_the_metadata[LIST_METADATA],
    ]
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Saves with these options and sees that both ways to describe the object give them back.
async fn come_back(checked: &Checked, options: SaveOptions) {
    let key = checked.key("object");
    checked.save_with(&key, Content::new(1, 10), options.clone()).await;
    let found = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect("found").meta;
    let described = checked.describe(&key).await.expect("described");
    for meta in [described, found] {
        assert_eq!(meta.content_type, options.content_type);
        assert_eq!(meta.content_encoding, options.content_encoding);
        assert_eq!(meta.content_language, options.content_language);
        assert_eq!(meta.content_disposition, options.content_disposition);
        assert_eq!(meta.cache_control, options.cache_control);
        assert_eq!(meta.metadata, options.metadata);
    }
    checked.holds(&key, Content::new(1, 10)).await;
}

async fn is_refused(checked: Checked, options: SaveOptions, kind: ErrorKind) {
    let key = checked.key("object");
    let answer = checked.backend.save(&key, Content::new(1, 10).body(Chunking::Buffer), options).await;
    refused(answer, kind);
    checked.is_missing(&key).await;
}

async fn every_header_comes_back(checked: Checked) {
    let options = SaveOptions {
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        content_language: Some("de, fr-CH".to_owned()),
        content_disposition: Some(
            "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20%C3%A9.pdf".to_owned(),
        ),
        cache_control: Some("private, max-age=60".to_owned()),
        ..SaveOptions::default()
    };
    come_back(&checked, options).await;
}

async fn headers_that_were_not_given_are_absent(checked: Checked) {
    let key = checked.key("object");
    let options = SaveOptions { content_type: Some("text/plain".to_owned()), ..SaveOptions::default() };
    checked.save_with(&key, Content::new(1, 10), options).await;
    let meta = checked.describe(&key).await.expect("described");
    let others = [meta.content_encoding, meta.content_language, meta.content_disposition, meta.cache_control];
    assert_eq!(others, [None, None, None, None]);
    assert!(meta.metadata.is_empty(), "{:?}", meta.metadata);
}

async fn metadata_comes_back(checked: Checked) {
    let metadata = pairs(&[
        ("job_id", "42"),
        ("with-dash", "a b  c"),
        ("x1", "=,;:\"'\\/&<>%"),
        ("z", "UPPER lower"),
        ("content-type", "not the header"),
    ]);
    come_back(&checked, SaveOptions { metadata, ..SaveOptions::default() }).await;
}

async fn metadata_may_be_of_any_language(checked: Checked) {
    let metadata = pairs(&[
        ("french", "Ingénieur logiciel"),
        ("japanese", "履歴書 日本語"),
        ("arabic", "سيرة ذاتية"),
        ("emoji", "🧑‍💻 📄"),
        ("decomposed", "re\u{301}sume\u{301}"),
        ("no_break", "a\u{a0}b"),
    ]);
    come_back(&checked, SaveOptions { metadata, ..SaveOptions::default() }).await;
}

async fn metadata_may_look_like_an_encoding(checked: Checked) {
    let metadata = pairs(&[
        ("word", "=?UTF-8?B?SGFsbG8=?="),
        ("quoted", "=?UTF-8?Q?caf=C3=A9?="),
        ("escape", "%C3%A9 \\u00e9 &eacute;"),
        ("base64", "SGFsbG8="),
        ("empty", ""),
        ("blank", " a "),
    ]);
    come_back(&checked, SaveOptions { metadata, ..SaveOptions::default() }).await;
}

async fn as_much_metadata_as_is_allowed_comes_back(checked: Checked) {
    let longest = format!("n{}", "a".repeat(63));
    let rest = MAX_METADATA_BYTES - longest.len() - 1;
    let metadata = pairs(&[(&longest, "x"), ("b", &"v".repeat(rest - 1))]);
    come_back(&checked, SaveOptions { metadata, ..SaveOptions::default() }).await;
}

async fn too_much_metadata_is_refused(checked: Checked) {
    let metadata = pairs(&[("a", &"v".repeat(MAX_METADATA_BYTES))]);
    is_refused(checked, SaveOptions { metadata, ..SaveOptions::default() }, ErrorKind::TooLarge).await;
}

async fn an_illegal_metadata_name_is_refused(checked: Checked) {
    let metadata = pairs(&[("Job", "1")]);
    is_refused(checked, SaveOptions { metadata, ..SaveOptions::default() }, ErrorKind::InvalidArgument).await;
}

async fn a_control_character_in_metadata_is_refused(checked: Checked) {
    let metadata = pairs(&[("a", "x\r\nx-injected: 1")]);
    is_refused(checked, SaveOptions { metadata, ..SaveOptions::default() }, ErrorKind::InvalidArgument).await;
}

async fn a_header_with_a_line_break_is_refused(checked: Checked) {
    let content_type = Some("text/plain\r\nx-injected: 1".to_owned());
    is_refused(checked, SaveOptions { content_type, ..SaveOptions::default() }, ErrorKind::InvalidArgument)
        .await;
}

async fn the_time_is_that_of_the_save(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let time = checked.describe(&key).await.expect("described").last_modified;
    // A provider's clock may differ from this machine's, but not by much.
    let leeway = Duration::from_secs(15 * 60);
    let now = SystemTime::now();
    assert!(time > now - leeway && time < now + leeway, "{time:?} at {now:?}");
}

async fn an_overwrite_is_no_older_than_what_it_replaces(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    let first = checked.describe(&key).await.expect("described").last_modified;
    checked.save(&key, Content::new(2, 10)).await;
    assert!(checked.describe(&key).await.expect("described").last_modified >= first);
}

async fn tags_come_back(checked: Checked) {
    let key = checked.key("object");
    let tags = pairs(&[("Owner", "team a"), ("class", "+-./:=_"), ("empty", "")]);
    let options = SaveOptions { tags: tags.clone(), ..SaveOptions::default() };
    checked.save_with(&key, Content::new(1, 10), options).await;
    assert_eq!(checked.describe(&key).await.expect("described").tags, tags);
    checked.save(&key, Content::new(1, 10)).await;
    assert!(checked.describe(&key).await.expect("described").tags.is_empty(), "an overwrite drops them");
}

async fn too_many_tags_are_refused(checked: Checked) {
    let tags = (0..11).map(|number| (format!("t{number}"), "x".to_owned())).collect();
    is_refused(checked, SaveOptions { tags, ..SaveOptions::default() }, ErrorKind::InvalidArgument).await;
}

async fn listings_carry_the_metadata(checked: Checked) {
    let key = checked.key("object");
    let metadata = pairs(&[("owner", "Ingénieur"), ("empty", "")]);
    let content_type = Some("application/pdf".to_owned());
    let options = SaveOptions { metadata: metadata.clone(), content_type, ..SaveOptions::default() };
    checked.save_with(&key, Content::new(1, 10), options).await;
    let pages = checked.pages(ListOptions::default()).await;
    let object = pages.iter().flat_map(|page| &page.objects).next().expect("it is listed");
    assert_eq!(object.metadata, metadata);
    assert_eq!(object.content_type.as_deref(), Some("application/pdf"));
}
