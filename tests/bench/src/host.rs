//! [`Host`]: the service as its users run it, a process of its own with the local disk behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::environment::Environment;
use crate::process::Process;
use crate::raw_http::{self, Request};

/// For whom everything is done.
pub(crate) const USER: &str = "bench";

/// The service, running.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    /// The headers that every request needs.
    pub(crate) headers: Vec<(String, String)>,
}

impl Host {
    /// Starts it in this folder, and makes a key for it.
    ///
    /// # Errors
    ///
    /// It was not built, or does not start.
    pub(crate) async fn start(environment: &Environment, folder: &Path) -> Result<Self> {
        Self::start_with(environment, folder, &[]).await
    }

    /// The same, with more variables in its environment.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub(crate) async fn start_with(
        environment: &Environment,
        folder: &Path,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let output = command(environment, folder, variables)?.args(["keys", "create", "bench"]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        let key = String::from_utf8(output.stdout).context("the key is not text")?;
        let mut serve = command(environment, folder, variables)?;
        let mut process =
            Process::start(serve.args(["serve", "--bind", "127.0.0.1:0"]), &folder.join("service.log"))?;
        let address = process.until(|process| listening_address(&process.log().ok()?)).await?;
        let headers = [("Authorization", format!("Bearer {}", key.trim())), ("X-User-Id", USER.to_owned())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(Self { address, process, headers })
    }

    /// A request that it lets in.
    pub(crate) fn request(&self, method: &'static str, path: impl Into<String>) -> Request {
        Request { address: self.address, method, path: path.into(), headers: self.headers.clone() }
    }

    /// Saves a file of so many bytes, and gives the path of its content.
    ///
    /// # Errors
    ///
    /// It was not saved.
    pub(crate) async fn save(&self, name: &str, bytes: u64) -> Result<String> {
        let answer =
            raw_http::upload(self.request("POST", format!("/v1/files?filename={name}")), bytes).await?;
        let file: Value = serde_json::from_slice(&answer).context("the description of a file")?;
        let id = file["id"].as_str().context("a file without an id")?;
        Ok(format!("/v1/files/{id}/content"))
    }

    /// What it holds of the machine's memory, in bytes, and the most that it ever held.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(crate) fn resident_bytes(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
        };
        field("VmRSS:").zip(field("VmHWM:")).context("the system does not tell what a process holds")
    }

    /// Lets what it holds most begin anew from what it holds now.
    ///
    /// # Errors
    ///
    /// The system does not take it.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }
}

/// `storage`, in a folder of its own and with nothing of this process's environment.
///
/// # Errors
///
/// It was not built.
pub(crate) fn command(
    environment: &Environment,
    folder: &Path,
    variables: &[(&str, &str)],
) -> Result<Command> {
    let mut command = Command::new(environment.service_program()?);
    let plugins: PathBuf = environment.plugins();
    command.current_dir(folder).env_clear().env("PLUGIN_DIR", plugins).env("LOG_LEVEL", "info");
    command.env("PRIMARY_BACKEND", "local").env("LOCAL_STORAGE_PATH", "./storage");
    command.envs(variables.iter().copied());
    Ok(command)
}

fn listening_address(log: &str) -> Option<SocketAddr> {
    let rest = log.lines().find_map(|line| line.split_once("listening on http://"))?.1;
    // A line that was written by half has no end yet.
    let end = rest.find(|character: char| !character.is_ascii_digit() && !".:".contains(character));
    let address = &rest[..end.unwrap_or(rest.len())];
    address.parse().ok()
}
