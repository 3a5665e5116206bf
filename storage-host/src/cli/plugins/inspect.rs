//! `storage plugins inspect TYPE`: all that can be said of one plugin.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use storage_core::abi::PluginModule;
use storage_core::{
    BackendInfo, Capabilities, ConfigField, ConfigSchema, Error, ErrorKind, Extension, Limits, OpenRequest,
    Retry,
};

use crate::cli::context::Context;
use crate::cli::table::{size, table};
use crate::config::Setting;
use crate::plugin::{Diagnosis, PluginInfo, sha256_of};

/// The operations that every backend has.
const ALWAYS: &[&str] =
    &["save", "retrieve", "delete", "delete_many", "exists", "get_metadata", "list_files", "health"];

/// The operations that a capability brings.
const OPTIONAL: &[(Capabilities, &[&str])] = &[
    (Capabilities::COPY, &["copy"]),
    (Capabilities::PRESIGN_GET, &["presign get"]),
    (Capabilities::PRESIGN_PUT, &["presign put"]),
    (
        Capabilities::MULTIPART,
        &[
            "begin_multipart",
            "upload_part",
            "complete_multipart",
            "abort_multipart",
            "list_parts",
            "list_uploads",
        ],
    ),
    (Capabilities::VERSIONS, &["list_versions"]),
    (Capabilities::TIERS, &["set_tier"]),
    (Capabilities::RESTORE, &["restore", "restore_status"]),
    (Capabilities::LIFECYCLE, &["apply_lifecycle"]),
];

/// Shows one plugin: file, manifest, settings and, where a backend of its type is configured, what that can do.
///
/// This loads the plugin, and opens each configured backend of its type. Secrets are masked.
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The backend type, as `storage plugins list` shows it
    #[arg(value_name = "TYPE")]
    backend_type: String,
}

/// A configured backend of the plugin's type.
struct Configured {
    name: String,
    settings: Vec<Setting>,
    opened: Result<Arc<BackendInfo>, Diagnosis>,
}

impl Inspect {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut registry = context.registry();
        let plugin = registry.get_backend_info(&self.backend_type).map_err(Error::from)?;
        let sha256 = sha256_of(&plugin.path).map_err(|error| {
            Error::new(ErrorKind::PluginLoad, "the library cannot be read")
                .with_context("path", plugin.path.display())
                .with_source(error)
        })?;
        let module = registry.load(&self.backend_type).map_err(Error::from)?;
        let schema = module.schema();
        let configured = self.configured(context, &module, &schema).await?;
        let value = value(&plugin, &sha256, &schema, &configured);
        context.output.answer(&value, || text(&plugin, &sha256, &schema, &configured))
    }

    async fn configured(
        &self,
        context: &Context,
        module: &PluginModule,
        schema: &ConfigSchema,
    ) -> anyhow::Result<Vec<Configured>> {
        let loaded = &context.loaded;
        let settings = loaded.describe(&[(self.backend_type.as_str(), schema)]);
        let mut configured = Vec::new();
        for (name, _) in loaded.config.backends.iter().filter(|(_, of)| of.backend_type == self.backend_type)
        {
            let request = OpenRequest {
                name: name.clone(),
                config: loaded.backend_values(name, schema)?,
                ..OpenRequest::default()
            };
            let prefix = format!("backends.{name}.");
            let its = |setting: &&Setting| setting.key.strip_prefix(&prefix).is_some_and(|key| key != "type");
            configured.push(Configured {
                name: name.clone(),
                settings: settings.iter().filter(its).cloned().collect(),
                opened: open(context, module, request).await,
            });
        }
        Ok(configured)
    }
}

/// Opens a backend to ask what it can do, and closes it again.
async fn open(
    context: &Context,
    module: &PluginModule,
    request: OpenRequest,
) -> Result<Arc<BackendInfo>, Diagnosis> {
    let name = request.name.clone();
    let ask = async {
        let backend = module.open(request).await?;
        let info = backend.info();
        backend.close().await?;
        Ok(info)
    };
    let patience = context.loaded.config.calls.call_timeout;
    let asked = tokio::time::timeout(patience, ask).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, "the provider did not answer in time")
            .with_context("allowed_ms", patience.as_millis())
            .with_retry(Retry::May))
    });
    asked.map_err(|error| Diagnosis::open_failed(&name, &error))
}

fn value(plugin: &PluginInfo, sha256: &str, schema: &ConfigSchema, configured: &[Configured]) -> Value {
    let manifest = &plugin.manifest;
    let backends: Vec<Value> = configured.iter().map(backend_value).collect();
    json!({
        "type": manifest.backend_type,
        "description": manifest.description,
        "path": plugin.path,
        "sha256": sha256,
        "version": manifest.plugin_version,
        "interface": manifest.abi.to_string(),
        "storage_core": manifest.storage_core_version,
        "rustc": manifest.rustc_version,
        "target": manifest.target,
        "variable_prefix": manifest.variable_prefix,
        "settings": schema.fields.iter().map(field_value).collect::<Vec<_>>(),
        "backends": backends,
    })
}

fn field_value(field: &ConfigField) -> Value {
    json!({
        "key": field.key,
        "variable": field.variable,
        "expected": field.kind.expected(),
        "required": field.required,
        "secret": field.secret,
        "default": field.default,
        "description": field.description,
    })
}

