//! `storage plugins doctor`, and the hidden command with which it examines one library in a process of its own.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cli::arguments::{duration, pair};
use crate::cli::context::Context;
use crate::cli::exit;
use crate::cli::table::{count, table};
use crate::plugin::child::{self, Reporter};
use crate::plugin::doctor::{self, Examination, Finding, Request, Stage};
use crate::plugin::{BackendRegistry, Candidate, Verdict};

/// The name of the hidden command.
pub(super) const EXAMINE: &str = "examine";

/// How many libraries are examined at once. One that spins uses a whole processor.
const AT_ONCE: usize = 2;

/// Tries every library in a process of its own: loads it, opens and checks what is configured, and says what is wrong.
///
/// Nothing is written to any backend. A library that crashes, ends the process or never comes back harms only
/// its own process. Exit code 8 where anything is wrong.
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {
    /// A directory of plugins, or one library; the plugin directories where absent
    path: Option<PathBuf>,
    /// A setting to open the library's backend with, before those of the configuration
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// How long a library may take for each stage
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

/// What became of a library.
struct Report {
    candidate: Candidate,
    state: &'static str,
    /// Absent where it was not run.
    examination: Option<Examination>,
    findings: Vec<Finding>,
}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (candidates, missing) = self.candidates(context)?;
        let is_one = candidates.len() == 1;
        let examinations = candidates.into_iter().map(|candidate| self.report(context, candidate, is_one));
        let reports: Vec<Report> = stream::iter(examinations).buffered(AT_ONCE).try_collect().await?;
        self.warn_of_unknown_settings(context, &reports);

        let wrong = reports.iter().filter(|report| !report.findings.is_empty()).count();
        let value = json!({
            "sound": wrong == 0,
            "directories_missing": missing,
            "plugins": reports.iter().map(Report::value).collect::<Vec<_>>(),
        });
        context.output.answer(&value, || text(&reports))?;
        Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::DAMAGE) })
    }

    /// The libraries to examine, and the directories that cannot be searched.
    fn candidates(&self, context: &Context) -> anyhow::Result<(Vec<Candidate>, Vec<PathBuf>)> {
        let registry = match &self.path {
            // The system's loader looks for a bare name elsewhere than here.
            Some(path) => match std::path::absolute(path)? {
                path if path.is_dir() => BackendRegistry::discover(&[path]),
                path => return Ok((vec![Candidate::of_file(&path)], Vec::new())),
            },
            None => context.registry(),
        };
        let mut missing = Vec::new();
        for directory in registry.directories() {
            if let Some(fault) = &directory.fault {
                context.output.remark(&format!("{}: {}", fault.code, fault.cause));
                missing.push(directory.path.clone());
            }
        }
        Ok((registry.list_all_backends().to_vec(), missing))
    }

    async fn report(&self, context: &Context, candidate: Candidate, is_one: bool) -> anyhow::Result<Report> {
        let not_opened = match &candidate.verdict {
            Verdict::Refused(diagnosis) => {
                let findings = vec![Finding::new(Stage::Manifest, diagnosis)];
                return Ok(Report { candidate, state: "refused", examination: None, findings });
            }
            Verdict::Shadowed { by } => Some(format!("{} comes first", by.display())),
            Verdict::Usable => None,
        };
        let mut request = Request::new(candidate.path.clone());
        request.settings.clone_from(&self.settings);
        request.settings_are_shared = !is_one;
        request.not_opened = not_opened;
        let examination = doctor::supervise(command(context)?, request, self.timeout).await?;
        let findings = examination.findings.clone();
        let state = match findings.last().map(|finding| finding.code.as_str()) {
            None if examination.opened.is_empty() => "loads",
            None => "healthy",
            Some("plugin_crashed") => "crashed",
            Some("plugin_exited") => "exited",
            Some("plugin_timed_out") => "hung",
            Some(_) => "failed",
        };
        Ok(Report { candidate, state, examination: Some(examination), findings })
    }

    /// A setting that no library took is most likely misspelt.
    fn warn_of_unknown_settings(&self, context: &Context, reports: &[Report]) {
        let keys =
            || reports.iter().filter_map(|report| report.examination.as_ref()).flat_map(|found| &found.keys);
        for (name, _) in &self.settings {
            if reports.len() > 1 && !keys().any(|key| key == name) {
                context.output.remark(&format!("warning: no library has a setting {name}"));
            }
        }
    }
}

/// This program again, as the child that examines a library.
fn command(context: &Context) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut arguments: Vec<OsString> = vec!["plugins".into(), EXAMINE.into()];
    if let Some(path) = &context.config_file {
        arguments.extend(["--config".into(), path.into()]);
    }
    command.args(arguments);
    Ok(command)
}

