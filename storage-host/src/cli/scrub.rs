//! `storage scrub`.

use std::num::NonZeroU64;
use std::process::ExitCode;

use clap::Args;

use super::arguments::rate;
use super::catalog::unknown_lines;
use super::context::Context;
use super::exit;
use super::table::{count, size, table};
use crate::service::{ScrubOptions, ScrubReport};

/// Reads every stored version and compares it with the digest that was recorded when it was saved.
///
/// May run beside a service. One that is broken off goes on where it was. What is damaged is told here, in the audit log
/// and as an event; nothing is changed.
#[derive(Debug, Args)]
pub(super) struct Scrub {
    /// Reads no more than so much in a second: 50MiB/s
    #[arg(long, value_name = "SIZE/s", value_parser = rate)]
    rate: Option<NonZeroU64>,
    /// Reads one backend alone
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Begins anew where an earlier one was broken off
    #[arg(long)]
    restart: bool,
}

impl Scrub {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let Self { rate, backend, restart } = self;
        let options = ScrubOptions { bytes_per_second: rate, backend, restart };
        let report = context.with_service(async |service| service.scrub(options).await).await?;
        context.output.answer(&report, || text(&report))?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(exit::DAMAGE) })
    }
}

fn text(report: &ScrubReport) -> String {
    let mut lines = Vec::new();
    let mut damaged = Vec::new();
    for (name, scrub) in &report.backends {
        let read = count(scrub.versions, "version", "versions");
        let from = scrub.resumed_after.as_ref().map_or("", |_| ", going on where it was broken off");
        lines.push(format!("{name}: {read} read, {}{from}", size(scrub.bytes)));
        lines.extend(scrub.unread.iter().map(|(key, reason)| format!("  not read: {key}: {reason}")));
        damaged.extend(scrub.damaged.iter().map(|object| {
            [
                object.damage.name().to_owned(),
                object.user.to_string(),
                object.file.to_string(),
                object.version.to_string(),
                name.clone(),
                object.key.clone(),
            ]
        }));
    }
    lines.extend(unknown_lines(&report.unknown_backends));
    if !damaged.is_empty() {
        lines.push(table(["DAMAGE", "WHOSE", "FILE", "VERSION", "BACKEND", "KEY"], damaged));
    }
    lines.push(
        if report.is_clean() { "everything is what was saved" } else { "not everything is what was saved" }
            .to_owned(),
    );
    lines.join("\n")
}
