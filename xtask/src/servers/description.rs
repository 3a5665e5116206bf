//! `server.json`: what a running server is, for the tests and for the `down` that ends it.
//!
//! `tests/src/servers.rs` reads `endpoint` and `settings`; the rest is for this crate alone.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::catalogue::Server;
use super::process::Identity;
use super::ready::Probe;

/// A server that answers, or did when this was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Where clients reach it: `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    /// What a client needs besides, by name.
    pub(crate) settings: BTreeMap<String, String>,
    /// Where it came from, in words.
    pub(crate) origin: String,
    /// What answers once it is ready.
    pub(crate) probes: Vec<Probe>,
    /// The process that was started; none for an endpoint that the environment named.
    pub(crate) process: Option<Identity>,
}

impl Description {
    /// The server that the environment names, if it names one.
    ///
    /// # Errors
    ///
    /// A setting without which tests cannot use the server is missing.
    pub(crate) fn from_environment(server: &Server) -> Result<Option<Self>> {
        Self::from_variables(server, |name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(server: &Server, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let prefix = format!("STORAGE_TEST_{}", server.name.to_uppercase());
        let source = format!("{prefix}_ENDPOINT");
        let Some(endpoint) = variable(&source) else { return Ok(None) };
        let settings = server
            .settings
            .iter()
            .map(|setting| {
                let name = format!("{prefix}_{}", setting.to_uppercase());
                let value = variable(&name)
                    .with_context(|| format!("{source} is set, so {name} has to be set as well"))?;
                Ok(((*setting).to_owned(), value))
            })
            .collect::<Result<_>>()?;
        let probes = vec![Probe::listening(&endpoint).with_context(|| format!("{source}={endpoint}"))?];
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Some(Self { endpoint, settings, origin: format!("given by {source}"), probes, process: None }))
    }

    /// The description in this folder; none if the server was not started.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or another version of this program wrote it.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let file = file(folder);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let value = serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        let description = Self::from_json(&value)
            .with_context(|| format!("{} lacks something: it was not written here", file.display()))?;
        Ok(Some(description))
    }

    /// Written beside and renamed, so that a test never reads half of it.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let (file, new) = (file(folder), folder.join("server.json.new"));
        fs::write(&new, format!("{:#}\n", self.to_json()))
            .with_context(|| format!("writing {}", new.display()))?;
        fs::rename(&new, &file).with_context(|| format!("writing {}", file.display()))
    }

    /// Removes the description, if there is one.
    pub(crate) fn remove(folder: &Path) -> Result<()> {
        let file = file(folder);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
        .with_context(|| format!("removing {}", file.display()))
    }

    fn to_json(&self) -> Value {
        let probes: Vec<String> = self.probes.iter().map(Probe::to_string).collect();
        let process =
            self.process.as_ref().map(|process| json!({ "pid": process.pid, "born": process.born }));
        json!({
            "endpoint": self.endpoint, "settings": self.settings,
            "origin": self.origin, "probes": probes, "process": process,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let process = match &value["process"] {
            Value::Null => None,
            process => Some(Identity {
                pid: process["pid"].as_i64()?.try_into().ok()?,
                born: text(&process["born"])?,
            }),
        };
        Some(Self {
            endpoint: text(&value["endpoint"])?,
            settings: value["settings"]
                .as_object()?
                .iter()
                .map(|(name, value)| Some((name.clone(), text(value)?)))
                .collect::<Option<_>>()?,
            origin: text(&value["origin"])?,
            probes: value["probes"]
                .as_array()?
                .iter()
                .map(|probe| Probe::parse(probe.as_str()?).ok())
                .collect::<Option<_>>()?,
            process,
        })
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("server.json")
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::catalogue;
    use super::*;

    fn seaweedfs() -> Server {
        catalogue().into_iter().find(|server| server.name == "seaweedfs").expect("it is in the catalogue")
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(Description::read(folder.path()).expect("nothing is there"), None);
        let description = Description {
            endpoint: "http://127.0.0.1:9".to_owned(),
            settings: BTreeMap::from([("access_key".to_owned(), "a\"b".to_owned())]),
            origin: "weed 4.48".to_owned(),
            probes: vec![Probe::parse("http://127.0.0.1:9/healthz").expect("a probe")],
            process: Some(Identity { pid: 7, born: "then".to_owned() }),
        };
        description.write(folder.path()).expect("written");
        assert_eq!(Description::read(folder.path()).expect("read"), Some(description));
        Description::remove(folder.path()).expect("removed");
        Description::remove(folder.path()).expect("removed again");
    }

    #[test]
    fn an_endpoint_of_the_environment_needs_all_its_settings() {
        let given = |names: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                names.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        assert_eq!(Description::from_variables(&seaweedfs(), given(&[])).expect("none"), None);
        let error = Description::from_variables(
            &seaweedfs(),
            given(&[("STORAGE_TEST_SEAWEEDFS_ENDPOINT", "http://127.0.0.1:9")]),
        )
        .expect_err("no access key")
        .to_string();
        assert!(error.contains("STORAGE_TEST_SEAWEEDFS_ACCESS_KEY has to be set"), "{error}");
        let all = Description::from_variables(
            &seaweedfs(),
            given(&[
                ("STORAGE_TEST_SEAWEEDFS_ENDPOINT", "http://127.0.0.1:9/"),
                ("STORAGE_TEST_SEAWEEDFS_ACCESS_KEY", "a"),
                ("STORAGE_TEST_SEAWEEDFS_SECRET_KEY", "s"),
                ("STORAGE_TEST_SEAWEEDFS_READONLY_ACCESS_KEY", "ra"),
                ("STORAGE_TEST_SEAWEEDFS_READONLY_SECRET_KEY", "rs"),
                ("STORAGE_TEST_SEAWEEDFS_REGION", "r"),
            ]),
        )
        .expect("complete")
        .expect("named");
        assert_eq!(all.endpoint, "http://127.0.0.1:9");
        assert_eq!(all.settings["readonly_secret_key"], "rs");
        assert_eq!(all.process, None, "what was not started here is never ended here");
    }
}
