//! Tries a library in a process of its own, so that one that crashes, ends or never comes back harms nobody.
//!
//! The parent calls [`supervise()`] with a command that starts the program again; the child calls [`examine()`]. The child
//! tells each [`Stage`] before it enters it, so that the parent knows where the library was when it took the
//! process with it. A library that may not be loaded at all ([`super::Verdict::Refused`]) never gets this far.

mod inside;
mod supervise;
mod wire;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::diagnosis::Diagnosis;

pub use inside::examine;
pub use supervise::supervise;
pub use wire::Request;

/// How far an examination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The child starts; nothing of the library was touched.
    Start,
    /// Its manifest is read, which runs nothing of it.
    Manifest,
    /// The system loads it and runs its constructors.
    Load,
    /// It gives its module: the functions that a host calls.
    Module,
    /// It tells the keys of its configuration.
    Schema,
    /// It opens a backend.
    Open,
    /// The backend tells how it is and answers a read and a listing. Nothing is written.
    Check,
    /// The backend is closed.
    Close,
    /// The child ends, and the library's destructors run.
    Exit,
}

impl Stage {
    /// The name that reports give it.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Start => "start",
            Stage::Manifest => "manifest",
            Stage::Load => "load",
            Stage::Module => "module",
            Stage::Schema => "schema",
            Stage::Open => "open",
            Stage::Check => "check",
            Stage::Close => "close",
            Stage::Exit => "exit",
        }
    }

    /// What happens in it, after "while".
    const fn meaning(self) -> &'static str {
        match self {
            Stage::Start => "the process started that was to load it",
            Stage::Manifest => "its manifest was read",
            Stage::Load => "the system loaded it and ran its constructors",
            Stage::Module => "it gave its functions to the host",
            Stage::Schema => "it told the keys of its configuration",
            Stage::Open => "it opened a backend",
            Stage::Check => "its backend was asked how it is",
            Stage::Close => "its backend was closed",
            Stage::Exit => "the process ended and ran its destructors",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a library: a [`Diagnosis`] that crosses from the child to the parent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Finding {
    /// The stage in which it showed.
    pub stage: Stage,
    /// The code of the diagnosis.
    pub code: String,
    /// What is the case.
    pub cause: String,
    /// What to do about it.
    pub next_step: String,
    /// Facts by name.
    pub facts: Vec<(String, String)>,
}

impl Finding {
    /// The finding that a diagnosis is.
    pub fn new(stage: Stage, diagnosis: &Diagnosis) -> Self {
        Self {
            stage,
            code: diagnosis.code.to_string(),
            cause: diagnosis.cause.clone(),
            next_step: diagnosis.next_step.clone(),
            facts: diagnosis.facts.clone(),
        }
    }
}

/// What an examination found.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// The last stage that was entered.
    pub stage: Stage,
    /// The backends that were opened and checked, by name.
    pub opened: Vec<String>,
    /// Why no backend was opened, where none was to be.
    pub not_opened: Option<String>,
    /// The keys of the library's configuration, where it told them.
    pub keys: Vec<String>,
    /// What is wrong; empty for a healthy library.
    pub findings: Vec<Finding>,
    /// Beginning and end of what the child wrote to standard error, where something is wrong.
    pub said: Option<String>,
}
