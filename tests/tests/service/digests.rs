//! The digests that the catalog keeps: which contents have two, and that either of them finds what is not what was saved.

use std::path::Path;

use storage_core::ErrorKind;
use storage_host::catalog::{Digests, FileVersionId};
use storage_host::service::{CopyFileOptions, Damage, FileInfo, SaveFileOptions, ScrubOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::{BACKEND, Rig};

use super::{KIB, MIB, replacing, user};

const LARGE: Content = Content::new(7, 3 * MIB + 5);

/// The schema of the catalog before it had a second digest.
const EARLIER_SCHEMA: &str = "ALTER TABLE versions DROP COLUMN blake3; PRAGMA user_version = 3";

async fn saved(rig: &Rig, content: Content) -> FileInfo {
    let body = content.body(Chunking::Even);
    rig.service.save_with(body, "noise.bin", &user("ann"), SaveFileOptions::default()).await.expect("saved")
}

async fn digests(rig: &Rig, version: FileVersionId) -> Digests {
    let placed = rig.service.catalog().placements_after(BACKEND, None, 100).await.expect("the catalog");
    placed.iter().find(|placed| placed.version == version).expect("it is known").digests
}

/// What a whole read and a scrub say of the only file: the name of the digest that differed, where one did.
async fn found(rig: &Rig, file: &FileInfo) -> (ErrorKind, Option<String>, Vec<Damage>) {
    let read = async { rig.service.retrieve(file.id, &user("ann")).await?.bytes().await };
    let error = read.await.expect_err("it is not what was saved");
    let named = error.context().map(|(name, _)| name.to_owned()).find(|name| name.starts_with("found_"));
    let report = rig.service.scrub(ScrubOptions::default()).await.expect("read");
    let damages = report.backends[BACKEND].damaged.iter().map(|object| object.damage);
    (error.kind(), named, damages.collect())
}

async fn assert_sound(rig: &Rig, file: &FileInfo) {
    let content = rig.service.retrieve(file.id, &user("ann")).await.expect("there");
    assert!(content.bytes().await.expect("what was saved") == LARGE.bytes());
    assert!(rig.service.scrub(ScrubOptions::default()).await.expect("read").is_clean());
}

fn alter(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("content");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("altered");
}

/// Asserts that an altered and a truncated content are found, the first by this digest.
async fn assert_damage_is_found(rig: &Rig, file: &FileInfo, digest: &str) {
    assert_sound(rig, file).await;
    let path = rig.contents_on_disk().remove(0);
    let length = LARGE.size_bytes as usize;
    for at in [0, length / 2, length - 1] {
        alter(&path, at);
        let altered = (ErrorKind::ChecksumMismatch, Some(digest.to_owned()), vec![Damage::Altered]);
        assert_eq!(found(rig, file).await, altered, "byte {at}");
        alter(&path, at);
    }
    assert_sound(rig, file).await;
    let content = std::fs::File::options().write(true).open(&path).expect("opened");
    content.set_len(length as u64 - 1).expect("truncated");
    let (kind, _, damages) = found(rig, file).await;
    assert!([ErrorKind::ChecksumMismatch, ErrorKind::Corrupted].contains(&kind), "{kind:?}");
    assert_eq!(damages, [Damage::Truncated]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_compared_with_its_fast_digest() {
    let rig = Rig::local().await;
    let file = saved(&rig, LARGE).await;
    // Nobody computes the other one, or this would be found.
    rig.sql("UPDATE versions SET sha256 = zeroblob(32)");
    assert_damage_is_found(&rig, &file, "found_blake3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_an_older_program_saved_is_compared_with_its_sha256() {
    let mut rig = Rig::local().await;
    let file = saved(&rig, LARGE).await;
    rig.sql(EARLIER_SCHEMA);
    rig.restart().await;
    assert_eq!(digests(&rig, file.version).await, LARGE.sha256().into());
    assert_damage_is_found(&rig, &file, "found_sha256").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_content_has_two_digests_however_it_comes_and_its_copies_have_them_too() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let mut known = Vec::new();
        let mut files = Vec::new();
        for chunking in Chunking::ALL {
            let file = rig.service.save_with(LARGE.body(chunking), "a", &ann, SaveFileOptions::default());
            files.push(file.await.expect("saved"));
            known.push(digests(&rig, files[files.len() - 1].version).await);
        }
        let first = &files[0];
        let copy = rig.service.copy(first.id, &ann, CopyFileOptions::default()).await.expect("copied");
        known.push(digests(&rig, copy.version).await);
        rig.service.save_with("small", "a", &ann, replacing(first)).await.expect("saved");
        let restored = rig.service.restore_version(first.id, &ann, first.version).await.expect("restored");
        known.push(digests(&rig, restored.version).await);
        let blake3 = known[0].blake3;
        assert!(blake3.is_some());
        assert!(
            known.iter().all(|digests| *digests == Digests { sha256: LARGE.sha256(), blake3 }),
            "{known:?}"
        );

        let small = saved(&rig, Content::new(1, 64 * KIB)).await;
        assert_eq!(digests(&rig, small.version).await, small.sha256.into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_brings_both_digests_back_where_it_reads_the_content_and_one_where_it_does_not() {
    let mut rig = Rig::local().await;
    let ann = user("ann");
    let file = saved(&rig, LARGE).await;
    let both = digests(&rig, file.version).await;
    // Its object says what its SHA-256 is, so that it is not read.
    let copy = rig.service.copy(file.id, &ann, CopyFileOptions::default()).await.expect("copied");
    rig.lose_catalog().await;
    let report = rig.service.rebuild_catalog().await.expect("rebuilt");
    assert_eq!((report.backends[BACKEND].adopted, report.backends[BACKEND].digested), (2, 1), "{report:?}");
    assert!(both.blake3.is_some());
    assert_eq!(digests(&rig, file.version).await, both);
    assert_eq!(digests(&rig, copy.version).await, both.sha256.into());
    assert_sound(&rig, &file).await;
    assert_sound(&rig, &copy).await;
}
