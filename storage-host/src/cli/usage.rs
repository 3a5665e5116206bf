//! `storage usage`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use storage_core::Result;

use super::arguments::{Limit, bytes_limit, count_limit};
use super::context::Context;
use super::table::{size, table};
use crate::catalog::{self, Quota, UserId};
use crate::service::SimpleStorageService;

/// Shows what a user uses; with a limit, sets what the user may use.
///
/// A limit that is not given stays as it is. What is there already stays, even where it is more than a new limit.
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// The user
    #[arg(long, short)]
    user: UserId,
    /// Limits the bytes of all versions: 100MiB; none lifts the limit
    #[arg(long, value_name = "SIZE", value_parser = bytes_limit)]
    max_bytes: Option<Limit>,
    /// Limits the number of files; none lifts the limit
    #[arg(long, value_name = "NUMBER", value_parser = count_limit)]
    max_files: Option<Limit>,
    /// Gives back the configured limits (STORAGE_QUOTA_BYTES, STORAGE_QUOTA_FILES)
    #[arg(long, conflicts_with_all = ["max_bytes", "max_files"])]
    default_limits: bool,
}

impl Usage {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let found = context
            .with_service(async |service| {
                self.set_limits(service).await?;
                service.usage(&self.user).await
            })
            .await?;
        let value = json!({
            "user": self.user,
            "bytes": found.bytes,
            "files": found.files,
            "versions": found.versions,
            "reserved_bytes": found.reserved_bytes,
            "reserved_files": found.reserved_files,
            "max_bytes": found.quota.max_bytes,
            "max_files": found.quota.max_files,
        });
        context.output.answer(&value, || text(&found))
    }

    async fn set_limits(&self, service: &SimpleStorageService) -> Result<()> {
        if self.default_limits {
            return service.set_quota(&self.user, None).await;
        }
        if self.max_bytes.is_none() && self.max_files.is_none() {
            return Ok(());
        }
        let former = service.usage(&self.user).await?.quota;
        let quota = Quota {
            max_bytes: self.max_bytes.map_or(former.max_bytes, |Limit(limit)| limit),
            max_files: self.max_files.map_or(former.max_files, |Limit(limit)| limit),
        };
        service.set_quota(&self.user, Some(quota)).await
    }
}

fn text(found: &catalog::Usage) -> String {
    let limit = |limit: Option<String>| limit.unwrap_or_else(|| "none".to_owned());
    let row =
        |what: &str, used: String, reserved: String, limit: String| [what.to_owned(), used, reserved, limit];
    let rows = [
        row("bytes", size(found.bytes), size(found.reserved_bytes), limit(found.quota.max_bytes.map(size))),
        row(
            "files",
            found.files.to_string(),
            found.reserved_files.to_string(),
            limit(found.quota.max_files.map(|files| files.to_string())),
        ),
        row("versions", found.versions.to_string(), String::new(), String::new()),
    ];
    table(["", "USED", "RESERVED", "LIMIT"], rows)
}
