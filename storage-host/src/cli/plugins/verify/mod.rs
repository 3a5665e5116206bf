//! `storage plugins verify`: the conformance suite on any plugin, opened beside whatever the service uses.

mod junit;
mod report;

use std::env::consts::DLL_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{StreamExt as _, stream};
use storage_conformance::{Case, Instance, Target, hush_panics};
use storage_core::abi::PluginModule;
use storage_core::config::faults_to_error;
use storage_core::{ConfigField, ConfigKind, ConfigSchema, ConfigValues, Error, ErrorKind, OpenRequest};

use self::report::{Report, Trial};
use crate::cli::arguments::{pair, usage};
use crate::cli::context::Context;
use crate::cli::{exit, local};
use crate::plugin::{BackendRegistry, Diagnosis};

/// Runs the conformance suite on a plugin: every case that its capabilities call for
///
/// The plugin is opened with the settings that are given here, and works on objects of its own, which are removed. A
/// folder that it needs and that is not given is a temporary one. Exits with 8 where a case fails.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// A library, or the backend type of a plugin that is found
    #[arg(value_name = "PATH|TYPE")]
    plugin: PathBuf,
    /// Sets a key of its configuration, as in path=/mnt/scratch
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Starts from the settings of this configured backend, so that no secret need be written here
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The backend keeps nothing when it is closed, as one in memory: leaves out the cases that open it again
    #[arg(long)]
    volatile: bool,
    /// Runs only the cases whose name contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Writes the report to this file too, in the form of JUnit
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let wanted = |case: &Case| self.only.as_ref().is_none_or(|text| case.name.contains(text));
        let cases: Vec<Case> = storage_conformance::all().into_iter().filter(wanted).collect();
        if cases.is_empty() {
            return Err(usage("no case of the suite has a name that contains the text of --only").into());
        }
        let module = self.load(context)?;
        let settings = self.settings(context, &module.schema())?;
        let target = target(&module, settings, !self.volatile, context.loaded.config.calls.call_timeout);
        hush_panics();
        let instance = Arc::new(target.open().await?);
        let mut report = Report::new(&module, &instance.backend.info());
        report.print_head(context.output)?;
        run_all(cases, &instance, &mut report, context).await?;
        if let Some(file) = &self.junit {
            fs::write(file, junit::write(&report))
                .map_err(|error| local::error("the report cannot be written", file, error))?;
        }
        context.output.answer(&report, || report.verdict())?;
        instance.backend.close().await?;
        Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::from(exit::DAMAGE) })
    }

    /// Loads the library, or the plugin that is found for the type.
    fn load(&self, context: &Context) -> storage_core::Result<Arc<PluginModule>> {
        let loaded = match self.plugin.to_str() {
            Some(backend_type) if !is_path(&self.plugin) => context.registry().load(backend_type),
            _ => BackendRegistry::load_file(&self.plugin),
        };
        loaded.map_err(|diagnosis| diagnosis.to_error())
    }

    /// The values to open it with, apart from temporary folders.
    fn settings(&self, context: &Context, schema: &ConfigSchema) -> storage_core::Result<ConfigValues> {
        let mut values = match &self.backend {
            Some(name) => context.loaded.backend_values(name, schema)?,
            None => ConfigValues::new(),
        };
        for (key, text) in &self.set {
            values.set(key.as_str(), text.as_str(), "--set");
        }
        let mut complete = values.clone();
        if self.backend.is_none() {
            add_scratch(schema, &mut complete, Path::new("scratch"));
        }
        match schema.check(&complete).as_slice() {
            [] => Ok(values),
            faults => Err(faults_to_error(&format!("the plugin {}", self.plugin.display()), faults)
                .with_context(
                    "next_step",
                    "give each value with --set KEY=VALUE, or name a configured backend with --backend NAME",
                )),
        }
    }
}

/// Whether a path is meant and not a backend type, which has neither a folder nor an ending.
fn is_path(plugin: &Path) -> bool {
    plugin.components().count() > 1 || plugin.to_string_lossy().ends_with(DLL_SUFFIX)
}

