//! Faults of the disk and of what lies on it.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::json;
use storage_core::{DeleteOptions, ListOptions, MetadataOptions};
use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn a_folder_that_is_missing_or_none_is_a_fault_of_the_configuration() {
    let home = Home::new();
    let error = home.open_with(&[("create", "false")]).await.expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert!(error.to_string().contains("LOCAL_CREATE") && error.to_string().contains("store"), "{error}");
    std::fs::write(home.root(), "a file").expect("a file");
    let error = home.open_with(&[]).await.expect_err("no folder");
    assert!(error.message().contains("LOCAL_STORAGE_PATH"), "{error}");
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    let home = Home::new();
    drop(home.open().await);
    std::fs::write(home.root().join("store.json"), "{\"format\": 2, \"names\": \"exact\"}")
        .expect("a record");
    let error = home.open_with(&[]).await.expect_err("it is newer");
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(
        error.context().any(|(name, value)| name == "path" && value == home.root().display().to_string())
    );
}

#[tokio::test]
async fn a_store_that_is_removed_while_it_is_open_is_unavailable_and_not_empty() {
    let home = Home::new();
    let backend = home.open().await;
    save(&backend, "a", "bytes").await;
    std::fs::remove_dir_all(home.root()).expect("removed");
    assert_eq!(kind(read(&backend, "a", None).await), ErrorKind::Unavailable);
    assert_eq!(kind(backend.health().await), ErrorKind::Unavailable);
    assert_eq!(
        kind(backend.save(&key("a"), "x".into(), SaveOptions::default()).await),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn health_tells_the_free_room_and_a_disk_that_is_nearly_full() {
    let home = Home::new();
    let health = home.open_with(&[("min_free", "0")]).await.expect("open").health().await.expect("healthy");
    assert!(health.free_bytes.is_some_and(|bytes| bytes > 0) && health.problems.is_empty());
    let health =
        home.open_with(&[("min_free", "8EiB")]).await.expect("open").health().await.expect("answers");
    assert!(health.problems[0].contains("LOCAL_MIN_FREE"), "{health:?}");
    assert_eq!(home.files(), [""; 0], "the probe is gone");
}

#[tokio::test]
async fn a_length_that_is_announced_is_refused_where_there_is_no_room_and_takes_none_where_there_is() {
    let home = Home::new();
    let backend = home.open().await;
    let arrived = Arc::new(Notify::new());
    let announced = |length_bytes| {
        let chunks = stream::iter([(); 2]).map(|()| Ok(Bytes::from(vec![7; 1024 * 1024])));
        let arrived = Arc::clone(&arrived);
        let rest = stream::once(async move {
            arrived.notify_one();
            std::future::pending().await
        });
        ByteStream::from_stream(chunks.chain(rest), Some(length_bytes))
    };
    let huge = backend.save(&key("huge"), announced(1 << 62), SaveOptions::default()).await;
    assert_eq!(kind(huge), ErrorKind::NoSpace);

    let free_bytes = async || backend.health().await.expect("healthy").free_bytes.expect("told");
    let free_before = free_bytes().await;
    let large = key("large");
    let mut save = backend.save(&large, announced(free_before / 2), SaveOptions::default());
    tokio::select! {
        _ = &mut save => panic!("the rest never comes"),
        () = arrived.notified() => {}
    }
    // Others use the disk too, but not for as much.
    assert!(free_bytes().await > free_before / 4 * 3);
}

#[tokio::test]
async fn links_in_the_tree_are_neither_followed_nor_listed() {
    let home = Home::new();
    let outside = tempfile::tempdir().expect("a folder");
    let backend = home.open().await;
    save(&backend, "a/b", "bytes").await;
    let objects = home.root().join("objects");
    symlink(outside.path(), objects.join("link")).expect("a link");
    let secret = outside.path().join("secret~.json");
    std::fs::copy(objects.join("a/b~.json"), secret).expect("a document");
    assert_eq!(kind(read(&backend, "link/secret", None).await), ErrorKind::PermissionDenied);
    let saved = backend.save(&key("link/new"), "x".into(), SaveOptions::default()).await;
    assert_eq!(kind(saved), ErrorKind::PermissionDenied);
    assert_eq!(std::fs::read_dir(outside.path()).expect("a folder").count(), 1);
    let page = backend.list_files(ListOptions::default()).await.expect("listed");
    assert_eq!(page.objects.len(), 1);
    assert!(!home.files().iter().any(|file| file.starts_with("staging")));
}

#[tokio::test]
async fn damage_is_told_and_never_given_out() {
    let home = Home::new();
    let backend = home.open().await;
    let saved = save(&backend, "a", "bytes").await;
    let objects = home.root().join("objects");
    let content = objects.join(format!("a~{}", saved.version.expect("a version")));
    std::fs::write(&content, "byte").expect("shortened");
    assert_eq!(kind(read(&backend, "a", None).await), ErrorKind::Corrupted);
    std::fs::write(&content, "bytes and more").expect("lengthened");
    assert_eq!(kind(read(&backend, "a", None).await), ErrorKind::Corrupted);
    std::fs::remove_file(&content).expect("removed");
    assert_eq!(kind(read(&backend, "a", None).await), ErrorKind::Corrupted);
    std::fs::write(objects.join("a~.json"), "{").expect("damaged");
    let error = read(&backend, "a", None).await.expect_err("damaged");
    assert!(error.kind() == ErrorKind::Corrupted && error.to_string().contains("a~.json"), "{error}");
}

#[tokio::test]
async fn a_listing_tells_the_length_that_a_content_has_and_leaves_out_what_has_none() {
    let home = Home::new();
    let backend = home.open().await;
    let saved = save(&backend, "a", "bytes").await;
    save(&backend, "b", "whole").await;
    let objects = home.root().join("objects");
    let content = objects.join(format!("a~{}", saved.version.expect("a version")));
    let listed = async || {
        let page = backend.list_files(ListOptions::default()).await.expect("listed");
        page.objects.into_iter().map(|meta| (meta.key.to_string(), meta.size_bytes)).collect::<Vec<_>>()
    };
    let described = async || backend.get_metadata(&key("a"), MetadataOptions::default()).await;
    let whole = ("b".to_owned(), 5);

    std::fs::write(&content, "byt").expect("shortened");
    assert_eq!(listed().await, [("a".to_owned(), 3), whole.clone()]);
    assert_eq!(kind(described().await), ErrorKind::Corrupted, "its description is that of another content");
    assert!(backend.exists(&key("a")).await.expect("an answer"));

    std::fs::remove_file(&content).expect("removed");
    assert_eq!(listed().await, std::slice::from_ref(&whole));
    assert_eq!(kind(described().await), ErrorKind::Corrupted);
    assert!(!backend.exists(&key("a")).await.expect("an answer"));

    symlink(home.0.path(), &content).expect("a link");
    assert_eq!(listed().await, std::slice::from_ref(&whole), "what is no file is no content");

    let deleted = backend.delete(&key("a"), DeleteOptions::default()).await.expect("deleted");
    assert!(deleted.existed, "what is left of it can be deleted");
    save(&backend, "a", "anew").await;
    assert_eq!(listed().await, [("a".to_owned(), 4), whole]);
}

#[tokio::test]
async fn pruning_removes_what_no_document_tells_of_and_what_is_expired() {
    let home = Home::new();
    let backend = home.open().await;
    save(&backend, "keep/a.txt", "1").await;
    save(&backend, "gone/b", "1").await;
    backend.delete(&key("gone/b"), DeleteOptions::default()).await.expect("deleted");
    let objects = home.root().join("objects");
    std::fs::write(objects.join("keep/a~20200101T000000.000000000Z-000000.txt"), "orphan")
        .expect("an orphan");
    std::fs::write(objects.join("keep/notes.txt"), "somebody else's").expect("a file");
    std::fs::create_dir_all(objects.join("empty/folder")).expect("a folder");
    let backend = home.open_with(&[("versions_keep_for", "0s")]).await.expect("open");
    let pruned = backend.invoke("prune", json!({})).await.expect("pruned");
    assert_eq!((&pruned["removed_orphans"], &pruned["removed_versions"]), (&json!(1), &json!(2)));
    let files = home.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(!objects.join("gone").exists() && !objects.join("empty").exists());
    assert_eq!(read(&backend, "keep/a.txt", None).await.expect("kept"), "1");
    assert_eq!(kind(backend.invoke("prune", json!({"x": 1})).await), ErrorKind::InvalidArgument);
    let error = backend.invoke("prun", json!({})).await.expect_err("unknown");
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("available: prune"));
}

#[tokio::test]
async fn content_whose_document_never_came_is_removed_at_the_next_opening() {
    let home = Home::new();
    let backend = home.open().await;
    let saved = save(&backend, "a", "kept").await.version.expect("a version");
    let documents = home.root().join("objects/a~.json");
    let left = home.root().join("staging/dead");
    std::fs::create_dir(&left).expect("a folder");
    // A process that died after the content had its name and before the document had.
    let unborn = "20990101T000000.000000000Z-abcdef";
    let document = std::fs::read_to_string(documents).expect("a document").replace(saved.as_str(), unborn);
    std::fs::write(left.join("1.json"), document).expect("a document");
    std::fs::write(left.join("2.json"), "{\"half\":").expect("half a document");
    std::fs::write(home.root().join(format!("objects/a~{unborn}")), "unborn").expect("a content");
    drop(backend);
    let backend = home.open().await;
    assert_eq!(home.files(), ["objects/a~.json".to_owned(), format!("objects/a~{saved}")]);
    assert_eq!(read(&backend, "a", None).await.expect("kept"), "kept");
}
