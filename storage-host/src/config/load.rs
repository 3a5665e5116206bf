//! Loading: gathers the sources, checks what can be checked before plugins are known, and answers with
//! the configuration and with what is needed to configure backends afterwards.
//!
//! The environment is a parameter. Nothing else in the host reads it, and nothing changes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use storage_core::config::{ConfigFault, faults_to_error};
use storage_core::{ConfigReader, ConfigSchema, ConfigValues, Error, ErrorKind, Result};

use super::backends::Backends;
use super::describe::{self, Setting};
use super::keys::host_schema;
use super::sources::Sources;
use super::toml_file::TomlFile;
use super::variables::{self, Foreign};
use super::{Config, dotenv, host};

/// Where the configuration is looked for.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// The configuration file, as `--config` names it. It must exist; `STORAGE_CONFIG` then counts for nothing.
    pub config_file: Option<PathBuf>,
    /// Where `.env` and `storage.toml` are looked for: the working directory.
    pub directory: PathBuf,
    /// Where the program is installed: `plugins/` in it is searched for plugins.
    pub program_directory: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, OsString>,
    /// Variables that go before the environment, with their origin: what the command line or the
    /// embedding program says.
    pub overrides: ConfigValues,
}

impl LoadOptions {
    /// The process's own environment, working directory and place.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` where the system does not tell the working directory.
    pub fn from_process() -> Result<Self> {
        let directory = std::env::current_dir().map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, "the working directory cannot be determined")
                .with_source(error)
        })?;
        // A program that cannot tell its own place merely has one directory of plugins less.
        let program = std::env::current_exe().ok();
        Ok(Self {
            directory,
            program_directory: program.as_deref().and_then(installation).map(Path::to_owned),
            // A name that is no Unicode is the name of no variable that the host or a plugin knows.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
            ..Self::default()
        })
    }
}

/// A configuration that was loaded, and the sources that it was loaded from.
///
/// There is no `Debug`, since the sources hold every secret.
#[derive(Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    pub(super) sources: Sources,
    pub(super) host_values: ConfigValues,
    pub(super) backends: Backends,
    foreign: Foreign,
    /// What is wrong with the host's own settings. While anything is, `config` holds defaults in places.
    faults: Vec<ConfigFault>,
    options: LoadOptions,
}

impl Config {
    /// Loads the configuration: defaults, below `storage.toml`, below `.env`, below the environment.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` with every fault that can be known before plugins are: files that cannot be read or are
    /// malformed, keys and variables that are near misses, values of another form.
    pub fn load(options: LoadOptions) -> Result<Loaded> {
        let loaded = Self::gather(options);
        loaded.require_sound()?;
        Ok(loaded)
    }

    /// The same for a caller that goes on to load plugins, so that their settings' faults are told together with
    /// the host's: [`Loaded::check`] tells all. Until it or [`Loaded::require_sound`] passes, nothing may be done
    /// by this configuration but to look for plugins.
    pub(crate) fn gather(options: LoadOptions) -> Loaded {
        let mut faults = Vec::new();
        let dotenv = dotenv::read(&options.directory.join(".env"), &options.environment, &mut faults);
        let sources = Sources::new(&options, dotenv);
        faults.extend(sources.not_unicode(host_schema()));
        let (path, named_by) = config_file(&options, &sources);
        let file = TomlFile::read(&path, named_by.as_deref(), &mut faults);
        let mut host_values = host_values(&sources, &file.values);
        host_values.remove("config");
        if file.found {
            let origin = named_by.as_deref().unwrap_or("working directory");
            host_values.set("config", path.display().to_string(), origin);
        }
        let backends =
            Backends::gather(&sources, file.backends, host_values.get("primary_backend"), &mut faults);

        let mut reader = ConfigReader::new(host_schema(), &host_values);
        let config = host::read(&mut reader, &backends, &options);
        faults.extend(reader.into_faults());
        let foreign = Foreign::parse(&host_values, &mut faults);
        faults.extend(variables::misspelt_host_variables(&sources, &foreign));
        Loaded { config, sources, host_values, backends, foreign, faults, options }
    }
}

impl Loaded {
    /// Refuses the configuration if anything is wrong with the host's own settings.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` with every fault that can be known before plugins are.
    pub(crate) fn require_sound(&self) -> Result<()> {
        none_or_error(&self.faults)
    }

