//! Listings: order, pages, prefixes, groups.

use storage_core::{ErrorKind, ListOptions};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::Content;

/// Keys in byte order. A walk over folders would give `a/b` before `a-b`, and `B` after `a`.
const NAMES: [&str; 14] =
    ["B", "a", "a b", "a!", "a-b", "a.b", "a/b", "a/b/c", "a/c", "a0", "ab", "b/1/x", "é", "日本"];

pub(super) fn cases() -> Vec<Case> {
    cases![
        nothing_is_an_empty_page,
        keys_come_in_byte_order,
        pages_of_one_give_each_key_once,
        pages_of_two_give_each_key_once,
        pages_of_seven_give_each_key_once,
        a_listing_describes_its_objects,
        a_prefix_need_not_end_at_a_slash,
        a_prefix_that_ends_at_a_slash_is_a_folder,
        a_prefix_that_is_a_key_finds_it,
        a_prefix_is_not_folded_or_normalised,
        a_prefix_of_no_key_is_an_empty_page,
        start_after_a_key_leaves_it_out,
        start_after_a_text_that_is_no_key,
        start_after_holds_on_every_page,
        start_after_before_the_prefix_changes_nothing,
        groups_stand_for_what_is_below_them,
        groups_below_a_folder,
        groups_of_a_prefix_that_ends_within_a_name,
        groups_are_given_once_over_all_pages,
        groups_start_after_a_key,
        a_walk_over_1500_keys_gives_each_once,
        a_walk_goes_on_where_keys_went,
        a_foreign_page_token_is_refused,
        a_page_token_with_start_after_is_refused,
        a_limit_of_zero_is_refused,
        uploads_in_progress_are_not_listed[MULTIPART],
    ]
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn given(checked: &Checked) {
    // In an order that is none of those a listing might take from it.
    let mut names = owned(&NAMES);
    names.reverse();
    names.swap(2, 9);
    checked.save_all(names).await;
}

fn prefixed(prefix: &str) -> ListOptions {
    ListOptions { prefix: prefix.to_owned(), ..ListOptions::default() }
}

/// The objects and groups of all pages, merged, without the case's prefix.
async fn entries(checked: &Checked, options: ListOptions) -> Vec<String> {
    let mut entries = Vec::new();
    for page in checked.pages(options).await {
        let objects = page.objects.iter().map(|object| object.key.as_str());
        let groups = page.common_prefixes.iter().map(String::as_str);
        let mut here: Vec<_> = objects.chain(groups).map(|name| checked.bare(name).to_owned()).collect();
        here.sort();
        entries.extend(here);
    }
    assert!(entries.is_sorted(), "the pages follow each other in byte order: {entries:?}");
    entries
}

async fn nothing_is_an_empty_page(checked: Checked) {
    let pages = checked.pages(ListOptions::default()).await;
    assert!(pages.iter().all(|page| page.objects.is_empty() && page.common_prefixes.is_empty()));
}

async fn keys_come_in_byte_order(checked: Checked) {
    given(&checked).await;
    assert_eq!(checked.listed().await, NAMES);
}

async fn pages_of(checked: Checked, limit: u32) {
    given(&checked).await;
    let pages = checked.pages(ListOptions { limit: Some(limit), ..ListOptions::default() }).await;
    assert_eq!(checked.names(&pages), NAMES);
    assert!(pages.len() >= NAMES.len() / limit as usize);
}

async fn pages_of_one_give_each_key_once(checked: Checked) {
    pages_of(checked, 1).await;
}

async fn pages_of_two_give_each_key_once(checked: Checked) {
    pages_of(checked, 2).await;
}

async fn pages_of_seven_give_each_key_once(checked: Checked) {
    pages_of(checked, 7).await;
}

async fn a_listing_describes_its_objects(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 12_345)).await;
    let described = checked.describe(&key).await.expect("described");
    let pages = checked.pages(ListOptions::default()).await;
    let listed = pages.iter().flat_map(|page| &page.objects).next().expect("it is listed");
    assert_eq!((&listed.key, listed.size_bytes), (&key, 12_345));
    let apart = listed.last_modified.duration_since(described.last_modified);
    let apart = apart.unwrap_or_else(|error| error.duration());
    assert!(apart.as_secs() < 1, "the times differ by {apart:?}");
    if listed.etag.is_some() {
        assert_eq!(listed.etag, described.etag);
    }
}

