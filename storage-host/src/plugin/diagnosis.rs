//! [`Diagnosis`]: why a plugin or a backend cannot be used, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use storage_core::abi::{LoadError, ManifestError};
use storage_core::{Error, ErrorKind, Retry};

use super::discovery::type_in_file_name;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// The stable name of a fault, for scripts and for looking up its page in `docs/errors/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// The name as text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// None of the directories that are searched for plugins exists.
    DirectoryMissing = "plugin_dir_missing";
    /// A directory exists and cannot be listed.
    DirectoryUnreadable = "plugin_dir_unreadable";
    /// Others may put libraries into a plugin directory.
    DirectoryWritable = "plugin_dir_writable_by_others";
    /// No plugin registers the backend type.
    NotFound = "plugin_not_found";
    /// The file exists and cannot be read.
    Unreadable = "plugin_unreadable";
    /// Others may change the file.
    Writable = "plugin_writable_by_others";
    /// The file is a link to one outside of the plugin directory.
    LinkLeadsOut = "plugin_link_leads_out";
    /// The lock of a plugin directory cannot be read, or others may change it.
    LockInvalid = "plugin_lock_invalid";
    /// The lock of the plugin directory does not list the library.
    NotLocked = "plugin_not_locked";
    /// The library is not the one that the lock lists.
    ChecksumDiffers = "plugin_checksum_differs";
    /// The file is no shared library, or a damaged one.
    NotALibrary = "plugin_not_a_library";
    /// The library is for another platform.
    WrongArchitecture = "plugin_wrong_architecture";
    /// The library is no storage plugin.
    NotAPlugin = "plugin_not_a_plugin";
    /// The library says something of itself that cannot be understood.
    ManifestMalformed = "plugin_manifest_malformed";
    /// Two files of one directory register the same backend type.
    Duplicate = "plugin_duplicate";
    /// The plugin was built for another version of the plugin interface.
    AbiMismatch = "plugin_abi_mismatch";
    /// A library that the plugin needs is not installed.
    MissingLibrary = "plugin_missing_library";
    /// The system's loader refused the library.
    NotLoadable = "plugin_not_loadable";
    /// The plugin was loaded and failed before it could open a backend.
    InitFailed = "plugin_init_failed";
    /// The library crashed the process that loaded it.
    Crashed = "plugin_crashed";
    /// The library ended the process that loaded it.
    Exited = "plugin_exited";
    /// The library did not come back.
    TimedOut = "plugin_timed_out";
    /// The configuration of backends is wrong or incomplete.
    ConfigInvalid = "backend_config_invalid";
    /// The provider did not let the backend open.
    OpenFailed = "backend_open_failed";
    /// The backend opened and does not work as it should.
    CheckFailed = "backend_check_failed";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a plugin or a backend cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Which fault it is.
    pub code: Code,
    /// What is the case.
    pub cause: String,
    /// What to do about it.
    pub next_step: String,
    /// The file or directory that it is about.
    pub path: Option<PathBuf>,
    /// Facts by name; every fault of a configuration is one.
    pub facts: Vec<(String, String)>,
    kind: ErrorKind,
    retry: Retry,
}

impl Diagnosis {
    /// A fault that will stay until somebody mends it.
    pub(super) fn new(code: Code, cause: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            code,
            cause: cause.into(),
            next_step: next_step.into(),
            path: None,
            facts: Vec::new(),
            kind: ErrorKind::PluginLoad,
            retry: Retry::Never,
        }
    }

    pub(super) fn at(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// The faults of a configuration, as the error that a check of it gave.
    pub fn config_invalid(error: &Error) -> Self {
        let next_step = "correct every fault; `storage config show` says where each value comes from";
        Self::new(Code::ConfigInvalid, error.message(), next_step).telling(error)
    }

    /// The error with which a provider's plugin answered when the backend of this name was to be opened.
    pub fn open_failed(name: &str, error: &Error) -> Self {
        if error.kind() == ErrorKind::ConfigInvalid {
            let cause = format!("the backend {name} did not open: {}", error.message());
            return Self { cause, ..Self::config_invalid(error) };
        }
        let path = error.context().find_map(|(name, value)| (name == "path").then_some(value));
        let next_step = match error.kind() {
            ErrorKind::PermissionDenied if let Some(path) = path => {
                format!("let the user of this service read, write and enter {path}")
            }
            ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => {
                format!("check the credentials of {name} and what they allow")
            }
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited => {
                format!("check that the provider of {name} runs and can be reached from this machine")
            }
            ErrorKind::PluginPanicked => "this is a fault of the plugin: tell its author".to_owned(),
            _ => format!("mend what the cause says; `storage backends test {name}` then tries again"),
        };
        let cause = format!("the backend {name} did not open: {}", in_words(error));
        Self::new(Code::OpenFailed, cause, next_step).telling(error)
    }

    /// The error with which a backend of this name answered to a simple question.
    pub(super) fn check_failed(name: &str, error: &Error) -> Self {
        let cause = format!("the backend {name} opened and does not work: {}", in_words(error));
        let next_step =
            format!("mend what the cause says; `storage test --backend {name}` tries every operation");
        Self::new(Code::CheckFailed, cause, next_step).telling(error)
    }

    /// The thread that loaded plugins ended without an answer.
    pub(crate) fn load_ended(error: &tokio::task::JoinError) -> Self {
        let cause = format!("the plugins were not loaded: {error}");
        Self::new(Code::InitFailed, cause, "`storage plugins doctor` says which of them is to blame")
    }

    /// The same diagnosis with the kind, the advice on repetition and the facts of an error.
    fn telling(self, error: &Error) -> Self {
        let facts = error.context().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { facts, kind: error.kind(), retry: error.retry(), ..self }
    }

    /// The same diagnosis with one more fact.
    #[must_use]
    pub(crate) fn with_fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.push((name.to_owned(), value.into()));
        self
    }

    /// Whether the fault may pass without anybody changing configuration or plugins.
    pub fn may_pass(&self) -> bool {
        self.code == Code::OpenFailed
    }

    /// The error of a call that needs what the diagnosis is about.
    pub fn to_error(&self) -> Error {
        let error = Error::new(self.kind, self.cause.as_str()).with_retry(self.retry);
        let error = error.with_context("code", self.code).with_context("next_step", &self.next_step);
        let error = match &self.path {
            Some(path) => error.with_context("path", path.display()),
            None => error,
        };
        let facts = self.facts.iter().cloned();
        facts.fold(error, |error, (name, value)| error.with_context(name, value))
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.cause)?;
        for (name, value) in &self.facts {
            write!(f, "\n  {name}: {value}")?;
        }
        write!(f, "\n  next step: {}", self.next_step)
    }
}

