//! `cargo xtask soak`: the kill loop of the tests in its long form, with its account.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{staging, workspace};

/// Kill the service again and again while clients work, and show what was kept
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often it is killed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let built = workspace::build_for_tests(&workspace::plugins()?)?;
    staging::stage_beside(&built.libraries)?;
    let mut test = workspace::cargo();
    test.args(["test", "--workspace", "--test", "durability", "kill::", "--", "--nocapture"]);
    test.env("STORAGE_TEST_KILLS", args.kills.to_string());
    let status = test.status().context("cargo could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
