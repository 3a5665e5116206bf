//! Every legal key is an object of its own.

use storage_core::{DeleteOptions, ListOptions, ObjectKey};

use super::{Case, Checked, cases};
use crate::fixture::Content;

/// Keys that file systems, URLs and XML have trouble with.
const ODD: &[(&str, &str)] = &[
    ("spaces", " leading/in the middle/trailing "),
    ("only_a_space", " "),
    ("dots", "a./b../...x/...."),
    ("three_dots", "..."),
    ("a_hidden_name", ".hidden/.also"),
    ("a_percent_escape", "a%2Fb%2e%2E/%00%"),
    ("a_backslash", "a\\b\\..\\c"),
    ("a_reserved_name", "CON/nul.txt/COM1/aux"),
    ("an_emoji", "📄/🧑‍💻.pdf"),
    ("quotes", "\"double\" 'single' `back`"),
    ("url_delimiters", "a?b=c#d&e+f;g=h@i:j,k$l!m"),
    ("markup", "<a href=\"x\">&amp;</a>"),
    ("shell_characters", "$(rm -rf)*|~^[x]{y}"),
    ("composed_unicode", "résumé.pdf"),
    ("decomposed_unicode", "re\u{301}sume\u{301}.pdf"),
    ("right_to_left_text", "سيرة/ذاتية\u{202e}.pdf"),
    ("the_last_characters", "\u{10fffd}\u{fffd}\u{e000}"),
    ("a_line_separator", "a\u{2028}b\u{2029}c\u{feff}"),
    ("a_tilde_first", "~user"),
    ("a_dash_first", "-rf"),
    ("a_drive_letter", "C:/Windows"),
    ("a_trailing_dot", "name."),
    ("a_plus_and_a_space", "a+b c"),
    ("a_temporary_name", "x.tmp/x.part/.tmp-1/x.json/x.meta/.meta/.versions/.uploads"),
];

