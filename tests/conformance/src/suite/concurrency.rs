//! Many at once: nobody sees a part of anything, and conditions decide between writers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{
    CompleteOptions, DeleteOptions, ErrorKind, ListOptions, ObjectKey, Result, RetrieveOptions, SaveOptions,
    SaveResult, WriteCondition,
};

use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

const CHUNK: u64 = CHUNK_BYTES as u64;

pub(super) fn cases() -> Vec<Case> {
    cases![
        of_two_writers_one_wins_wholly,
        of_many_writers_one_wins_wholly,
        a_reader_sees_the_old_or_the_new_whole,
        a_reader_beside_deletes_sees_all_or_nothing,
        writers_of_many_keys_do_not_touch,
        readers_of_one_object_do_not_touch,
        a_walk_beside_writers_gives_what_stays_once,
        of_many_writers_if_absent_exactly_one_wins [WRITE_IF_ABSENT],
        a_counter_by_compare_and_swap_loses_nothing [WRITE_IF_MATCH],
        of_many_uploads_if_absent_exactly_one_wins [MULTIPART, WRITE_IF_ABSENT],
        of_many_completions_exactly_one_wins [MULTIPART],
        an_abort_beside_a_completion_is_one_or_the_other [MULTIPART],
        of_many_deletes_if_match_exactly_one_wins [DELETE_IF_MATCH],
        copies_onto_one_key_are_whole [COPY],
        every_writer_makes_a_version [VERSIONS],
    ]
}

/// Runs them all at the same time, each as a task.
async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    join_all(tasks).await.into_iter().map(|task| task.expect("no task panics")).collect()
}

/// A content whose size tells its seed, so that a mixture is always seen.
fn content(seed: u64) -> Content {
    Content::new(seed, 3 * CHUNK + seed * 1_001)
}

fn save(
    checked: &Checked,
    key: &ObjectKey,
    seed: u64,
    condition: WriteCondition,
) -> impl Future<Output = Result<SaveResult>> + Send + 'static {
    let (checked, key) = (checked.clone(), key.clone());
    async move {
        let options = SaveOptions { condition, ..SaveOptions::default() };
        checked.backend.save(&key, content(seed).body(Chunking::Odd), options).await
    }
}

/// The key holds the whole content of one of these seeds; which one is answered.
async fn holds_one_of(checked: &Checked, key: &ObjectKey, seeds: impl IntoIterator<Item = u64>) -> u64 {
    let found = checked.backend.retrieve(key, RetrieveOptions::default()).await.expect("found");
    let size_bytes = found.meta.size_bytes;
    let seed = seeds.into_iter().find(|seed| content(*seed).size_bytes == size_bytes);
    let seed = seed.unwrap_or_else(|| panic!("{size_bytes} bytes are of no writer"));
    content(seed).compare(0..size_bytes, found.body).await.expect("the content of one writer, whole");
    seed
}

async fn one_of_writers_wins(checked: Checked, writers: u64, rounds: u64) {
    let key = checked.key("object");
    for round in 0..rounds {
        let seeds = round * writers + 1..(round + 1) * writers + 1;
        let saves = seeds.clone().map(|seed| save(&checked, &key, seed, WriteCondition::Always));
        for (saved, seed) in at_once(saves).await.into_iter().zip(seeds.clone()) {
            assert_eq!(saved.expect("every writer is answered").size_bytes, content(seed).size_bytes);
        }
        holds_one_of(&checked, &key, seeds).await;
    }
    checked.nothing_but(&["object"]).await;
}

async fn of_two_writers_one_wins_wholly(checked: Checked) {
    one_of_writers_wins(checked, 2, 8).await;
}

async fn of_many_writers_one_wins_wholly(checked: Checked) {
    one_of_writers_wins(checked, 16, 2).await;
}

async fn a_reader_sees_the_old_or_the_new_whole(checked: Checked) {
    let key = checked.key("object");
    save(&checked, &key, 1, WriteCondition::Always).await.expect("saved");
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (checked, key, stop) = (checked.clone(), key.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut reads = 0;
                while !stop.load(Ordering::Relaxed) || reads == 0 {
                    holds_one_of(&checked, &key, 1..=24).await;
                    reads += 1;
                }
            })
        })
        .collect();
    for seed in 2..=24 {
        save(&checked, &key, seed, WriteCondition::Always).await.expect("saved");
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("the reader saw whole contents alone");
    }
    assert_eq!(holds_one_of(&checked, &key, 1..=24).await, 24);
}

