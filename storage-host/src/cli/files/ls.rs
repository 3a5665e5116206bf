//! `storage ls`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::FileLine;
use crate::catalog::{FileQuery, SortBy, UserId};
use crate::cli::arguments::at_most;
use crate::cli::context::Context;
use crate::cli::table::{size, table};
use crate::service::SimpleStorageService;

/// How many files the service is asked for at a time.
const PAGE_FILES: u64 = 1_000;

/// Lists files.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ls {
    /// Only files whose name starts with this text
    #[arg(default_value = "")]
    prefix: String,
    /// Whose files
    #[arg(long, short)]
    user: UserId,
    /// The order
    #[arg(long, value_enum, default_value_t = Sort::Created)]
    sort: Sort,
    /// Turns the order around
    #[arg(long, short)]
    reverse: bool,
    /// How many files at most
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_parser = at_most)]
    limit: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Created,
    Updated,
    Name,
    Size,
}

impl Ls {
    pub(in crate::cli) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let query = FileQuery {
            filename_prefix: self.prefix.clone(),
            sort: match self.sort {
                Sort::Created => SortBy::CreatedAt,
                Sort::Updated => SortBy::UpdatedAt,
                Sort::Name => SortBy::Filename,
                Sort::Size => SortBy::Size,
            },
            descending: self.reverse,
            ..FileQuery::default()
        };
        let files = context.with_service(async |service| self.collect(service, query).await).await?;
        let empty = match self.prefix.as_str() {
            "" => format!("{} has no files", self.user),
            prefix => format!("no file of {} has a name that starts with {prefix:?}", self.user),
        };
        context.output.list(&files, &empty, || {
            let row = |file: &FileLine| {
                [
                    file.id.clone(),
                    size(file.size_bytes),
                    file.updated_at.clone(),
                    file.content_type.clone(),
                    file.filename.clone(),
                ]
            };
            table(["ID", "SIZE", "UPDATED", "TYPE", "NAME"], files.iter().map(row))
        })
    }

    async fn collect(
        &self,
        service: &SimpleStorageService,
        mut query: FileQuery,
    ) -> anyhow::Result<Vec<FileLine>> {
        let mut files = Vec::new();
        loop {
            let missing = self.limit - files.len() as u64;
            query.limit = u32::try_from(missing.min(PAGE_FILES))?;
            if query.limit == 0 {
                break;
            }
            let page = service.list(&self.user, query.clone()).await?;
            files.extend(page.files.iter().map(FileLine::of));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        Ok(files)
    }
}
