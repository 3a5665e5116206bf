//! Listings against the plain truth: all keys, sorted.

use std::collections::BTreeSet;

use storage_core::{DeleteOptions, ListOptions, ListVersionsOptions};

use super::*;

fn odd_keys() -> BTreeSet<String> {
    let piece = "p".repeat(199);
    let mut keys: BTreeSet<String> = [
        "a",
        "a-b",
        "a/b",
        "a/b/c",
        "a/b-c",
        "a0",
        "a~",
        "a~/x",
        "a%",
        "a%2F",
        "A",
        "é",
        "日本/語",
        "b.",
        "b ",
        "b..c",
        ".b",
        "con/nul.txt",
        "c/1",
        "c/2",
        "c/3/x",
        "c/3-y",
    ]
    .map(str::to_owned)
    .into();
    // Pieces that begin each other, with what comes between in byte order.
    for tail in ["", "x", "xy", "é", "%", "/q", "x/q", "xy/q", "%/q", "-z", "x-z", "é/q", "xxxx"] {
        keys.insert(format!("{piece}{tail}"));
        keys.insert(format!("a/{piece}{tail}"));
    }
    keys.insert("ü".repeat(512));
    keys
}

async fn filled(home: &Home) -> (LocalBackend, BTreeSet<String>) {
    let backend = home.open_with(&[("fsync", "false")]).await.expect("open");
    let keys = odd_keys();
    for key in &keys {
        save(&backend, key, key).await;
    }
    for gone in ["a/gone", "c/0", "zz/gone"] {
        save(&backend, gone, "x").await;
        backend.delete(&key(gone), DeleteOptions::default()).await.expect("deleted");
    }
    (backend, keys)
}

async fn walk(backend: &LocalBackend, mut options: ListOptions) -> (Vec<String>, Vec<String>) {
    let (mut objects, mut groups) = (Vec::new(), Vec::new());
    loop {
        let page = backend.list_files(options.clone()).await.expect("a page");
        assert!(
            options
                .limit
                .is_none_or(|limit| page.objects.len() + page.common_prefixes.len() <= limit as usize)
        );
        objects.extend(page.objects.iter().map(|meta| meta.key.to_string()));
        groups.extend(page.common_prefixes);
        options.start_after = None;
        options.page_token = page.next_page_token;
        if options.page_token.is_none() {
            return (objects, groups);
        }
    }
}

#[tokio::test]
async fn every_key_is_listed_once_in_byte_order_whatever_the_page() {
    let home = Home::new();
    let (backend, keys) = filled(&home).await;
    let expected: Vec<_> = keys.iter().cloned().collect();
    for limit in [None, Some(1), Some(2), Some(7)] {
        let (objects, _) = walk(&backend, ListOptions { limit, ..ListOptions::default() }).await;
        assert_eq!(objects, expected, "pages of {limit:?}");
    }
    for text in &expected {
        assert_eq!(read(&backend, text, None).await.expect("there"), *text);
    }
}

#[tokio::test]
async fn prefixes_starts_and_groups_give_what_the_sorted_keys_give() {
    let home = Home::new();
    let (backend, keys) = filled(&home).await;
    let mut texts: Vec<String> =
        ["", "a", "a/", "a/b", "c/3", "zz", "//", "a//", "./", "\u{10FFFF}"].map(str::to_owned).into();
    texts.extend(keys.iter().map(|key| key.chars().take(150).collect()));
    texts.extend(keys.iter().cloned());
    texts.extend(keys.iter().map(|key| format!("{key}/")));
    for prefix in &texts {
        let wanted: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix.as_str())).cloned().collect();
        let (objects, _) =
            walk(&backend, ListOptions { prefix: prefix.clone(), ..ListOptions::default() }).await;
        assert_eq!(objects, wanted, "prefix {prefix}");

        let group = |key: &String| {
            let end = key[prefix.len()..].find('/')?;
            Some(key[..=prefix.len() + end].to_owned())
        };
        let plain: Vec<_> = wanted.iter().filter(|key| group(key).is_none()).cloned().collect();
        let groups: BTreeSet<_> = wanted.iter().filter_map(group).collect();
        for limit in [None, Some(1), Some(3)] {
            let options =
                ListOptions { prefix: prefix.clone(), delimited: true, limit, ..ListOptions::default() };
            let found = walk(&backend, options).await;
            assert_eq!(
                found,
                (plain.clone(), groups.iter().cloned().collect()),
                "groups of {prefix}, {limit:?}"
            );
        }
    }
    for start in &texts {
        let wanted: Vec<_> = keys.iter().filter(|key| *key > start).cloned().collect();
        let options =
            ListOptions { start_after: Some(start.clone()), limit: Some(5), ..ListOptions::default() };
        assert_eq!(walk(&backend, options).await.0, wanted, "after {start}");
    }
}

#[tokio::test]
async fn versions_are_listed_by_key_and_newest_first_over_pages() {
    let home = Home::new();
    let (backend, mut keys) = filled(&home).await;
    save(&backend, "a/b", "second").await;
    let mut expected: Vec<(String, u32)> =
        keys.iter().map(|key| (key.clone(), if key == "a/b" { 2 } else { 1 })).collect();
    expected.extend(["a/gone", "c/0", "zz/gone"].map(|gone| (gone.to_owned(), 2)));
    expected.sort();
    keys.clear();
    for limit in [None, Some(1), Some(4)] {
        let mut found: Vec<(String, u32)> = Vec::new();
        let mut options = ListVersionsOptions { limit, ..ListVersionsOptions::default() };
        let mut newest = None;
        loop {
            let page = backend.list_versions(options.clone()).await.expect("a page");
            for version in page.versions {
                let key = version.meta.key.to_string();
                match found.last_mut() {
                    Some((last, count)) if *last == key => {
                        assert!(!version.is_latest && newest.as_ref() > Some(&version.meta.last_modified));
                        *count += 1;
                    }
                    _ => {
                        assert!(version.is_latest);
                        found.push((key, 1));
                    }
                }
                newest = Some(version.meta.last_modified);
            }
            options.page_token = page.next_page_token;
            if options.page_token.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "pages of {limit:?}");
    }
}

#[tokio::test]
async fn tokens_limits_and_starts_that_cannot_be_are_refused() {
    let home = Home::new();
    let (backend, _) = filled(&home).await;
    let page =
        backend.list_files(ListOptions { limit: Some(1), ..ListOptions::default() }).await.expect("a page");
    let token = page.next_page_token;
    for options in [
        ListOptions { limit: Some(0), ..ListOptions::default() },
        ListOptions { page_token: Some("x".to_owned()), ..ListOptions::default() },
        ListOptions {
            page_token: token.clone(),
            start_after: Some("a".to_owned()),
            ..ListOptions::default()
        },
    ] {
        assert_eq!(kind(backend.list_files(options).await), ErrorKind::InvalidArgument);
    }
    let options = ListVersionsOptions { page_token: token, ..ListVersionsOptions::default() };
    assert_eq!(kind(backend.list_versions(options).await), ErrorKind::InvalidArgument, "of another listing");
}
