//! `storage versions`.

use std::process::ExitCode;

use clap::Args;

use super::FileLine;
use crate::catalog::{FileId, FileVersionId, UserId};
use crate::cli::context::Context;
use crate::cli::table::{size, table};

/// Lists the versions of a file, newest first, or makes an older one current again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Versions {
    /// The file
    id: FileId,
    /// Whose file it is
    #[arg(long, short)]
    user: UserId,
    /// Makes this version the current one again, as a new version
    #[arg(long, value_name = "VERSION-ID")]
    restore: Option<FileVersionId>,
}

impl Versions {
    pub(in crate::cli) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if let Some(version) = self.restore {
            let info = context
                .with_service(async |service| service.restore_version(self.id, &self.user, version).await)
                .await?;
            return context.output.answer(&FileLine::of(&info), || info.version.to_string());
        }
        let versions =
            context.with_service(async |service| service.versions(self.id, &self.user).await).await?;
        let lines: Vec<FileLine> = versions.iter().map(FileLine::of).collect();
        context.output.answer(&lines, || {
            let row = |line: &FileLine| {
                let mark = if line.is_current { "current" } else { "" };
                [
                    line.version_number.to_string(),
                    line.version.clone(),
                    size(line.size_bytes),
                    line.updated_at.clone(),
                    line.filename.clone(),
                    mark.to_owned(),
                ]
            };
            table(["NUMBER", "VERSION", "SIZE", "SAVED", "NAME", ""], lines.iter().map(row))
        })
    }
}