fn backend_value(backend: &Configured) -> Value {
    let mut value = json!({ "name": backend.name, "settings": backend.settings });
    let described = match &backend.opened {
        Err(why) => {
            json!({ "opened": false, "code": why.code.as_str(), "cause": why.cause, "next_step": why.next_step })
        }
        Ok(info) => json!({
            "opened": true,
            "location": info.location,
            "server": info.server,
            "capabilities": info.capabilities.names(),
            "operations": operations(info.capabilities),
            "limits": limits(&info.limits).into_iter().map(|(name, value)| json!({ name: value })).collect::<Vec<_>>(),
            "extensions": info.extensions.iter().map(extension_value).collect::<Vec<_>>(),
        }),
    };
    if let (Value::Object(value), Value::Object(described)) = (&mut value, described) {
        value.extend(described);
    }
    value
}

fn extension_value(extension: &Extension) -> Value {
    let arguments: Vec<Value> = extension
        .arguments
        .iter()
        .map(|argument| json!({ "name": argument.name, "description": argument.description, "required": argument.required }))
        .collect();
    json!({
        "name": extension.name,
        "description": extension.description,
        "mutates": extension.mutates,
        "arguments": arguments,
    })
}

/// The operations of a backend with these capabilities.
fn operations(capabilities: Capabilities) -> Vec<&'static str> {
    let optional = OPTIONAL.iter().filter(|(capability, _)| capabilities.has(*capability));
    ALWAYS.iter().copied().chain(optional.flat_map(|(_, names)| names.iter().copied())).collect()
}

/// The limits that are known: bytes, numbers and seconds, as their names say.
fn limits(limits: &Limits) -> Vec<(&'static str, u64)> {
    let known = [
        ("max_object_bytes", limits.max_object_bytes),
        ("max_single_save_bytes", limits.max_single_save_bytes),
        ("min_part_bytes", limits.min_part_bytes),
        ("max_part_bytes", limits.max_part_bytes),
        ("max_parts", limits.max_parts.map(u64::from)),
        ("max_delete_batch", limits.max_delete_batch.map(u64::from)),
        ("max_list_page", limits.max_list_page.map(u64::from)),
        ("max_presign_expiry_s", limits.max_presign_expiry.map(|expiry| expiry.as_secs())),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn text(plugin: &PluginInfo, sha256: &str, schema: &ConfigSchema, configured: &[Configured]) -> String {
    let manifest = &plugin.manifest;
    let facts = [
        ("type", manifest.backend_type.clone()),
        ("description", manifest.description.clone()),
        ("file", plugin.path.display().to_string()),
        ("sha-256", sha256.to_owned()),
        ("version", manifest.plugin_version.clone()),
        ("interface", manifest.abi.to_string()),
        ("storage-core", manifest.storage_core_version.clone()),
        ("compiler", manifest.rustc_version.clone()),
        ("target", manifest.target.clone()),
    ];
    let mut parts = vec![table(["PLUGIN", ""], facts.map(|(name, value)| [name.to_owned(), value]))];
    parts.push(match schema.fields.as_slice() {
        [] => "It has no settings.".to_owned(),
        fields => {
            table(["SETTING", "VARIABLE", "EXPECTED", "DEFAULT", "DESCRIPTION"], fields.iter().map(field_row))
        }
    });
    if configured.is_empty() {
        parts.push(
            "No backend of this type is configured; what it can do is known once one is open.".to_owned(),
        );
    }
    parts.extend(configured.iter().map(backend_text));
    parts.join("\n\n")
}

fn field_row(field: &ConfigField) -> [String; 5] {
    let marks = [(field.required, "required"), (field.secret, "secret")];
    let marks: Vec<_> = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
    let expected = std::iter::once(field.kind.expected()).chain(marks.into_iter().map(str::to_owned));
    [
        field.key.clone(),
        field.variable.clone(),
        expected.collect::<Vec<_>>().join(", "),
        field.default.clone().unwrap_or_default(),
        field.description.clone(),
    ]
}

fn backend_text(backend: &Configured) -> String {
    let row = |setting: &Setting| {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let key = setting.key.rsplit('.').next().unwrap_or_default().to_owned();
        [key, text(&setting.value), text(&setting.origin)]
    };
    let settings = table(["KEY", "VALUE", "FROM"], backend.settings.iter().map(row));
    let mut parts = vec![format!("Backend {}", backend.name), settings];
    match &backend.opened {
        Err(why) => parts.push(format!("It cannot be opened, so what it can do is not known.\n{why}")),
        Ok(info) => {
            let limits = limits(&info.limits).into_iter().map(|(name, value)| {
                let is_size = name.ends_with("_bytes");
                [name.to_owned(), if is_size { size(value) } else { value.to_string() }]
            });
            let mut facts = vec![["location".to_owned(), info.location.clone()]];
            facts.extend(info.server.iter().map(|server| ["server".to_owned(), server.clone()]));
            facts.push(["capabilities".to_owned(), info.capabilities.names().join(", ")]);
            facts.push(["operations".to_owned(), operations(info.capabilities).join(", ")]);
            facts.extend(limits);
            parts.push(table(["ABOUT", ""], facts));
            if !info.extensions.is_empty() {
                let extensions = info.extensions.iter().map(|extension| {
                    let arguments: Vec<_> =
                        extension.arguments.iter().map(|argument| argument.name.as_str()).collect();
                    let mutates = if extension.mutates { "changes data" } else { "" };
                    [
                        extension.name.clone(),
                        arguments.join(", "),
                        mutates.to_owned(),
                        extension.description.clone(),
                    ]
                });
                parts.push(table(["EXTENSION", "ARGUMENTS", "EFFECT", "DESCRIPTION"], extensions));
            }
        }
    }
    parts.join("\n\n")
}
