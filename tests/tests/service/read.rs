//! Reading: whoever gets a whole file gets the right one, whatever the backend does meanwhile.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use storage_core::{ByteRange, ETag, ErrorKind, ReadCondition, Retry};
use storage_host::catalog::UserId;
use storage_host::service::{FileContent, FileInfo, RetrieveFileOptions, SaveFileOptions};
use storage_tests::faults::Fault;
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::Rig;

use super::{KIB, MIB, RigExt, refused, user};

const SIZE: u64 = 3 * MIB + 5;

const CONTENT: Content = Content::new(7, SIZE);

async fn noise(rig: &Rig, ann: &UserId) -> FileInfo {
    let options = SaveFileOptions::default();
    rig.service.save_with(CONTENT.body(Chunking::Even), "noise.bin", ann, options).await.expect("saved")
}

/// Reads a body and gives how many bytes came before it ended or failed.
async fn drain(content: FileContent) -> (u64, storage_core::Result<()>) {
    let mut body = content.body;
    let mut read_bytes = 0;
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => read_bytes += chunk.len() as u64,
            Err(error) => return (read_bytes, Err(error)),
        }
    }
    (read_bytes, Ok(()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_rots_on_the_disk_is_noticed_before_the_file_is_whole() {
    let rig = Rig::local().await;
    let ann = user("ann");
    let small = rig.saved(&ann, "a.txt", "small").await;
    let large = noise(&rig, &ann).await;
    for path in rig.contents_on_disk() {
        let mut bytes = std::fs::read(&path).expect("content");
        let last = bytes.len() - 1;
        bytes[last / 2] ^= 1;
        std::fs::write(&path, bytes).expect("altered");
    }
    for file in [&small, &large] {
        let error = match rig.service.retrieve(file.id, &ann).await {
            Err(error) => error,
            Ok(content) => {
                let (read_bytes, result) = drain(content).await;
                assert!(read_bytes < file.size_bytes, "nobody holds a complete wrong file");
                result.expect_err("the digest differs")
            }
        };
        assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{}", error.report());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_altered_or_added_on_the_way_never_make_a_complete_file() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let file = noise(&rig, &ann).await;
        for at in [0, SIZE / 2, SIZE - 1] {
            rig.faults.next("retrieve", [Fault::AlterBody(at)]);
            let (read_bytes, result) =
                drain(rig.service.retrieve(file.id, &ann).await.expect("answers")).await;
            assert_eq!(result.expect_err("differs").kind(), ErrorKind::ChecksumMismatch);
            assert!(read_bytes < SIZE);
        }
        for range in [None, Some(ByteRange::Bounded(0, 10)), Some(ByteRange::Suffix(10))] {
            rig.faults.next("retrieve", [Fault::ExtendBody]);
            let options = RetrieveFileOptions { range, ..Default::default() };
            let content = rig.service.retrieve_with(file.id, &ann, options).await.expect("answers");
            let wanted = content.range.end - content.range.start;
            let (read_bytes, result) = drain(content).await;
            assert_eq!(result.expect_err("too long").kind(), ErrorKind::LengthMismatch, "{range:?}");
            assert!(read_bytes < wanted, "{range:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_or_lost_object_is_told_as_damage_and_not_as_a_missing_file() {
    let rig = Rig::local().await;
    let ann = user("ann");
    let file = noise(&rig, &ann).await;
    let paths = rig.contents_on_disk();
    let path = paths.first().expect("content");
    let content = std::fs::OpenOptions::new().write(true).open(path).expect("content");
    content.set_len(SIZE - 1).expect("truncated");
    let kind = match rig.service.retrieve(file.id, &ann).await {
        Err(error) => error.kind(),
        Ok(content) => {
            let (read_bytes, result) = drain(content).await;
            assert!(read_bytes < SIZE);
            result.expect_err("incomplete").kind()
        }
    };
    assert!([ErrorKind::ChecksumMismatch, ErrorKind::Corrupted].contains(&kind), "{kind:?}");
    assert_eq!(rig.service.metadata(file.id, &ann, None).await.expect("the file is there"), file);

    for rig in Rig::each().await {
        let file = noise(&rig, &ann).await;
        let key = rig.objects().await.remove(0).parse().expect("a key");
        rig.faults.inner().delete(&key, Default::default()).await.expect("lost");
        refused(rig.service.retrieve(file.id, &ann).await, ErrorKind::Corrupted);
        refused(rig.service.copy(file.id, &ann, Default::default()).await, ErrorKind::Corrupted);
        refused(rig.service.restore_version(file.id, &ann, file.version).await, ErrorKind::Corrupted);
        rig.settles(&ann, 0).await;
        let report = rig.fsck(false).await;
        let missing = &report.backends.values().next().expect("a backend").missing;
        assert_eq!(missing.iter().map(|missing| missing.file).collect::<Vec<_>>(), [file.id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_breaks_off_is_resumed_where_it_was_and_is_whole() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let file = noise(&rig, &ann).await;
        let before = rig.faults.ranges_read().len();
        rig.faults.next(
            "retrieve",
            [Fault::BreakBody(MIB, Retry::May), Fault::EndBody(10), Fault::BreakBody(1, Retry::May)],
        );
        let content = rig.service.retrieve(file.id, &ann).await.expect("answers");
        CONTENT.compare(0..SIZE, content.body).await.expect("whole");
        let from = |start| Some(ByteRange::Bounded(start, SIZE));
        assert_eq!(rig.faults.ranges_read()[before..], [None, from(MIB), from(MIB + 10), from(MIB + 11)]);

        rig.faults.next("retrieve", [Fault::BreakBody(100, Retry::May)]);
        let part = RetrieveFileOptions { range: Some(ByteRange::Bounded(KIB, MIB)), ..Default::default() };
        let content = rig.service.retrieve_with(file.id, &ann, part).await.expect("answers");
        assert_eq!(content.range, KIB..MIB);
        CONTENT.compare(KIB..MIB, content.body).await.expect("whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_gets_no_further_is_given_up_and_one_that_must_not_be_repeated_is_not() {
    let rig = Rig::memory();
    let ann = user("ann");
    let file = noise(&rig, &ann).await;
    rig.faults.always("retrieve", Fault::BreakBody(0, Retry::May));
    let before = rig.faults.calls("retrieve");
    let (read_bytes, result) = drain(rig.service.retrieve(file.id, &ann).await.expect("answers")).await;
    let error = result.expect_err("given up");
    assert_eq!((read_bytes, error.kind(), error.retry()), (0, ErrorKind::Unavailable, Retry::GaveUp));
    assert_eq!(rig.faults.calls("retrieve") - before, 4);

    rig.faults.heal();
    rig.faults.next("retrieve", [Fault::BreakBody(MIB, Retry::Never)]);
    let before = rig.faults.calls("retrieve");
    let (read_bytes, result) = drain(rig.service.retrieve(file.id, &ann).await.expect("answers")).await;
    assert_eq!((read_bytes, result.expect_err("broken").kind()), (MIB, ErrorKind::Unavailable));
    assert_eq!(rig.faults.calls("retrieve") - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_can_be_read_and_one_beyond_the_end_is_refused_with_the_size() {
    for rig in Rig::each().await {
        let ann = user("ann");
        let file = noise(&rig, &ann).await;
        for (range, expected) in [
            (ByteRange::Bounded(0, 1), 0..1),
            (ByteRange::Bounded(SIZE - 1, SIZE), SIZE - 1..SIZE),
            (ByteRange::Bounded(MIB - 3, 2 * MIB + 3), MIB - 3..2 * MIB + 3),
            (ByteRange::Bounded(SIZE - 5, SIZE + 100), SIZE - 5..SIZE),
            (ByteRange::From(SIZE - 7), SIZE - 7..SIZE),
            (ByteRange::From(0), 0..SIZE),
            (ByteRange::Suffix(9), SIZE - 9..SIZE),
            (ByteRange::Suffix(2 * SIZE), 0..SIZE),
        ] {
            let options = RetrieveFileOptions { range: Some(range), ..Default::default() };
            let content = rig.service.retrieve_with(file.id, &ann, options).await.expect("a range");
            assert_eq!(content.range, expected, "{range:?}");
            CONTENT.compare(expected, content.body).await.expect("the bytes of the range");
        }
        let options = RetrieveFileOptions { range: Some(ByteRange::From(SIZE)), ..Default::default() };
        let error =
            refused(rig.service.retrieve_with(file.id, &ann, options).await, ErrorKind::RangeNotSatisfiable);
        let size = SIZE.to_string();
        assert!(error.context().any(|fact| fact == ("size_bytes", size.as_str())), "{}", error.report());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_go_by_the_digest_and_the_time_of_the_version() {
    let rig = Rig::memory();
    let ann = user("ann");
    let file = rig.saved(&ann, "a.txt", "text").await;
    let minute = Duration::from_secs(60);
    let other = ETag::new("0".repeat(64));
    let none = ReadCondition::default;
    for (condition, expected) in [
        (ReadCondition { if_match: Some(file.etag()), ..none() }, None),
        (ReadCondition { if_match: Some(other.clone()), ..none() }, Some(ErrorKind::PreconditionFailed)),
        (ReadCondition { if_none_match: Some(other), ..none() }, None),
        (ReadCondition { if_none_match: Some(file.etag()), ..none() }, Some(ErrorKind::NotModified)),
        (
            ReadCondition { if_modified_since: Some(SystemTime::now() + minute), ..none() },
            Some(ErrorKind::NotModified),
        ),
        (ReadCondition { if_modified_since: Some(file.updated_at - minute), ..none() }, None),
        (
            ReadCondition { if_unmodified_since: Some(file.updated_at - minute), ..none() },
            Some(ErrorKind::PreconditionFailed),
        ),
    ] {
        let options = RetrieveFileOptions { condition: condition.clone(), ..Default::default() };
        let result = rig.service.retrieve_with(file.id, &ann, options).await;
        assert_eq!(result.err().map(|error| error.kind()), expected, "{condition:?}");
    }
    assert_eq!(rig.faults.calls("retrieve"), 3, "what is not to be read is not fetched");
}
