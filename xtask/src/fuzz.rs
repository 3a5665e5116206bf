//! `cargo xtask fuzz`: libFuzzer looks for inputs that break a property of `tests/properties`.
//!
//! The targets are in `tests/fuzz`, a workspace of its own that a nightly compiler builds with everything instrumented.
//! What is found goes on being used: in the build folder from run to run, and with `--keep` in the corpora that are
//! part of the sources, which every run of the tests goes through.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Look for inputs that break what reads from strangers: keys, manifests, links, headers, tokens, configuration
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Names of targets; all when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each target runs, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Afterwards, add what reaches new code to the corpora in `tests/fuzz/corpus`
    #[arg(long)]
    keep: bool,
}

/// The package of the targets, from the root of the workspace.
pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";

/// For whoever only looks at the targets: libFuzzer itself, which takes a C++ compiler, is then not compiled.
pub(crate) const WITHOUT_LIBFUZZER: &str = "--no-default-features";

/// Its folder.
const FOLDER: &str = "tests/fuzz";

/// The longest input that is tried, in bytes. What is read here is short, and long inputs are tried slowly.
const MAX_INPUT_BYTES: u32 = 4096;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root();
    let targets = select(targets(&root)?, &args.targets)?;
    provide()?;
    let target_folder = workspace::target_folder()?.join("fuzzing");
    // What does not compile is no find.
    for target in &targets {
        succeed(cargo_fuzz("build", &target_folder).arg(target))?;
    }
    let mut broken = 0;
    for target in &targets {
        let found = target_folder.join("found").join(target);
        fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
        let artifacts = root.join(FOLDER).join("artifacts").join(target);
        let before = files(&artifacts)?;
        eprintln!("\n── {target}");
        let kept = root.join(FOLDER).join("corpus").join(target);
        let mut fuzz = cargo_fuzz("run", &target_folder);
        fuzz.arg(target).args([&found, &kept]).arg("--");
        fuzz.arg(format!("-max_total_time={}", args.seconds));
        fuzz.arg(format!("-max_len={MAX_INPUT_BYTES}")).args(["-timeout=10", "-print_final_stats=1"]);
        if status(&mut fuzz)? {
            if args.keep {
                succeed(
                    cargo_fuzz("run", &target_folder)
                        .arg(target)
                        .args([&kept, &found])
                        .args(["--", "-merge=1"]),
                )?;
            }
            continue;
        }
        broken += 1;
        tell(target, files(&artifacts)?.difference(&before));
    }
    eprintln!("\n{} of {} targets found nothing", targets.len() - broken, targets.len());
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of all targets.
fn targets(root: &Path) -> Result<Vec<String>> {
    let files = files(&root.join(FOLDER).join("fuzz_targets"))?;
    let names = files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    Ok(names.collect())
}

/// Those of the targets that are wanted.
fn select(targets: Vec<String>, wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|wanted| !targets.contains(wanted)) {
        bail!("there is no target {unknown}; the targets are {}", targets.join(", "));
    }
    Ok(if wanted.is_empty() { targets } else { wanted.to_vec() })
}

/// Makes sure that there is a nightly compiler, which alone can instrument, and cargo-fuzz.
fn provide() -> Result<()> {
    let quietly = |command: &mut Command| {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ensure!(
        quietly(Command::new("rustup").arg("--version")),
        "there is no rustup, which brings the nightly compiler: see https://rustup.rs"
    );
    if !quietly(nightly("rustc").arg("--version")) {
        let mut install = Command::new("rustup");
        succeed(install.args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    }
    if !quietly(nightly("cargo").args(["fuzz", "--version"])) {
        succeed(workspace::cargo().args(["install", "--locked", "cargo-fuzz"]))?;
    }
    Ok(())
}

/// A program of the nightly toolchain, started in the root of the workspace.
fn nightly(program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", program]).current_dir(workspace::root());
    command
}

fn cargo_fuzz(subcommand: &str, target_folder: &Path) -> Command {
    let mut command = nightly("cargo");
    command.args(["fuzz", subcommand, "--fuzz-dir", FOLDER, "--target-dir"]).arg(target_folder);
    command
}

/// Names what breaks a target, and what to do with it.
fn tell<'a>(target: &str, inputs: impl Iterator<Item = &'a PathBuf>) {
    eprintln!("error: {target} was broken; what libFuzzer says of it is above");
    for input in inputs {
        let input = input.strip_prefix(workspace::root()).unwrap_or(input).display();
        eprintln!("  by {input}");
        eprintln!("  to make it shorter: cargo +nightly fuzz tmin --fuzz-dir {FOLDER} {target} {input}");
        eprintln!("  to keep it and see it with the stable compiler:");
        eprintln!("    cp {input} {FOLDER}/corpus/{target}/");
        eprintln!("    cargo test --package storage-properties what_is_kept::{target}");
    }
}

/// The files of a folder; none where there is no folder.
fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    if !folder.is_dir() {
        return Ok(BTreeSet::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths.collect::<std::io::Result<_>>().with_context(|| format!("reading {}", folder.display()))
}

fn status(command: &mut Command) -> Result<bool> {
    let status = command.stdin(Stdio::null()).status();
    Ok(status.with_context(|| format!("starting {}", command.get_program().display()))?.success())
}

fn succeed(command: &mut Command) -> Result<()> {
    ensure!(status(command)?, "{} failed: its messages are above", command.get_program().display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_not_there_is_answered_with_those_that_are() {
        let targets = targets(&workspace::root()).expect("the targets");
        assert!(targets.contains(&"manifests".to_owned()), "{targets:?}");
        assert_eq!(select(targets.clone(), &[]).expect("all"), targets);
        assert_eq!(select(targets.clone(), &["links".to_owned()]).expect("one"), ["links"]);
        let error = select(targets, &["link".to_owned()]).expect_err("misspelt").to_string();
        assert!(error.contains("no target link;") && error.contains("links, manifests"), "{error}");
    }
}
