//! `storage cp`.

use std::process::ExitCode;

use clap::Args;

use super::FileLine;
use crate::catalog::{FileId, FileVersionId, UserId};
use crate::cli::context::Context;
use crate::service::CopyFileOptions;

/// Copies a file and prints the id of the copy.
#[derive(Debug, Args)]
pub(in crate::cli) struct Cp {
    /// The file
    id: FileId,
    /// Whose file it is
    #[arg(long, short)]
    user: UserId,
    /// The name of the copy
    #[arg(long)]
    name: Option<String>,
    /// The version; the current one where absent
    #[arg(long, value_name = "VERSION-ID")]
    version: Option<FileVersionId>,
}

impl Cp {
    pub(in crate::cli) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let options = CopyFileOptions { version: self.version, filename: self.name, metadata: None };
        let copy =
            context.with_service(async |service| service.copy(self.id, &self.user, options).await).await?;
        context.output.answer(&FileLine::of(&copy), || copy.id.to_string())
    }
}
