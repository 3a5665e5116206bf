//! SeaweedFS with its S3 endpoint, as one would run it on one machine: with its own defaults, and open to everybody, so
//! that `wrk`, which signs nothing, can use it. The S3 clients sign all the same.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::environment::Environment;
use crate::process::{Process, find_program, free_address};
use crate::raw_http::{self, Request};

/// The one bucket.
pub(crate) const BUCKET: &str = "bench";

/// How long it may take until it can store.
const PATIENCE: Duration = Duration::from_secs(60);

/// SeaweedFS, running.
#[derive(Debug)]
pub(crate) struct Weed {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Weed {
    /// Starts it on this folder.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub(crate) async fn start(environment: &Environment, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let program = program(environment)?;
        let address = free_address()?;
        let mut command = Command::new(program);
        command
            .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
            .args([
                "-s3.ip.bind=127.0.0.1",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-master.telemetry=false",
            ])
            .arg(format!("-dir={}", folder.display()))
            .arg(format!("-s3.port={}", address.port()))
            .current_dir(folder);
        for part in ["master", "volume", "filer"] {
            command.arg(format!("-{part}.port={}", port_with_grpc()?));
        }
        let mut process = Process::start(&mut command, &folder.join("weed.log"))?;
        process.listens(address).await?;
        let weed = Self { address, _process: process };
        weed.is_ready().await?;
        Ok(weed)
    }

    /// Makes the bucket, and waits until something can be stored in it: it listens before there is a volume.
    async fn is_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let bucket = Request {
                address: self.address,
                method: "PUT",
                path: format!("/{BUCKET}"),
                headers: Vec::new(),
            };
            // A second time it exists already, which it says.
            raw_http::upload(bucket, 0).await.ok();
            match raw_http::upload(self.request("PUT", "ready"), 1).await {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > PATIENCE => {
                    return Err(error).context("SeaweedFS stores nothing");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Where S3 clients find it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An unsigned request for an object.
    pub(crate) fn request(&self, method: &'static str, name: &str) -> Request {
        Request { address: self.address, method, path: format!("/{BUCKET}/{name}"), headers: Vec::new() }
    }
}

/// On the PATH, or where `cargo xtask servers` has installed it.
fn program(environment: &Environment) -> Result<PathBuf> {
    if let Ok(program) = find_program("weed") {
        return Ok(program);
    }
    let folder = environment.server_installs();
    let installs = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut programs = installs.flatten().map(|install| install.path().join("bin").join("weed"));
    programs.find(|program| program.is_file()).context("SeaweedFS is not installed: run `cargo xtask bench`")
}

/// It listens on a second port, so much above the first.
fn port_with_grpc() -> Result<u16> {
    const DISTANCE: u16 = 10_000;
    for _ in 0..1_000 {
        let port = free_address()?.port();
        let free = port
            .checked_add(DISTANCE)
            .filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
        if free.is_some() {
            return Ok(port);
        }
    }
    anyhow::bail!("there are no two free ports {DISTANCE} apart")
}
