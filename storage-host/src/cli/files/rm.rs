//! `storage rm`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use storage_core::{Error, ErrorKind, Result};

use crate::catalog::{FileId, FileVersionId, UserId};
use crate::cli::arguments::usage;
use crate::cli::context::Context;
use crate::service::SimpleStorageService;

/// Deletes files, or one version of a file.
///
/// A file that cannot be deleted is told, and the others are deleted all the same.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rm {
    /// The files
    #[arg(required = true, value_name = "ID")]
    ids: Vec<FileId>,
    /// Whose files they are
    #[arg(long, short)]
    user: UserId,
    /// Deletes only this version of the one file
    #[arg(long, value_name = "VERSION-ID")]
    version: Option<FileVersionId>,
}

impl Rm {
    pub(in crate::cli) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if self.version.is_some() && self.ids.len() > 1 {
            return Err(usage("--version goes with one file").into());
        }
        context.with_service(async |service| self.remove_all(service, context).await).await
    }

    /// Goes on after a file that cannot be deleted.
    async fn remove_all(
        &self,
        service: &SimpleStorageService,
        context: &Context,
    ) -> anyhow::Result<ExitCode> {
        let output = context.output;
        let mut deleted = Vec::new();
        let mut first_failure = None;
        for id in &self.ids {
            match self.remove(*id, service).await {
                Ok(()) => deleted.push(id.to_string()),
                Err(error) => {
                    let code = output.fail(&error.into());
                    first_failure.get_or_insert(code);
                }
            }
        }
        if output.json {
            output.line(&serde_json::to_string_pretty(&json!({ "deleted": deleted }))?)?;
        }
        Ok(first_failure.unwrap_or(ExitCode::SUCCESS))
    }

    async fn remove(&self, id: FileId, service: &SimpleStorageService) -> Result<()> {
        let (what, existed) = match self.version {
            Some(version) => ("version", service.delete_version(id, &self.user, version).await?),
            None => ("file", service.delete(id, &self.user).await?),
        };
        if existed {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("the user has no such {what}")).with_context("file", id))
    }
}
