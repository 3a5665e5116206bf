//! Fills or freezes a disk under the running service and tells what it answers. Run by `tests/durability/disk.rs` within
//! a mount namespace, where the disk is a small one of its own.
//!
//! Arguments: the folder of the service, the scenario. Prints one JSON object.
#![allow(clippy::print_stdout, reason = "what was found is told to the test that started this program")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use storage_conformance::fixture::Content;
use storage_tests::home::{Api, Home, Serving};
use storage_tests::kill::check::check;
use storage_tests::kill::ledger::{Doubt, Ledger};

const USER: &str = "ada";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, scenario] = arguments.as_slice() else { bail!("FOLDER SCENARIO") };
    let mut rig = Rig::start(Path::new(folder))?;
    let found = match scenario.as_str() {
        "store_full" => store_full(&mut rig).await?,
        "catalog_full" => catalog_full(&mut rig).await?,
        "store_read_only" => store_read_only(&mut rig).await?,
        "catalog_read_only" => catalog_read_only(&mut rig).await?,
        other => bail!("there is no scenario {other}"),
    };
    rig.stop()?;
    println!("{found}");
    Ok(())
}

/// A running service, and what it answered.
struct Rig {
    home: Home,
    serving: Option<Serving>,
    api: Api,
    key: String,
    ledger: Ledger,
    seed: u64,
}

impl Rig {
    fn start(folder: &Path) -> Result<Self> {
        let home = Home::within(folder, &[("LOCAL_MIN_FREE", "512KiB")])?;
        let key = home.key()?;
        let serving = home.serve()?;
        let api = serving.api(&key)?;
        let ledger = Ledger { user: USER.to_owned(), ..Ledger::default() };
        Ok(Self { home, serving: Some(serving), api, key, ledger, seed: 0 })
    }

    /// The disk whose name is that of its folder.
    fn disk(&self, name: &str) -> PathBuf {
        self.home.folder().join(name)
    }

    /// Starts it again.
    fn restart(&mut self) -> Result<()> {
        let next = self.home.serve()?;
        self.api = next.api(&self.key)?;
        if let Some(former) = self.serving.replace(next) {
            former.stop()?;
        }
        Ok(())
    }

    /// Ends it; its log.
    fn stop(&mut self) -> Result<String> {
        self.serving.take().context("the service runs")?.stop()
    }

    fn serving(&self) -> Result<&Serving> {
        self.serving.as_ref().context("the service runs")
    }

    fn content(&mut self, size_bytes: u64) -> Content {
        self.seed += 1;
        Content::new(self.seed, size_bytes)
    }

    async fn send(&mut self, doubt: Doubt, request: RequestBuilder) -> Result<String> {
        self.ledger.doubt = Some(doubt);
        let (status, answer) = self.api.send(request).await?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default();
        if status < 300 {
            self.ledger.acknowledge(text("id"), text("version"));
        } else {
            self.ledger.doubt = None;
        }
        Ok(format!("{status} {}", text("code")).trim_end().to_owned())
    }

    /// Saves a file, as one buffer.
    async fn save(&mut self, size_bytes: u64) -> Result<String> {
        let content = self.content(size_bytes);
        let request = self.api.call(USER, Method::POST, "/v1/files?filename=a.bin").body(content.bytes());
        self.send(Doubt::NewFile(content), request).await
    }

    /// Saves a file of undeclared length, which is passed on as it comes.
    async fn stream(&mut self, size_bytes: u64) -> Result<String> {
        let content = self.content(size_bytes);
        let starts = (0..size_bytes).step_by(100_000);
        let chunks = starts.map(move |start| {
            Ok::<Bytes, std::io::Error>(content.slice(start..size_bytes.min(start + 100_000)))
        });
        let request = self.api.call(USER, Method::POST, "/v1/files?filename=a.bin");
        self.send(Doubt::NewFile(content), request.body(Body::wrap_stream(stream::iter(chunks)))).await
    }

    /// Replaces a file.
    async fn replace(&mut self, size_bytes: u64) -> Result<String> {
        let content = self.content(size_bytes);
        let file = self.some_file()?;
        let request = self.api.call(USER, Method::PUT, &format!("/v1/files/{file}/content"));
        self.send(Doubt::NewVersion(file, content), request.body(content.bytes())).await
    }

    async fn delete(&mut self) -> Result<String> {
        let file = self.some_file()?;
        let request = self.api.call(USER, Method::DELETE, &format!("/v1/files/{file}"));
        self.send(Doubt::Delete(file), request).await
    }

    fn some_file(&self) -> Result<String> {
        self.ledger.files.keys().next().cloned().context("a file is there")
    }

    /// Everything that was answered is there and nothing else, byte by byte.
    async fn everything_holds(&mut self) -> Result<u64> {
        Ok(check(&self.api, &mut self.ledger).await?.versions_read)
    }

    /// Saves until it is refused: how often that went well, and the refusal.
    async fn fill(&mut self, size_bytes: u64) -> Result<(u64, String)> {
        for saved in 0..2_000 {
            let answer = self.save(size_bytes).await?;
            if answer != "201" {
                return Ok((saved, answer));
            }
        }
        bail!("the disk does not fill up")
    }

    async fn health(&self) -> Result<u16> {
        Ok(self.api.send(self.api.call(USER, Method::GET, "/health/storage")).await?.0)
    }

    /// What a check finds wrong once nothing is under way: its exit code.
    fn fsck(&self, arguments: &[&str]) -> Result<i32> {
        Ok(self.home.json(&[&["catalog", "fsck", "--age", "0s"], arguments].concat())?.0)
    }
}

