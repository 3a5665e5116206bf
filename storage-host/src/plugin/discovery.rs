//! Lists the libraries in the plugin directories without running any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use storage_core::abi::{AbiVersion, LoadError, Manifest, ManifestError, read_manifest};

use super::diagnosis::{Code, Diagnosis};
use super::lock::Lock;
use super::trust;

/// How the name of a plugin's file begins: `libstorage_backend_minio.so`.
const FILE_STEM: &str = "storage_backend_";

/// How the names of libraries end, those for other systems included: whoever puts one of them there is told why it is
/// of no use here.
const LIBRARY_SUFFIXES: [&str; 3] = [".so", ".dylib", ".dll"];

/// A directory that was searched.
#[derive(Clone, Debug)]
pub struct SearchedDirectory {
    /// The directory, as the configuration names it.
    pub path: PathBuf,
    /// Why it could not be listed, or why nothing that lies in it is loaded.
    pub fault: Option<Diagnosis>,
}

/// Whether what `plugins.lock` says counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    /// It does.
    Obeyed,
    /// It does not, since it is about to be written.
    Ignored,
}

/// What decides whether the libraries of one directory may be loaded, beside what they are.
struct Rules<'a> {
    directory: &'a Path,
    /// Set where none of them may.
    fault: Option<Diagnosis>,
    lock: Option<Lock>,
}

impl<'a> Rules<'a> {
    fn of(directory: &'a Path, locks: Locks) -> Self {
        let lock = match locks {
            Locks::Obeyed => Lock::read(directory),
            Locks::Ignored => Ok(None),
        };
        let (lock, fault) = match (trust::check_directory(directory), lock) {
            (Err(fault), _) | (Ok(()), Err(fault)) => (None, Some(fault)),
            (Ok(()), Ok(lock)) => (lock, None),
        };
        Self { directory, fault, lock }
    }

    /// Refuses what others may have put there.
    fn check_place(&self, library: &Path) -> Result<(), Diagnosis> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => trust::check_library(self.directory, library),
        }
    }

    /// Refuses what is not the library that was locked.
    fn check_content(&self, library: &Path) -> Result<(), Diagnosis> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.check(library))
    }
}

/// A library that lies in a plugin directory.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// The backend type that it registers or, where it does not say, that its name promises.
    pub backend_type: Option<String>,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
    /// Whether it can be loaded.
    pub verdict: Verdict,
}

/// Whether a library can be loaded, as far as that can be known without running it.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It can.
    Usable,
    /// Another one, in a directory that is searched earlier, registers the same type.
    Shadowed {
        /// That one.
        by: PathBuf,
    },
    /// It cannot.
    Refused(Diagnosis),
}

impl Candidate {
    /// The library of a file outside of the directories that are searched, judged by the same rules.
    pub fn of_file(path: &Path) -> Self {
        Self::read(path.to_owned(), &Rules::of(folder(path), Locks::Obeyed))
    }

    /// Judges it again by where it lies and what its directory's lock says: it may have been replaced meanwhile.
    pub(super) fn check_again(&self) -> Result<(), Diagnosis> {
        let rules = Rules::of(folder(&self.path), Locks::Obeyed);
        rules.check_place(&self.path)?;
        rules.check_content(&self.path)
    }

    fn read(path: PathBuf, rules: &Rules<'_>) -> Self {
        let manifest = read_manifest(&path);
        let checked = rules.check_place(&path).and_then(|()| match &manifest {
            Err(error) => Err(error.into()),
            Ok(manifest) if !AbiVersion::CURRENT.can_load(manifest.abi) => {
                let mismatch = LoadError::AbiMismatch {
                    path: path.clone(),
                    plugin: manifest.abi,
                    host: AbiVersion::CURRENT,
                    layout: None,
                };
                Err((&mismatch).into())
            }
            Ok(_) => rules.check_content(&path),
        });
        let verdict = checked.map_or_else(Verdict::Refused, |()| Verdict::Usable);
        let manifest = match manifest {
            Ok(manifest) => Some(manifest),
            // What is made for another platform says what it is all the same.
            Err(ManifestError::WrongArchitecture { manifest, .. }) => manifest.map(|manifest| *manifest),
            Err(_) => None,
        };
        let backend_type = match &manifest {
            Some(manifest) => Some(manifest.backend_type.clone()),
            None => type_in_file_name(&path).map(str::to_owned),
        };
        Self { path, backend_type, manifest, verdict }
    }

