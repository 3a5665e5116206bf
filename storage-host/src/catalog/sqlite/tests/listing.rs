//! Listings: every order in both directions, page by page, with prefixes; and that no query reads or sorts
//! more than its page.

use super::*;
use crate::catalog::{FileQuery, FileRecord, SortBy};

const SORTS: [SortBy; 4] = [SortBy::CreatedAt, SortBy::UpdatedAt, SortBy::Filename, SortBy::Size];

async fn walk(catalog: &Fixture, query: &FileQuery) -> Vec<FileRecord> {
    let mut files = Vec::new();
    let mut query = query.clone();
    loop {
        let page = catalog.list(&user("anna"), query.clone()).await.expect("a page");
        assert!(page.files.len() <= query.limit as usize);
        files.extend(page.files);
        assert!(files.len() < 2_000, "the listing goes round in circles");
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return files;
        }
    }
}

/// Files with ties in everything that can be ordered by.
async fn fill(catalog: &Fixture) -> Vec<FileRecord> {
    let mut files = Vec::new();
    for number in 0..23_u64 {
        let names = ["a", "a%", "a_b", "ab", "A", "résumé", "res", "", "\u{10FFFF}x"];
        let mut file = new_file("anna", names[number as usize % names.len()], number % 3);
        file.created_at = at(number % 5);
        files.push(catalog.save(&file).await);
        if number % 4 == 0 {
            let mut next = next_version(&file, Base::Current, number % 2);
            next.created_at = at(10 + number % 3);
            files.pop();
            files.push(catalog.save(&next).await);
        }
    }
    catalog.save(&new_file("bert", "a", 1)).await;
    files
}

#[tokio::test]
async fn pages_in_every_order_give_each_file_once_and_in_order() {
    let catalog = fixture();
    let all = fill(&catalog).await;
    for sort in SORTS {
        for descending in [false, true] {
            for filename_prefix in ["", "a", "a%", "a_", "A", "ré", "\u{10FFFF}", "none"] {
                let mut expected: Vec<_> = all
                    .iter()
                    .filter(|file| file.current.filename.starts_with(filename_prefix))
                    .cloned()
                    .collect();
                expected.sort_by(|a, b| {
                    let order = match sort {
                        SortBy::CreatedAt => a.created_at.cmp(&b.created_at),
                        SortBy::UpdatedAt => a.current.created_at.cmp(&b.current.created_at),
                        SortBy::Filename => a.current.filename.cmp(&b.current.filename),
                        SortBy::Size => a.current.size_bytes.cmp(&b.current.size_bytes),
                    };
                    order.then(a.id.cmp(&b.id))
                });
                if descending {
                    expected.reverse();
                }
                for limit in [1, 4, 1_000] {
                    let filename_prefix = filename_prefix.to_owned();
                    let query = FileQuery { filename_prefix, sort, descending, cursor: None, limit };
                    assert_eq!(walk(&catalog, &query).await, expected, "{query:?}");
                }
            }
        }
    }
}

/// More files with a prefix than are sorted in memory: another way through the same listing.
#[tokio::test]
async fn a_common_prefix_is_listed_as_a_rare_one_is() {
    let catalog = fixture();
    let mut saves = Vec::new();
    for number in 0..1_100_u64 {
        let mut file = new_file("anna", if number % 11 == 0 { "b" } else { "a" }, number % 7);
        file.created_at = at(number % 13);
        saves.push(file);
    }
    futures_util::future::join_all(saves.iter().map(|file| catalog.save(file))).await;
    for (filename_prefix, count) in [("a", 1_000), ("b", 100)] {
        for descending in [false, true] {
            let filename_prefix = filename_prefix.to_owned();
            let query =
                FileQuery { filename_prefix, sort: SortBy::Size, descending, cursor: None, limit: 301 };
            let files = walk(&catalog, &query).await;
            assert_eq!(files.len(), count);
            let keys: Vec<_> = files.iter().map(|file| (file.current.size_bytes, file.id)).collect();
            let ordered = |two: &[(u64, FileId)]| if descending { two[0] > two[1] } else { two[0] < two[1] };
            assert!(keys.windows(2).all(ordered));
        }
    }
}

#[tokio::test]
async fn a_page_goes_on_rightly_while_files_come_and_go() {
    let catalog = fixture();
    let files: Vec<_> = ["a", "b", "c", "d"].map(|name| new_file("anna", name, 1)).into();
    for file in &files {
        catalog.save(file).await;
    }
    let query = FileQuery { sort: SortBy::Filename, limit: 2, ..FileQuery::default() };
    let page = catalog.list(&user("anna"), query.clone()).await.expect("a page");
    catalog.delete_file(&user("anna"), files[1].file, None, audit("anna", "delete")).await.expect("no fault");
    catalog.save(&new_file("anna", "aa", 1)).await;
    let page = catalog.list(&user("anna"), FileQuery { cursor: page.next_cursor, ..query }).await;
    let names: Vec<_> = page.expect("a page").files.into_iter().map(|file| file.current.filename).collect();
    assert_eq!(names, ["c", "d"]);
}

#[tokio::test]
async fn a_wrong_limit_or_cursor_is_refused() {
    let catalog = fixture();
    fill(&catalog).await;
    let query = FileQuery { limit: 5, ..FileQuery::default() };
    for limit in [0, 1_001] {
        let refused = catalog.list(&user("anna"), FileQuery { limit, ..query.clone() }).await;
        assert_eq!(kind(refused), ErrorKind::InvalidArgument);
    }
    let cursor = catalog.list(&user("anna"), query.clone()).await.expect("a page").next_cursor;
    assert!(cursor.is_some());
    let other_order = FileQuery { cursor: cursor.clone(), sort: SortBy::Filename, ..query.clone() };
    assert_eq!(kind(catalog.list(&user("anna"), other_order).await), ErrorKind::InvalidArgument);
    let foreign = FileQuery { cursor, ..query.clone() };
    assert_eq!(kind(catalog.list(&user("bert"), foreign).await), ErrorKind::InvalidArgument);
    let nonsense = FileQuery { cursor: Some("'; DROP TABLE files".to_owned()), ..query };
    assert_eq!(kind(catalog.list(&user("anna"), nonsense).await), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn no_listing_scans_a_table_or_sorts() {
    let catalog = fixture();
    let connection = catalog.look();
    for sql in super::super::list::tests::statements() {
        let mut explain =
            connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("the statement is sound");
        let count = explain.parameter_count();
        let nothing = vec![rusqlite::types::Null; count];
        let plan: Vec<String> = explain
            .query_map(rusqlite::params_from_iter(nothing), |row| row.get(3))
            .and_then(Iterator::collect)
            .expect("a plan");
        for step in &plan {
            let bad = step.contains("TEMP B-TREE") || (step.starts_with("SCAN") && step != "SCAN few");
            assert!(!bad, "{sql}\n{plan:#?}");
        }
        let indexed = plan.iter().any(|step| step.contains("USING") && step.contains("INDEX files_by_"));
        assert!(indexed, "{sql}\n{plan:#?}");
    }
}