async fn store_full(rig: &mut Rig) -> Result<Value> {
    let (saved, save) = rig.fill(400_000).await?;
    let refused = json!({
        "save": save,
        "stream": rig.stream(3_000_000).await?,
        "replace": rig.replace(400_000).await?,
        "health": rig.health().await?,
    });
    let read = rig.everything_holds().await?;
    let left_in_staging = bytes_below(&rig.disk("store/staging"))?;
    // To the last block: what is deleted then must go without writing anything first.
    fill_up(&rig.disk("store/ballast"))?;
    let freed = json!({ "delete": rig.delete().await?, "replace": rig.replace(300_000).await? });
    let mut deletes = 0;
    while deletes < 3 && rig.delete().await? == "204" {
        deletes += 1;
    }
    let again = json!({
        "save": rig.save(400_000).await?,
        "stream": rig.stream(500_000).await?,
    });
    rig.everything_holds().await?;
    let repaired = rig.fsck(&["--repair"])?;
    Ok(json!({
        "saved": saved,
        "read": read,
        "refused": refused,
        "left_in_staging": left_in_staging,
        "freed": freed,
        "again": again,
        "fsck": [repaired, rig.fsck(&[])?],
    }))
}

async fn catalog_full(rig: &mut Rig) -> Result<Value> {
    for _ in 0..3 {
        rig.save(1_000).await?;
    }
    let ballast = rig.disk("catalog/ballast");
    fill_up(&ballast)?;
    let (_, save) = rig.fill(1_000).await?;
    let refused = json!({
        "save": save,
        "stream": rig.stream(300_000).await?,
        "replace": rig.replace(1_000).await?,
        "delete": rig.delete().await?,
    });
    // Reads are noted in the audit log, for which there is no room: they go on all the same.
    let read = rig.everything_holds().await? == rig.ledger.usage().2;
    // So does a command, which says besides that its audit line is missing.
    let (code, listed) = rig.home.json(&["ls", "--user", USER])?;
    let listed = listed.as_array().map(Vec::len) == Some(rig.ledger.files.len());
    std::fs::remove_file(&ballast)?;
    let again = json!({
        "save": rig.save(1_000).await?,
        "stream": rig.stream(300_000).await?,
        "replace": rig.replace(1_000).await?,
        "delete": rig.delete().await?,
    });
    rig.everything_holds().await?;
    rig.restart()?;
    rig.everything_holds().await?;
    let repaired = rig.fsck(&["--repair"])?;
    Ok(json!({
        "refused": refused,
        "read": read,
        "ls": [listed, code],
        "again": again,
        "fsck": [repaired, rig.fsck(&[])?],
    }))
}

async fn store_read_only(rig: &mut Rig) -> Result<Value> {
    for size_bytes in [0, 1_000, 400_000] {
        rig.save(size_bytes).await?;
    }
    remount(&rig.disk("store"), "ro")?;
    let refused = json!({
        "save": rig.save(1_000).await?,
        "stream": rig.stream(300_000).await?,
        "replace": rig.replace(1_000).await?,
        "health": rig.health().await?,
    });
    let read = rig.everything_holds().await?;
    // The catalog can be written: the file is gone at once, and its bytes as soon as they can be.
    let delete = rig.delete().await?;
    rig.everything_holds().await?;
    rig.restart()?;
    let read_after_restart = rig.everything_holds().await?;
    remount(&rig.disk("store"), "rw")?;
    rig.restart()?;
    let again = json!({
        "save": rig.save(1_000).await?,
        "replace": rig.replace(1_000).await?,
        "health": rig.health().await?,
    });
    rig.everything_holds().await?;
    let repaired = rig.fsck(&["--repair"])?;
    Ok(json!({
        "refused": refused,
        "read": [read, read_after_restart],
        "delete": delete,
        "again": again,
        "fsck": [repaired, rig.fsck(&[])?],
    }))
}

async fn catalog_read_only(rig: &mut Rig) -> Result<Value> {
    for size_bytes in [1_000, 400_000] {
        rig.save(size_bytes).await?;
    }
    // No file system can be frozen while files on it are open for writing; one that froze is met at the next start.
    let log = rig.stop()?;
    remount(&rig.disk("catalog"), "ro")?;
    let output = rig.home.storage(&["serve", "--bind", "127.0.0.1:0"])?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    remount(&rig.disk("catalog"), "rw")?;
    rig.serving = Some(rig.home.serve()?);
    rig.api = rig.serving()?.api(&rig.key)?;
    let read = rig.everything_holds().await?;
    let again = json!({ "save": rig.save(1_000).await?, "replace": rig.replace(1_000).await? });
    rig.everything_holds().await?;
    Ok(json!({
        "code": output.status.code(),
        "told": told,
        "stopped_without_error": !log.contains("ERROR"),
        "read": read,
        "again": again,
        "fsck": rig.fsck(&[])?,
    }))
}

/// Takes all the room that is left.
fn fill_up(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    let block = [7; 4_096];
    loop {
        match file.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error).context("the ballast could not be written"),
        }
    }
}

fn remount(disk: &Path, mode: &str) -> Result<()> {
    let status = Command::new("mount").args(["-o", &format!("remount,{mode}")]).arg(disk).status()?;
    ensure!(status.success(), "{} cannot be made {mode}", disk.display());
    Ok(())
}

/// How many bytes lie below a folder.
fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let described = entry.metadata()?;
        bytes += if described.is_dir() { bytes_below(&entry.path())? } else { described.len() };
    }
    Ok(bytes)
}