    /// Why it cannot be loaded.
    pub fn refusal(&self) -> Option<&Diagnosis> {
        match &self.verdict {
            Verdict::Refused(diagnosis) => Some(diagnosis),
            Verdict::Usable | Verdict::Shadowed { .. } => None,
        }
    }

    /// The type for which it could be loaded, were there no other.
    fn usable_type(&self) -> Option<&str> {
        matches!(self.verdict, Verdict::Usable).then_some(self.backend_type.as_deref()).flatten()
    }
}

/// The directory that a file lies in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The backend type that a plugin's file name promises.
pub(super) fn type_in_file_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(DLL_PREFIX)?.strip_suffix(DLL_SUFFIX)?.strip_prefix(FILE_STEM)
}

/// Searches the directories, in their order. Of several plugins for one type the first directory's counts.
pub(super) fn search(directories: &[PathBuf], locks: Locks) -> (Vec<SearchedDirectory>, Vec<Candidate>) {
    let mut searched = Vec::new();
    let mut candidates = Vec::new();
    let mut seen = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for directory in directories {
        // Two names of one directory are no two directories.
        if let Ok(real) = directory.canonicalize()
            && !seen.insert(real)
        {
            continue;
        }
        match libraries(directory) {
            Err(fault) => searched.push(SearchedDirectory { path: directory.clone(), fault: Some(fault) }),
            Ok(paths) => {
                let rules = Rules::of(directory, locks);
                let mut found: Vec<_> = paths.into_iter().map(|path| Candidate::read(path, &rules)).collect();
                searched.push(SearchedDirectory { path: directory.clone(), fault: rules.fault });
                rank(&mut found, &mut taken);
                candidates.extend(found);
            }
        }
    }
    (searched, candidates)
}

/// The libraries of a directory, by name. Hidden files are those that are being put there.
fn libraries(directory: &Path) -> Result<Vec<PathBuf>, Diagnosis> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_library = LIBRARY_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
            if is_library && !name.starts_with('.') {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    };
    list().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Diagnosis::new(
            Code::DirectoryMissing,
            format!("there is no directory {}", directory.display()),
            "create it, or correct PLUGIN_DIR",
        )
        .at(directory),
        _ => Diagnosis::new(
            Code::DirectoryUnreadable,
            format!("the directory {} cannot be listed: {error}", directory.display()),
            "let the user of this service read it, or correct PLUGIN_DIR",
        )
        .at(directory),
    })
}

/// Decides which plugin of one directory counts for each type; `taken` has those of earlier directories.
///
/// Two of them for one type are both refused, and still hide those of later directories: which one was meant
/// is not for the host to guess.
fn rank(found: &mut [Candidate], taken: &mut BTreeMap<String, PathBuf>) {
    let mut by_type: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in found.iter().enumerate() {
        if let Some(backend_type) = candidate.usable_type() {
            by_type.entry(backend_type.to_owned()).or_default().push(index);
        }
    }
    for (backend_type, indices) in by_type {
        let verdict = if let Some(by) = taken.get(&backend_type) {
            Verdict::Shadowed { by: by.clone() }
        } else {
            taken.insert(backend_type.clone(), found[indices[0]].path.clone());
            match indices.as_slice() {
                [_] => Verdict::Usable,
                several => {
                    let paths: Vec<_> = several.iter().map(|index| found[*index].path.as_path()).collect();
                    Verdict::Refused(duplicate(&backend_type, &paths))
                }
            }
        };
        for index in indices {
            found[index].verdict = verdict.clone();
        }
    }
}

fn duplicate(backend_type: &str, paths: &[&Path]) -> Diagnosis {
    let names = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ");
    let cause = format!("the backend type {backend_type} is registered by {names}");
    Diagnosis::new(Code::Duplicate, cause, "remove all of them but one").at(paths[0])
}
