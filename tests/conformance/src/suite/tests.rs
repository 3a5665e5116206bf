//! What becomes of cases: those that pass, fail, are left out, and clean up behind themselves.

use std::sync::Arc;

use storage_core::memory::MemoryBackend;
use storage_core::{Backend, Capabilities, Error, ErrorKind};

use super::check::refused;
use super::{Case, Checked, Need, all};
use crate::fixture::Content;
use crate::{Instance, Outcome, Target};

async fn instance(backend: MemoryBackend) -> Arc<Instance> {
    let backend: Arc<dyn Backend> = Arc::new(backend);
    let target = Target::new("memory", false, move |_folder| std::future::ready(Ok(Arc::clone(&backend))));
    Arc::new(target.open().await.expect("memory opens"))
}

async fn saves(checked: Checked) {
    checked.save(&checked.key("object"), Content::new(1, 10)).await;
}

async fn saves_and_is_disappointed(checked: Checked) {
    checked.save(&checked.key("object"), Content::new(1, 10)).await;
    checked.is_missing(&checked.key("object")).await;
}

fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(reason) => reason,
        other => panic!("a failure was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn a_case_passes_or_fails_with_its_reason_and_removes_what_it_saved_in_either_event() {
    let instance = instance(MemoryBackend::new("memory")).await;
    assert_eq!(Case::new("a::save", "works", saves).run(Arc::clone(&instance)).await, Outcome::Passed);
    let failing = Case::new("a::save", "fails", saves_and_is_disappointed);
    assert_eq!((failing.group(), failing.name.as_str()), ("save", "save::fails"));
    let reason = failure(failing.run(Arc::clone(&instance)).await);
    assert!(reason.contains("object exists"), "{reason}");
    let left = instance.backend.list_files(Default::default()).await.expect("listed").objects;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_is_not_declared_must_be_refused() {
    let case = || Case::new("a::copy", "copies", saves_and_is_disappointed).with(Capabilities::COPY);
    let bare = instance(MemoryBackend::new("bare").with_capabilities(Capabilities::none())).await;
    assert_eq!(case().run(bare).await, Outcome::NotSupported(Capabilities::COPY));
    let whole = instance(MemoryBackend::new("memory")).await;
    failure(case().run(whole).await);
}

#[tokio::test]
async fn a_case_that_needs_what_the_target_has_not_is_left_out_with_the_reason() {
    let instance = instance(MemoryBackend::new("memory")).await;
    let case = Case::new("a::save", "lasts", saves).needing(Need::Reopen);
    let outcome = case.run(instance).await;
    assert_eq!(outcome, Outcome::LeftOut("it keeps nothing when it is closed".to_owned()));
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<String> = all().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_refusal_of_another_kind_is_a_failure() {
    let other = std::panic::catch_unwind(|| {
        refused(storage_core::Result::<()>::Err(Error::unsupported("copy")), ErrorKind::NotFound);
    });
    assert!(other.is_err(), "an error of another kind was taken for the one that was expected");
}
