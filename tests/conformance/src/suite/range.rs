//! Reads of a part of an object.

use std::ops::Range;

use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteRange, ErrorKind, ReadCondition, RetrieveOptions, Retry};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::Content;

const CHUNK: u64 = CHUNK_BYTES as u64;
const SIZE: u64 = 4 * CHUNK + 777;
const LARGE: u64 = 64 << 20;

/// A range of an object of this size, and the bytes that it means; `None` where it means none.
type Example = (&'static str, u64, ByteRange, Option<Range<u64>>);

const EXAMPLES: &[Example] = &[
    ("the_first_byte", SIZE, ByteRange::Bounded(0, 1), Some(0..1)),
    ("the_last_byte", SIZE, ByteRange::Bounded(SIZE - 1, SIZE), Some(SIZE - 1..SIZE)),
    ("the_first_chunk", SIZE, ByteRange::Bounded(0, CHUNK), Some(0..CHUNK)),
    ("the_middle", SIZE, ByteRange::Bounded(1_000, 2_000), Some(1_000..2_000)),
    (
        "a_part_across_chunks",
        SIZE,
        ByteRange::Bounded(CHUNK - 1, 3 * CHUNK + 1),
        Some(CHUNK - 1..3 * CHUNK + 1),
    ),
    ("all_bytes", SIZE, ByteRange::Bounded(0, SIZE), Some(0..SIZE)),
    ("an_end_beyond_the_end", SIZE, ByteRange::Bounded(SIZE - 10, SIZE + 10), Some(SIZE - 10..SIZE)),
    ("the_largest_end", SIZE, ByteRange::Bounded(1, u64::MAX), Some(1..SIZE)),
    ("everything_from_the_start", SIZE, ByteRange::From(0), Some(0..SIZE)),
    ("everything_from_the_middle", SIZE, ByteRange::From(CHUNK + 5), Some(CHUNK + 5..SIZE)),
    ("everything_from_the_last_byte", SIZE, ByteRange::From(SIZE - 1), Some(SIZE - 1..SIZE)),
    ("the_last_bytes", SIZE, ByteRange::Suffix(1_000), Some(SIZE - 1_000..SIZE)),
    ("a_suffix_of_the_whole_size", SIZE, ByteRange::Suffix(SIZE), Some(0..SIZE)),
    ("a_suffix_longer_than_the_object", SIZE, ByteRange::Suffix(SIZE + 1), Some(0..SIZE)),
    ("the_longest_suffix", SIZE, ByteRange::Suffix(u64::MAX), Some(0..SIZE)),
    ("a_part_of_64_mib", LARGE, ByteRange::Bounded(30 << 20, (50 << 20) + 1), Some(30 << 20..(50 << 20) + 1)),
    ("the_end_of_64_mib", LARGE, ByteRange::Suffix(CHUNK + 1), Some(LARGE - CHUNK - 1..LARGE)),
    ("the_only_byte", 1, ByteRange::From(0), Some(0..1)),
    ("a_start_at_the_end", SIZE, ByteRange::From(SIZE), None),
    ("a_bounded_start_at_the_end", SIZE, ByteRange::Bounded(SIZE, SIZE + 10), None),
    ("a_start_beyond_the_end", SIZE, ByteRange::From(SIZE + 1_000), None),
    ("the_largest_start", SIZE, ByteRange::From(u64::MAX), None),
    ("an_empty_suffix", SIZE, ByteRange::Suffix(0), None),
    ("an_empty_part", SIZE, ByteRange::Bounded(5, 5), None),
    ("a_reversed_part", SIZE, ByteRange::Bounded(9, 5), None),
    ("the_start_of_nothing", 0, ByteRange::From(0), None),
    ("a_part_of_nothing", 0, ByteRange::Bounded(0, 1), None),
    ("a_suffix_of_nothing", 0, ByteRange::Suffix(1), None),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases![
        a_condition_is_decided_before_the_range,
        a_range_of_a_missing_object_is_not_found,
        the_digests_are_those_of_the_whole,
    ];
    cases.extend(EXAMPLES.iter().map(|(name, size_bytes, range, expected)| {
        let verb = if expected.is_some() { "is_read" } else { "is_refused" };
        let run =
            move |checked| read(checked, Content::new(*size_bytes, *size_bytes), *range, expected.clone());
        Case::new(module_path!(), format!("{name}_{verb}"), run)
    }));
    cases
}

fn ranged(range: ByteRange) -> RetrieveOptions {
    RetrieveOptions { range: Some(range), ..RetrieveOptions::default() }
}

async fn read(checked: Checked, content: Content, range: ByteRange, expected: Option<Range<u64>>) {
    let key = checked.key("object");
    checked.save(&key, content).await;
    let answer = checked.backend.retrieve(&key, ranged(range)).await;
    let Some(expected) = expected else {
        let error = answer.expect_err("the range means no byte");
        assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable, "{}", error.report());
        assert_eq!(error.retry(), Retry::Never);
        let size = content.size_bytes.to_string();
        assert!(error.context().any(|fact| fact == ("size_bytes", &size)), "the size is told: {error:?}");
        return;
    };
    let found = answer.expect("the range is read");
    assert_eq!(found.meta.size_bytes, content.size_bytes, "the size is that of the whole");
    assert_eq!(found.range, expected);
    if let Some(length_bytes) = found.body.length_bytes() {
        assert_eq!(length_bytes, expected.end - expected.start);
    }
    content.compare(expected, found.body).await.expect("the bytes of the range");
}

async fn a_condition_is_decided_before_the_range(checked: Checked) {
    let key = checked.key("object");
    let tag = checked.save(&key, Content::new(1, 10)).await.etag;
    let condition = ReadCondition { if_none_match: tag, ..ReadCondition::default() };
    let options = RetrieveOptions { condition, ..ranged(ByteRange::From(50)) };
    refused(checked.backend.retrieve(&key, options).await, ErrorKind::NotModified);
}

async fn a_range_of_a_missing_object_is_not_found(checked: Checked) {
    let answer = checked.backend.retrieve(&checked.key("object"), ranged(ByteRange::Suffix(1))).await;
    refused(answer, ErrorKind::NotFound);
}

async fn the_digests_are_those_of_the_whole(checked: Checked) {
    let key = checked.key("object");
    let content = Content::new(1, 100_000);
    checked.save(&key, content).await;
    let found = checked.backend.retrieve(&key, ranged(ByteRange::Bounded(10, 20))).await.expect("found");
    content.checksums().verify(&found.meta.checksums).expect("digests of the whole");
}
