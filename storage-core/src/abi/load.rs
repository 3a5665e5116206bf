//! Loads a plugin library, and says why where it cannot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals};
use abi_stable::library::{LibHeader, LibraryError, lib_header_from_path};
use abi_stable::std_types::RBoxError;

use super::import::PluginModule;
use super::manifest::{AbiVersion, ManifestError, read_manifest};
use super::module::AbiModule_Ref;
use crate::error::Error;

/// Why a plugin library was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is missing, unreadable, no library, for another platform, or no storage plugin.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A library that the plugin needs is not installed.
    #[error("{} needs the shared library {library}, which is not installed", path.display())]
    MissingLibrary {
        /// The plugin.
        path: PathBuf,
        /// The library that it needs.
        library: String,
    },
    /// The system's loader refused the library for another reason.
    #[error("the system did not load {}: {message}", path.display())]
    Refused {
        /// The plugin.
        path: PathBuf,
        /// The loader's own words.
        message: String,
    },
    /// Another file lies where a loaded one was. The process keeps the code that it has loaded.
    #[error("{} was replaced after it was loaded, and this process keeps what it has loaded", path.display())]
    Replaced {
        /// The plugin.
        path: PathBuf,
    },
    /// The plugin was built for another version of the boundary.
    #[error(
        "{} was built for the plugin interface {plugin}, and this host has {host}: rebuild {}",
        path.display(),
        if plugin > host {
            "the host, or the plugin with the host's storage-core"
        } else {
            "the plugin with the host's storage-core"
        }
    )]
    AbiMismatch {
        /// The plugin.
        path: PathBuf,
        /// The version that it was built for.
        plugin: AbiVersion,
        /// The version of this host.
        host: AbiVersion,
        /// Which types differ and how, for developers; absent where the versions alone decided.
        layout: Option<String>,
    },
    /// The plugin was loaded and failed, or panicked, before it could open a backend.
    #[error("{} failed to initialise: {reason}", path.display())]
    Initialisation {
        /// The plugin.
        path: PathBuf,
        /// What went wrong.
        reason: String,
        /// The plugin's own error, where it gave one.
        source: Option<Error>,
    },
}

/// What the loading of a library does next, for whoever must know how far it came if it never comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadStage {
    /// The system loads the library and runs its constructors.
    Library,
    /// The library gives its module: the functions that a host calls.
    Module,
    /// The plugin tells the keys of its configuration.
    Schema,
}

/// Loads a plugin. The library stays loaded until the process ends; loading the same file again gives the same one.
///
/// This runs code of the library. [`read_manifest`] does not.
///
/// # Errors
///
/// One variant of [`LoadError`] per cause.
pub fn load(path: &Path) -> Result<PluginModule, LoadError> {
    load_watched(path, &mut |_| {})
}

/// The same as [`load`], which calls `entering` before each stage in which code of the library runs.
///
/// # Errors
///
/// Those of [`load`].
pub fn load_watched(path: &Path, entering: &mut dyn FnMut(LoadStage)) -> Result<PluginModule, LoadError> {
    let manifest = read_manifest(path)?;
    let mismatch = |layout| LoadError::AbiMismatch {
        path: path.to_owned(),
        plugin: manifest.abi,
        host: AbiVersion::CURRENT,
        layout,
    };
    if !AbiVersion::CURRENT.can_load(manifest.abi) {
        return Err(mismatch(None));
    }
    entering(LoadStage::Library);
    open_library(path)?;
    entering(LoadStage::Module);
    let module = lib_header_from_path(path).and_then(module_of).map_err(|error| match error {
        LibraryError::GetSymbolError { .. } => {
            LoadError::Manifest(ManifestError::NotAPlugin { path: path.to_owned() })
        }
        LibraryError::RootModule { err, .. } => LoadError::Initialisation {
            path: path.to_owned(),
            reason: err.to_string().trim().to_owned(),
            source: None,
        },
        layout => mismatch(Some(layout.to_string().trim().to_owned())),
    })?;
    entering(LoadStage::Schema);
    PluginModule::new(module, manifest, path.to_owned()).map_err(|error| LoadError::Initialisation {
        path: path.to_owned(),
        reason: error.to_string(),
        source: Some(error),
    })
}

