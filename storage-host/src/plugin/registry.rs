//! [`BackendRegistry`]: the backend types that this host can use, and the plugins that provide them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage_core::ConfigSchema;
use storage_core::abi::{LoadError, Manifest, PluginModule, load, was_replaced};
use storage_core::config::nearest;
use tokio::runtime::Handle;

use super::diagnosis::{Code, Diagnosis};
use super::discovery::{Candidate, Locks, SearchedDirectory, Verdict, search};

/// The plugins that were found, and those of them that are loaded.
///
/// A plugin stays loaded until the process ends.
pub struct BackendRegistry {
    directories: Vec<SearchedDirectory>,
    candidates: Vec<Candidate>,
    loaded: BTreeMap<String, Arc<PluginModule>>,
    /// The directories, as they were given.
    wanted: Vec<PathBuf>,
}

/// What is known of a plugin that can be used.
#[derive(Clone, Debug)]
pub struct PluginInfo {
    /// The file.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Whether it is loaded.
    pub status: PluginStatus,
}

/// Whether a plugin is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginStatus {
    /// It was found; nothing of it was run.
    Available,
    /// It is loaded, so that it could be asked for the keys of its configuration.
    Loaded(ConfigSchema),
}

impl BackendRegistry {
    /// Searches directories for plugins, in this order. Runs none of them.
    ///
    /// Whatever is wrong with a directory or a file is kept for those who ask.
    pub fn discover(directories: &[PathBuf]) -> Self {
        let wanted = directories.to_vec();
        let (directories, candidates) = search(&wanted, Locks::Obeyed);
        Self { directories, candidates, loaded: BTreeMap::new(), wanted }
    }

    /// Searches the same directories again: libraries may have come, changed and gone. What is loaded stays loaded.
    pub fn search_again(&mut self) {
        (self.directories, self.candidates) = search(&self.wanted, Locks::Obeyed);
    }

    /// The directories that were searched, each with what was wrong with it.
    pub fn directories(&self) -> &[SearchedDirectory] {
        &self.directories
    }

    /// The backend types that can be loaded.
    pub fn list_available_backends(&self) -> Vec<&str> {
        let mut types: Vec<_> =
            self.usable().filter_map(|candidate| candidate.backend_type.as_deref()).collect();
        types.sort_unstable();
        types
    }

    /// Every library that was found, those that were refused or are shadowed included.
    pub fn list_all_backends(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The plugin of a backend type.
    ///
    /// # Errors
    ///
    /// Why there is none, or why it cannot be used.
    pub fn get_backend_info(&self, backend_type: &str) -> Result<PluginInfo, Diagnosis> {
        let (candidate, manifest) = self.find(backend_type)?;
        let status = match self.loaded.get(backend_type) {
            Some(module) => PluginStatus::Loaded(module.schema()),
            None => PluginStatus::Available,
        };
        Ok(PluginInfo { path: candidate.path.clone(), manifest: manifest.clone(), status })
    }

    /// Loads the plugin of a backend type, unless it is loaded already. This runs code of the library.
    ///
    /// A body that the plugin reads on a thread of its own runs in the runtime in which this is called.
    ///
    /// # Errors
    ///
    /// Why there is none, or why it cannot be loaded.
    pub fn load(&mut self, backend_type: &str) -> Result<Arc<PluginModule>, Diagnosis> {
        if let Some(module) = self.loaded.get(backend_type) {
            if was_replaced(module.path()) {
                let path = module.path().display();
                tracing::warn!(%path, backend_type, "the library was replaced: the loaded one goes on until the service is started again");
            }
            return Ok(module.clone());
        }
        let (candidate, _) = self.find(backend_type)?;
        self.warn_of_others(candidate);
        candidate.check_again()?;
        let module = load_library(&candidate.path)?;
        tracing::info!(
            backend_type,
            path = %candidate.path.display(),
            version = module.manifest().plugin_version,
            "loaded a plugin"
        );
        let module = Arc::new(module);
        self.loaded.insert(backend_type.to_owned(), module.clone());
        Ok(module)
    }

    /// Loads a library that need lie in no plugin directory, for a caller who vouches for it: whether others may write
    /// it, and what a `plugins.lock` says, is not asked. This runs code of it.
    ///
    /// # Errors
    ///
    /// Why it cannot be loaded.
    pub fn load_file(path: &Path) -> Result<Arc<PluginModule>, Diagnosis> {
        load_library(path).map(Arc::new)
    }

    fn usable(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|candidate| matches!(candidate.verdict, Verdict::Usable))
    }

