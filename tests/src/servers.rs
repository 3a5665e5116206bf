//! Finds the real servers that `cargo xtask servers up` started for the tests.
//!
//! Every test that needs a server has the server's name in its own name (`minio_seaweedfs::save::…`), so that
//! `cargo xtask test` can leave out, and name, what cannot run where a server cannot be had.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// A running server, as `cargo xtask servers` described it.
#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    /// Where it answers: `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// What a client needs besides, by name: `access_key`, `secret_key`, `ca_file`, …
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl Server {
    /// The server of this name.
    ///
    /// # Errors
    ///
    /// That it was not started, and the command that starts it; or that its description cannot be read.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        let file = description_file(name)?;
        let text = std::fs::read_to_string(&file).map_err(|error| {
            anyhow::anyhow!(
                "the server {name} is not running: start it with `cargo xtask servers up {name}` ({}: {error})",
                file.display()
            )
        })?;
        serde_json::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
    }

    /// The server of this name, for a test that is nothing without it.
    ///
    /// # Panics
    ///
    /// If it cannot be found, with the text of [`find`](Self::find).
    pub fn get(name: &str) -> Self {
        Self::find(name).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A value that a client needs.
    ///
    /// # Panics
    ///
    /// If the description has none of this name: then it was made by another version of xtask.
    pub fn setting(&self, name: &str) -> &str {
        self.settings
            .get(name)
            .unwrap_or_else(|| panic!("the description of {} has no {name}", self.endpoint))
    }
}

/// `TARGET/servers/NAME/server.json`; the running test lies in `TARGET/PROFILE/deps`.
fn description_file(name: &str) -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let target = executable
        .ancestors()
        .nth(3)
        .ok_or_else(|| anyhow::anyhow!("{} lies in no target folder", executable.display()))?;
    Ok(target.join("servers").join(name).join("server.json"))
}
