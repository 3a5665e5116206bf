//! The parent's part: starts the child, follows its stages, and says how it ended.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use storage_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::wire::{Event, parse};
use super::{Examination, Finding, Request, Stage};
use crate::plugin::diagnosis::{Code, Diagnosis};

/// How much of what the child says on standard error is kept, in bytes: of its beginning, and of its end.
const SAID_BYTES: usize = 1000;

/// A line longer than this is none of ours, in bytes.
const LINE_BYTES: usize = 1024 * 1024;

/// How long to wait for what a child that ended may still have written.
const DRAIN: Duration = Duration::from_secs(1);

/// Examines a library in a child process: `command` starts the program that calls [`super::examine`] with the request
/// on its standard input. Each stage may take as long as `patience` says.
///
/// # Errors
///
/// Where the child cannot be started. Whatever the library does is in the answer.
pub async fn supervise(
    mut command: Command,
    mut request: Request,
    patience: Duration,
) -> Result<Examination> {
    request.mark = format!("{}:", uuid::Uuid::now_v7().simple());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // What the library starts in its turn ends with it.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(not_started)?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(not_started(io::Error::other("its pipes are missing")));
    };
    let group = child.id();
    let line = serde_json::to_string(&request).map_err(|error| not_started(error.into()))?;
    // A child that ended already is told by its exit.
    let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
    let said = tokio::spawn(excerpt(stderr));
    let mut watch = Watch {
        events: Events { mark: request.mark.clone(), stdout: Some(stdout), pending: Vec::new() },
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
    watch.follow(&mut child, group, patience).await;
    // The child holds on to its standard input: where it ends, the parent is gone.
    drop(stdin);
    let said = timeout(DRAIN, said).await.ok().and_then(std::result::Result::ok).unwrap_or_default();
    let mut found = watch.found;
    found.said = (!found.findings.is_empty() && !said.is_empty()).then_some(said);
    Ok(found)
}

fn not_started(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "the process that examines a library could not be started")
        .with_source(error)
}

struct Watch<'a> {
    events: Events,
    path: &'a Path,
    found: Examination,
}

impl Watch<'_> {
    /// Follows the child to its end, or ends it.
    async fn follow(&mut self, child: &mut Child, group: Option<u32>, patience: Duration) {
        let mut deadline = Instant::now() + patience;
        let ended = loop {
            let next = timeout_at(deadline, async {
                tokio::select! {
                    biased;
                    event = self.events.next() => Happened::Told(event),
                    status = child.wait() => Happened::Ended(status),
                }
            });
            match next.await {
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
        end_group(group);
        if ended.is_none() {
            self.find(&self.hung(patience));
            // It was told to end in any case; where even that does not help, the system is the one to blame.
            let _ = timeout(DRAIN, child.kill()).await;
        }
        while let Ok(event) = timeout(DRAIN, self.events.next_before_end()).await {
            let Some(event) = event else { break };
            self.note(event);
        }
        match ended {
            None => {}
            Some(Ok(status)) if status.success() && self.found.stage == Stage::Exit => {}
            Some(Ok(status)) => self.find(&self.ended_early(status)),
            Some(Err(error)) => {
                let words = format!("nothing is known of how the process ended that loaded it: {error}");
                self.find(&self.gone(Code::Exited, &words));
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

    fn ended_early(&self, status: ExitStatus) -> Diagnosis {
        match signal(status) {
            Some(signal) => {
                let words = format!("it crashed with {}", signal_name(signal));
                self.gone(Code::Crashed, &words).with_fact("signal", signal.to_string())
            }
            None => {
                let code = status.code().map_or_else(|| "?".to_owned(), |code| code.to_string());
                let words = format!("it ended the process with the exit code {code}");
                self.gone(Code::Exited, &words).with_fact("exit_code", code)
            }
        }
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

enum Happened {
    Told(Event),
    Ended(io::Result<ExitStatus>),
}

/// The child's events, out of all that is written to its standard output.
struct Events {
    mark: String,
    stdout: Option<ChildStdout>,
    pending: Vec<u8>,
}

impl Events {
    /// The next event. Never comes back once the output ended: then the child's end says the rest.
    async fn next(&mut self) -> Event {
        match self.next_before_end().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// The next event, or none where the output ended. Loses nothing when it is dropped meanwhile.
    async fn next_before_end(&mut self) -> Option<Event> {
        let mut chunk = [0; 4096];
        loop {
            while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                if let Some(event) = parse(&self.mark, &line) {
                    return Some(event);
                }
            }
            if self.pending.len() > LINE_BYTES {
                self.pending.clear();
            }
            match self.stdout.as_mut()?.read(&mut chunk).await {
                Ok(length) if length > 0 => self.pending.extend_from_slice(&chunk[..length]),
                // The end, and what cannot be read any further, are the same to whoever waits.
                _ => self.stdout = None,
            }
        }
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

/// Ends every process that the child started and left.
#[cfg(unix)]
fn end_group(group: Option<u32>) {
    let group = group.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(group) = group {
        // There is none left in most cases, which is the point.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(not(unix))]
fn end_group(_group: Option<u32>) {}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

/// The name of a signal that ends a process.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        // Linux and the others number these differently.
        5 if cfg!(target_os = "linux") => "SIGTRAP",
        7 if cfg!(target_os = "linux") => "SIGBUS",
        31 if cfg!(target_os = "linux") => "SIGSYS",
        other => return format!("the signal {other}"),
    };
    name.to_owned()
}