/// A folder below `folder` for each path that the backend cannot do without and that nobody gave. A path that begins
/// at the root or at somebody's home is a place that is meant as it is.
fn add_scratch(schema: &ConfigSchema, values: &mut ConfigValues, folder: &Path) {
    let is_free = |default: &str| !default.starts_with(['/', '~']);
    let needed = |field: &&ConfigField| match &field.default {
        Some(default) => is_free(default),
        None => field.required,
    };
    let paths = schema.fields.iter().filter(|field| field.kind == ConfigKind::Path && !field.secret);
    for field in paths.filter(needed) {
        if values.get(&field.key).is_none() {
            let path = folder.join(&field.key).display().to_string();
            values.set(field.key.as_str(), path, "a temporary folder of this command");
        }
    }
}

fn target(
    module: &Arc<PluginModule>,
    settings: ConfigValues,
    keeps_content: bool,
    patience: Duration,
) -> Target {
    let module = Arc::clone(module);
    let name = module.manifest().backend_type.clone();
    Target::new(name.clone(), keeps_content, move |folder| {
        let (module, mut config, name) = (Arc::clone(&module), settings.clone(), name.clone());
        async move {
            add_scratch(&module.schema(), &mut config, &folder);
            let request = OpenRequest { name: name.clone(), config, ..OpenRequest::default() };
            let opened = tokio::time::timeout(patience, module.open(request)).await;
            let opened = opened.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Timeout, "the backend did not open in time")
                    .with_context("allowed_ms", patience.as_millis()))
            });
            opened.map_err(|error| Diagnosis::open_failed(&name, &error).to_error())
        }
    })
}

/// Runs the cases, some at once, and tells about each group of them when it is done.
async fn run_all(
    cases: Vec<Case>,
    instance: &Arc<Instance>,
    report: &mut Report,
    context: &Context,
) -> anyhow::Result<()> {
    let at_once = std::thread::available_parallelism().map_or(2, usize::from);
    let begun = Instant::now();
    let run = |case: Case| {
        let instance = Arc::clone(instance);
        tokio::spawn(async move {
            let (name, begun) = (case.name.clone(), Instant::now());
            let outcome = case.run(instance).await;
            Trial::new(name, &outcome, begun.elapsed())
        })
    };
    let mut trials = stream::iter(cases).map(run).buffered(at_once);
    while let Some(trial) = trials.next().await {
        if let Some(group) = report.add(trial?) {
            report::print_group(&group, context.output)?;
        }
    }
    if let Some(group) = report.end(begun.elapsed()) {
        report::print_group(&group, context.output)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> ConfigSchema {
        let field = |key: &str| ConfigField::new(key, "X", ConfigKind::Path, "A path.");
        ConfigSchema {
            fields: vec![
                field("root").required(),
                field("cache").default("./cache"),
                field("known_hosts").default("~/.ssh/known_hosts"),
                field("certificates").default("/etc/ssl"),
                field("key_file"),
                ConfigField::new("host", "X", ConfigKind::Text, "The host.").required(),
            ],
        }
    }

    #[test]
    fn only_folders_that_are_needed_and_not_given_are_temporary() {
        let mut values = ConfigValues::new();
        values.set("cache", "/var/cache", "--set");
        add_scratch(&schema(), &mut values, Path::new("/tmp/x"));
        let set: Vec<_> = values.iter().map(|(key, value)| (key, value.text.as_str())).collect();
        assert_eq!(set, [("cache", "/var/cache"), ("root", "/tmp/x/root")]);
    }

    #[test]
    fn a_type_is_told_from_a_path() {
        assert!(!is_path(Path::new("local")) && !is_path(Path::new("aws_s3")));
        assert!(is_path(Path::new("./local")) && is_path(Path::new("/x/plugin")));
        assert!(is_path(Path::new(&format!("plugin{DLL_SUFFIX}"))));
    }
}
