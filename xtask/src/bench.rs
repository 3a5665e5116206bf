//! `cargo xtask bench`: builds all that is measured and its peers, and measures them beside one another.
//!
//! The program that measures is `tests/bench`, a workspace of its own, whose many dependencies nothing else builds. It
//! says what else it needs: programs of the system and real servers, which are found or installed here.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{servers, staging, tools, workspace};

/// Measure the service beside what people would use instead, and compare with the last run
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Names of rows, and options of the program that measures; `--help` after `--` lists them
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// The package that measures, from the root of the workspace.
pub(crate) const MANIFEST: &str = "tests/bench/Cargo.toml";

/// The plugin that keeps everything in memory: what it does takes no time, so that the rest can be measured.
const MEMORY_FIXTURE: &str = "storage-fixture-memory";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let program = build_bench(&workspace::target_folder()?)?;
    // What only asks about the program needs nothing else.
    let asks = ["--list", "--help", "-h"];
    if !args.arguments.iter().any(|argument| asks.contains(&argument.as_str())) {
        build_measured()?;
        provide(&program, &args.arguments)?;
    }
    let status = Command::new(&program).args(&args.arguments).status().context("starting the bench")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the program that measures, beside what it measures, and gives its path.
fn build_bench(target: &Path) -> Result<PathBuf> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--workspace", "--manifest-path", MANIFEST]);
    succeed(build.env("CARGO_TARGET_DIR", target))?;
    Ok(target.join("release").join(format!("storage-bench{}", std::env::consts::EXE_SUFFIX)))
}

/// Builds the service, all plugins and the plugin in memory, as they are shipped.
fn build_measured() -> Result<()> {
    let plugins = workspace::plugins()?;
    let built = workspace::build_with_host(&plugins, true)?;
    staging::stage_beside(&built.libraries)?;
    let mut build = workspace::cargo();
    succeed(build.args(["build", "--release", "--package", MEMORY_FIXTURE]))
}

/// Finds, installs or starts what the wanted rows need besides. What cannot be had is told; the rows that need it say
/// so again in the report.
fn provide(program: &Path, arguments: &[String]) -> Result<()> {
    let output = Command::new(program).arg("--needs").args(arguments).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the bench refuses its arguments");
    for need in String::from_utf8_lossy(&output.stdout).lines() {
        let provided = match need.split_once(' ') {
            Some(("program", name)) => install_program(name),
            Some(("installed", server)) => servers::install(server).map(drop),
            Some(("server", server)) => servers::start(server),
            _ => Err(anyhow::anyhow!("the bench needs something unknown: {need}")),
        };
        if let Err(error) = provided {
            eprintln!("warning: {need}: {error:#}");
        }
    }
    Ok(())
}

/// Makes sure that a program is there, from the system's packages.
fn install_program(name: &str) -> Result<()> {
    let package = if name == "nginx" { "nginx-light" } else { name };
    ensure!(tools::install(name, package), "`apt-get install {package}` (or its like) provides it");
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed: its messages are above", command.get_program().display());
    Ok(())
}
