//! `cargo xtask test`: every check that a change must pass, the same here and in CI.
//!
//! All steps run even when one fails, so that one run names every fault; the summary at the end lists
//! each step, and a step that did not run is listed with the reason. So is each server without which some
//! tests could not run; where `CI` is set, that fails the run.

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::servers::for_tests::{self, Servers};
use crate::{bench, fuzz, staging, tidy, tools, workspace};

/// Check formatting, lints, documentation and house rules, and run all tests
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these steps
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STEP")]
    only: Vec<Step>,
    /// Arguments for the test runner, such as a part of a test's name; documentation tests, which know
    /// other names, are then left out
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    filter: Vec<String>,
}

/// The steps, in the order in which they run: the quick ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Formatting
    Fmt,
    /// House rules
    Tidy,
    /// Lints, with warnings denied
    Clippy,
    /// Documentation builds without a warning, private items included
    Doc,
    /// Unit and integration tests
    Tests,
    /// Examples in the documentation
    Doctests,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    LeftOut(&'static str),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut report = Vec::new();
    let mut notes = Vec::new();
    for step in Step::value_variants() {
        let started = Instant::now();
        let outcome = match left_out(*step, args) {
            Some(reason) => Outcome::LeftOut(reason),
            None => {
                eprintln!("\n── {}", name(*step));
                execute(*step, &args.filter, &mut notes).unwrap_or_else(|error| {
                    eprintln!("error: {error:#}");
                    Outcome::Failed
                })
            }
        };
        report.push((*step, outcome, started.elapsed()));
    }
    eprint!("\n{}", summary(&report, &notes));
    Ok(if succeeded(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn left_out(step: Step, args: &Args) -> Option<&'static str> {
    if !args.only.is_empty() && !args.only.contains(&step) {
        Some("not asked for")
    } else if step == Step::Doctests && !args.filter.is_empty() && !args.only.contains(&step) {
        Some("the test filter knows no documentation tests")
    } else {
        None
    }
}

fn execute(step: Step, filter: &[String], notes: &mut Vec<String>) -> Result<Outcome> {
    let passed = match step {
        Step::Fmt => in_each_workspace(&["fmt", "--all", "--check"])?,
        Step::Tidy => tidy::report(&tidy::check(&workspace::root())?),
        Step::Clippy => {
            // The flag goes to the workspace's own crates only; RUSTFLAGS would rebuild everything.
            in_each_workspace(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--keep-going",
                "--",
                "-D",
                "warnings",
            ])?
        }
        Step::Doc => {
            let mut doc =
                cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--keep-going"]);
            let flags = env::var("RUSTDOCFLAGS").unwrap_or_default();
            doc.env("RUSTDOCFLAGS", format!("{flags} -D warnings"));
            succeeds(doc)?
        }
        Step::Tests => {
            tools::provide();
            // The servers come up while the compiler is at work; they end where this block does.
            let starting = for_tests::start(&workspace::root(), filter)?;
            let prepared = prepare();
            let servers = starting.finish()?;
            prepared?;
            notes.extend(servers.notes());
            let complete = enough(&servers, env::var_os("CI").is_some());
            succeeds(test_runner(filter, &servers)?)? && complete
        }
        Step::Doctests => {
            let mut doctests = cargo(&["test", "--doc", "--workspace", "--no-fail-fast", "--"]);
            doctests.args(filter);
            succeeds(doctests)?
        }
    };
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}

/// Builds what the tests load or start, and puts the plugins where the host looks for them.
fn prepare() -> Result<()> {
    let plugins = workspace::plugins()?;
    let built = workspace::build_for_tests(&plugins)?;
    staging::stage_beside(&built.libraries)?;
    Ok(())
}

/// Whether the run can prove what it should: on a desk it says what it left out, in CI it must leave out
/// nothing.
fn enough(servers: &Servers, ci: bool) -> bool {
    for reason in servers.reasons() {
        eprintln!("warning: {reason}");
    }
    if ci && servers.are_incomplete() {
        eprintln!("error: CI is set, and there tests may not be left out");
    }
    !(ci && servers.are_incomplete())
}

fn test_runner(filter: &[String], servers: &Servers) -> Result<Command> {
    let scope = scope(filter);
    if has_nextest() {
        let mut runner = cargo(&["nextest", "run"]);
        runner.args(scope).args(servers.nextest_arguments(&workspace::root())?).args(filter);
        return Ok(runner);
    }
    eprintln!("cargo-nextest is not installed; the tests run with cargo test");
    let mut runner = cargo(&["test", "--no-fail-fast"]);
    runner.args(scope).args(filter);
    let skipped = servers.libtest_arguments();
    if !skipped.is_empty() && !filter.iter().any(|argument| argument == "--") {
        runner.arg("--");
    }
    runner.args(skipped);
    Ok(runner)
}

/// All packages and all targets, unless the user names some: cargo would add those to all.
fn scope(filter: &[String]) -> Vec<&'static str> {
    let before_dashes = || filter.iter().take_while(|argument| *argument != "--");
    let given = |flags: &[&str]| {
        before_dashes().any(|argument| flags.contains(&argument.split('=').next().unwrap_or_default()))
    };
    let mut scope = Vec::new();
    if !given(&["-p", "--package", "--workspace"]) {
        scope.push("--workspace");
    }
    if !given(&["--lib", "--bin", "--bins", "--test", "--tests", "--example", "--examples", "--all-targets"])
    {
        scope.extend(workspace::TEST_TARGETS);
    }
    scope
}

