//! The parent's part: starts children until every case has an outcome, and says in which one the library took the process
//! with it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use storage_core::{Error, ErrorKind};
use tokio::process::Command;
use tokio::time::timeout;

use super::child::{Event, Request};
use super::report::{self, Report, Trial, Verdict};
use crate::cli::context::Context;
use crate::plugin::Code;
use crate::plugin::child::{Happened, LibraryProcess, ended_early};

/// After so many ends of the process nobody learns anything new.
const MAX_ENDS: usize = 20;

/// What came of a run.
pub(super) enum Ran {
    /// Every case has an outcome.
    Told(Box<Report>),
    /// Nothing could be run, as was said on standard error: the exit code.
    Refused(u8),
}

/// Runs all of these cases on a plugin, and tells about each group of them when it is done.
pub(super) async fn all(
    plugin: &Path,
    cases: Vec<String>,
    patience: Duration,
    context: &Context,
) -> anyhow::Result<Ran> {
    let at_once = std::thread::available_parallelism().map_or(2, usize::from);
    // What a child cannot remove any more goes with this.
    let scratch = tempfile::TempDir::with_prefix("storage-verify-")?;
    let begun = Instant::now();
    let mut ends = 0;
    let mut queue = Queue { waiting: cases.into(), suspects: VecDeque::new() };
    let mut report: Option<Report> = None;
    while let Some((cases, at_once)) = queue.next(at_once) {
        if ends == MAX_ENDS {
            let reason = format!("the library took the process with it {MAX_ENDS} times before");
            for name in cases {
                queue.ended(&name);
                let report = report.as_mut().ok_or_else(|| anyhow::anyhow!("no backend was ever opened"))?;
                add(report, Trial::told(name, Verdict::LeftOut, reason.clone()), context)?;
            }
            continue;
        }
        let request = Request { cases, at_once };
        let child = LibraryProcess::start(again(scratch.path())?, request).await?;
        let mut round = Round { running: Vec::new(), stage: Stage::Start, refused: None };
        let end = round.follow(child, patience, &mut queue, &mut report, context).await?;
        if let Some(code) = round.refused {
            return Ok(Ran::Refused(code));
        }
        let Some(words) = end else { continue };
        ends += 1;
        match (round.running.as_slice(), &mut report) {
            ([name], Some(report)) => {
                queue.ended(name);
                add(report, Trial::told(name.clone(), Verdict::Failed, words.of_case()), context)?;
            }
            // Several ran: each is tried again, alone.
            ([_, ..], Some(_)) => queue.suspects = round.running.into(),
            ([], Some(report)) if round.stage == Stage::Closing => {
                let trial = Trial::told("close::the_backend_closes".to_owned(), Verdict::Failed, words.text);
                add(report, trial, context)?;
            }
            _ => return Err(words.into_error(plugin, round.stage).into()),
        }
    }
    let mut report = report.ok_or_else(|| anyhow::anyhow!("no backend was opened"))?;
    if let Some(group) = report.end(begun.elapsed()) {
        report::print_group(&group, context.output)?;
    }
    Ok(Ran::Told(Box::new(report)))
}

fn add(report: &mut Report, trial: Trial, context: &Context) -> anyhow::Result<()> {
    if let Some(group) = report.add(trial) {
        report::print_group(&group, context.output)?;
    }
    Ok(())
}

/// This command again, as a child whose temporary folders lie in this one.
fn again(scratch: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--in-child").env("TMPDIR", scratch);
    Ok(command)
}

/// The cases that have no outcome yet.
struct Queue {
    waiting: VecDeque<String>,
    /// Those in one of which the library took the process with it; they come first, one by one.
    suspects: VecDeque<String>,
}

impl Queue {
    /// What to run next, and how much of it at once.
    fn next(&mut self, at_once: usize) -> Option<(Vec<String>, usize)> {
        match self.suspects.front() {
            Some(suspect) => Some((vec![suspect.clone()], 1)),
            None if self.waiting.is_empty() => None,
            None => Some((self.waiting.iter().cloned().collect(), at_once)),
        }
    }

    /// A case has an outcome.
    fn ended(&mut self, name: &str) {
        self.waiting.retain(|waiting| waiting != name);
        self.suspects.retain(|suspect| suspect != name);
    }
}

/// How far a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Loading,
    Opening,
    Running,
    Closing,
    Done,
}

/// One child.
struct Round {
    /// The cases that have begun and not come out.
    running: Vec<String>,
    stage: Stage,
    refused: Option<u8>,
}

impl Round {
    /// Follows a child to its end. Answers what the library did where that came too early.
    async fn follow(
        &mut self,
        mut child: LibraryProcess<Event>,
        patience: Duration,
        queue: &mut Queue,
        report: &mut Option<Report>,
        context: &Context,
    ) -> anyhow::Result<Option<Words>> {
        let ended = loop {
            match timeout(patience, child.next()).await {
                Err(_) => break None,
                Ok(Happened::Ended(status)) => break Some(status),
                Ok(Happened::Told(event)) => self.note(event, queue, report, context)?,
            }
        };
        for event in child.end().await {
            self.note(event, queue, report, context)?;
        }
        Ok(match ended {
            _ if self.refused.is_some() => None,
            Some(Ok(status)) if status.success() && self.stage == Stage::Done => None,
            Some(status) => Some(Words::of_end(&status)),
            None => Some(Words::of_silence(patience)),
        })
    }

    fn note(
        &mut self,
        event: Event,
        queue: &mut Queue,
        report: &mut Option<Report>,
        context: &Context,
    ) -> anyhow::Result<()> {
        match event {
            Event::Loading => self.stage = Stage::Loading,
            Event::Opening => self.stage = Stage::Opening,
            Event::Opened(head) => {
                self.stage = Stage::Running;
                if report.is_none() {
                    report.insert(Report::new(*head)).print_head(context.output)?;
                }
            }
            Event::Began(name) => self.running.push(name),
            Event::Came(trial) => {
                self.running.retain(|name| *name != trial.name);
                queue.ended(&trial.name);
                if let Some(report) = report {
                    add(report, trial, context)?;
                }
            }
            Event::Closing => self.stage = Stage::Closing,
            Event::Refused(code) => self.refused = Some(code),
            Event::Done => self.stage = Stage::Done,
        }
        Ok(())
    }
}

/// What a library did to the process that loaded it.
struct Words {
    code: Code,
    text: String,
}

impl Words {
    fn of_end(status: &io::Result<ExitStatus>) -> Self {
        let (code, text, _) = ended_early(status);
        Self { code, text }
    }

    fn of_silence(patience: Duration) -> Self {
        let text = format!("it stood still for {} s", patience.as_secs_f64());
        Self { code: Code::TimedOut, text }
    }

    /// The reason why a case has failed.
    fn of_case(&self) -> String {
        format!("the plugin is not fit for any host: {} while this case ran", self.text)
    }

    /// The error of a command that has nothing to report.
    fn into_error(self, plugin: &Path, stage: Stage) -> Error {
        let name = plugin.file_name().unwrap_or(plugin.as_os_str()).display();
        let stage = match stage {
            Stage::Start => "the process started that was to load it",
            Stage::Loading => "it was loaded",
            Stage::Opening => "it opened a backend",
            Stage::Running => "it waited for the first case",
            Stage::Closing | Stage::Done => "its backend was closed",
        };
        Error::new(ErrorKind::PluginLoad, format!("{name}: {} while {stage}", self.text))
            .with_context("code", self.code)
            .with_context("next_step", "`storage plugins doctor PATH` says more; tell the plugin's author")
    }
}
