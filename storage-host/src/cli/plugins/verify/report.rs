//! [`Report`]: what the suite found, for people and for programs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage_conformance::Outcome;
use storage_core::abi::PluginModule;
use storage_core::{BackendInfo, Capabilities};

use crate::cli::output::Output;
use crate::cli::table::count;

/// What the suite found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) head: Head,
    passes: bool,
    pub(super) seconds: f64,
    #[serde(flatten)]
    counts: Counts,
    pub(super) groups: Vec<Group>,
}

/// What was verified.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Head {
    pub(super) plugin: Plugin,
    backend: Opened,
}

/// The library.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Plugin {
    pub(super) r#type: String,
    path: String,
    version: String,
    interface: String,
}

/// The backend that it opened.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Opened {
    location: String,
    server: Option<String>,
    capabilities: Vec<String>,
    not_supported: Vec<String>,
}

/// The cases of one part of the suite.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Group {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) counts: Counts,
    #[serde(rename = "cases")]
    pub(super) trials: Vec<Trial>,
}

/// How many cases came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) not_supported: u64,
    pub(super) left_out: u64,
}

/// One case.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Trial {
    pub(super) name: String,
    pub(super) outcome: Verdict,
    pub(super) reason: Option<String>,
    pub(super) seconds: f64,
}

/// How a case came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Verdict {
    #[serde(rename = "passed")]
    Passed,
    #[serde(rename = "not supported")]
    NotSupported,
    #[serde(rename = "left out")]
    LeftOut,
    #[serde(rename = "failed")]
    Failed,
}

impl Trial {
    pub(super) fn new(name: String, outcome: &Outcome, took: Duration) -> Self {
        let (outcome, reason) = match outcome {
            Outcome::Passed => (Verdict::Passed, None),
            Outcome::NotSupported(capability) => (Verdict::NotSupported, Some(capability.names().join(", "))),
            Outcome::LeftOut(reason) => (Verdict::LeftOut, Some(reason.clone())),
            Outcome::Failed(reason) => (Verdict::Failed, Some(reason.clone())),
        };
        Self { name, outcome, reason, seconds: took.as_secs_f64() }
    }

    /// One that the suite itself has no outcome of.
    pub(super) fn told(name: String, outcome: Verdict, reason: String) -> Self {
        Self { name, outcome, reason: Some(reason), seconds: 0.0 }
    }

    fn group(&self) -> &str {
        self.name.split_once("::").map_or(self.name.as_str(), |(group, _)| group)
    }
}

impl Counts {
    fn add(&mut self, outcome: Verdict) {
        *match outcome {
            Verdict::Failed => &mut self.failed,
            Verdict::NotSupported => &mut self.not_supported,
            Verdict::LeftOut => &mut self.left_out,
            Verdict::Passed => &mut self.passed,
        } += 1;
    }

    /// Only what there is, failures last, where the eye stops.
    fn text(self) -> String {
        let parts = [
            (self.passed, "passed"),
            (self.not_supported, "not supported"),
            (self.left_out, "left out"),
            (self.failed, "FAILED"),
        ];
        let told = parts.into_iter().filter(|(number, _)| *number > 0);
        told.map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", ")
    }
}

impl Head {
    pub(super) fn new(module: &PluginModule, info: &BackendInfo) -> Self {
        let manifest = module.manifest();
        let missing = Capabilities::ALL.iter().filter(|(one, _)| !info.capabilities.has(*one));
        Self {
            plugin: Plugin {
                r#type: manifest.backend_type.clone(),
                path: module.path().display().to_string(),
                version: manifest.plugin_version.clone(),
                interface: manifest.abi.to_string(),
            },
            backend: Opened {
                location: info.location.clone(),
                server: info.server.clone(),
                capabilities: info.capabilities.names().into_iter().map(str::to_owned).collect(),
                not_supported: missing.map(|(_, name)| (*name).to_owned()).collect(),
            },
        }
    }
}

impl Report {
    /// One without any case yet.
    pub(super) fn new(head: Head) -> Self {
        Self { head, passes: true, seconds: 0.0, counts: Counts::default(), groups: Vec::new() }
    }

    /// Whether no case failed.
    pub(super) fn passes(&self) -> bool {
        self.passes
    }

    /// How many cases came out how.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes in a trial. Where it begins a new group, the one before is answered, which is complete.
    pub(super) fn add(&mut self, trial: Trial) -> Option<Group> {
        self.counts.add(trial.outcome);
        self.passes &= trial.outcome != Verdict::Failed;
        let mut complete = None;
        if self.groups.last().is_none_or(|group| group.name != trial.group()) {
            complete = self.groups.last().cloned();
            let name = trial.group().to_owned();
            self.groups.push(Group { name, counts: Counts::default(), trials: Vec::new() });
        }
        if let Some(group) = self.groups.last_mut() {
            group.counts.add(trial.outcome);
            group.trials.push(trial);
        }
        complete
    }

    /// The suite has ended. Answers the last group.
    pub(super) fn end(&mut self, took: Duration) -> Option<Group> {
        self.seconds = took.as_secs_f64();
        self.groups.last().cloned()
    }

    /// Says what is verified, before it begins.
    pub(super) fn print_head(&self, output: Output) -> anyhow::Result<()> {
        if output.json {
            return Ok(());
        }
        let or_none = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let Head { plugin, backend } = &self.head;
        output.line(&format!("plugin         {} {} ({})", plugin.r#type, plugin.version, plugin.path))?;
        output.line(&format!("opened         {}", backend.location))?;
        output.line(&format!("supports       {}", or_none(&backend.capabilities)))?;
        output.line(&format!("not supported  {}\n", or_none(&backend.not_supported)))
    }

    /// The last lines.
    pub(super) fn verdict(&self) -> String {
        let mut lines = vec![String::new()];
        for (reason, number) in self.left_out() {
            lines.push(format!("left out: {}, since {reason}", count(number, "case", "cases")));
        }
        lines.push(format!("{} in {:.1} s", self.counts.text(), self.seconds));
        let name = &self.head.plugin.r#type;
        lines.push(match self.counts.failed {
            0 => format!("{name} does what every backend must, and what it says that it can"),
            failed => format!("{name} does not behave as it must: {}", count(failed, "failure", "failures")),
        });
        lines.join("\n")
    }

    /// The reasons for which cases were left out, each with their number, in the order in which they came up.
    fn left_out(&self) -> Vec<(&str, u64)> {
        let mut reasons: Vec<(&str, u64)> = Vec::new();
        let trials = self.groups.iter().flat_map(|group| &group.trials);
        for trial in trials.filter(|trial| trial.outcome == Verdict::LeftOut) {
            let reason = trial.reason.as_deref().unwrap_or_default();
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, number)) => *number += 1,
                None => reasons.push((reason, 1)),
            }
        }
        reasons
    }
}

/// Says how a group came out, and why where it failed.
pub(super) fn print_group(group: &Group, output: Output) -> anyhow::Result<()> {
    if output.json {
        return Ok(());
    }
    output.line(&format!("{:<17} {}", group.name, group.counts.text()))?;
    for trial in group.trials.iter().filter(|trial| trial.outcome == Verdict::Failed) {
        let reason = trial.reason.as_deref().unwrap_or_default();
        output.line(&format!("  {}\n    {}", trial.name, reason.replace('\n', "\n    ")))?;
    }
    Ok(())
}
