//! Several backends on one folder, as several processes would have it: each has its own locks.

use std::sync::Arc;

use storage_core::{DeleteOptions, ETag, ListVersionsOptions, WriteCondition};

use super::*;

async fn racers(home: &Home) -> Vec<Arc<LocalBackend>> {
    vec![Arc::new(home.open().await), Arc::new(home.open().await)]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_writers_creates_a_key() {
    let home = Home::new();
    let backends = racers(&home).await;
    for round in 0..10 {
        let tasks = (0..16).map(|writer| {
            let backend = Arc::clone(&backends[writer % 2]);
            tokio::spawn(async move {
                let options = SaveOptions { condition: WriteCondition::IfAbsent, ..SaveOptions::default() };
                backend.save(&key(&format!("k/{round}")), format!("{writer}").into(), options).await
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut won = 0;
        for task in tasks {
            match task.await.expect("no panic") {
                Ok(_) => won += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
            }
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_that_names_the_tag_is_lost() {
    let home = Home::new();
    let backends = racers(&home).await;
    save(&backends[0], "counter", "0").await;
    let tasks = (0..4).map(|writer| {
        let backend = Arc::clone(&backends[writer % 2]);
        tokio::spawn(async move {
            let mut done = 0;
            while done < 8 {
                let found =
                    backend.retrieve(&key("counter"), RetrieveOptions::default()).await.expect("there");
                let tag: ETag = found.meta.etag.clone().expect("a tag");
                let text = found.body.collect(64).await.expect("whole");
                let count: u32 = std::str::from_utf8(&text).expect("text").parse().expect("a number");
                let options =
                    SaveOptions { condition: WriteCondition::IfMatch(tag), ..SaveOptions::default() };
                match backend.save(&key("counter"), (count + 1).to_string().into(), options).await {
                    Ok(_) => done += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{error}"),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert_eq!(read(&backends[0], "counter", None).await.expect("there"), "32");
    let page = backends[1].list_versions(ListVersionsOptions::default()).await.expect("versions");
    let stamps: Vec<_> = page.versions.iter().map(|one| one.meta.version.clone()).collect();
    assert!(stamps.is_sorted_by(|newer, older| newer > older), "{stamps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_come_and_go_lose_no_save() {
    let home = Home::new();
    let settings = [("versioning", "false"), ("fsync", "false")];
    let backends = [
        Arc::new(home.open_with(&settings).await.expect("open")),
        Arc::new(home.open_with(&settings).await.expect("open")),
    ];
    let tasks = (0..8).map(|writer| {
        let backend = Arc::clone(&backends[writer % 2]);
        tokio::spawn(async move {
            for _ in 0..100 {
                let name = format!("deep/er/{writer}");
                save(&backend, &name, "x").await;
                assert_eq!(read(&backend, &name, None).await.expect("there"), "x");
                backend.delete(&key(&name), DeleteOptions::default()).await.expect("deleted");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert!(!home.root().join("objects/deep").exists(), "empty folders go");
}

#[tokio::test]
async fn a_second_opening_leaves_the_saves_of_the_first_alone() {
    let home = Home::new();
    let first = home.open().await;
    let (sender, receiver) = tokio::sync::oneshot::channel::<Bytes>();
    let rest = stream::once(async { Ok(receiver.await.expect("bytes")) });
    let start = stream::iter([Ok(Bytes::from(vec![1; 2 * 1024 * 1024]))]);
    let body = ByteStream::from_stream(futures_util::StreamExt::chain(start, rest), None);
    let saving = tokio::spawn(async move { first.save(&key("a"), body, SaveOptions::default()).await });
    while home.files().is_empty() {
        tokio::task::yield_now().await;
    }
    let second = home.open().await;
    sender.send(Bytes::from_static(b"end")).expect("sent");
    saving.await.expect("no panic").expect("saved");
    let found = second.retrieve(&key("a"), RetrieveOptions::default()).await.expect("there");
    assert_eq!(found.meta.size_bytes, 2 * 1024 * 1024 + 3);
}