async fn a_reader_beside_deletes_sees_all_or_nothing(checked: Checked) {
    let key = checked.key("object");
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (checked, key, stop) = (checked.clone(), key.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match checked.backend.retrieve(&key, RetrieveOptions::default()).await {
                    Ok(found) => {
                        content(1).compare(0..content(1).size_bytes, found.body).await.expect("whole")
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.report()),
                }
            }
        })
    };
    for _ in 0..15 {
        save(&checked, &key, 1, WriteCondition::Always).await.expect("saved");
        checked.backend.delete(&key, DeleteOptions::default()).await.expect("deleted");
    }
    stop.store(true, Ordering::Relaxed);
    reader.await.expect("the reader saw whole contents alone");
}

async fn writers_of_many_keys_do_not_touch(checked: Checked) {
    // Half of them share a folder that none of them finds there.
    let name = |number: u64| {
        if number.is_multiple_of(2) { format!("a/b/c/{number}") } else { format!("{number}/x") }
    };
    let saves = (0..64).map(|number| {
        let (checked, key) = (checked.clone(), checked.key(&name(number)));
        async move { checked.save(&key, Content::new(number, 1_000 * number)).await }
    });
    at_once(saves).await;
    for number in 0..64 {
        checked.holds(&checked.key(&name(number)), Content::new(number, 1_000 * number)).await;
    }
    let removals = (0..64).map(|number| {
        let (checked, key) = (checked.clone(), checked.key(&name(number)));
        async move { checked.backend.delete(&key, DeleteOptions::default()).await.expect("deleted").existed }
    });
    assert!(at_once(removals).await.into_iter().all(|existed| existed));
    checked.nothing_but(&[]).await;
}

async fn readers_of_one_object_do_not_touch(checked: Checked) {
    let key = checked.key("object");
    checked.save(&key, content(5)).await;
    let reads = (0..16).map(|_| {
        let (checked, key) = (checked.clone(), key.clone());
        async move { checked.holds(&key, content(5)).await }
    });
    at_once(reads).await;
}

async fn a_walk_beside_writers_gives_what_stays_once(checked: Checked) {
    let stays: Vec<_> = (0..100).map(|number| format!("k{number:03}/stays")).collect();
    checked.save_all(stays.iter().cloned()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (checked, stop) = (checked.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                for number in (0..100).step_by(9) {
                    let key = checked.key(&format!("k{number:03}/comes"));
                    checked.save(&key, Content::new(1, 10)).await;
                    checked.backend.delete(&key, DeleteOptions::default()).await.expect("deleted");
                }
            }
        })
    };
    for _ in 0..5 {
        let pages = checked.pages(ListOptions { limit: Some(7), ..ListOptions::default() }).await;
        let names = checked.names(&pages);
        assert!(names.is_sorted(), "{names:?}");
        let stayed: Vec<_> = names.into_iter().filter(|name| name.ends_with("stays")).collect();
        assert_eq!(stayed, stays);
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("the writer does not fail");
}

/// Of several conditional writes exactly one succeeded; the others were told why not. Which one is answered.
fn one_winner(answers: &[Result<SaveResult>], refusal: ErrorKind) -> usize {
    let winners: Vec<_> =
        answers.iter().enumerate().filter(|(_, answer)| answer.is_ok()).map(|(index, _)| index).collect();
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        // A provider may also say that it did not get to decide; then the call may be repeated.
        let undecided = error.kind() == ErrorKind::Conflict && error.retry().is_allowed();
        assert!(undecided || error.kind() == refusal, "{}", error.report());
    }
    assert_eq!(winners.len(), 1, "exactly one wins: {answers:?}");
    winners[0]
}

async fn of_many_writers_if_absent_exactly_one_wins(checked: Checked) {
    for round in 0..4 {
        let key = checked.key(&format!("object{round}"));
        let answers = at_once((0..16).map(|seed| save(&checked, &key, seed, WriteCondition::IfAbsent))).await;
        let winner = one_winner(&answers, ErrorKind::AlreadyExists);
        assert_eq!(holds_one_of(&checked, &key, 0..16).await, winner as u64, "the winner's content is there");
    }
}

async fn increment(checked: &Checked, key: &ObjectKey) {
    loop {
        let found = checked.backend.retrieve(key, RetrieveOptions::default()).await.expect("found");
        let tag = found.meta.etag.clone().expect("an object has a tag");
        let text = found.body.collect(100).await.expect("read");
        let count: u64 =
            std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).expect("a number");
        let options = SaveOptions { condition: WriteCondition::IfMatch(tag), ..SaveOptions::default() };
        match checked.backend.save(key, (count + 1).to_string().into(), options).await {
            Ok(_) => return,
            Err(error) => {
                let kinds = [ErrorKind::PreconditionFailed, ErrorKind::Conflict];
                assert!(kinds.contains(&error.kind()), "{}", error.report());
            }
        }
    }
}

