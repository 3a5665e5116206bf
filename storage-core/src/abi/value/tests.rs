//! What becomes of values at the edges of what can be expressed, and of those that this version does not
//! know. That every field of every type crosses is proven on a loaded library, in the tests of the workspace.

use std::time::{Duration, SystemTime};

use abi_stable::std_types::{RBox, Tuple2, Tuple3};
use proptest::prelude::*;

use super::*;
use crate::config::ConfigKind;
use crate::error::Retry;
use crate::object::Checksums;
use crate::request::{ByteRange, DeleteResult, ListOptions, SaveOptions, WriteCondition};
use crate::tiering::{RestoreStatus, Tier};

fn there_and_back<T: Mirror>(value: T) -> T {
    T::from_abi(value.into_abi()).expect("what this version sends it can read")
}

fn moments() -> impl Strategy<Value = SystemTime> {
    let span = (0..=1_u64 << 40, 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s, n));
    (span, any::<bool>()).prop_map(|(span, after)| match after {
        true => SystemTime::UNIX_EPOCH + span,
        false => SystemTime::UNIX_EPOCH - span,
    })
}

proptest! {
    // Generating texts is slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn moments_and_durations_come_back_to_the_nanosecond(moment in moments(), span in any::<Duration>()) {
        prop_assert_eq!(there_and_back(moment), moment);
        prop_assert_eq!(there_and_back(span), span);
    }

    #[test]
    fn numbers_digests_and_ranges_come_back(
        digests in any::<(Option<[u8; 32]>, Option<[u8; 16]>, Option<u32>, Option<u64>)>(),
        (start, end) in any::<(u64, u64)>(),
    ) {
        let (sha256, md5, crc32c, crc64nvme) = digests;
        let checksums = Checksums { sha256, md5, crc32c, crc64nvme };
        prop_assert_eq!(there_and_back(checksums), checksums);
        for range in [ByteRange::Bounded(start, end), ByteRange::From(start), ByteRange::Suffix(end)] {
            prop_assert_eq!(there_and_back(range), range);
        }
        prop_assert_eq!(there_and_back(start..end), start..end);
    }

    #[test]
    fn texts_and_maps_come_back(map in any::<BTreeMap<String, String>>(), text in any::<Option<String>>()) {
        prop_assert_eq!(&there_and_back(map.clone()), &map);
        prop_assert_eq!(&there_and_back(text.clone()), &text);
        let options = SaveOptions { content_type: text, metadata: map, ..SaveOptions::default() };
        prop_assert_eq!(there_and_back(options.clone()), options);
    }

    #[test]
    fn errors_come_back(
        (code, retry) in (any::<u32>(), any::<Option<Duration>>()),
        message in any::<String>(),
        context in any::<Vec<(String, String)>>(),
        causes in prop::collection::vec(any::<String>(), 0..4),
    ) {
        let retry = retry.map_or(Retry::GaveUp, Retry::After);
        let mut error = Error::new(ErrorKind::from_code(code), message).with_retry(retry);
        for (name, value) in context {
            error = error.with_context(name, value);
        }
        let nest = |source: Option<Error>, text: String| {
            let outer = Error::new(ErrorKind::Internal, text);
            Some(match source { Some(source) => outer.with_source(source), None => outer })
        };
        if let Some(cause) = causes.into_iter().fold(None, nest) {
            error = error.with_source(cause);
        }
        let told = format!("{error:?}");
        prop_assert_eq!(format!("{:?}", there_and_back(error)), told);
    }
}

#[test]
fn every_variant_comes_back() {
    for tier in Tier::ALL {
        assert_eq!(there_and_back(tier), tier);
    }
    for retry in [Retry::Never, Retry::May, Retry::After(Duration::from_millis(5)), Retry::GaveUp] {
        assert_eq!(there_and_back(retry), retry);
    }
    for condition in
        [WriteCondition::Always, WriteCondition::IfAbsent, WriteCondition::IfMatch(ETag::new("e"))]
    {
        assert_eq!(there_and_back(condition.clone()), condition);
    }
    let restored = RestoreStatus::Restored { until: None };
    for status in [RestoreStatus::NotArchived, RestoreStatus::Archived, RestoreStatus::InProgress, restored] {
        assert_eq!(there_and_back(status), status);
    }
}

#[test]
fn a_request_with_an_option_of_a_newer_version_is_refused_by_name() {
    let mut abi = ListOptions::default().into_abi();
    abi.later.push(Tuple2("suffix".into(), ".pdf".into()));
    let error = ListOptions::from_abi(abi).expect_err("it is not understood");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("the option suffix"), "{error}");
}

#[test]
fn a_fact_of_a_newer_version_in_an_answer_is_passed_over() {
    let mut abi = DeleteResult::default().into_abi();
    abi.later.push(Tuple2("freed_bytes".into(), "7".into()));
    assert_eq!(DeleteResult::from_abi(abi).expect("the rest is understood"), DeleteResult::default());
}

#[test]
fn what_only_a_newer_version_can_express_is_refused_or_read_safely() {
    assert_eq!(Tier::from_abi(99).expect_err("no such tier").kind(), ErrorKind::Unsupported);
    assert!(WriteCondition::from_abi(Tuple2(1, Some(ETag::new("e")).into_abi())).is_err());
    assert!(WriteCondition::from_abi(Tuple2(2, None::<ETag>.into_abi())).is_err(), "a tag is missing");
    assert!(ByteRange::from_abi(Tuple3(7, 0, 0)).is_err());
    // What cannot be judged is not repeated.
    assert_eq!(Retry::from_abi(Tuple2(9, Duration::ZERO.into_abi())).expect("read"), Retry::Never);
    // The plugin checks the form of the value itself.
    assert_eq!(
        ConfigKind::from_abi(Tuple2(99, Vec::<String>::new().into_abi())).expect("read"),
        ConfigKind::Text
    );
}

#[test]
fn what_is_out_of_range_is_an_error_and_no_panic() {
    assert!(SystemTime::from_abi(Tuple2(i64::MAX, u32::MAX)).is_err());
    assert!(Duration::from_abi(Tuple2(u64::MAX, u32::MAX)).is_err());
    assert!(ObjectKey::from_abi("../etc".into()).is_err());
    assert!(Value::from_abi("{".into()).is_err());
}

#[test]
fn the_mirrors_of_results_stay_small() {
    // An error is boxed, so that it does not weigh on every good answer.
    assert_eq!(size_of::<AbiError>(), size_of::<RBox<()>>());
    assert!(size_of::<Outcome<bool>>() <= 32);
}