async fn a_prefix_need_not_end_at_a_slash(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, prefixed("a/b")).await, ["a/b", "a/b/c"]);
    assert_eq!(entries(&checked, prefixed("a")).await, NAMES[1..11]);
}

async fn a_prefix_that_ends_at_a_slash_is_a_folder(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, prefixed("a/")).await, ["a/b", "a/b/c", "a/c"]);
}

async fn a_prefix_that_is_a_key_finds_it(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, prefixed("日本")).await, ["日本"]);
}

async fn a_prefix_is_not_folded_or_normalised(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, prefixed("A")).await, [""; 0]);
    assert_eq!(entries(&checked, prefixed("e\u{301}")).await, [""; 0]);
    assert_eq!(entries(&checked, prefixed(" ")).await, [""; 0]);
}

async fn a_prefix_of_no_key_is_an_empty_page(checked: Checked) {
    given(&checked).await;
    for prefix in ["c", "a/b/c/d", "a/b/c/"] {
        assert_eq!(entries(&checked, prefixed(prefix)).await, [""; 0], "{prefix}");
    }
}

fn after(checked: &Checked, name: &str) -> ListOptions {
    ListOptions { start_after: Some(format!("{}{name}", checked.prefix)), ..ListOptions::default() }
}

async fn start_after_a_key_leaves_it_out(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, after(&checked, "a/b")).await, NAMES[7..]);
    assert_eq!(entries(&checked, after(&checked, "日本")).await, [""; 0]);
}

async fn start_after_a_text_that_is_no_key(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, after(&checked, "a/")).await, NAMES[6..]);
    assert_eq!(entries(&checked, after(&checked, "a-")).await, NAMES[4..]);
    assert_eq!(entries(&checked, after(&checked, "a/b/c/d")).await, NAMES[8..]);
    assert_eq!(entries(&checked, after(&checked, "\u{10ffff}")).await, [""; 0]);
}

async fn start_after_holds_on_every_page(checked: Checked) {
    given(&checked).await;
    let options = ListOptions { limit: Some(2), ..after(&checked, "a!") };
    assert_eq!(entries(&checked, options).await, NAMES[4..]);
    let options = ListOptions { limit: Some(1), prefix: "a/".to_owned(), ..after(&checked, "a/b") };
    assert_eq!(entries(&checked, options).await, ["a/b/c", "a/c"]);
}

async fn start_after_before_the_prefix_changes_nothing(checked: Checked) {
    given(&checked).await;
    let options = ListOptions { prefix: "a/".to_owned(), ..after(&checked, "B") };
    assert_eq!(entries(&checked, options).await, ["a/b", "a/b/c", "a/c"]);
}

fn grouped(prefix: &str) -> ListOptions {
    ListOptions { delimited: true, ..prefixed(prefix) }
}

async fn groups_stand_for_what_is_below_them(checked: Checked) {
    given(&checked).await;
    let expected = ["B", "a", "a b", "a!", "a-b", "a.b", "a/", "a0", "ab", "b/", "é", "日本"];
    assert_eq!(entries(&checked, grouped("")).await, expected);
}

async fn groups_below_a_folder(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, grouped("a/")).await, ["a/b", "a/b/", "a/c"]);
    assert_eq!(entries(&checked, grouped("b/")).await, ["b/1/"]);
    assert_eq!(entries(&checked, grouped("b/1/")).await, ["b/1/x"]);
}

async fn groups_of_a_prefix_that_ends_within_a_name(checked: Checked) {
    given(&checked).await;
    assert_eq!(entries(&checked, grouped("a/b")).await, ["a/b", "a/b/"]);
    assert_eq!(entries(&checked, grouped("b")).await, ["b/"]);
}