async fn a_counter_by_compare_and_swap_loses_nothing(checked: Checked) {
    let key = checked.key("counter");
    checked.backend.save(&key, "0".into(), SaveOptions::default()).await.expect("saved");
    at_once((0..8).map(|_| {
        let (checked, key) = (checked.clone(), key.clone());
        async move {
            for _ in 0..5 {
                increment(&checked, &key).await;
            }
        }
    }))
    .await;
    let found = checked.backend.retrieve(&key, RetrieveOptions::default()).await.expect("found");
    assert_eq!(found.body.collect(100).await.expect("read"), "40");
}

async fn of_many_uploads_if_absent_exactly_one_wins(checked: Checked) {
    let key = checked.key("object");
    let mut uploads = Vec::new();
    for seed in 0..6 {
        let upload = checked.begin(&key).await;
        let part = checked.part(&key, &upload, 1, content(seed)).await;
        uploads.push((upload, part));
    }
    let completions = uploads.iter().cloned().map(|(upload, part)| {
        let (checked, key) = (checked.clone(), key.clone());
        async move {
            let condition = WriteCondition::IfAbsent;
            let options = CompleteOptions { condition, ..CompleteOptions::default() };
            checked.backend.complete_multipart(&key, &upload, vec![part], options).await
        }
    });
    let winner = one_winner(&at_once(completions).await, ErrorKind::AlreadyExists);
    assert_eq!(holds_one_of(&checked, &key, 0..6).await, winner as u64);
    assert_eq!(checked.uploads().await.len(), 5, "those of the others are still open");
}

async fn of_many_completions_exactly_one_wins(checked: Checked) {
    let key = checked.key("object");
    let upload = checked.begin(&key).await;
    let part = checked.part(&key, &upload, 1, content(3)).await;
    let completions = (0..8).map(|_| {
        let (checked, key, upload, part) = (checked.clone(), key.clone(), upload.clone(), part.clone());
        async move { checked.complete(&key, &upload, vec![part]).await }
    });
    one_winner(&at_once(completions).await, ErrorKind::NotFound);
    checked.holds(&key, content(3)).await;
    checked.nothing_but(&["object"]).await;
}

async fn an_abort_beside_a_completion_is_one_or_the_other(checked: Checked) {
    for round in 0..10 {
        let key = checked.key(&format!("object{round}"));
        let upload = checked.begin(&key).await;
        let part = checked.part(&key, &upload, 1, content(3)).await;
        let (completed, aborted) = tokio::join!(
            tokio::spawn({
                let (checked, key, upload) = (checked.clone(), key.clone(), upload.clone());
                async move { checked.complete(&key, &upload, vec![part]).await }
            }),
            tokio::spawn({
                let (checked, key, upload) = (checked.clone(), key.clone(), upload.clone());
                async move { checked.backend.abort_multipart(&key, &upload).await }
            }),
        );
        let (completed, aborted) = (completed.expect("no panic"), aborted.expect("no panic"));
        match completed {
            Ok(_) => checked.holds(&key, content(3)).await,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.report());
                assert!(aborted.expect("the abort succeeds").existed, "one of the two ended the upload");
                checked.is_missing(&key).await;
            }
        }
        assert!(checked.uploads().await.is_empty());
    }
}

async fn of_many_deletes_if_match_exactly_one_wins(checked: Checked) {
    let key = checked.key("object");
    let if_match = checked.save(&key, Content::new(1, 10)).await.etag;
    let deletes = (0..8).map(|_| {
        let (checked, key) = (checked.clone(), key.clone());
        let options = DeleteOptions { if_match: if_match.clone(), ..DeleteOptions::default() };
        async move { checked.backend.delete(&key, options).await.map(|_| SaveResult::default()) }
    });
    one_winner(&at_once(deletes).await, ErrorKind::PreconditionFailed);
    checked.is_missing(&key).await;
}

async fn copies_onto_one_key_are_whole(checked: Checked) {
    let target = checked.key("target");
    for seed in 0..6 {
        checked.save(&checked.key(&format!("source{seed}")), content(seed)).await;
    }
    let copies = (0..6).map(|seed| {
        let (checked, target) = (checked.clone(), target.clone());
        async move {
            let source = checked.key(&format!("source{seed}"));
            checked.backend.copy(&source, &target, Default::default()).await.expect("copied")
        }
    });
    at_once(copies).await;
    holds_one_of(&checked, &target, 0..6).await;
}

async fn every_writer_makes_a_version(checked: Checked) {
    let key = checked.key("object");
    let answers = at_once((0..8).map(|seed| save(&checked, &key, seed, WriteCondition::Always))).await;
    let named: BTreeSet<_> =
        answers.into_iter().map(|answer| answer.expect("saved").version.expect("named")).collect();
    let listed: BTreeSet<_> =
        checked.versions(None).await.into_iter().filter_map(|version| version.meta.version).collect();
    assert_eq!(named.len(), 8);
    assert_eq!(listed, named);
}
