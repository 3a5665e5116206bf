//! Fills, freezes or locks the disk under the loaded `local` plugin and tells what its calls answer.
//! Run by `tests/local_disk.rs`, within a mount namespace or without privileges of its own.
//!
//! Arguments: the plugin, the folder, the scenario. Prints one JSON object.
#![allow(clippy::print_stdout, reason = "what was found is told to the test that started this program")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use storage_core::{
    Backend, ByteStream, ConfigValues, DeleteOptions, Error, ListOptions, ObjectKey, OpenRequest,
    RetrieveOptions, SaveOptions,
};

/// The size of the objects that fill the disk.
const OBJECT_BYTES: usize = 256 * 1024;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let plugin = arguments.next().context("the plugin's path is missing")?;
    let folder = arguments.next().context("the folder is missing")?;
    let scenario = arguments.next().context("the scenario is missing")?;
    let found = match scenario.as_str() {
        "full" => full(&plugin, &folder).await?,
        "too_long" => too_long(&plugin, &folder).await?,
        "read_only" => read_only(&plugin, &folder).await?,
        "open" => json!({ "open": outcome(open(&plugin, &folder).await) }),
        other => anyhow::bail!("there is no scenario {other}"),
    };
    println!("{found}");
    Ok(())
}

async fn open(plugin: &str, folder: &str) -> Result<Arc<dyn Backend>, Error> {
    let mut config = ConfigValues::new();
    config.set("path", folder, "argument");
    config.set("versioning", "false", "argument");
    let request = OpenRequest { name: "disk".to_owned(), config, ..OpenRequest::default() };
    storage_core::abi::load(Path::new(plugin))
        .map_err(|error| Error::new(storage_core::ErrorKind::PluginLoad, error.to_string()))?
        .open(request)
        .await
}

/// Saves until there is no room, by buffer and by stream, and then frees some.
async fn full(plugin: &str, folder: &str) -> anyhow::Result<Value> {
    let backend = open(plugin, folder).await?;
    let content = Bytes::from(vec![7; OBJECT_BYTES]);
    let mut saved = 0;
    let buffer = loop {
        let key = ObjectKey::new(format!("fill/{saved:03}"))?;
        match backend.save(&key, ByteStream::from_bytes(content.clone()), SaveOptions::default()).await {
            Ok(_) => saved += 1,
            Err(error) => break error.kind().name(),
        }
        ensure!(saved < 1000, "the disk does not fill");
    };
    let endless = stream::repeat_with(move || Ok(content.clone()));
    let streamed = ObjectKey::new("fill/stream")?;
    let stream =
        backend.save(&streamed, ByteStream::from_stream(endless, None), SaveOptions::default()).await;
    let listed = backend.list_files(ListOptions::default()).await?.objects.len();
    let first = ObjectKey::new("fill/000")?;
    let body = backend.retrieve(&first, RetrieveOptions::default()).await?.body;
    let whole = body.collect(OBJECT_BYTES as u64).await?.len();
    backend.delete(&first, DeleteOptions::default()).await?;
    let again = backend.save(&first, ByteStream::from_bytes(vec![1; 1000]), SaveOptions::default()).await;
    Ok(json!({
        "saved": saved,
        "buffer": buffer,
        "stream": outcome(stream),
        "listed": listed,
        "left_in_staging": files_below(&Path::new(folder).join("staging"))?,
        "read_bytes": whole,
        "after_a_delete": outcome(again),
    }))
}

/// Sends more than there is room for: with its length told, and without, where some room is freed when the last byte was
/// taken, enough for all that a save writes after its content.
async fn too_long(plugin: &str, folder: &str) -> anyhow::Result<Value> {
    const OBJECTS: usize = 64;
    let backend = open(plugin, folder).await?;
    let ballast = Path::new(folder).join("ballast");
    std::fs::write(&ballast, vec![7; OBJECT_BYTES])?;
    let taken_bytes = Arc::new(AtomicUsize::new(0));
    let body = |length_bytes: Option<usize>| {
        let (taken_bytes, ballast) = (Arc::clone(&taken_bytes), ballast.clone());
        let content = Bytes::from(vec![7; OBJECT_BYTES]);
        let chunks = stream::iter(0..=OBJECTS).filter_map(move |number| {
            std::future::ready(if number < OBJECTS {
                taken_bytes.fetch_add(OBJECT_BYTES, Ordering::Relaxed);
                Some(Ok(content.clone()))
            } else {
                std::fs::remove_file(&ballast).err().map(|error| {
                    Err(Error::new(storage_core::ErrorKind::Internal, "no ballast").with_source(error))
                })
            })
        });
        ByteStream::from_stream(chunks, length_bytes.map(|length| length as u64))
    };
    let key = ObjectKey::new("long")?;
    let told = backend.save(&key, body(Some(OBJECTS * OBJECT_BYTES)), SaveOptions::default()).await;
    let taken_of_told_bytes = taken_bytes.load(Ordering::Relaxed);
    let untold = backend.save(&key, body(None), SaveOptions::default()).await;
    Ok(json!({
        "told": outcome(told),
        "taken_of_told_bytes": taken_of_told_bytes,
        "untold": outcome(untold),
        "exists": backend.exists(&key).await?,
        "left_in_staging": files_below(&Path::new(folder).join("staging"))?,
    }))
}

/// Saves, freezes the file system, and tries to change and to read.
async fn read_only(plugin: &str, folder: &str) -> anyhow::Result<Value> {
    let backend = open(plugin, folder).await?;
    let key = ObjectKey::new("kept")?;
    backend.save(&key, ByteStream::from_bytes("content"), SaveOptions::default()).await?;
    let status = Command::new("mount").args(["-o", "remount,ro", folder]).status()?;
    ensure!(status.success(), "the file system cannot be made read-only");
    let save = backend.save(&key, ByteStream::from_bytes("other"), SaveOptions::default()).await;
    let delete = backend.delete(&key, DeleteOptions::default()).await;
    let body = backend.retrieve(&key, RetrieveOptions::default()).await?.body;
    let content = String::from_utf8(body.collect(100).await?.to_vec())?;
    let health = backend.health().await;
    Ok(json!({
        "save": outcome(save),
        "delete": outcome(delete),
        "content": content,
        "health": outcome(health),
        "open": outcome(open(plugin, folder).await),
    }))
}

/// `ok`, or the name of the error's kind.
fn outcome<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| error.kind().name().to_owned(), |_| "ok".to_owned())
}

/// How many files of any size lie below a folder.
fn files_below(folder: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let described = entry.metadata()?;
        count +=
            if described.is_dir() { files_below(&entry.path())? } else { usize::from(described.len() > 0) };
    }
    Ok(count)
}
