//! A process that is to be killed, or measured: clients of the service over a local disk, in one folder.
//!
//! `service_writer write FOLDER SEED` saves, replaces and deletes until it is killed, and tells each answer on a line
//! of its own. `service_writer stream FOLDER BYTES` saves and reads one long stream and tells the memory it took.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use storage_core::Result;
use storage_host::catalog::UserId;
use storage_host::service::{Metadata, SaveFileOptions, SimpleStorageService};
use storage_tests::answers::{CLIENTS, owner};
use storage_tests::fixture::{Chunking, Content};
use storage_tests::rig::open_service;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder, number] = arguments.as_slice() else { anyhow::bail!("MODE FOLDER NUMBER") };
    let number = number.parse().context("a number")?;
    let service = open_service(Path::new(folder)).await;
    match mode.as_str() {
        "write" => write(&service, number).await,
        "stream" => stream(&service, number).await,
        _ => anyhow::bail!("unknown mode {mode}"),
    }
}

async fn write(service: &SimpleStorageService, seed: u64) -> anyhow::Result<()> {
    let clients = (0..CLIENTS).map(|client| {
        let service = service.clone();
        tokio::spawn(async move { one_client(&service, client, seed * 1_000_000 + client * 10_000).await })
    });
    for ended in futures_util::future::join_all(clients).await {
        ended.context("a client panicked")??;
    }
    anyhow::bail!("the clients never end")
}

async fn one_client(service: &SimpleStorageService, client: u64, first_seed: u64) -> anyhow::Result<()> {
    let user = owner(client)?;
    for seed in (first_seed..).step_by(3) {
        let file = save(service, &user, client, seed, SaveFileOptions::default()).await?;
        let replace = SaveFileOptions { replace: Some(file), ..SaveFileOptions::default() };
        save(service, &user, client, seed + 1, replace).await?;
        if seed % 2 == 0 {
            tell(&format!("deleting {client} {file}"))?;
            service.delete(file, &user).await?;
            tell(&format!("deleted {client} {file}"))?;
        }
    }
    Ok(())
}

async fn save(
    service: &SimpleStorageService,
    user: &UserId,
    client: u64,
    seed: u64,
    options: SaveFileOptions,
) -> anyhow::Result<storage_host::catalog::FileId> {
    let content = Content::new(seed, (seed * 7_919) % 300_000);
    let body = content.body(Chunking::ALL[seed as usize % 4]);
    let saved = service.save_with(body, "noise.bin", user, options).await?;
    tell(&format!("saved {client} {} {} {seed} {}", saved.id, saved.version, content.size_bytes))?;
    Ok(saved.id)
}

/// One line at once: whoever reads it after the kill has all of it or nothing.
fn tell(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

async fn stream(service: &SimpleStorageService, size_bytes: u64) -> anyhow::Result<()> {
    let user = owner(0)?;
    // Everything that is loaded and allocated once.
    round_trip(service, &user, Content::new(1, 8 << 20)).await?;
    let before = resident_kib("VmRSS:")?;
    round_trip(service, &user, Content::new(2, size_bytes)).await?;
    let peak = resident_kib("VmHWM:")?;
    tell(&format!("{before} {peak}"))
}

async fn round_trip(service: &SimpleStorageService, user: &UserId, content: Content) -> Result<()> {
    let body = content.body(Chunking::Undeclared);
    let file = service.save(body, "long.bin", user, Metadata::new()).await?;
    let found = service.retrieve(file, user).await?;
    let compared = content.compare(0..content.size_bytes, found.body).await;
    compared.map_err(|difference| storage_core::Error::new(storage_core::ErrorKind::Internal, difference))
}

/// A line of what the system tells of this process, in KiB.
fn resident_kib(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).context("not told")?;
    line.split_whitespace().nth(1).context("no number")?.parse().context("not a number")
}
