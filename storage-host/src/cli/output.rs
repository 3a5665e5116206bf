//! Answers and errors as they are written: for people, or in JSON.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use storage_core::Error;

use super::exit;

/// How the process writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) quiet: bool,
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

    /// Writes a line to standard output. A reader who went away (`storage ls | head`) is no error.
    pub(super) fn line(self, text: &str) -> anyhow::Result<()> {
        match writeln!(io::stdout().lock(), "{text}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Writes a line to standard error.
    pub(super) fn remark(self, text: &str) {
        // Nobody is left to tell where standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Writes an error to standard error and gives its exit code.
    pub(super) fn fail(self, error: &anyhow::Error) -> ExitCode {
        let text =
            if self.json { json!({ "error": error_json(error) }).to_string() } else { error_text(error) };
        self.remark(&text);
        ExitCode::from(exit::code(error))
    }
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
    for (name, value) in named.chain(error.context()) {
        match name {
            "next_step" => next_step = Some(value),
            "fault" => lines.push(format!("  - {value}")),
            name => lines.push(format!("  {}: {value}", name.replace('_', " "))),
        }
    }
    lines.extend(error.causes().into_iter().map(|cause| format!("  because: {cause}")));
    lines.extend(next_step.map(|step| format!("  next step: {step}")));
    lines.join("\n")
}

fn error_json(error: &anyhow::Error) -> Value {
    let Some(error) = error.downcast_ref::<Error>() else {
        return json!({ "kind": "internal", "message": format!("{error:#}") });
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
    })
}

/// A table without frames: columns that `cut` and `awk` can take apart.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A moment, in UTC and RFC 3339, to the second.
pub(super) fn moment(time: SystemTime) -> String {
    let timestamp =
        Timestamp::try_from(time).ok().and_then(|time| Timestamp::from_second(time.as_second()).ok());
    timestamp.map_or_else(|| "?".to_owned(), |timestamp| timestamp.to_string())
}