impl std::error::Error for Diagnosis {}

impl From<Diagnosis> for Error {
    fn from(diagnosis: Diagnosis) -> Self {
        diagnosis.to_error()
    }
}

impl From<&ManifestError> for Diagnosis {
    fn from(error: &ManifestError) -> Self {
        let cause = error.to_string();
        match error {
            ManifestError::Missing { path } => {
                Self::new(Code::Unreadable, cause, "build the plugin again, or remove the broken link")
                    .at(path)
            }
            ManifestError::Unreadable { path, source } => {
                let cause = format!("{cause}: {source}");
                Self::new(Code::Unreadable, cause, "let the user of this service read the file").at(path)
            }
            ManifestError::NotALibrary { path, .. } => {
                let next_step = format!("remove the file, or put the plugin in its place: {}", build(path));
                Self::new(Code::NotALibrary, cause, next_step).at(path)
            }
            ManifestError::WrongArchitecture { path, .. } => {
                let next_step = format!("put a plugin for this platform in its place: {}", build(path));
                Self::new(Code::WrongArchitecture, cause, next_step).at(path)
            }
            ManifestError::NotAPlugin { path } => {
                Self::new(Code::NotAPlugin, cause, "remove the file from the plugin directory").at(path)
            }
            ManifestError::Malformed { path, .. } => {
                let next_step =
                    format!("build the plugin again with the storage-core of this host: {}", build(path));
                Self::new(Code::ManifestMalformed, cause, next_step).at(path)
            }
        }
    }
}

impl From<&LoadError> for Diagnosis {
    fn from(error: &LoadError) -> Self {
        let cause = error.to_string();
        match error {
            LoadError::Manifest(error) => error.into(),
            LoadError::MissingLibrary { path, library } => {
                let next_step = format!(
                    "install the package that provides {library}; `ldd {}` lists all that is missing",
                    path.display()
                );
                Self::new(Code::MissingLibrary, cause, next_step).at(path)
            }
            LoadError::Refused { path, .. } => {
                let next_step =
                    format!("build the plugin on this system, or on one that is as old: {}", build(path));
                Self::new(Code::NotLoadable, cause, next_step).at(path)
            }
            LoadError::Replaced { path } => {
                Self::new(Code::NotLoadable, cause, "restart the host to use the new file").at(path)
            }
            LoadError::AbiMismatch { path, plugin, host, .. } => {
                let next_step = if plugin > host {
                    "install a newer host, or build the plugin with this host's storage-core".to_owned()
                } else {
                    format!("build the plugin with this host's storage-core: {}", build(path))
                };
                Self::new(Code::AbiMismatch, cause, next_step).at(path)
            }
            LoadError::Initialisation { path, .. } => {
                Self::new(Code::InitFailed, cause, "this is a fault of the plugin: tell its author").at(path)
            }
        }
    }
}

/// The message of an error and of those below it.
fn in_words(error: &Error) -> String {
    error.causes().into_iter().fold(error.message().to_owned(), |words, below| format!("{words}: {below}"))
}

/// The command that builds the plugin of a file.
fn build(path: &Path) -> String {
    match type_in_file_name(path) {
        Some(backend_type) => format!("cargo xtask build-plugins {backend_type}"),
        None => "cargo xtask build-plugins".to_owned(),
    }
}

/// Everything that keeps the configured backends from opening. Never empty.
#[derive(Debug)]
pub struct Diagnoses(Vec<Diagnosis>);

