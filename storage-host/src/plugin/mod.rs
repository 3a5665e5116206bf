//! Finds plugins, loads those that the configuration names, and says why where one cannot be used.
//!
//! [`BackendRegistry::discover`] lists what lies in the plugin directories without running any of it.
//! Only [`BackendRegistry::load`] runs code of a library, and only the manager and commands that were told a
//! type call it. A library that others may write, or that `plugins.lock` does not have, is not run. Whatever fails is a [`Diagnosis`]: a stable code, the cause, and what to do next.

pub mod child;
mod diagnosis;
mod discovery;
pub mod doctor;
mod lock;
mod registry;
mod trust;
mod watch;

pub use diagnosis::{Code, Diagnoses, Diagnosis};
pub use discovery::{Candidate, SearchedDirectory, Verdict};
pub use lock::{LockedPlugin, WrittenLock, sha256_of, write_locks};
pub use registry::{BackendRegistry, PluginInfo, PluginStatus};
pub use watch::Watch;
