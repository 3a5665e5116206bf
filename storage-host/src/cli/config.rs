//! `storage config show | check`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::table::table;
use crate::config::Setting;
use crate::manager::{StorageManager, load_plugins};
use crate::plugin::BackendRegistry;

/// Looks at the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Shows every setting, its value and where the value comes from; secrets are masked
    Show {
        /// Only settings whose key or variable holds this text
        #[arg(default_value = "")]
        filter: String,
    },
    /// Checks the whole configuration, the plugins' part included, and opens nothing
    Check,
}

impl Config {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut registry = context.registry();
        match self {
            Config::Show { filter } => show(context, &mut registry, &filter),
            Config::Check => check(context, &mut registry),
        }
    }
}

fn show(context: &Context, registry: &mut BackendRegistry, filter: &str) -> anyhow::Result<ExitCode> {
    // A plugin that cannot be loaded is no reason to show nothing: its backends are shown as far as they are known.
    let mut faults = Vec::new();
    let modules = load_plugins(&context.loaded, registry, &mut faults);
    for fault in &faults {
        context.output.remark(&format!("warning: {}", fault.to_error()));
    }
    let schemas: Vec<_> = modules.iter().map(|(name, module)| (name.as_str(), module.schema())).collect();
    let schemas: Vec<_> = schemas.iter().map(|(name, schema)| (*name, schema)).collect();
    let settings = context.loaded.describe(&schemas);
    let filter = filter.to_lowercase();
    let matches = |setting: &&Setting| {
        let variable = setting.variable.as_deref().unwrap_or_default().to_lowercase();
        setting.key.to_lowercase().contains(&filter) || variable.contains(&filter)
    };
    let shown: Vec<&Setting> = settings.iter().filter(matches).collect();
    context.output.answer(&shown, || {
        let row = |setting: &&Setting| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            [setting.key.clone(), text(&setting.value), text(&setting.origin), text(&setting.variable)]
        };
        table(["KEY", "VALUE", "FROM", "VARIABLE"], shown.iter().map(row))
    })
}

fn check(context: &Context, registry: &mut BackendRegistry) -> anyhow::Result<ExitCode> {
    StorageManager::check(&context.loaded, registry).map_err(storage_core::Error::from)?;
    context.output.answer(&json!({ "ok": true }), || "the configuration is in order".to_owned())
}