    /// The plugin to load for a type.
    fn find(&self, backend_type: &str) -> Result<(&Candidate, &Manifest), Diagnosis> {
        let usable = self.usable().filter_map(|candidate| Some((candidate, candidate.manifest.as_ref()?)));
        if let Some(found) = usable.into_iter().find(|(_, manifest)| manifest.backend_type == backend_type) {
            return Ok(found);
        }
        let of_type = |candidate: &&Candidate| candidate.backend_type.as_deref() == Some(backend_type);
        match self.candidates.iter().filter(of_type).find_map(Candidate::refusal) {
            Some(refusal) => Err(refusal.clone()),
            None => Err(self.not_found(backend_type)),
        }
    }

    /// A library that was to provide the type, and did not, is worth a word.
    fn warn_of_others(&self, chosen: &Candidate) {
        for other in self.candidates.iter().filter(|other| other.backend_type == chosen.backend_type) {
            if let Some(refusal) = other.refusal() {
                let (used, refused) = (chosen.path.display(), other.path.display());
                tracing::warn!(%used, %refused, code = %refusal.code, "{}", refusal.cause);
            }
        }
    }

    fn not_found(&self, backend_type: &str) -> Diagnosis {
        let build = format!("cargo xtask build-plugins {backend_type}");
        let directories =
            self.directories.iter().map(|directory| self.describe(directory)).collect::<Vec<_>>();
        let searched = directories.join("; ");
        let all_missing = self.directories.iter().all(|directory| {
            directory.fault.as_ref().is_some_and(|fault| fault.code == Code::DirectoryMissing)
        });
        if all_missing {
            return Diagnosis::new(
                Code::DirectoryMissing,
                format!("no plugin directory exists, so there is no plugin for {backend_type}: {searched}"),
                format!("set PLUGIN_DIR to the directory with the plugins, or build one: {build}"),
            );
        }
        let next_step = match nearest(backend_type, self.list_available_backends()) {
            Some(near) => format!("did you mean {near}? Else build the plugin: {build}"),
            None => format!("build the plugin, or put its library into one of the directories: {build}"),
        };
        let cause = format!("no plugin provides the backend type {backend_type:?}; searched: {searched}");
        Diagnosis::new(Code::NotFound, cause, next_step)
    }

    /// What was found in a directory, in a few words.
    fn describe(&self, directory: &SearchedDirectory) -> String {
        let path = directory.path.display();
        match &directory.fault {
            Some(fault) if fault.code == Code::DirectoryMissing => return format!("{path} (does not exist)"),
            Some(fault) if fault.code == Code::DirectoryUnreadable => {
                return format!("{path} (cannot be listed)");
            }
            _ => {}
        }
        let here = self.candidates.iter().filter(|found| found.path.parent() == Some(&directory.path));
        let found = here.map(|found| match (&found.verdict, &found.backend_type) {
            (Verdict::Refused(_), _) | (_, None) => {
                let name = found.path.file_name().unwrap_or_default().display();
                format!("{name}, which is refused")
            }
            (_, Some(backend_type)) => backend_type.clone(),
        });
        match found.collect::<Vec<_>>() {
            found if found.is_empty() => format!("{path} (no library)"),
            found => format!("{path} ({})", found.join(", ")),
        }
    }
}

/// Loads a library. A body that it reads on a thread of its own runs in the runtime in which this is called.
fn load_library(path: &Path) -> Result<PluginModule, Diagnosis> {
    let module = load(path).map_err(|error| {
        if let LoadError::AbiMismatch { layout: Some(layout), .. } = &error {
            tracing::debug!(path = %path.display(), %layout, "the plugin's types differ from the host's");
        }
        Diagnosis::from(&error)
    })?;
    Ok(match Handle::try_current() {
        Ok(runtime) => module.polling_bodies_within(move |poll| {
            let _entered = runtime.enter();
            poll();
        }),
        // Without a runtime nobody reads a body that would need it.
        Err(_) => module,
    })
}
