//! What parent and child of an examination say to each other: one line to the child, many to the parent.
//!
//! The parent's line goes through standard input, since settings may be secrets and arguments are seen by everybody.
//! The child's lines go through standard output, to which the library may write as well: each begins with a mark
//! that the parent chose.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Finding, Stage};

/// What the child is to do.
#[derive(Clone, Deserialize, Serialize)]
pub struct Request {
    /// The library.
    pub path: PathBuf,
    /// Settings that go before those of the configuration, by key or variable. Where there are any, one backend is
    /// opened; else every configured one of the library's type.
    pub settings: Vec<(String, String)>,
    /// Whether settings that the library does not know are for other libraries, so that they are no fault.
    pub settings_are_shared: bool,
    /// Why no backend is to be opened.
    pub not_opened: Option<String>,
    /// What each line to the parent begins with; the parent sets it.
    #[serde(default)]
    pub(super) mark: String,
}

impl Request {
    /// A library to be examined with what the configuration says.
    pub fn new(path: PathBuf) -> Self {
        Self { path, settings: Vec::new(), settings_are_shared: false, not_opened: None, mark: String::new() }
    }
}

/// One line to the parent.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The next stage begins.
    Entering(Stage),
    /// The keys of the configuration.
    Keys(Vec<String>),
    /// A backend was opened and answered.
    Opened(String),
    /// No backend is opened, and why.
    NotOpened(String),
    /// Something is wrong.
    Found(Finding),
}

/// Reads what the parent wants.
///
/// # Errors
///
/// Where the line cannot be read or understood.
pub fn read_request(input: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Writes events to the parent.
pub(super) struct Reporter<W> {
    mark: String,
    output: W,
}

impl<W: Write> Reporter<W> {
    pub(super) fn new(mark: &str, output: W) -> Self {
        Self { mark: mark.to_owned(), output }
    }

    /// Writes one event, on a line of its own whatever the library wrote before.
    pub(super) fn tell(&mut self, event: &Event) -> io::Result<()> {
        let text = serde_json::to_string(event)?;
        writeln!(self.output, "\n{}{text}", self.mark)?;
        self.output.flush()
    }
}

/// The event of a line, unless the library wrote it.
pub(super) fn parse(mark: &str, line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line.strip_prefix(mark.as_bytes())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_writes_between_is_passed_over() {
        let mut written = b"hello".to_vec();
        Reporter::new("mark:", &mut written).tell(&Event::Entering(Stage::Open)).expect("written");
        written.extend(b"{\"entering\":\"exit\"}\n");
        let events: Vec<_> =
            written.split(|byte| *byte == b'\n').filter_map(|line| parse("mark:", line)).collect();
        assert!(matches!(events[..], [Event::Entering(Stage::Open)]), "{events:?}");
    }
}
