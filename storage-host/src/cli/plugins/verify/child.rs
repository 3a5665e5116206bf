//! The child's part: loads the library, opens a backend and runs the cases that the parent names.

use std::collections::BTreeSet;
use std::env::consts::DLL_SUFFIX;
use std::io::{self, Stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use storage_conformance::{Case, Instance, Target, hush_panics};
use storage_core::abi::PluginModule;
use storage_core::config::faults_to_error;
use storage_core::{ConfigField, ConfigKind, ConfigSchema, ConfigValues, Error, ErrorKind, OpenRequest};

use super::Verify;
use super::report::{Head, Trial};
use crate::cli::context::Context;
use crate::cli::exit;
use crate::cli::plugins::doctor::be_a_child;
use crate::plugin::child::{Reporter, read_request};
use crate::plugin::{BackendRegistry, Diagnosis};

/// What the parent wants.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Request {
    /// The cases, by name.
    pub(super) cases: Vec<String>,
    /// How many of them are run at once.
    pub(super) at_once: usize,
}

/// What the child tells.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The library is about to be loaded.
    Loading,
    /// A backend is about to be opened.
    Opening,
    /// The library is loaded and the backend is open.
    Opened(Box<Head>),
    /// A case begins.
    Began(String),
    /// A case has come out.
    Came(Trial),
    /// All cases have come out, and the backend is about to be closed.
    Closing,
    /// Something else than the library's conduct keeps the cases from running, as standard error says: the exit code.
    Refused(u8),
    /// Nothing is left to do.
    Done,
}

type Events = Mutex<Reporter<Stdout>>;

/// Does what the parent wants.
pub(super) async fn run(arguments: &Verify, context: &Context) -> anyhow::Result<ExitCode> {
    let (request, mark) = read_request::<Request>(&mut io::stdin().lock())?;
    be_a_child()?;
    let events = Mutex::new(Reporter::new(mark, io::stdout()));
    let ran = arguments.run_cases(context, request, &events).await;
    match &ran {
        Ok(()) => tell(&events, &Event::Done)?,
        Err(error) => tell(&events, &Event::Refused(exit::code(error)))?,
    }
    ran.map(|()| ExitCode::SUCCESS)
}

fn tell(events: &Events, event: &Event) -> io::Result<()> {
    events.lock().tell(event)
}

impl Verify {
    async fn run_cases(&self, context: &Context, request: Request, events: &Events) -> anyhow::Result<()> {
        tell(events, &Event::Loading)?;
        let module = self.load(context)?;
        let settings = self.settings(context, &module.schema())?;
        let target = target(&module, settings, !self.volatile, context.loaded.config.calls.call_timeout);
        hush_panics();
        tell(events, &Event::Opening)?;
        let instance = Arc::new(target.open().await?);
        tell(events, &Event::Opened(Box::new(Head::new(&module, &instance.backend.info()))))?;
        let wanted: BTreeSet<String> = request.cases.into_iter().collect();
        let cases = storage_conformance::all().into_iter().filter(|case| wanted.contains(&case.name));
        // Begun is told here and not by the tasks, of which any may come first: the report has the order of the suite
        // even where a case takes the process with it and those that ran with it are run again.
        let run = |case: Case| {
            let began = tell(events, &Event::Began(case.name.clone()));
            let ran = tokio::spawn(run_case(case, instance.clone()));
            async move {
                began?;
                ran.await.map_err(io::Error::other)
            }
        };
        let mut trials = stream::iter(cases).map(run).buffered(request.at_once);
        while let Some(trial) = trials.next().await {
            tell(events, &Event::Came(trial?))?;
        }
        tell(events, &Event::Closing)?;
        instance.backend.close().await?;
        Ok(())
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

async fn run_case(case: Case, instance: Arc<Instance>) -> Trial {
    let (name, begun) = (case.name.clone(), Instant::now());
    let outcome = case.run(instance).await;
    Trial::new(name, &outcome, begun.elapsed())
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