fn has_nextest() -> bool {
    cargo(&["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn cargo(args: &[&str]) -> Command {
    let mut command = workspace::cargo();
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command of cargo here and in the workspaces of the benches and of the fuzz targets, whose dependencies nothing
/// else needs. It succeeds where all do.
fn in_each_workspace(args: &[&str]) -> Result<bool> {
    let mut passed = succeeds(cargo(args))?;
    let (command, rest) = args.split_at(1);
    let target_folder = workspace::target_folder()?;
    for manifest in [bench::MANIFEST, fuzz::MANIFEST] {
        let mut there = cargo(command);
        there.args(["--manifest-path", manifest]);
        if manifest == fuzz::MANIFEST && command == ["clippy"] {
            there.arg(fuzz::WITHOUT_LIBFUZZER);
        }
        there.args(rest).env("CARGO_TARGET_DIR", &target_folder);
        passed &= succeeds(there)?;
    }
    Ok(passed)
}

fn succeeds(mut command: Command) -> Result<bool> {
    let status = command.status().context("cargo could not be started")?;
    Ok(status.success())
}

fn succeeded(report: &[(Step, Outcome, Duration)]) -> bool {
    report.iter().all(|(_, outcome, _)| *outcome != Outcome::Failed)
}

fn summary(report: &[(Step, Outcome, Duration)], notes: &[String]) -> String {
    let mut lines = String::from("── summary\n");
    for (step, outcome, elapsed) in report {
        let outcome = match outcome {
            Outcome::Passed => format!("passed  {:>4} s", elapsed.as_secs()),
            Outcome::Failed => format!("FAILED  {:>4} s", elapsed.as_secs()),
            Outcome::LeftOut(reason) => format!("left out: {reason}"),
        };
        lines.push_str(&format!("{:<10} {outcome}\n", name(*step)));
    }
    for note in notes {
        lines.push_str(&format!("{note}\n"));
    }
    lines.push_str(if succeeded(report) { "all that ran has passed\n" } else { "there are failures\n" });
    lines
}

fn name(step: Step) -> String {
    step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(only: &[Step], filter: &[&str]) -> Args {
        Args { only: only.to_vec(), filter: filter.iter().map(|&word| word.to_owned()).collect() }
    }

    fn steps_that_run(args: &Args) -> Vec<Step> {
        Step::value_variants().iter().copied().filter(|step| left_out(*step, args).is_none()).collect()
    }

    #[test]
    fn without_arguments_every_step_runs() {
        assert_eq!(steps_that_run(&args(&[], &[])), Step::value_variants());
    }

    #[test]
    fn a_filter_leaves_out_only_the_documentation_tests() {
        let running = steps_that_run(&args(&[], &["save"]));
        assert_eq!(running, [Step::Fmt, Step::Tidy, Step::Clippy, Step::Doc, Step::Tests]);
        assert_eq!(
            steps_that_run(&args(&[Step::Doctests], &["save"])),
            [Step::Doctests],
            "asked for by name"
        );
    }

    #[test]
    fn named_packages_and_targets_stand_for_themselves() {
        let scope = |text: &str| scope(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
        assert_eq!(scope("save"), "--workspace --lib --bins --tests --examples");
        assert_eq!(scope("--test conformance local"), "--workspace");
        assert_eq!(scope("--package=storage-core"), "--lib --bins --tests --examples");
        assert_eq!(scope("-p storage-core --lib"), "");
        assert_eq!(scope("save -- --test"), "--workspace --lib --bins --tests --examples");
    }

    #[test]
    fn one_failed_step_fails_the_whole_and_is_named() {
        let second = Duration::from_secs(1);
        let report = [
            (Step::Fmt, Outcome::Passed, second),
            (Step::Clippy, Outcome::Failed, second),
            (Step::Doc, Outcome::LeftOut("not asked for"), second),
        ];
        assert!(!succeeded(&report));
        let summary = summary(&report, &["no minio: juicefs stood in".to_owned()]);
        assert!(summary.contains("clippy     FAILED"), "{summary}");
        assert!(summary.contains("doc        left out: not asked for"), "{summary}");
        assert!(summary.ends_with("no minio: juicefs stood in\nthere are failures\n"), "{summary}");
        assert!(succeeded(&[(Step::Fmt, Outcome::Passed, second)]));
    }
}