/// The child: reads the request from standard input and examines the library.
pub(super) async fn examine(context: &Context) -> anyhow::Result<ExitCode> {
    let (request, mark) = child::read_request::<Request>(&mut io::stdin().lock())?;
    be_a_child()?;
    doctor::examine(&request, &context.loaded, Reporter::new(mark, io::stdout())).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prepares a process that is to run libraries for a parent that waits for it.
pub(super) fn be_a_child() -> io::Result<()> {
    // A library that spins would otherwise outlive a parent that was killed.
    end_with_the_parent()?;
    leave_no_core_dump();
    Ok(())
}

/// From here on the process ends when nobody holds the other end of its standard input any longer.
fn end_with_the_parent() -> io::Result<()> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        // A thread that starts takes the loader's lock, which a constructor that spins never gives back.
        let _ = ready.send(());
        let mut byte = [0];
        while matches!(io::stdin().lock().read(&mut byte), Ok(1)) {}
        end_at_once();
    })?;
    is_ready.recv().map_err(io::Error::other)
}

/// Ends the process without asking anybody: an orderly exit would wait for the loader's lock.
#[cfg(unix)]
fn end_at_once() {
    use rustix::process::{Signal, getpid, kill_process};

    if kill_process(getpid(), Signal::KILL).is_err() {
        std::process::abort();
    }
}

#[cfg(not(unix))]
fn end_at_once() {
    std::process::abort();
}

/// A library that crashes here is expected; its memory is of no use to anybody.
#[cfg(unix)]
fn leave_no_core_dump() {
    use rustix::process::{Resource, Rlimit, setrlimit};

    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::debug!(%error, "core dumps cannot be turned off");
    }
}

#[cfg(not(unix))]
fn leave_no_core_dump() {}

impl Report {
    fn value(&self) -> Value {
        let found = self.examination.as_ref();
        json!({
            "path": self.candidate.path,
            "type": self.candidate.backend_type,
            "version": self.candidate.manifest.as_ref().map(|manifest| &manifest.plugin_version),
            "state": self.state,
            "stage": self.stage(),
            "opened": found.map(|found| found.opened.clone()).unwrap_or_default(),
            "not_opened": found.and_then(|found| found.not_opened.clone()),
            "findings": self.findings.iter().map(finding_value).collect::<Vec<_>>(),
            "said": found.and_then(|found| found.said.clone()),
        })
    }

    /// Where it went wrong, else the last stage.
    fn stage(&self) -> Stage {
        let reached = self.examination.as_ref().map_or(Stage::Manifest, |found| found.stage);
        self.findings.first().map_or(reached, |finding| finding.stage)
    }

    fn row(&self) -> [String; 5] {
        let result = match (self.findings.as_slice(), &self.examination) {
            ([first, ..], _) => first.code.clone(),
            ([], Some(found)) if !found.opened.is_empty() => format!("opened {}", found.opened.join(", ")),
            ([], Some(found)) => {
                format!("not opened: {}", found.not_opened.as_deref().unwrap_or("nothing was to be opened"))
            }
            ([], None) => String::new(),
        };
        [
            self.candidate.backend_type.clone().unwrap_or_else(|| "?".to_owned()),
            self.state.to_owned(),
            if self.findings.is_empty() { String::new() } else { self.stage().to_string() },
            self.candidate.path.display().to_string(),
            result,
        ]
    }

    /// What is wrong and what to do, for people.
    fn advice(&self) -> Option<String> {
        let mut lines = Vec::new();
        for finding in &self.findings {
            lines.push(format!("[{}] {}", finding.code, finding.cause));
            lines.extend(
                finding.facts.iter().map(|(name, value)| format!("  {}: {value}", name.replace('_', " "))),
            );
            lines.push(format!("  next step: {}", finding.next_step));
        }
        let said = self.examination.as_ref().and_then(|found| found.said.as_deref());
        // A terminal is not for a library to steer.
        let printable = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
        lines.extend(
            said.iter().flat_map(|said| said.lines()).map(|line| format!("  it said: {}", printable(line))),
        );
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

fn finding_value(finding: &Finding) -> Value {
    let facts: Vec<Value> = finding.facts.iter().map(|(name, value)| json!({ name: value })).collect();
    json!({
        "stage": finding.stage,
        "code": finding.code,
        "cause": finding.cause,
        "next_step": finding.next_step,
        "facts": facts,
    })
}

fn text(reports: &[Report]) -> String {
    if reports.is_empty() {
        return "no plugin was found; build them with: cargo xtask build-plugins".to_owned();
    }
    let mut parts =
        vec![table(["TYPE", "STATE", "STAGE", "FILE", "RESULT"], reports.iter().map(Report::row))];
    parts.extend(reports.iter().filter_map(Report::advice));
    let wrong = reports.iter().filter(|report| !report.findings.is_empty()).count();
    parts.push(match wrong {
        0 => format!("nothing is wrong with {}", count(reports.len() as u64, "library", "libraries")),
        wrong => format!(
            "something is wrong with {wrong} of {}; each code has a page in docs/errors",
            count(reports.len() as u64, "library", "libraries")
        ),
    });
    parts.join("\n\n")
}
