//! A process that may die of a plugin: opens a healthy one, then the given one, then uses the healthy one again.
//!
//! Arguments: the paths of the healthy plugin and of the other, and optionally a key to save a body under that comes
//! after a moment. Prints each stage that was reached, and an error that was answered.
#![allow(clippy::print_stdout, reason = "how far it came is told to the test that started this program")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::stream;
use storage_core::abi::{LoadError, load};
use storage_core::{Backend, ByteStream, ObjectKey, OpenRequest, RetrieveOptions, SaveOptions};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let healthy = arguments.next().context("the path of a healthy plugin is missing")?;
    let plugin = arguments.next().context("the path of the plugin is missing")?;
    let healthy = load(&healthy)?.open(OpenRequest::default()).await?;
    serves(&healthy, "before").await?;
    println!("loading");
    match try_plugin(&plugin).await {
        Ok(backend) => match arguments.next() {
            Some(key) => {
                let key = ObjectKey::new(key.to_string_lossy())?;
                println!("saved: {}", backend.save(&key, late_body(), SaveOptions::default()).await.is_ok());
            }
            None => serves(&backend, "it").await?,
        },
        Err(reason) => println!("error: {reason}"),
    }
    serves(&healthy, "after").await?;
    println!("healthy");
    Ok(())
}

async fn try_plugin(path: &Path) -> Result<Arc<dyn Backend>, String> {
    let module = load(path).map_err(|error| match error {
        LoadError::Initialisation { reason, .. } => reason,
        error => error.to_string(),
    })?;
    println!("loaded");
    let backend = module.open(OpenRequest::default()).await.map_err(|error| error.report())?;
    println!("opened");
    Ok(backend)
}

/// Whoever reads it has to wait, and is woken.
fn late_body() -> ByteStream {
    let late = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok("content".into())
    };
    ByteStream::from_stream(Box::pin(stream::once(late)), None)
}

/// Saves and reads an object.
async fn serves(backend: &Arc<dyn Backend>, name: &str) -> anyhow::Result<()> {
    let key = ObjectKey::new(name)?;
    backend.save(&key, "content".into(), SaveOptions::default()).await?;
    let body = backend.retrieve(&key, RetrieveOptions::default()).await?.body;
    ensure!(body.collect(100).await? == "content", "other bytes came back");
    Ok(())
}
