//! A process that runs libraries in place of this one, and tells on its standard output how far it is.
//!
//! The parent sends one line through standard input, since it may hold secrets and arguments are seen by everybody. The
//! child's lines go through standard output, to which libraries may write as well: each begins with a mark that the
//! parent chose. `doctor` and `storage plugins verify` run such children; nothing here knows what they tell.

use std::io::{self, BufRead, Write};
use std::marker::PhantomData;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::diagnosis::Code;

/// A line longer than this is none of ours, in bytes.
const LINE_BYTES: usize = 1024 * 1024;

/// How long to wait for what a child that ended may still have written.
pub(super) const DRAIN: Duration = Duration::from_secs(1);

/// What the parent sends.
#[derive(Deserialize, Serialize)]
struct Letter<R> {
    mark: String,
    request: R,
}

/// A child that was started. It is killed where this is dropped before its end.
pub struct LibraryProcess<E> {
    process: Child,
    group: Option<u32>,
    events: Events<E>,
    /// The child ends where its other end is closed.
    _stdin: ChildStdin,
}

/// What a child did next.
#[derive(Debug)]
pub enum Happened<E> {
    /// It told something.
    Told(E),
    /// It ended.
    Ended(io::Result<ExitStatus>),
}

impl<E: DeserializeOwned> LibraryProcess<E> {
    /// Starts a child that reads the request.
    ///
    /// # Errors
    ///
    /// `Internal` where it cannot be started.
    pub async fn start(mut command: Command, request: impl Serialize) -> Result<Self> {
        let mark = format!("{}:", uuid::Uuid::now_v7().simple());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // What the library starts in its turn ends with it.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn().map_err(not_started)?;
        let (Some(mut stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(not_started(io::Error::other("its pipes are missing")));
        };
        let letter = Letter { mark: mark.clone(), request };
        let line = serde_json::to_string(&letter).map_err(|error| not_started(error.into()))?;
        // A child that ended already is told by its exit.
        let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
        let events = Events { mark, stdout: Some(stdout), pending: Vec::new(), kind: PhantomData };
        Ok(Self { group: process.id(), process, events, _stdin: stdin })
    }

    /// The child's standard error, where the command was told to keep it.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.process.stderr.take()
    }

    /// Waits for what it does next. Loses nothing when it is dropped meanwhile.
    pub async fn next(&mut self) -> Happened<E> {
        tokio::select! {
            biased;
            event = self.events.next() => Happened::Told(event),
            status = self.process.wait() => Happened::Ended(status),
        }
    }

    /// Ends the child, where it still runs, and all that it started; and gives what it told before.
    pub async fn end(mut self) -> Vec<E> {
        end_group(self.group);
        // Where even that does not help, the system is the one to blame.
        let _ = timeout(DRAIN, self.process.kill()).await;
        let mut told = Vec::new();
        while let Ok(Some(event)) = timeout(DRAIN, self.events.next_before_end()).await {
            told.push(event);
        }
        told
    }
}

fn not_started(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "the process that runs a library could not be started").with_source(error)
}

/// The child's events, out of all that is written to its standard output.
struct Events<E> {
    mark: String,
    stdout: Option<ChildStdout>,
    pending: Vec<u8>,
    kind: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Events<E> {
    /// The next event. Never comes back once the output ended: then the child's end says the rest.
    async fn next(&mut self) -> E {
        match self.next_before_end().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// The next event, or none where the output ended. Loses nothing when it is dropped meanwhile.
    async fn next_before_end(&mut self) -> Option<E> {
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

/// Reads what the parent wants, and the mark with which to answer.
///
/// # Errors
///
/// Where the line cannot be read or understood.
pub fn read_request<R: DeserializeOwned>(input: &mut impl BufRead) -> io::Result<(R, String)> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let Letter { mark, request } = serde_json::from_str(&line)?;
    Ok((request, mark))
}

/// Writes events to the parent.
pub struct Reporter<W> {
    mark: String,
    output: W,
}

impl<W: Write> Reporter<W> {
    /// A reporter that answers with this mark.
    pub fn new(mark: impl Into<String>, output: W) -> Self {
        Self { mark: mark.into(), output }
    }

    /// Writes one event, on a line of its own whatever the library wrote before.
    ///
    /// # Errors
    ///
    /// Where nobody reads the output any longer.
    pub fn tell(&mut self, event: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(event)?;
        writeln!(self.output, "\n{}{text}", self.mark)?;
        self.output.flush()
    }
}

/// The event of a line, unless the library wrote it.
fn parse<E: DeserializeOwned>(mark: &str, line: &[u8]) -> Option<E> {
    serde_json::from_slice(line.strip_prefix(mark.as_bytes())?).ok()
}

/// How a process ended that did not come to its end: the code of the diagnosis, what the library did, and a fact.
pub fn ended_early(status: &io::Result<ExitStatus>) -> (Code, String, Option<(&'static str, String)>) {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let words = format!("nothing is known of how the process ended that loaded it: {error}");
            return (Code::Exited, words, None);
        }
    };
    match signal(*status) {
        Some(signal) => {
            let words = format!("it crashed with {}", signal_name(signal));
            (Code::Crashed, words, Some(("signal", signal.to_string())))
        }
        None => {
            let code = status.code().map_or_else(|| "?".to_owned(), |code| code.to_string());
            let words = format!("it ended the process with the exit code {code}");
            (Code::Exited, words, Some(("exit_code", code)))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_writes_between_is_passed_over() {
        let mut written = b"hello".to_vec();
        Reporter::new("mark:", &mut written).tell(&"open").expect("written");
        written.extend(b"\"exit\"\n");
        let events: Vec<String> =
            written.split(|byte| *byte == b'\n').filter_map(|line| parse("mark:", line)).collect();
        assert_eq!(events, ["open"]);
    }
}
