//! Writes to a folder through the loaded `local` plugin until it is killed. Run by `tests/local_crash.rs`.
//!
//! Arguments: the plugin, the folder, the number of the first operation. Prints `WRITER NUMBER` for every
//! operation that was answered.
#![allow(clippy::print_stdout, reason = "what was answered is told to the test that started this program")]

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use storage_core::{ConfigValues, OpenRequest};
use storage_tests::crash::{Step, WRITERS};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let plugin = arguments.next().context("the plugin's path is missing")?;
    let folder = arguments.next().context("the folder is missing")?;
    let first: u64 = arguments.next().context("the first number is missing")?.parse()?;
    let mut config = ConfigValues::new();
    config.set("path", folder, "argument");
    config.set("versions_keep", "1", "argument");
    let request = OpenRequest { name: "crash".to_owned(), config, ..OpenRequest::default() };
    let backend = storage_core::abi::load(Path::new(&plugin))?.open(request).await?;
    let writers = (0..WRITERS).map(|writer| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move {
            for number in first.. {
                Step { writer, number }.perform(&*backend).await?;
                println!("{writer} {number}");
            }
            anyhow::Ok(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    Ok(())
}
