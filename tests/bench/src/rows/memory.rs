//! What the service holds of the machine's memory while a file much larger than that goes in and out.

use anyhow::{Result, ensure};

use crate::environment::Environment;
use crate::host::Host;
use crate::raw_http::{download, upload};
use crate::row::{Contender, Floor, Row, Unit};

pub(crate) const ROWS: &[&str] = &["memory-upload", "memory-download"];

/// What it may hold more than while it does nothing, in bytes.
const ADDED_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

/// What is taken where the disk has no room for the file that is wanted, in bytes.
const SMALLER_BYTES: u64 = 4 << 30;

/// What the disk must have left besides, in bytes.
const SPARE_BYTES: u64 = 5 << 30;

const IDLE: &str = "idle";

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let folder = folder.path();
    let bytes = size(environment)?;
    let host = &Host::start(environment, &folder.join("host")).await?;
    // What is allocated once, by the first requests, is held while it is idle too.
    let path = host.save("small.bin", 1 << 20).await?;
    download(host.request("GET", path), 1 << 20).await?;
    let (idle, _) = host.resident_bytes()?;
    host.forget_peak()?;
    let path = upload_path(host, bytes).await?;
    let (_, uploading) = host.resident_bytes()?;
    let mut rows = vec![row("memory-upload", "going in", bytes, uploading, idle)];
    if environment.wants("memory-download") {
        let (idle, _) = host.resident_bytes()?;
        host.forget_peak()?;
        download(host.request("GET", path), bytes).await?;
        let (_, downloading) = host.resident_bytes()?;
        rows.push(row("memory-download", "going out", bytes, downloading, idle));
    }
    Ok(rows.into_iter().filter(|row| environment.wants(&row.name)).collect())
}

async fn upload_path(host: &Host, bytes: u64) -> Result<String> {
    let answer = upload(host.request("POST", "/v1/files?filename=huge.bin"), bytes).await?;
    let file: serde_json::Value = serde_json::from_slice(&answer)?;
    Ok(format!("/v1/files/{}/content", file["id"].as_str().unwrap_or_default()))
}

fn row(name: &str, way: &str, bytes: u64, peak: u64, idle: u64) -> Row {
    let contender =
        |name: &str, figure: u64| Contender { name: name.to_owned(), rounds: vec![figure as f64] };
    Row {
        name: name.to_owned(),
        work: format!("most memory held while a file of {} GiB is {way} over HTTP", bytes >> 30),
        unit: Unit::Bytes,
        contenders: vec![contender("storage serve", peak), contender(IDLE, idle)],
        floors: vec![Floor::Added { to: IDLE.to_owned(), at_most: ADDED_BYTES }],
    }
}

/// The size that is wanted, or a smaller one where the disk has no room for it; the row tells which.
fn size(environment: &Environment) -> Result<u64> {
    let disk = rustix::fs::statvfs(environment.results())?;
    let room = disk.f_bavail * disk.f_frsize;
    let size = [environment.huge_bytes, environment.huge_bytes.min(SMALLER_BYTES)];
    let fitting = size.into_iter().find(|size| size + SPARE_BYTES <= room);
    ensure!(fitting.is_some(), "the disk has only {} GiB left", room >> 30);
    Ok(fitting.unwrap_or_default())
}
