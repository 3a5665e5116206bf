//! Lists the libraries in the plugin directories without running any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use storage_core::abi::{AbiVersion, LoadError, Manifest, read_manifest};

use super::diagnosis::{Code, Diagnosis};

/// How the name of a plugin's file begins: `libstorage_backend_minio.so`.
const FILE_STEM: &str = "storage_backend_";

/// A directory that was searched.
#[derive(Clone, Debug)]
pub struct SearchedDirectory {
    /// The directory, as the configuration names it.
    pub path: PathBuf,
    /// Why it could not be listed.
    pub fault: Option<Diagnosis>,
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
    fn read(path: PathBuf) -> Self {
        let manifest = read_manifest(&path);
        let verdict = match &manifest {
            Err(error) => Verdict::Refused(error.into()),
            Ok(manifest) if !AbiVersion::CURRENT.can_load(manifest.abi) => {
                let mismatch = LoadError::AbiMismatch {
                    path: path.clone(),
                    plugin: manifest.abi,
                    host: AbiVersion::CURRENT,
                    layout: None,
                };
                Verdict::Refused((&mismatch).into())
            }
            Ok(_) => Verdict::Usable,
        };
        let manifest = manifest.ok();
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

/// The backend type that a plugin's file name promises.
pub(super) fn type_in_file_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(DLL_PREFIX)?.strip_suffix(DLL_SUFFIX)?.strip_prefix(FILE_STEM)
}

/// Searches the directories, in their order. Of several plugins for one type the first directory's counts.
pub(super) fn search(directories: &[PathBuf]) -> (Vec<SearchedDirectory>, Vec<Candidate>) {
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
                searched.push(SearchedDirectory { path: directory.clone(), fault: None });
                let mut found: Vec<_> = paths.into_iter().map(Candidate::read).collect();
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
            if name.ends_with(DLL_SUFFIX) && !name.starts_with('.') {
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