    /// Gathers the configuration again, as its files are now. The environment and the overrides are the same.
    pub(crate) fn again(&self) -> Self {
        Config::gather(self.options.clone())
    }

    /// The settings of the host, by key, whose values are others than those that it started with, but for those that say which backends
    /// there are and where that is written.
    pub(crate) fn differences_for_restart(&self, started: &Self) -> Vec<String> {
        let fields = host_schema().fields.iter().map(|field| field.key.as_str());
        let text = |loaded: &Self, key: &str| loaded.host_values.get(key).map(|value| value.text.clone());
        let counts_now = ["primary_backend", "backends_config", "config"];
        fields
            .filter(|key| !counts_now.contains(key) && text(self, key) != text(started, key))
            .map(str::to_owned)
            .collect()
    }

    /// The values of a backend, each with its origin, as the plugin's `open` is given them.
    ///
    /// For a backend that has a name of its own: its own variables (`STORAGE_BACKENDS__NAME__KEY`), then its
    /// section, then the variables of its type, which all backends of the type share.
    /// For a backend that is named like its type, the type's variables go before the section.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` where no backend has this name.
    pub fn backend_values(&self, name: &str, schema: &ConfigSchema) -> Result<ConfigValues> {
        self.backends.values(name, schema, &self.sources)
    }

    /// The whole check, which needs the plugins' schemas: the host's own settings, every value of every backend,
    /// and every variable that nobody knows. `schemas` are those of the configured backends, by backend type; `installed_types` are the types of
    /// all plugins that were found, whose variables may stay in `.env` while they are not in use.
    ///
    /// Backends whose type has no schema here are left out, since the fault of their plugin is told elsewhere.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` with every fault.
    pub fn check(&self, schemas: &[(&str, &ConfigSchema)], installed_types: &[&str]) -> Result<()> {
        let mut faults = self.faults.clone();
        faults.extend(self.backends.check(schemas, &self.sources));
        let unknown = variables::unknown(&self.sources, schemas, installed_types, &self.foreign);
        // A misspelt variable of the host is one of the host's own faults already.
        faults
            .extend(unknown.into_iter().filter(|fault| self.faults.iter().all(|told| told.key != fault.key)));
        none_or_error(&faults)
    }

    /// Every setting with its value and where the value came from; secrets are masked.
    /// Backends whose type has no schema here are shown with their sections' keys, all values masked.
    pub fn describe(&self, schemas: &[(&str, &ConfigSchema)]) -> Vec<Setting> {
        describe::settings(self, schemas)
    }
}

fn none_or_error(faults: &[ConfigFault]) -> Result<()> {
    if faults.is_empty() { Ok(()) } else { Err(faults_to_error("the service", faults)) }
}

/// The configuration file and, if it was named rather than looked for, by what.
fn config_file(options: &LoadOptions, sources: &Sources) -> (PathBuf, Option<String>) {
    if let Some(path) = &options.config_file {
        return (options.directory.join(path), Some("command line".to_owned()));
    }
    match sources.variable("STORAGE_CONFIG").filter(|value| !value.text.is_empty()) {
        Some(value) => (options.directory.join(value.text), Some(value.origin)),
        None => (options.directory.join("storage.toml"), None),
    }
}

/// The value of every setting of the host that is set: by a variable, else by the file.
fn host_values(sources: &Sources, file: &ConfigValues) -> ConfigValues {
    let mut values = file.clone();
    for field in &host_schema().fields {
        match sources.variable(&field.variable) {
            // An empty variable says that the default shall stand, whatever the file says.
            Some(value) if value.text.is_empty() => values.remove(&field.key),
            Some(value) => values.set(field.key.as_str(), value.text, value.origin),
            None => {}
        }
    }
    values
}

/// The folder that a program belongs to: the one that it lies in or, where that is a `bin/`, the one above.
fn installation(program: &Path) -> Option<&Path> {
    let folder = program.parent()?;
    if folder.file_name().is_some_and(|name| name == "bin") { folder.parent() } else { Some(folder) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_a_bin_folder_belongs_to_the_folder_above() {
        assert_eq!(installation(Path::new("/srv/storage/bin/storage")), Some(Path::new("/srv/storage")));
        assert_eq!(
            installation(Path::new("/home/me/target/debug/storage")),
            Some(Path::new("/home/me/target/debug"))
        );
    }
}
