//! Runs the conformance suite against every backend of this workspace.
//!
//! `cargo test -p storage-tests --test conformance -- local::save` runs a part of it, after
//! `cargo build --workspace` made the plugins. A backend that cannot be opened is one failed trial, `opens`.
//! A trial that the fault of a server keeps from passing is named with that fault (`storage_tests::waiver`).

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use storage_conformance::{Case, Instance, Outcome, Plan, Target};
use storage_tests::{target, waiver};
use tokio::runtime::Runtime;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new()?);
    let mut trials = Vec::new();
    for target in targets().into_iter().filter(|target| may_run(target, &arguments)) {
        let name = format!("{}::opens", target.name());
        // As a task, so that a panic on the way is this target's failure and not the end of the others.
        match runtime.block_on(runtime.spawn(async move { target.open().await })) {
            Ok(Ok(instance)) => {
                let instance = Arc::new(instance);
                let stale =
                    waiver::stale(target::waivers(instance.target().name()), &storage_conformance::all());
                trials.push(Trial::test(name, move || match stale.as_slice() {
                    [] => Ok(()),
                    stale => {
                        Err(format!("tests/src/target.rs waives what the suite has not, or twice: {stale:?}")
                            .into())
                    }
                }));
                trials.extend(
                    storage_conformance::all().into_iter().map(|case| trial(case, &instance, &runtime)),
                );
            }
            Ok(Err(error)) => trials.push(Trial::test(name, move || Err(error.report().into()))),
            Err(panic) => trials.push(Trial::test(name, move || Err(panic.into()))),
        }
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// Whether a trial of this target may be among those asked for: one that runs a single trial in a process of
/// its own, as nextest does, need not open every other backend first.
fn may_run(target: &Target, arguments: &Arguments) -> bool {
    let prefix = format!("{}::", target.name());
    let asked_for = |filter: &String| {
        // The name as it is listed has the kind before it.
        let name = filter
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
            .map_or(filter.as_str(), |(_, name)| name);
        name.starts_with(&prefix)
    };
    !arguments.exact || arguments.filter.as_ref().is_none_or(asked_for)
}

fn targets() -> Vec<Target> {
    vec![
        target::memory(),
        target::memory_bare(),
        target::memory_limited(),
        target::memory_plugin(),
        target::local(),
        target::gcs_fake_gcs(),
        target::minio_seaweedfs(),
        target::minio_juicefs(),
        target::azure_blob_azurite(),
        target::aws_s3_seaweedfs(),
        target::aws_s3_ministack(),
        target::aws_s3_express_ministack(),
    ]
}

/// A trial says by its kind when it checks that a family is refused instead of that it works, or that it is waived.
fn trial(case: Case, instance: &Arc<Instance>, runtime: &Arc<Runtime>) -> Trial {
    let name = format!("{}::{}", instance.target().name(), case.name);
    let waivers = target::waivers(instance.target().name());
    let waiver = waivers.iter().find(|waiver| waiver.trial == case.name);
    let race = target::races(instance.target().name()).iter().find(|race| race.trial == case.name);
    let kind = match (waiver, case.plan(instance)) {
        (Some(waiver), _) => format!("waived: {}", waiver.reason),
        (None, Plan::Counter(capability)) => format!("{} is refused", capability.names().join(", ")),
        (None, Plan::Check | Plan::Ignore(_)) => String::new(),
    };
    let (instance, runtime) = (Arc::clone(instance), Arc::clone(runtime));
    let run = move || -> Result<Completion, Failed> {
        let outcome = match (race, runtime.block_on(case.run(instance))) {
            (Some(race), Outcome::Failed(_)) => Outcome::LeftOut(format!("a race was lost: {}", race.reason)),
            (_, outcome) => outcome,
        };
        match waiver.map(|waiver| waiver.judge(&outcome)).unwrap_or(outcome) {
            Outcome::Passed | Outcome::NotSupported(_) => Ok(Completion::Completed),
            Outcome::LeftOut(reason) => Ok(Completion::ignored_with(reason)),
            Outcome::Failed(reason) => Err(reason.into()),
        }
    };
    Trial::ignorable_test(name, run).with_kind(kind)
}