impl Diagnoses {
    pub(crate) fn new(found: Vec<Diagnosis>) -> Self {
        Self(found)
    }

    /// The diagnoses, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnosis> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Diagnoses {
    type Item = &'a Diagnosis;
    type IntoIter = std::slice::Iter<'a, Diagnosis>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnoses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnosis) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnosis.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnoses {}

/// One error that tells them all: that of the diagnosis itself where there is one.
impl From<Diagnoses> for Error {
    fn from(diagnoses: Diagnoses) -> Self {
        match diagnoses.0.as_slice() {
            [one] => one.to_error(),
            all => {
                let same_kind = all.iter().all(|one| one.kind == all[0].kind);
                // Where each may pass, the first one, which is that of the primary backend, says whether it does.
                let is_telling = same_kind || all.iter().all(Diagnosis::may_pass);
                let kind = if is_telling { all[0].kind } else { ErrorKind::ConfigInvalid };
                let message = format!("the backends cannot be used for {} reasons", all.len());
                all.iter()
                    .fold(Error::new(kind, message), |error, one| error.with_context(one.code.as_str(), one))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_keeps_the_kind_and_the_facts_of_the_providers_error() {
        let error = Error::new(ErrorKind::Unauthenticated, "the access key is unknown")
            .with_retry(Retry::GaveUp)
            .with_context("endpoint", "http://localhost:9000")
            .with_source(std::io::Error::other("status 403"));
        let error = Error::from(Diagnosis::open_failed("hot", &error));
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthenticated, Retry::GaveUp));
        assert_eq!(error.message(), "the backend hot did not open: the access key is unknown: status 403");
        let facts: Vec<_> = error.context().collect();
        assert_eq!(facts[0], ("code", "backend_open_failed"));
        assert_eq!(facts[1], ("next_step", "check the credentials of hot and what they allow"));
        assert_eq!(facts[2], ("endpoint", "http://localhost:9000"));
    }

    #[test]
    fn a_folder_without_permission_is_no_matter_of_credentials() {
        let error = Error::new(ErrorKind::PermissionDenied, "could not create the store's folder")
            .with_context("path", "/srv/files");
        let diagnosis = Diagnosis::open_failed("local", &error);
        assert_eq!(diagnosis.next_step, "let the user of this service read, write and enter /srv/files");
    }

    #[test]
    fn of_several_faults_that_may_pass_the_first_one_says_what_they_are_together() {
        let failed = |kind| Diagnosis::open_failed("x", &Error::new(kind, "x"));
        let (far, refused) = (failed(ErrorKind::Unavailable), failed(ErrorKind::Unauthenticated));
        let together = |all: &[&Diagnosis]| {
            Error::from(Diagnoses::new(all.iter().map(|one| (*one).clone()).collect())).kind()
        };
        assert_eq!(together(&[&far, &refused]), ErrorKind::Unavailable);
        assert_eq!(together(&[&refused, &far]), ErrorKind::Unauthenticated);
        let missing = Diagnosis::new(Code::NotFound, "no plugin", "build it");
        assert_eq!(together(&[&far, &missing]), ErrorKind::ConfigInvalid);
    }

    #[test]
    fn a_configuration_that_the_provider_refuses_does_not_pass_by_itself() {
        let refused = Error::new(ErrorKind::ConfigInvalid, "the configuration of hot has 1 fault")
            .with_context("fault", "bucket: is required");
        let diagnosis = Diagnosis::open_failed("hot", &refused);
        assert_eq!(diagnosis.code, Code::ConfigInvalid);
        assert!(!diagnosis.may_pass());
        assert!(
            diagnosis.to_string().contains("\n  fault: bucket: is required\n  next step: "),
            "{diagnosis}"
        );
        let unreachable = Error::new(ErrorKind::Unavailable, "connection refused");
        assert!(Diagnosis::open_failed("hot", &unreachable).may_pass());
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        let page = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let index = page("README.md");
        let listed: Vec<_> =
            index.lines().filter_map(|line| line.strip_prefix("| [`")?.split('`').next()).collect();
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(listed, codes, "the index lists the codes in their order");
        for code in &codes {
            let page = page(&format!("{code}.md"));
            assert!(page.starts_with(&format!("# `{code}`\n")), "{code} has the title of its page");
            for part in ["## Cause\n", "## What to do\n", "## Example\n"] {
                assert!(page.contains(part), "{code} lacks {part}");
            }
        }
        let pages = std::fs::read_dir(&folder).expect("the folder is there").count();
        assert_eq!(pages, codes.len() + 1, "a page without a code");
    }

    #[test]
    fn several_diagnoses_become_one_error_that_tells_them_all() {
        let one = Diagnosis::new(Code::NotFound, "no plugin a", "build a");
        let two = Diagnosis::new(Code::NotFound, "no plugin b", "build b");
        let error = Error::from(Diagnoses::new(vec![one, two]));
        assert_eq!(error.kind(), ErrorKind::PluginLoad);
        for part in ["2 reasons", "no plugin a", "no plugin b", "build b"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
