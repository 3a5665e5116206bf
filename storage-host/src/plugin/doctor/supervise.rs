//! The parent's part: starts the child, follows its stages, and says how it ended.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use storage_core::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::{Instant, timeout, timeout_at};

use super::wire::Event;
use super::{Examination, Finding, Request, Stage};
use crate::plugin::child::{DRAIN, Happened, LibraryProcess, ended_early};
use crate::plugin::diagnosis::{Code, Diagnosis};

/// How much of what the child says on standard error is kept, in bytes: of its beginning, and of its end.
const SAID_BYTES: usize = 1000;

/// Examines a library in a child process: `command` starts the program that calls [`super::examine`] with the request
/// on its standard input. Each stage may take as long as `patience` says.
///
/// # Errors
///
/// Where the child cannot be started. Whatever the library does is in the answer.
pub async fn supervise(mut command: Command, request: Request, patience: Duration) -> Result<Examination> {
    command.stderr(Stdio::piped());
    let mut child = LibraryProcess::start(command, &request).await?;
    let said = child.stderr().map(|stderr| tokio::spawn(excerpt(stderr)));
    let mut watch = Watch {
        path: &request.path,
        found: Examination {
            stage: Stage::Start,
            opened: Vec::new(),
            not_opened: None,
            keys: Vec::new(),
            findings: Vec::new(),
            said: None,
        },
    };
    watch.follow(child, patience).await;
    let said = match said {
        Some(said) => timeout(DRAIN, said).await.ok().and_then(std::result::Result::ok).unwrap_or_default(),
        None => String::new(),
    };
    let mut found = watch.found;
    found.said = (!found.findings.is_empty() && !said.is_empty()).then_some(said);
    Ok(found)
}

struct Watch<'a> {
    path: &'a Path,
    found: Examination,
}

impl Watch<'_> {
    /// Follows the child to its end, or ends it.
    async fn follow(&mut self, mut child: LibraryProcess<Event>, patience: Duration) {
        let mut deadline = Instant::now() + patience;
        let ended = loop {
            match timeout_at(deadline, child.next()).await {
                Err(_) => break None,
                Ok(Happened::Ended(status)) => break Some(status),
                Ok(Happened::Told(event)) => {
                    if matches!(event, Event::Entering(_)) {
                        deadline = Instant::now() + patience;
                    }
                    self.note(event);
                }
            }
        };
        if ended.is_none() {
            self.find(&self.hung(patience));
        }
        for event in child.end().await {
            self.note(event);
        }
        match ended {
            None => {}
            Some(Ok(status)) if status.success() && self.found.stage == Stage::Exit => {}
            Some(status) => {
                let (code, words, fact) = ended_early(&status);
                let diagnosis = self.gone(code, &words);
                let diagnosis = match fact {
                    Some((name, value)) => diagnosis.with_fact(name, value),
                    None => diagnosis,
                };
                self.find(&diagnosis);
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Entering(stage) => self.found.stage = stage,
            Event::Keys(keys) => self.found.keys = keys,
            Event::Opened(name) => self.found.opened.push(name),
            Event::NotOpened(why) => self.found.not_opened = Some(why),
            Event::Found(finding) => self.found.findings.push(finding),
        }
    }

    fn find(&mut self, diagnosis: &Diagnosis) {
        self.found.findings.push(Finding::new(self.found.stage, diagnosis));
    }

    fn hung(&self, patience: Duration) -> Diagnosis {
        let words = format!("it did not come back within {} s", patience.as_secs_f64());
        self.gone(Code::TimedOut, &words)
    }

    /// The library took the process with it, or never gave it back.
    fn gone(&self, code: Code, words: &str) -> Diagnosis {
        let name = self.path.file_name().unwrap_or(OsStr::new("?")).display();
        let stage = self.found.stage;
        let cause = format!("{name}: {words} while {}", stage.meaning());
        let next_step = match stage {
            Stage::Start => {
                "try again; a machine without memory or processes to spare shows itself like this"
            }
            Stage::Open | Stage::Check | Stage::Close if code == Code::TimedOut => {
                "check that its provider can be reached and its settings are right, or allow more time with --timeout; \
                 else it is a fault of the plugin: tell its author"
            }
            _ => {
                "take the file out of the plugin directory and tell the plugin's author: no host can use it safely"
            }
        };
        Diagnosis::new(code, cause, next_step).at(self.path)
    }
}

/// Beginning and end of what is written, as text: a panic tells its reason first, an allocator last.
async fn excerpt(mut stderr: impl AsyncRead + Unpin) -> String {
    let (mut beginning, mut end) = (Vec::new(), Vec::new());
    let mut is_whole = true;
    let mut chunk = [0; 4096];
    while let Ok(length) = stderr.read(&mut chunk).await {
        if length == 0 {
            break;
        }
        let (first, rest) = chunk[..length].split_at(length.min(SAID_BYTES - beginning.len()));
        beginning.extend_from_slice(first);
        end.extend_from_slice(rest);
        let surplus = end.len().saturating_sub(SAID_BYTES);
        end.drain(..surplus);
        is_whole &= surplus == 0;
    }
    let between = if is_whole { "" } else { "\n…\n" };
    let text = format!("{}{between}{}", String::from_utf8_lossy(&beginning), String::from_utf8_lossy(&end));
    text.trim().to_owned()
}
