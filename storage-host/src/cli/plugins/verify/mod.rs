//! `storage plugins verify`: the conformance suite on any plugin, opened beside whatever the service uses.
//!
//! The command itself loads nothing: a child process does (`child`), so that a library that crashes, ends the process or
//! stands still takes a case with it and not the report. `run` starts children until every case has an outcome.

mod child;
mod junit;
mod report;
mod run;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use storage_conformance::Case;

use self::run::Ran;
use crate::cli::arguments::{duration, pair, usage};
use crate::cli::context::Context;
use crate::cli::{exit, local};

/// Runs the conformance suite on a plugin: every case that its capabilities call for
///
/// The plugin is opened with the settings that are given here, and works on objects of its own, which are removed. A
/// folder that it needs and that is not given is a temporary one. It is loaded by a process of its own, so that one that
/// crashes is told with the case that it crashed in. Exits with 8 where a case fails.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// A library, or the backend type of a plugin that is found
    #[arg(value_name = "PATH|TYPE")]
    plugin: PathBuf,
    /// Sets a key of its configuration, as in path=/mnt/scratch
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Starts from the settings of this configured backend, so that no secret need be written here
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The backend keeps nothing when it is closed, as one in memory: leaves out the cases that open it again
    #[arg(long)]
    volatile: bool,
    /// Runs only the cases whose name contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Writes the report to this file too, in the form of JUnit
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How long nothing may happen before the plugin counts as one that stands still; a case ends itself after 3 minutes
    #[arg(long, value_name = "TIME", default_value = "4min", value_parser = duration)]
    timeout: Duration,
    /// Loads the plugin and runs the cases that standard input names
    #[arg(long, hide = true)]
    in_child: bool,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if self.in_child {
            return child::run(&self, context).await;
        }
        let wanted = |case: &Case| self.only.as_ref().is_none_or(|text| case.name.contains(text));
        let cases = storage_conformance::all().into_iter().filter(wanted).map(|case| case.name);
        let cases: Vec<String> = cases.collect();
        if cases.is_empty() {
            return Err(usage("no case of the suite has a name that contains the text of --only").into());
        }
        let report = match run::all(&self.plugin, cases, self.timeout, context).await? {
            Ran::Told(report) => report,
            // The child said why on standard error, as this command would have.
            Ran::Refused(code) => return Ok(ExitCode::from(code)),
        };
        if let Some(file) = &self.junit {
            fs::write(file, junit::write(&report))
                .map_err(|error| local::error("the report cannot be written", file, error))?;
        }
        context.output.answer(&*report, || report.verdict())?;
        Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::from(exit::DAMAGE) })
    }
}
