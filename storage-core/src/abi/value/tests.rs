//! What becomes of values at the edges of what can be expressed, and of those that this version does not
//! know. That every field of every type crosses is proven on a loaded library, in the tests of the workspace, and that any
//! value comes back by the property `abi_values`.

use std::time::{Duration, SystemTime};

use abi_stable::std_types::{RBox, Tuple2, Tuple3};

use super::*;
use crate::config::ConfigKind;
use crate::error::Retry;
use crate::request::{ByteRange, DeleteResult, ListOptions, WriteCondition};
use crate::tiering::{RestoreStatus, Tier};

fn there_and_back<T: Mirror>(value: T) -> T {
    T::from_abi(value.into_abi()).expect("what this version sends it can read")
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
