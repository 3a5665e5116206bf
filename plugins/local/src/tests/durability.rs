//! What a reader sees while things change, and what is left when they go wrong.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt;
use storage_core::{
    Checksums, CopyOptions, DeleteOptions, ETag, Error, ListVersionsOptions, MetadataOptions, WriteCondition,
};

use super::*;

const LARGE: usize = 3 * 1024 * 1024 + 7;

fn large(byte: u8) -> Bytes {
    Bytes::from(vec![byte; LARGE])
}

#[tokio::test]
async fn every_save_is_a_content_and_a_document_that_people_can_read() {
    let home = Home::new();
    let backend = home.open().await;
    let saved = save(&backend, "users/7/résumé.pdf", "bytes").await;
    let version = saved.version.expect("a version").to_string();
    assert_eq!(
        home.files(),
        ["objects/users/7/résumé.pdf~.json".to_owned(), format!("objects/users/7/résumé~{version}.pdf")]
    );
    let document =
        std::fs::read_to_string(home.root().join("objects/users/7/résumé.pdf~.json")).expect("text");
    assert!(document.contains("\"key\": \"users/7/résumé.pdf\"") && document.contains("\"size_bytes\": 5"));
}

#[tokio::test]
async fn a_failed_or_dropped_save_leaves_the_old_bytes_and_nothing_else() {
    let home = Home::new();
    let backend = home.open().await;
    save(&backend, "a", "old").await;
    let before = home.files();
    let broken = || Err(Error::new(ErrorKind::Unavailable, "the source broke"));
    let bodies = [
        chunks(vec![Ok(Bytes::from_static(b"new")), broken()], None),
        chunks(vec![Ok(large(1)), broken()], None),
        chunks(vec![Ok(large(1)), Ok(large(1))], Some(3 * LARGE as u64)),
        chunks(vec![Ok(large(1)), Ok(large(1))], Some(LARGE as u64 + 1)),
    ];
    for body in bodies {
        backend.save(&key("a"), body, SaveOptions::default()).await.expect_err("it must fail");
        assert_eq!(read(&backend, "a", None).await.expect("old"), "old");
    }
    let wrong = SaveOptions {
        checksums: Checksums { crc32c: Some(0), ..Checksums::default() },
        ..SaveOptions::default()
    };
    assert_eq!(kind(backend.save(&key("a"), large(1).into(), wrong).await), ErrorKind::ChecksumMismatch);

    let endless = stream::iter([Ok(large(1))]).chain(stream::pending());
    {
        let key = key("a");
        let mut save =
            pin!(backend.save(&key, ByteStream::from_stream(endless, None), SaveOptions::default()));
        // The first batch is handed to its task by then.
        while home.files() == before {
            let polled = save.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending));
            tokio::task::yield_now().await;
        }
    }
    // The task that was writing ends by itself.
    while home.files() != before {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&backend, "a", None).await.expect("old"), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_one_version_whole_while_others_write_and_delete() {
    let home = Home::new();
    let settings = [("versioning", "false"), ("fsync", "false")];
    let backend = Arc::new(home.open_with(&settings).await.expect("open"));
    backend.save(&key("a"), large(b'0').into(), SaveOptions::default()).await.expect("saved");
    let writers = (0..3u8).map(|writer| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move {
            for round in 0..20u8 {
                let byte = b'a' + (writer * 20 + round) % 26;
                let options = SaveOptions {
                    content_type: Some(format!("text/{}", char::from(byte))),
                    ..SaveOptions::default()
                };
                backend.save(&key("a"), large(byte).into(), options).await.expect("saved");
                if round % 7 == 6 {
                    backend.delete(&key("a"), DeleteOptions::default()).await.expect("deleted");
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut seen = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        match backend.retrieve(&key("a"), RetrieveOptions::default()).await {
            Ok(found) => {
                let told = found.meta.content_type.clone();
                let bytes = found.body.collect(u64::MAX).await.expect("whole");
                assert_eq!(bytes.len(), LARGE);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "bytes of two versions");
                let expected = format!("text/{}", char::from(bytes[0]));
                assert!(
                    bytes[0] == b'0' || told.as_deref() == Some(&*expected),
                    "{told:?} is not {expected}"
                );
                seen += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    assert!(seen > 0);
    for writer in writers {
        writer.await.expect("no panic");
    }
    backend.delete(&key("a"), DeleteOptions::default()).await.expect("deleted");
    assert_eq!(home.files(), [""; 0], "old contents are gone");
}

#[test]
fn a_reader_that_is_overtaken_by_a_writer_reads_the_newer_content() {
    let home = Home::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let backend = runtime.block_on(home.open_with(&[("versioning", "false")])).expect("open");
    runtime.block_on(save(&backend, "a", "old"));
    let mut request = OpenRequest::default();
    request.config.set("path", home.root().display().to_string(), "test");
    let store = crate::open::open(crate::config::Config::read(&request).expect("read")).expect("open");
    let seen = std::sync::Mutex::new(Vec::new());
    // The document was read, and its content is removed before it is opened.
    let (version, _) = crate::read::open(&store, &key("a"), None, |version| {
        let mut seen = seen.lock().expect("no panic");
        if seen.is_empty() {
            runtime.block_on(save(&backend, "a", "newer"));
        }
        seen.push(version.size_bytes);
        Ok(())
    })
    .expect("the newer content");
    assert_eq!((version.size_bytes, seen.into_inner().expect("no panic")), (5, vec![3, 5]));
}

#[tokio::test]
async fn versions_are_kept_restored_and_pruned() {
    let home = Home::new();
    let backend = home.open_with(&[("versions_keep", "2")]).await.expect("open");
    let mut versions = Vec::new();
    for text in ["1", "2", "3", "4"] {
        versions.push(save(&backend, "a", text).await.version.expect("a version"));
    }
    assert_eq!(kind(read(&backend, "a", Some(versions[0].clone())).await), ErrorKind::NotFound);
    assert_eq!(read(&backend, "a", Some(versions[1].clone())).await.expect("kept"), "2");
    assert_eq!(home.files().len(), 4, "three contents and a document");

    let deleted = backend.delete(&key("a"), DeleteOptions::default()).await.expect("deleted");
    assert!(deleted.existed && deleted.delete_marker);
    assert_eq!(kind(read(&backend, "a", None).await), ErrorKind::NotFound);
    assert_eq!(
        kind(
            backend
                .get_metadata(
                    &key("a"),
                    MetadataOptions { version: deleted.version.clone(), ..Default::default() }
                )
                .await
        ),
        ErrorKind::NotFound
    );
    assert!(!backend.delete(&key("a"), DeleteOptions::default()).await.expect("again").existed);
    let page = backend.list_versions(ListVersionsOptions::default()).await.expect("versions");
    let told: Vec<_> = page.versions.iter().map(|one| (one.is_latest, one.is_delete_marker)).collect();
    assert_eq!(told, [(true, true), (false, false), (false, false)]);

    let forget = |version| DeleteOptions { version, ..DeleteOptions::default() };
    backend.delete(&key("a"), forget(deleted.version)).await.expect("the marker is gone");
    assert_eq!(read(&backend, "a", None).await.expect("back"), "4");
    backend.delete(&key("a"), forget(Some(versions[3].clone()))).await.expect("gone");
    assert_eq!(read(&backend, "a", None).await.expect("the one before"), "3");
    backend.delete(&key("a"), forget(Some(versions[2].clone()))).await.expect("gone");
    assert_eq!(home.files(), [""; 0]);
}

#[tokio::test]
async fn a_copy_onto_itself_changes_the_words_and_shares_the_bytes() {
    let home = Home::new();
    let backend = home.open().await;
    backend.save(&key("a"), large(7).into(), SaveOptions::default()).await.expect("saved");
    let replace = SaveOptions { content_type: Some("text/plain".to_owned()), ..SaveOptions::default() };
    let options = CopyOptions { replace: Some(replace), ..CopyOptions::default() };
    let copied = backend.copy(&key("a"), &key("a"), options).await.expect("copied");
    let found = backend.retrieve(&key("a"), RetrieveOptions::default()).await.expect("there");
    assert_eq!(found.meta.content_type.as_deref(), Some("text/plain"));
    assert_eq!(found.meta.etag, copied.etag);
    assert_eq!(found.body.collect(u64::MAX).await.expect("whole"), large(7));

    backend.copy(&key("a"), &key("b/c"), CopyOptions::default()).await.expect("copied");
    let found = backend.retrieve(&key("b/c"), RetrieveOptions::default()).await.expect("there");
    assert_eq!(found.meta.content_type.as_deref(), Some("text/plain"));
    assert_eq!(found.body.collect(u64::MAX).await.expect("whole"), large(7));
    let options = CopyOptions { source_if_match: Some(ETag::new("x")), ..CopyOptions::default() };
    assert_eq!(kind(backend.copy(&key("a"), &key("d"), options).await), ErrorKind::PreconditionFailed);
    let options = CopyOptions { condition: WriteCondition::IfAbsent, ..CopyOptions::default() };
    assert_eq!(kind(backend.copy(&key("a"), &key("b/c"), options).await), ErrorKind::AlreadyExists);
    assert!(!home.files().iter().any(|file| file.starts_with("staging")));
}

#[tokio::test]
async fn a_half_read_stream_that_is_dropped_holds_nothing() {
    let home = Home::new();
    let backend = home.open().await;
    backend.save(&key("a"), large(7).into(), SaveOptions::default()).await.expect("saved");
    let mut found = backend.retrieve(&key("a"), RetrieveOptions::default()).await.expect("there");
    found.body.next().await.expect("a chunk").expect("bytes");
    drop(found);
    let open = std::fs::read_dir("/proc/self/fd").expect("files").filter_map(|entry| {
        std::fs::read_link(entry.ok()?.path())
            .ok()
            .filter(|path| path.starts_with(home.root().join("objects/a~")))
    });
    assert_eq!(open.count(), 0);
}