/// The module of a plugin whose types fit ours: where one side has more than the other, it is the newer one.
///
/// `abi_stable`'s own way to the module is not taken, for three reasons. It lets only the library be the newer
/// side: here what an older plugin lacks runs its default. It compares a library with all that were loaded before,
/// so that an older and a newer plugin would exclude each other: they have nothing to do with each other, and
/// each is compared with this host alone. And it takes a library that does not describe its types at its word.
fn module_of(header: &LibHeader) -> Result<AbiModule_Ref, LibraryError> {
    let Some(plugin) = header.layout() else {
        return Err(LibraryError::AbiInstability(RBoxError::from_fmt(
            "the library does not describe its types",
        )));
    };
    let host = <AbiModule_Ref as StableAbi>::LAYOUT;
    let fits =
        |first, second| check_layout_compatibility_with_globals(first, second, &CheckingGlobals::new());
    if let Err(difference) = fits(host, plugin)
        && fits(plugin, host).is_err()
    {
        return Err(LibraryError::AbiInstability(RBoxError::from_fmt(&difference)));
    }
    // SAFETY: one of the two has whatever the other has, at the same place and with the same layout. What lies
    // beyond it is looked for by the prefix type's own count of fields.
    unsafe { header.unchecked_layout::<AbiModule_Ref>() }
        .map_err(|error| error.into_library_error::<AbiModule_Ref>())
}

/// What each file was when it was loaded.
static LOADED: Mutex<BTreeMap<PathBuf, Identity>> = Mutex::new(BTreeMap::new());

/// Which file lies at a path, and in which state.
type Identity = (u64, u64, Option<SystemTime>);

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(path)?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Ok((number, metadata.len(), metadata.modified().ok()))
}

/// Whether another file lies where one was loaded from, or none does.
pub fn was_replaced(path: &Path) -> bool {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.get(path).is_some_and(|then| identity(path).ok() != Some(*then))
}

/// Opens the library with the system's loader, for its own words where it fails, and leaves it open.
///
/// The loader knows a library by its path: where another file has taken the place of a loaded one, it would give
/// the old code, and the caller would take it for the new.
fn open_library(path: &Path) -> Result<(), LoadError> {
    let unreadable = |source| ManifestError::Unreadable { path: path.to_owned(), source };
    let now = identity(path).map_err(unreadable)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match loaded.get(path) {
        Some(then) if *then != now => return Err(LoadError::Replaced { path: path.to_owned() }),
        Some(_) => return Ok(()),
        None => {}
    }
    dlopen(path)?;
    loaded.insert(path.to_owned(), now);
    Ok(())
}

fn dlopen(path: &Path) -> Result<(), LoadError> {
    // SAFETY: the file carries our manifest, so that its initialisers are those of a Rust library. Running
    // them is what loading a plugin means.
    match unsafe { libloading::Library::new(path) } {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => {
            let message = match std::error::Error::source(&error) {
                Some(source) => source.to_string(),
                None => error.to_string(),
            };
            Err(match missing_library(path, &message) {
                Some(library) => LoadError::MissingLibrary { path: path.to_owned(), library },
                None => LoadError::Refused { path: path.to_owned(), message },
            })
        }
    }
}

/// The library that the loader did not find, read from its words: those of glibc, musl and macOS.
fn missing_library(path: &Path, message: &str) -> Option<String> {
    let name = if let Some((name, _)) = message.split_once(": cannot open shared object file") {
        name
    } else if let Some((_, rest)) = message.split_once("Error loading shared library ") {
        rest.split_once(':')?.0
    } else if let Some((_, rest)) = message.split_once("Library not loaded: ") {
        rest.lines().next()?
    } else {
        return None;
    };
    let name = name.trim();
    (Path::new(name) != path).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_library_is_found_in_the_words_of_each_loader() {
        let path = Path::new("/p/libx.so");
        let glibc = "libfoo.so.1: cannot open shared object file: No such file or directory";
        let musl =
            "Error loading shared library libfoo.so.1: No such file or directory (needed by /p/libx.so)";
        let macos =
            "dlopen(/p/libx.dylib, 5): Library not loaded: @rpath/libfoo.1.dylib\n  Referenced from: /p/libx";
        assert_eq!(missing_library(path, glibc).as_deref(), Some("libfoo.so.1"));
        assert_eq!(missing_library(path, musl).as_deref(), Some("libfoo.so.1"));
        assert_eq!(missing_library(path, macos).as_deref(), Some("@rpath/libfoo.1.dylib"));
        assert_eq!(
            missing_library(path, "/p/libx.so: cannot open shared object file: Permission denied"),
            None
        );
        assert_eq!(missing_library(path, "/p/libx.so: undefined symbol: foo"), None);
    }
}
