//! Deletes: what goes, what stays, and what is said of what was not there.

use storage_core::{DeleteOptions, DeleteResult, ErrorKind, ObjectKey, Result};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::Content;

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_deleted_object_is_gone,
        a_missing_object_is_a_success_that_says_so,
        a_second_delete_finds_nothing,
        a_folder_of_keys_is_no_object,
        a_delete_leaves_the_neighbours,
        a_deleted_key_can_be_saved_again,
        many_are_deleted_and_reported_in_order,
        none_of_many_is_a_success,
        more_than_a_batch_is_deleted,
        if_match_deletes_the_known_content[DELETE_IF_MATCH],
        if_match_keeps_other_content[DELETE_IF_MATCH],
        if_match_refuses_a_missing_object[DELETE_IF_MATCH],
    ]
}

async fn delete(checked: &Checked, key: &ObjectKey) -> DeleteResult {
    checked.backend.delete(key, DeleteOptions::default()).await.expect("the delete succeeds")
}

async fn a_deleted_object_is_gone(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    assert!(delete(&checked, &key).await.existed);
    checked.is_missing(&key).await;
    assert!(checked.listed().await.is_empty());
}

async fn a_missing_object_is_a_success_that_says_so(checked: Checked) {
    for name in ["object", "no/such/folder/object"] {
        assert_eq!(delete(&checked, &checked.key(name)).await, DeleteResult::default());
    }
}

async fn a_second_delete_finds_nothing(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    assert!(delete(&checked, &key).await.existed);
    assert_eq!(delete(&checked, &key).await, DeleteResult::default());
}

async fn a_folder_of_keys_is_no_object(checked: Checked) {
    checked.save_all(["a/b/c".to_owned()]).await;
    for folder in ["a", "a/b"] {
        assert!(!delete(&checked, &checked.key(folder)).await.existed);
    }
    assert_eq!(checked.listed().await, ["a/b/c"]);
}

async fn a_delete_leaves_the_neighbours(checked: Checked) {
    checked.save_all(["a", "a.", "a/b", "ab", "b"].map(str::to_owned)).await;
    delete(&checked, &checked.key("a")).await;
    assert_eq!(checked.listed().await, ["a.", "a/b", "ab", "b"]);
}

async fn a_deleted_key_can_be_saved_again(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, Content::new(1, 10)).await;
    delete(&checked, &key).await;
    checked.save(&key, Content::new(2, 20)).await;
    checked.holds(&key, Content::new(2, 20)).await;
}

fn existed(results: Vec<Result<DeleteResult>>) -> Vec<bool> {
    results.into_iter().map(|result| result.expect("each succeeds").existed).collect()
}

async fn many_are_deleted_and_reported_in_order(checked: Checked) {
    checked.save_all(["a", "b", "c", "d é&<"].map(str::to_owned)).await;
    let keys = ["c", "missing", "d é&<", "a"].map(|name| checked.key(name)).to_vec();
    let results = checked.backend.delete_many(keys).await.expect("the call succeeds");
    assert_eq!(existed(results), [true, false, true, true]);
    assert_eq!(checked.listed().await, ["b"]);
}

async fn none_of_many_is_a_success(checked: Checked) {
    assert!(checked.backend.delete_many(Vec::new()).await.expect("the call succeeds").is_empty());
}

async fn more_than_a_batch_is_deleted(checked: Checked) {
    let names: Vec<_> = (0..1_050).map(|number| format!("k{number:04}")).collect();
    checked.save_all(names.iter().filter(|name| *name != "k0777").cloned()).await;
    checked.save_all(["stays".to_owned()]).await;
    let keys = names.iter().map(|name| checked.key(name)).collect();
    let existed = existed(checked.backend.delete_many(keys).await.expect("the call succeeds"));
    let expected: Vec<_> = names.iter().map(|name| name != "k0777").collect();
    assert_eq!(existed, expected);
    assert_eq!(checked.listed().await, ["stays"]);
}

async fn if_match_deletes_the_known_content(checked: Checked) {
    let key = checked.key("object");
    let if_match = checked.save(&key, Content::new(1, 10)).await.etag;
    let options = DeleteOptions { if_match, ..DeleteOptions::default() };
    assert!(checked.backend.delete(&key, options).await.expect("the tag is right").existed);
    checked.is_missing(&key).await;
}

async fn if_match_keeps_other_content(checked: Checked) {
    let key = checked.key("object");
    let if_match = checked.save(&key, Content::new(1, 10)).await.etag;
    checked.save(&key, Content::new(2, 20)).await;
    let options = DeleteOptions { if_match, ..DeleteOptions::default() };
    refused(checked.backend.delete(&key, options).await, ErrorKind::PreconditionFailed);
    checked.holds(&key, Content::new(2, 20)).await;
}

async fn if_match_refuses_a_missing_object(checked: Checked) {
    let if_match = checked.save(&checked.key("other"), Content::new(1, 10)).await.etag;
    let options = DeleteOptions { if_match, ..DeleteOptions::default() };
    let answer = checked.backend.delete(&checked.key("object"), options).await;
    refused(answer, ErrorKind::PreconditionFailed);
}
