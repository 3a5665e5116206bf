//! `storage usage`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::files::usage;
use super::output::size;
use crate::catalog::{Quota, UserId};

/// Shows what a user uses; with a limit, sets what the user may use.
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// The user
    #[arg(long, short)]
    user: UserId,
    /// Limits the bytes of all versions: 100MiB
    #[arg(long, value_parser = bytes)]
    max_bytes: Option<u64>,
    /// Limits the number of files
    #[arg(long)]
    max_files: Option<u64>,
    /// Gives back the default limits
    #[arg(long, conflicts_with_all = ["max_bytes", "max_files"])]
    default_limits: bool,
}

impl Usage {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let service = context.service().await?;
        if self.default_limits {
            service.set_quota(&self.user, None).await?;
        } else if self.max_bytes.is_some() || self.max_files.is_some() {
            if self.max_bytes.is_some_and(|bytes| i64::try_from(bytes).is_err()) {
                return Err(usage("--max-bytes is larger than can be counted"));
            }
            let former = service.usage(&self.user).await?.quota;
            let quota = Quota {
                max_bytes: self.max_bytes.or(former.max_bytes),
                max_files: self.max_files.or(former.max_files),
            };
            service.set_quota(&self.user, Some(quota)).await?;
        }
        let found = service.usage(&self.user).await?;
        service.close().await?;
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
        context.output.answer(&value, || {
            let limit = |limit: Option<String>| {
                limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {limit}"))
            };
            format!(
                "{} {} in {} files {}, {} versions",
                size(found.bytes),
                limit(found.quota.max_bytes.map(size)),
                found.files,
                limit(found.quota.max_files.map(|files| files.to_string())),
                found.versions,
            )
        })
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    storage_core::config::parse_size(text).ok_or_else(|| "write a size such as 1048576 or 100MiB".to_owned())
}