async fn groups_are_given_once_over_all_pages(checked: Checked) {
    checked.save_all(["a-", "a/1", "a/2", "a/3/x", "a0", "b/1", "b/2", "c"].map(str::to_owned)).await;
    for limit in [1, 2, 3, 7] {
        let options = ListOptions { limit: Some(limit), ..grouped("") };
        assert_eq!(entries(&checked, options).await, ["a-", "a/", "a0", "b/", "c"], "pages of {limit}");
    }
}

async fn groups_start_after_a_key(checked: Checked) {
    given(&checked).await;
    let options = ListOptions { delimited: true, ..after(&checked, "a0") };
    assert_eq!(entries(&checked, options).await, ["ab", "b/", "é", "日本"]);
    // Keys after the text, of which the group has one: it is a filter of keys, not of groups.
    let options = ListOptions { delimited: true, ..after(&checked, "a/b/c") };
    assert_eq!(entries(&checked, options).await, ["a/", "a0", "ab", "b/", "é", "日本"]);
}

async fn a_walk_over_1500_keys_gives_each_once(checked: Checked) {
    let mut names: Vec<_> = (0..1_500).map(|number| format!("{}/{number:04}", number % 7)).collect();
    checked.save_all(names.iter().rev().cloned()).await;
    names.sort();
    assert_eq!(checked.listed().await, names);
    let pages = checked.pages(ListOptions { limit: Some(400), ..ListOptions::default() }).await;
    assert_eq!(checked.names(&pages), names);
    let page = ListOptions { limit: Some(100_000), ..ListOptions::default() };
    assert_eq!(checked.names(&checked.pages(page).await), names, "more than a page holds may be asked for");
}

async fn a_walk_goes_on_where_keys_went(checked: Checked) {
    checked.save_all((0..9).map(|number| format!("k{number}"))).await;
    let options = ListOptions { prefix: checked.prefix.clone(), limit: Some(3), ..ListOptions::default() };
    let first = checked.backend.list_files(options.clone()).await.expect("listed");
    // The key that the token remembers, and the one after it.
    for name in ["k2", "k3"] {
        checked.backend.delete(&checked.key(name), Default::default()).await.expect("deleted");
    }
    let options = ListOptions { page_token: first.next_page_token, ..options };
    let second = checked.backend.list_files(options).await.expect("listed");
    assert_eq!(checked.names(&[second]), ["k4", "k5", "k6"]);
}

async fn a_foreign_page_token_is_refused(checked: Checked) {
    given(&checked).await;
    for token in ["", "not a token", "AAAA", "123", "é/../", "e30="] {
        let page_token = Some(token.to_owned());
        let options = ListOptions { prefix: checked.prefix.clone(), page_token, ..ListOptions::default() };
        refused(checked.backend.list_files(options).await, ErrorKind::InvalidArgument);
    }
}

async fn a_page_token_with_start_after_is_refused(checked: Checked) {
    given(&checked).await;
    let options = ListOptions { prefix: checked.prefix.clone(), limit: Some(2), ..ListOptions::default() };
    let page = checked.backend.list_files(options.clone()).await.expect("listed");
    let start_after = Some(format!("{}a", checked.prefix));
    let options = ListOptions { page_token: page.next_page_token, start_after, ..options };
    refused(checked.backend.list_files(options).await, ErrorKind::InvalidArgument);
}

async fn a_limit_of_zero_is_refused(checked: Checked) {
    given(&checked).await;
    let options = ListOptions { prefix: checked.prefix.clone(), limit: Some(0), ..ListOptions::default() };
    refused(checked.backend.list_files(options).await, ErrorKind::InvalidArgument);
}

async fn uploads_in_progress_are_not_listed(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    checked.part(&key, &upload, 1, Content::new(1, 1_000)).await;
    assert!(checked.listed().await.is_empty());
    assert_eq!(entries(&checked, grouped("")).await, [""; 0]);
}