/// Keys that a store which folds case, normalises or trims would take for one.
const PAIRS: &[(&str, &str, &str)] = &[
    ("case", "Resume.PDF", "resume.pdf"),
    ("case_beyond_ascii", "STRASSE-É", "strasse-é"),
    ("unicode_normalisation", "caf\u{e9}", "cafe\u{301}"),
    ("a_trailing_space", "name", "name "),
    ("a_trailing_dot", "name", "name."),
    ("an_escape", "a b", "a%20b"),
    ("a_plus", "a b", "a+b"),
    ("an_escaped_slash", "a/b", "a%2Fb"),
    ("a_backslash", "a/b", "a\\b"),
    ("an_extension", "a", "a.json"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases![
        a_key_of_1024_bytes_is_an_object,
        a_segment_of_300_bytes_is_an_object,
        a_segment_of_long_unicode_is_an_object,
        many_segments_are_an_object,
        long_keys_that_differ_at_their_end_are_two_objects,
        a_key_may_be_the_start_of_another,
        a_key_goes_and_those_below_it_stay,
        a_key_comes_above_those_that_are_there,
    ];
    cases.extend(ODD.iter().map(|(name, key)| {
        Case::new(
            module_path!(),
            format!("a_key_with_{name}_is_an_object"),
            move |checked: Checked| async move {
                is_an_object(&checked, &checked.key(key)).await;
            },
        )
    }));
    cases.extend(PAIRS.iter().map(|(name, one, other)| {
        let name = format!("{name}_makes_two_objects");
        Case::new(module_path!(), name, move |checked| are_two_objects(checked, one, other))
    }));
    cases
}

async fn is_an_object(checked: &Checked, key: &ObjectKey) {
    let content = Content::new(7, 70);
    checked.save(key, content).await;
    checked.holds(key, content).await;
    assert_eq!(checked.describe(key).await.expect("described").key, *key);
    assert_eq!(checked.listed().await, [checked.bare(key.as_str())]);
    let whole = ListOptions { prefix: checked.bare(key.as_str()).to_owned(), ..ListOptions::default() };
    assert_eq!(checked.names(&checked.pages(whole).await), [checked.bare(key.as_str())], "by its own name");
    checked.save(key, Content::new(8, 80)).await;
    checked.holds(key, Content::new(8, 80)).await;
    let deleted = checked.backend.delete(key, DeleteOptions::default()).await.expect("deleted");
    assert!(deleted.existed);
    checked.is_missing(key).await;
    assert!(checked.listed().await.is_empty());
}

async fn are_two_objects(checked: Checked, one: &str, other: &str) {
    let (one, other) = (checked.key(one), checked.key(other));
    checked.save(&one, Content::new(1, 10)).await;
    checked.is_missing(&other).await;
    checked.save(&other, Content::new(2, 20)).await;
    checked.holds(&one, Content::new(1, 10)).await;
    checked.holds(&other, Content::new(2, 20)).await;
    let mut names = [checked.bare(one.as_str()), checked.bare(other.as_str())];
    names.sort_unstable();
    assert_eq!(checked.listed().await, names);
    checked.backend.delete(&one, DeleteOptions::default()).await.expect("deleted");
    checked.is_missing(&one).await;
    checked.holds(&other, Content::new(2, 20)).await;
}

async fn a_key_of_1024_bytes_is_an_object(checked: Checked) {
    let rest = ObjectKey::MAX_BYTES - checked.prefix.len();
    is_an_object(&checked, &checked.key(&"k".repeat(rest))).await;
}

async fn a_segment_of_300_bytes_is_an_object(checked: Checked) {
    is_an_object(&checked, &checked.key(&format!("{}/{}", "s".repeat(300), "t".repeat(300)))).await;
}

async fn a_segment_of_long_unicode_is_an_object(checked: Checked) {
    is_an_object(&checked, &checked.key(&"é日📄".repeat(60))).await;
}

async fn many_segments_are_an_object(checked: Checked) {
    let rest = (ObjectKey::MAX_BYTES - checked.prefix.len()) / 2;
    is_an_object(&checked, &checked.key(&vec!["d"; rest].join("/"))).await;
}

async fn long_keys_that_differ_at_their_end_are_two_objects(checked: Checked) {
    let start = "x".repeat(ObjectKey::MAX_BYTES - checked.prefix.len() - 1);
    are_two_objects(checked, &format!("{start}1"), &format!("{start}2")).await;
}

async fn a_key_may_be_the_start_of_another(checked: Checked) {
    let names = ["a", "a/b", "a/b/c"];
    for (seed, name) in names.into_iter().enumerate() {
        checked.save(&checked.key(name), Content::new(seed as u64, 10)).await;
    }
    for (seed, name) in names.into_iter().enumerate() {
        checked.holds(&checked.key(name), Content::new(seed as u64, 10)).await;
    }
    assert_eq!(checked.listed().await, names);
}

async fn a_key_goes_and_those_below_it_stay(checked: Checked) {
    checked.save_all(["a", "a/b", "a/b/c"].map(str::to_owned)).await;
    checked.backend.delete(&checked.key("a/b"), DeleteOptions::default()).await.expect("deleted");
    assert_eq!(checked.listed().await, ["a", "a/b/c"]);
    checked.backend.delete(&checked.key("a"), DeleteOptions::default()).await.expect("deleted");
    assert_eq!(checked.listed().await, ["a/b/c"]);
    checked.holds(&checked.key("a/b/c"), Content::new(1, 10)).await;
}

async fn a_key_comes_above_those_that_are_there(checked: Checked) {
    checked.save_all(["a/b/c", "a/b", "a"].map(str::to_owned)).await;
    checked.is_missing(&checked.key("a/b/c/d")).await;
    assert_eq!(checked.listed().await, ["a", "a/b", "a/b/c"]);
}
