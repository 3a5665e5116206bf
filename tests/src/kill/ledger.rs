//! What one client was answered, and what it was at when the service was killed.

use std::collections::{BTreeMap, BTreeSet};

use storage_conformance::fixture::Content;

/// The versions of a file that are known to be there, oldest first.
pub type Versions = Vec<(String, Content)>;

/// A request that was under way: it may have been done or not, wholly.
#[derive(Clone, Debug)]
pub enum Doubt {
    /// A new file with this content.
    NewFile(Content),
    /// A new version of a file.
    NewVersion(String, Content),
    /// The end of a file.
    Delete(String),
    /// The end of one version of a file.
    DeleteVersion(String, String),
}

/// All that a client knows of its own files. Nobody else changes them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The user.
    pub user: String,
    /// The most bytes that the user may have.
    pub max_bytes: Option<u64>,
    /// The files that are there.
    pub files: BTreeMap<String, Versions>,
    /// The files that are gone for good.
    pub gone: BTreeSet<String>,
    /// Those of them of which that was answered since the last check.
    pub gone_lately: Vec<String>,
    /// The request under way.
    pub doubt: Option<Doubt>,
}

impl Ledger {
    /// Bytes, files and versions, as the service must count them.
    pub fn usage(&self) -> (u64, u64, u64) {
        let versions = self.files.values().flatten();
        let bytes = versions.clone().map(|(_, content)| content.size_bytes).sum();
        (bytes, self.files.len() as u64, versions.count() as u64)
    }

    /// Notes that the request under way was answered with success; `answer` names file and version of what was saved.
    ///
    /// # Panics
    ///
    /// If none was under way.
    pub fn acknowledge(&mut self, file: &str, version: &str) {
        match self.doubt.take().expect("a request is under way") {
            Doubt::NewFile(content) | Doubt::NewVersion(_, content) => {
                self.files.entry(file.to_owned()).or_default().push((version.to_owned(), content));
            }
            Doubt::Delete(file) => {
                self.files.remove(&file);
                self.gone_lately.push(file.clone());
                self.gone.insert(file);
            }
            Doubt::DeleteVersion(file, version) => {
                let versions = self.files.get_mut(&file).expect("a file of the ledger");
                versions.retain(|(id, _)| *id != version);
            }
        }
    }
}
