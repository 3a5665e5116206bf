//! `storage catalog fsck | rebuild | audit`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::arguments::duration;
use super::context::Context;
use super::exit;
use super::table::{count, moment, table};
use crate::catalog::{AuditEntry, UserId};
use crate::service::{
    BackendFindings, BackendRebuild, FsckOptions, FsckReport, RebuildReport, SimpleStorageService,
};

/// Checks, repairs and rebuilds the catalog, and reads its audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Catalog {
    /// Compares the catalog with what the backends hold
    Fsck {
        /// Removes objects that are provably nobody's, and corrects usage counters
        #[arg(long)]
        repair: bool,
        /// How long a save must have shown no sign of life to count as unfinished; 0s only while no host runs
        #[arg(long, value_parser = duration, default_value = "15m")]
        age: Duration,
    },
    /// Adds every file that a backend holds and the catalog does not know
    Rebuild,
    /// Shows the latest lines of the audit log, newest first
    Audit {
        /// Only lines about files of this user
        #[arg(long, short)]
        user: Option<UserId>,
        /// How many lines at most
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

impl Catalog {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        context.with_service(async |service| self.work(service, context).await).await
    }

    async fn work(self, service: &SimpleStorageService, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Catalog::Fsck { repair, age } => {
                let report = service.fsck(FsckOptions { repair, age }).await?;
                context.output.answer(&report, || fsck_text(&report))?;
                Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(exit::DAMAGE) })
            }
            Catalog::Rebuild => {
                let report = service.rebuild_catalog().await?;
                context.output.answer(&report, || rebuild_text(&report))?;
                let failed = report.backends.values().any(|rebuild| !rebuild.failed.is_empty());
                Ok(if failed { ExitCode::from(exit::DAMAGE) } else { ExitCode::SUCCESS })
            }
            Catalog::Audit { user, limit } => {
                let lines = service.catalog().audit_log(user.as_ref(), limit).await?;
                let values: Vec<_> = lines.iter().map(audit_value).collect();
                context.output.list(&values, "the audit log has no such line", || audit_text(&lines))
            }
        }
    }
}

fn fsck_text(report: &FsckReport) -> String {
    let mut lines = Vec::new();
    lines.extend(report.catalog_problems.iter().map(|problem| format!("catalog: {problem}")));
    lines.extend(report.wrong_usage.iter().map(|user| format!("usage of user {user} was wrong")));
    for (name, findings) in &report.backends {
        lines.extend(findings_lines(name, findings));
    }
    lines.extend(unknown_lines(&report.unknown_backends));
    if report.removed_objects > 0 {
        lines.push(format!("removed {} of nobody's", count(report.removed_objects, "object", "objects")));
    }
    if report.released_bytes > 0 {
        lines.push(format!(
            "released {} that were promised to unfinished saves",
            count(report.released_bytes, "byte", "bytes")
        ));
    }
    lines.push(
        if report.is_clean() { "everything is in order" } else { "not everything is in order" }.to_owned(),
    );
    lines.join("\n")
}

fn findings_lines(name: &str, findings: &BackendFindings) -> Vec<String> {
    let mut lines = vec![format!(
        "{name}: {}, {}",
        count(findings.objects, "object", "objects"),
        count(findings.versions, "version", "versions")
    )];
    let mut add =
        |what: &str, keys: Vec<&str>| lines.extend(keys.into_iter().map(|key| format!("  {what}: {key}")));
    add("nobody's, --repair removes it", findings.orphans.iter().map(String::as_str).collect());
    add(
        "unknown to the catalog, 'catalog rebuild' takes it up",
        findings.unexplained.iter().map(String::as_str).collect(),
    );
    add("lost", findings.missing.iter().map(|missing| missing.key.as_str()).collect());
    add(
        "of another length than was saved",
        findings.wrong_size.iter().map(|wrong| wrong.key.as_str()).collect(),
    );
    lines
}

/// What is said of backends that are not configured and on which versions lie.
pub(super) fn unknown_lines(unknown: &BTreeMap<String, u64>) -> impl Iterator<Item = String> {
    unknown.iter().map(|(name, versions)| {
        let versions = count(*versions, "version", "versions");
        format!("{name}: {versions} on a backend that the configuration does not name")
    })
}

fn rebuild_text(report: &RebuildReport) -> String {
    let line = |(name, rebuild): (&String, &BackendRebuild)| {
        let mut lines = vec![format!(
            "{name}: {}, {} taken up, {} known before, {} digested",
            count(rebuild.objects, "object", "objects"),
            rebuild.adopted,
            rebuild.known,
            rebuild.digested
        )];
        lines.extend(rebuild.foreign.iter().map(|key| format!("  not the service's: {key}")));
        lines.extend(rebuild.failed.iter().map(|(key, reason)| format!("  not taken up: {key}: {reason}")));
        lines
    };
    let mut lines: Vec<String> = report.backends.iter().flat_map(line).collect();
    if !report.lost.is_empty() {
        lines.push("only a backup of the catalog brings back:".to_owned());
    }
    lines.extend(report.lost.iter().map(|lost| format!("  {lost}")));
    lines.join("\n")
}

fn audit_value(line: &AuditEntry) -> serde_json::Value {
    json!({
        "at": moment(line.at),
        "actor": line.actor,
        "user": line.user,
        "action": line.action,
        "file": line.file,
        "version": line.version,
        "outcome": line.outcome,
        "correlation_id": line.correlation_id,
        "remote": line.remote,
    })
}

fn audit_text(lines: &[AuditEntry]) -> String {
    let row = |line: &AuditEntry| {
        [
            moment(line.at),
            line.actor.clone(),
            line.user.to_string(),
            line.action.clone(),
            line.outcome.clone(),
            line.file.map(|file| file.to_string()).unwrap_or_default(),
        ]
    };
    table(["AT", "WHO", "WHOSE", "WHAT", "OUTCOME", "FILE"], lines.iter().map(row))
}
