//! `storage reload`.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::context::Context;
use super::remote::Remote;

/// Lets the running service read its configuration again, and do what it says of backends
///
/// A configuration that would stop a start is refused with every fault, and the service goes on as before.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    remote: Remote,
}

impl Reload {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let value = self.remote.call(context, Method::POST, "/v1/admin/reload", None).await?;
        context.output.answer(&value, || text(&value))
    }
}

fn text(value: &Value) -> String {
    let primary = value["primary_backend"].as_str().unwrap_or_default();
    let mut lines = vec![format!("new files go to {primary}")];
    for (member, words) in [
        ("opened", "opened"),
        ("waiting", "did not open yet, and is tried again"),
        ("not_configured", "is not in the configuration, and open until the service ends"),
        ("after_restart", "has changed, and counts from the next start on"),
    ] {
        let names = value[member].as_array().into_iter().flatten().filter_map(Value::as_str);
        lines.extend(names.map(|name| format!("{name}: {words}")));
    }
    lines.join("\n")
}
