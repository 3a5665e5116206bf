//! `storage plugins lock`.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::table::table;
use crate::plugin::{LockedPlugin, WrittenLock, write_locks};

pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let locks = write_locks(&context.loaded.config.plugin_dirs)?;
    let values: Vec<_> =
        locks.iter().map(|lock| json!({ "path": lock.path, "plugins": lock.plugins })).collect();
    for lock in &locks {
        context.output.remark(&format!("wrote {}", lock.path.display()));
    }
    context.output.list(
        &values,
        "no plugin was found that could be locked; see: storage plugins list",
        || {
            let row = |plugin: &LockedPlugin| {
                [
                    plugin.backend_type.clone(),
                    plugin.version.clone(),
                    plugin.file.clone(),
                    plugin.sha256.clone(),
                ]
            };
            let plugins = locks.iter().flat_map(|lock: &WrittenLock| &lock.plugins);
            table(["TYPE", "VERSION", "FILE", "SHA-256"], plugins.map(row))
        },
    )
}
