//! Answers and errors as they are written: for people, or in JSON.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};
use storage_core::Error;

use super::{exit, local};
use crate::plugin::Code;

/// How the process writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// Answers and errors are JSON.
    pub(super) json: bool,
    /// Nothing is written but answers and errors.
    pub(super) quiet: bool,
    /// Long transfers show how far they are.
    pub(super) progress: bool,
}

impl Output {
    /// Writes an answer: as JSON, or as the text that `text` gives.
    pub(super) fn answer(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<ExitCode> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { text() };
        self.line(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Writes a list: as JSON or, unless it is empty, as the text that `text` gives. People are told that it is empty
    /// on standard error, so that a program that reads the lines gets none.
    pub(super) fn list<T: Serialize>(
        self,
        values: &[T],
        empty: &str,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<ExitCode> {
        if values.is_empty() && !self.json {
            self.remark(empty);
            return Ok(ExitCode::SUCCESS);
        }
        self.answer(&values, text)
    }

    /// Writes a line to standard output. A reader who went away (`storage ls | head`) is no error.
    pub(super) fn line(self, text: &str) -> anyhow::Result<()> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// Writes bytes to standard output, as they are.
    pub(super) fn raw(self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written.map_err(|error| {
                local::error("the answer cannot be written", Path::new("standard output"), error)
            })?),
        }
    }

    /// Writes a line for people to standard error; nothing where nobody reads it.
    pub(super) fn remark(self, text: &str) {
        if !self.quiet && !self.json {
            error_line(text);
        }
    }

    /// Writes an error to standard error and gives its exit code.
    pub(super) fn fail(self, error: &anyhow::Error) -> ExitCode {
        error_line(&if self.json {
            json!({ "error": error_json(error) }).to_string()
        } else {
            error_text(error)
        });
        ExitCode::from(exit::code(error))
    }
}

fn error_line(text: &str) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// An error for people: the message, each fact on a line of its own, the causes, and last what to do.
fn error_text(error: &anyhow::Error) -> String {
    let Some(error) = error.downcast_ref::<Error>() else {
        return format!("error: {error:#}");
    };
    let mut lines = vec![format!("error: {}", error.message())];
    let named = [("operation", error.operation()), ("backend", error.backend()), ("key", error.key())];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut next_step = None;
    let mut page = None;
    for (name, value) in named.chain(error.context()) {
        match name {
            "next_step" => next_step = Some(value),
            "code" if Code::ALL.iter().any(|code| code.as_str() == value) => {
                lines.push(format!("  code: {value}"));
                page = Some(value);
            }
            "fault" => lines.push(format!("  - {value}")),
            name => lines.push(format!("  {}: {value}", name.replace('_', " "))),
        }
    }
    lines.extend(error.causes().into_iter().map(|cause| format!("  because: {cause}")));
    lines.extend(next_step.map(|step| format!("  next step: {step}")));
    lines.extend(page.map(|code| format!("  more: docs/errors/{code}.md")));
    lines.join("\n")
}

fn error_json(error: &anyhow::Error) -> Value {
    let exit_code = exit::code(error);
    let Some(error) = error.downcast_ref::<Error>() else {
        return json!({ "kind": "internal", "message": format!("{error:#}"), "exit_code": exit_code });
    };
    let context: Vec<Value> = error.context().map(|(name, value)| json!({ name: value })).collect();
    json!({
        "kind": error.kind().name(),
        "message": error.message(),
        "operation": error.operation(),
        "backend": error.backend(),
        "key": error.key(),
        "context": context,
        "causes": error.causes(),
        "exit_code": exit_code,
    })
}
