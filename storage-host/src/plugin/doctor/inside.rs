//! The child's part: takes a library through the stages, and tells each before it enters it.

use std::io::{self, Write};
use std::path::Path;

use storage_core::abi::{LoadError, LoadStage, PluginModule, load_watched, read_manifest};
use storage_core::config::faults_to_error;
use storage_core::{
    Backend, ConfigSchema, ConfigValues, Error, ErrorKind, ListOptions, ObjectKey, OpenRequest, Result,
};

use super::wire::Event;
use super::{Finding, Request, Stage};
use crate::config::Loaded;
use crate::plugin::child::Reporter;
use crate::plugin::diagnosis::Diagnosis;

/// Where settings come from that the request holds.
const ORIGIN: &str = "command line";

/// Loads the library, opens the backends that the request and the configuration name, checks and closes them.
///
/// What is wrong with the library is told to the reporter, and is no error of this function.
///
/// # Errors
///
/// Where nobody reads the output any longer.
pub async fn examine(
    request: &Request,
    loaded: &Loaded,
    mut reporter: Reporter<impl Write>,
) -> io::Result<()> {
    if let Some(module) = load(&request.path, &mut reporter)? {
        let schema = module.schema();
        let keys = schema.fields.iter().map(|field| field.key.clone()).collect();
        reporter.tell(&Event::Keys(keys))?;
        match openings(request, loaded, &module.manifest().backend_type, &schema) {
            Err(why_not) => reporter.tell(&Event::NotOpened(why_not))?,
            Ok(openings) => {
                for opening in openings {
                    open(&module, &schema, opening, &mut reporter).await?;
                }
            }
        }
    }
    reporter.tell(&Event::Entering(Stage::Exit))
}

/// Loads the library. Nothing where it cannot be.
fn load(path: &Path, reporter: &mut Reporter<impl Write>) -> io::Result<Option<PluginModule>> {
    let mut stage = Stage::Manifest;
    reporter.tell(&Event::Entering(stage))?;
    let mut told = Ok(());
    let loaded = read_manifest(path).map_err(LoadError::from).and_then(|_| {
        load_watched(path, &mut |next| {
            stage = match next {
                LoadStage::Library => Stage::Load,
                LoadStage::Module => Stage::Module,
                LoadStage::Schema => Stage::Schema,
            };
            if told.is_ok() {
                told = reporter.tell(&Event::Entering(stage));
            }
        })
    });
    told?;
    match loaded {
        Ok(module) => Ok(Some(module)),
        Err(error) => {
            reporter.tell(&Event::Found(Finding::new(stage, &Diagnosis::from(&error))))?;
            Ok(None)
        }
    }
}

/// The backends to open, or why there are none.
fn openings(
    request: &Request,
    loaded: &Loaded,
    backend_type: &str,
    schema: &ConfigSchema,
) -> std::result::Result<Vec<OpenRequest>, String> {
    if let Some(why_not) = &request.not_opened {
        return Err(why_not.clone());
    }
    let configured =
        loaded.config.backends.iter().filter(|(_, backend)| backend.backend_type == backend_type);
    let mut openings: Vec<_> = configured
        .filter_map(|(name, _)| {
            let config = loaded.backend_values(name, schema).ok()?;
            Some(OpenRequest { name: name.clone(), config, ..OpenRequest::default() })
        })
        .collect();
    let settings = settings(request, schema);
    if !settings.is_empty() {
        // What is given is for one backend: the one that bears the name of its type, else the first.
        let index = openings.iter().position(|opening| opening.name == backend_type).unwrap_or(0);
        let mut opening = if openings.is_empty() {
            OpenRequest { name: backend_type.to_owned(), ..OpenRequest::default() }
        } else {
            openings.swap_remove(index)
        };
        for (key, text) in settings {
            opening.config.set(key, text, ORIGIN);
        }
        return Ok(vec![opening]);
    }
    if openings.is_empty() {
        return Err(
            "no backend of this type is configured; give its settings with --set KEY=VALUE".to_owned()
        );
    }
    Ok(openings)
}

/// The given settings that are this library's, by key.
fn settings<'a>(request: &'a Request, schema: &'a ConfigSchema) -> Vec<(&'a str, &'a str)> {
    let key = |name: &'a str| {
        let known = schema.fields.iter().find(|field| field.key == name || field.variable == name);
        known.map(|field| field.key.as_str()).or((!request.settings_are_shared).then_some(name))
    };
    request.settings.iter().filter_map(|(name, text)| Some((key(name)?, text.as_str()))).collect()
}

/// Opens, checks and closes one backend.
async fn open(
    module: &PluginModule,
    schema: &ConfigSchema,
    opening: OpenRequest,
    reporter: &mut Reporter<impl Write>,
) -> io::Result<()> {
    let name = opening.name.clone();
    reporter.tell(&Event::Entering(Stage::Open))?;
    let find = |stage, diagnosis: &Diagnosis, reporter: &mut Reporter<_>| {
        let finding = Finding::new(stage, &diagnosis.clone().with_fact("backend", name.as_str()));
        reporter.tell(&Event::Found(finding))
    };
    if let Err(error) = check_values(&name, schema, &opening.config) {
        return find(Stage::Open, &Diagnosis::config_invalid(&error), reporter);
    }
    let backend = match module.open(opening).await {
        Ok(backend) => backend,
        Err(error) => return find(Stage::Open, &Diagnosis::open_failed(&name, &error), reporter),
    };
    reporter.tell(&Event::Entering(Stage::Check))?;
    match check(&*backend).await {
        Ok(()) => reporter.tell(&Event::Opened(name.clone()))?,
        Err(error) => find(Stage::Check, &Diagnosis::check_failed(&name, &error), reporter)?,
    }
    reporter.tell(&Event::Entering(Stage::Close))?;
    match backend.close().await {
        Ok(()) => Ok(()),
        Err(error) => find(Stage::Close, &Diagnosis::check_failed(&name, &error), reporter),
    }
}

fn check_values(name: &str, schema: &ConfigSchema, values: &ConfigValues) -> Result<()> {
    match schema.check(values).as_slice() {
        [] => Ok(()),
        faults => Err(faults_to_error(name, faults)),
    }
}

/// Asks a backend how it is, for an object that is not there, and for a page. Writes nothing.
async fn check(backend: &dyn Backend) -> Result<()> {
    let health = backend.health().await?;
    if !health.problems.is_empty() {
        return Err(Error::new(ErrorKind::Unavailable, health.problems.join("; ")));
    }
    let key = ObjectKey::new(format!("storage-doctor/{}", uuid::Uuid::now_v7()))?;
    if backend.exists(&key).await? {
        return Err(Error::new(ErrorKind::Internal, "it claims to have an object that nobody saved")
            .with_context("key", key.as_str()));
    }
    backend.list_files(ListOptions { limit: Some(1), ..ListOptions::default() }).await?;
    Ok(())
}
