//! `storage config show | check`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use storage_core::ConfigSchema;

use super::context::Context;
use super::table::table;
use crate::config::Setting;
use crate::manager::StorageManager;
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
    let schemas = schemas(context, registry, |problem| context.output.remark(&format!("warning: {problem}")));
    let settings = context.loaded.describe(&borrowed(&schemas));
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

/// The schemas of the plugins that the configuration names, by backend type.
fn schemas(
    context: &Context,
    registry: &mut BackendRegistry,
    mut report: impl FnMut(storage_core::Error),
) -> BTreeMap<String, ConfigSchema> {
    let mut schemas = BTreeMap::new();
    for backend in context.loaded.config.backends.values() {
        if schemas.contains_key(&backend.backend_type) {
            continue;
        }
        match registry.load(&backend.backend_type) {
            Ok(plugin) => {
                schemas.insert(backend.backend_type.clone(), plugin.schema());
            }
            Err(diagnosis) => report(diagnosis.to_error()),
        }
    }
    schemas
}

fn borrowed(schemas: &BTreeMap<String, ConfigSchema>) -> Vec<(&str, &ConfigSchema)> {
    schemas.iter().map(|(backend_type, schema)| (backend_type.as_str(), schema)).collect()
}
