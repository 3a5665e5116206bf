//! `storage versions`.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use super::files::FileLine;
use super::output::{size, table};
use crate::catalog::{FileId, FileVersionId, UserId};

/// Lists the versions of a file, newest first, or makes an older one current again.
#[derive(Debug, Args)]
pub(super) struct Versions {
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
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let service = context.service().await?;
        if let Some(version) = self.restore {
            let info = service.restore_version(self.id, &self.user, version).await?;
            service.close().await?;
            return context.output.answer(&FileLine::of(&info), || info.version.to_string());
        }
        let versions = service.versions(self.id, &self.user).await?;
        service.close().await?;
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
