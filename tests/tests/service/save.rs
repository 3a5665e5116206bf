//! What is saved is what is read: of any size, however the bytes come.

use futures_util::stream;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, ErrorKind};
use storage_host::service::{Metadata, RetrieveFileOptions, SaveFileOptions};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::Rig;

use super::{KIB, MIB, refused, user};

const SIZES: [u64; 8] =
    [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, CHUNK_BYTES as u64, CHUNK_BYTES as u64 + 1, 5 * MIB + 7];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_read_back_whatever_its_size_and_however_it_comes() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let mut bytes = 0;
        for (seed, size_bytes) in SIZES.into_iter().enumerate() {
            for chunking in Chunking::ALL {
                let content = Content::new(seed as u64, size_bytes);
                let options = SaveFileOptions::default();
                let saved = rig.service.save_with(content.body(chunking), "noise.bin", &ann, options).await;
                let saved = saved.expect("saved");
                assert_eq!(saved.size_bytes, size_bytes);
                assert_eq!(saved.sha256, content.sha256(), "{} of {size_bytes}", chunking.name());
                let found = rig.service.retrieve(saved.id, &ann).await.expect("there");
                assert_eq!(found.info, saved);
                assert_eq!(found.range, 0..size_bytes);
                content.compare(0..size_bytes, found.body).await.expect("the same bytes");
                bytes += size_bytes;
            }
        }
        let usage = rig.service.usage(&ann).await.expect("usage");
        let files = (SIZES.len() * Chunking::ALL.len()) as u64;
        assert_eq!((usage.bytes, usage.files, usage.versions), (bytes, files, files));
        assert_eq!(rig.objects().await.len() as u64, files);
        assert_eq!(rig.unfinished().await, [], "no finished save is on record as unfinished");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_is_given_is_checked_and_a_wrong_one_saves_nothing() {
    for rig in Rig::each().await {
        let ann = user("ann");
        for (size_bytes, chunking) in [
            (10, Chunking::Buffer),
            (10, Chunking::Undeclared),
            (3 * MIB, Chunking::Even),
            (3 * MIB, Chunking::Undeclared),
        ] {
            let content = Content::new(1, size_bytes);
            let given = |sha256| SaveFileOptions { sha256: Some(sha256), ..SaveFileOptions::default() };
            let wrong = given(Content::new(2, size_bytes).sha256());
            let failed = rig.service.save_with(content.body(chunking), "a.bin", &ann, wrong).await;
            refused(failed, ErrorKind::ChecksumMismatch);
            rig.settles(&ann, 0).await;
            let right = given(content.sha256());
            let saved =
                rig.service.save_with(content.body(chunking), "a.bin", &ann, right).await.expect("saved");
            assert!(rig.service.delete(saved.id, &ann).await.expect("deleted"));
        }
        assert_eq!(rig.service.usage(&ann).await.expect("usage").files, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_length_than_it_declares_saves_nothing() {
    for rig in Rig::each().await {
        let ann = user("ann");
        for (size_bytes, declared) in
            [(9, 10), (11, 10), (0, 1), (2 * MIB, 2 * MIB + 1), (2 * MIB, 2 * MIB - 1)]
        {
            let body = Content::new(1, size_bytes).body_that_declares(declared);
            let failed = rig.service.save(body, "a.bin", &ann, Metadata::new()).await;
            refused(failed, ErrorKind::LengthMismatch);
            rig.settles(&ann, 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_is_told_by_the_content_then_by_the_name_and_a_given_one_counts() {
    let rig = Rig::memory();
    let ann = user("ann");
    let mut pdf = b"%PDF-1.7\n".to_vec();
    for (name, content, expected) in [
        ("photo.png", &pdf[..], "application/pdf"),
        ("table.csv", b"a,b\n", "text/csv"),
        ("nothing", b"\x01\x02", "application/octet-stream"),
        ("notes.txt", "é".as_bytes(), "text/plain; charset=utf-8"),
    ] {
        let saved = rig.service.save_with(content.to_vec(), name, &ann, SaveFileOptions::default()).await;
        assert_eq!(saved.expect(name).content_type, expected, "{name}");
    }
    // However small the first chunks of a long body are.
    pdf.resize(100_000, b' ');
    for length in [Some(pdf.len() as u64), None] {
        let chunks: Vec<_> = pdf.chunks(3).map(|chunk| Ok(chunk.to_vec().into())).collect();
        let body = ByteStream::from_stream(stream::iter(chunks), length);
        let saved = rig.service.save_with(body, "cv", &ann, SaveFileOptions::default()).await.expect("saved");
        assert_eq!((saved.content_type.as_str(), saved.size_bytes), ("application/pdf", 100_000));
    }
    let given = |content_type: &str| SaveFileOptions {
        content_type: Some(content_type.to_owned()),
        ..SaveFileOptions::default()
    };
    let saved =
        rig.service.save_with("x", "a.txt", &ann, given("application/x-own; v=1")).await.expect("saved");
    assert_eq!(saved.content_type, "application/x-own; v=1");
    refused(
        rig.service.save_with("x", "a.txt", &ann, given("text/plain\r\nX: 1")).await,
        ErrorKind::InvalidArgument,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_fails_a_save_leaves_nothing_and_the_save_can_be_made_again() {
    use storage_core::Retry;
    use storage_tests::faults::Fault;
    for rig in Rig::each().await {
        let ann = user("ann");
        for fault in [
            Fault::Error(ErrorKind::NoSpace, Retry::Never),
            Fault::ErrorAfter(ErrorKind::Timeout, Retry::May),
        ] {
            let (kind, content) = match fault {
                Fault::Error(kind, _) | Fault::ErrorAfter(kind, _) => (kind, Content::new(3, MIB)),
                _ => unreachable!("only errors are listed"),
            };
            for chunking in Chunking::ALL {
                rig.faults.next("save", [fault.clone()]);
                let options = SaveFileOptions::default();
                let failed = rig.service.save_with(content.body(chunking), "a.bin", &ann, options).await;
                refused(failed, kind);
                rig.settles(&ann, 0).await;
                assert_eq!(rig.service.usage(&ann).await.expect("usage").bytes, 0);
            }
        }
        let saved = rig.service.save(content_again(), "a.bin", &ann, Metadata::new()).await.expect("saved");
        let read =
            rig.service.retrieve_with(saved, &ann, RetrieveFileOptions::default()).await.expect("there");
        assert_eq!(read.info.size_bytes, 5);
    }
}

fn content_again() -> &'static str {
    "again"
}
