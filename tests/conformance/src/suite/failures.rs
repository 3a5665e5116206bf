//! Saves whose body fails, lies about its length or is dropped: the old content stays, nothing is left.

use std::time::Duration;

use storage_core::{Error, ErrorKind, SaveOptions};

use super::check::refused;
use super::{Case, Checked, cases};
use crate::fixture::{Chunking, Content};

/// Where the bodies fail: at once, within a chunk, after a few chunks, after what some providers would
/// send as the first parts of an upload.
const PLACES: [(&str, u64); 4] =
    [("at_once", 0), ("early", 1_000), ("after_some_chunks", 3 << 20), ("late", 17 << 20)];

/// The content that never comes whole.
const NEVER: Content = Content::new(5, 20 << 20);

#[derive(Clone, Copy)]
enum Fault {
    Fails,
    IsShort,
    IsLong,
    IsDropped,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cases![a_body_error_reaches_the_caller_whole, a_body_that_is_never_polled_leaves_nothing];
    let faults = [
        ("that_fails", Fault::Fails),
        ("that_is_too_short", Fault::IsShort),
        ("that_is_too_long", Fault::IsLong),
        ("whose_save_is_dropped", Fault::IsDropped),
    ];
    for (fault_name, fault) in faults {
        for (place, at) in PLACES {
            for (target, exists) in [("leaves_nothing", false), ("leaves_the_old", true)] {
                let name = format!("a_body_{fault_name}_{place}_{target}");
                let run = move |checked| a_faulty_save_changes_nothing(checked, fault, at, exists);
                cases.push(Case::new(module_path!(), name, run));
            }
        }
    }
    cases
}

async fn a_faulty_save_changes_nothing(checked: Checked, fault: Fault, at: u64, exists: bool) {
    let key = checked.key("object");
    let old = Content::new(1, 100_000);
    let options = SaveOptions { content_type: Some("text/old".to_owned()), ..SaveOptions::default() };
    if exists {
        checked.save_with(&key, old, options).await;
    }
    let save = |body| checked.backend.save(&key, body, SaveOptions::default());
    match fault {
        Fault::Fails => {
            let error = Error::new(ErrorKind::Corrupted, "the source broke");
            refused(save(NEVER.body_that_fails(at, error)).await, ErrorKind::Corrupted);
        }
        Fault::IsShort => {
            let body = Content::new(5, at).body_that_declares(at + 1);
            refused(save(body).await, ErrorKind::LengthMismatch);
        }
        Fault::IsLong => {
            let body = Content::new(5, at + 1).body_that_declares(at);
            refused(save(body).await, ErrorKind::LengthMismatch);
        }
        Fault::IsDropped => {
            let (body, taken) = NEVER.body_that_stalls(at);
            tokio::select! {
                answer = save(body) => panic!("a save answers before its body ends: {answer:?}"),
                () = taken.notified() => {}
            }
        }
    }
    if exists {
        checked.holds(&key, old).await;
        let described = checked.describe(&key).await.expect("described");
        assert_eq!(described.content_type.as_deref(), Some("text/old"), "the old attributes stay");
        checked.nothing_but(&["object"]).await;
    } else {
        checked.is_missing(&key).await;
        checked.nothing_but(&[]).await;
    }
    checked.save(&key, Content::new(2, 50)).await;
    checked.holds(&key, Content::new(2, 50)).await;
}

async fn a_body_error_reaches_the_caller_whole(checked: Checked) {
    let pause = storage_core::Retry::After(Duration::from_millis(1_500));
    let error = Error::new(ErrorKind::from_code(9_001), "the source says é")
        .with_context("reason", "42")
        .with_source(std::io::Error::other("the disk is on fire"))
        .with_retry(pause);
    let body = Content::new(1, 100_000).body_that_fails(70_000, error);
    let answer = checked.backend.save(&checked.key("object"), body, SaveOptions::default()).await;
    let error = answer.expect_err("the body failed");
    assert_eq!(error.kind(), ErrorKind::from_code(9_001));
    assert_eq!(error.message(), "the source says é");
    assert!(error.context().any(|fact| fact == ("reason", "42")), "{error:?}");
    assert!(error.report().contains("the disk is on fire"), "{error:?}");
    assert_eq!(error.retry(), pause);
}

async fn a_body_that_is_never_polled_leaves_nothing(checked: Checked) {
    let key = checked.key("object");
    drop(checked.backend.save(&key, Content::new(1, 10).body(Chunking::Even), SaveOptions::default()));
    checked.is_missing(&key).await;
    checked.nothing_but(&[]).await;
}
