//! Files of 4 KiB on the local disk, sixteen at once, through the loaded plugin and through what people would write or
//! use instead.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStoreExt, path::Path as StorePath};
use opendal::{Operator, services};
use storage_core::{Backend, ObjectKey, RetrieveOptions, SaveOptions};

use crate::contest::{Contest, rate};
use crate::disk::PlainStore;
use crate::environment::Environment;
use crate::plugins::open_local;
use crate::row::{Row, Unit};

pub(crate) const ROWS: &[&str] = &["local-put-4k", "local-get-4k"];

const CALLERS: usize = 16;
const SIZE_BYTES: usize = 4 * 1024;

/// So many files are read, again and again; more than fit into the processor's own memory.
const FILES: u64 = 2_000;

const OURS: &str = "local plugin";
const PLAIN: &str = "std::fs";
const OBJECT_STORE: &str = "object_store";
const OPENDAL: &str = "opendal";

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let folder = folder.path();
    let ours = open_local(environment, &folder.join("ours")).await?;
    let plain = Arc::new(PlainStore::new(&folder.join("plain"))?);
    let mut rows = Vec::new();
    if environment.wants("local-put-4k") {
        rows.push(puts(environment, &ours, &plain).await?);
    }
    if environment.wants("local-get-4k") {
        rows.push(gets(environment, folder, &ours, &plain).await?);
    }
    ours.close().await?;
    Ok(rows)
}

async fn puts(environment: &Environment, ours: &Arc<dyn Backend>, plain: &Arc<PlainStore>) -> Result<Row> {
    let (numbers, time) = (&Arc::new(AtomicU64::new(0)), environment.round_time);
    let contest = Contest::new("local-put-4k", "durable put of 4 KiB, 16 at once", Unit::CallsPerSecond)
        .contender(OURS, || {
            let ours = Arc::clone(ours);
            let content = content();
            rate(CALLERS, time, numbers, move |number| put(Arc::clone(&ours), content.clone(), number))
        })
        .contender(PLAIN, || {
            let plain = Arc::clone(plain);
            let content = content();
            rate(CALLERS, time, numbers, move |number| {
                let (plain, content) = (Arc::clone(&plain), content.clone());
                async move {
                    tokio::task::spawn_blocking(move || plain.put(&name("put", number), number, &content))
                        .await?
                }
            })
        })
        .at_least(0.9, PLAIN);
    contest.run(environment.rounds).await
}

async fn put(backend: Arc<dyn Backend>, content: Bytes, number: u64) -> Result<()> {
    let key = ObjectKey::new(name("put", number))?;
    backend.save(&key, content.into(), SaveOptions::default()).await?;
    Ok(())
}

async fn gets(
    environment: &Environment,
    folder: &Path,
    ours: &Arc<dyn Backend>,
    plain: &Arc<PlainStore>,
) -> Result<Row> {
    let store_folder = folder.join("object_store");
    std::fs::create_dir_all(&store_folder)?;
    let store = Arc::new(LocalFileSystem::new_with_prefix(&store_folder)?);
    let opendal_folder = folder.join("opendal").display().to_string();
    let operator = Operator::new(services::Fs::default().root(&opendal_folder))?;
    fill(ours, plain, &store, &operator).await?;
    let (numbers, time) = (&Arc::new(AtomicU64::new(0)), environment.round_time);
    let contest =
        Contest::new("local-get-4k", "get of 4 KiB, 16 at once", Unit::CallsPerSecond)
            .contender(OURS, || {
                let ours = Arc::clone(ours);
                rate(CALLERS, time, numbers, move |number| get(Arc::clone(&ours), number))
            })
            .contender(PLAIN, || {
                let plain = Arc::clone(plain);
                rate(CALLERS, time, numbers, move |number| {
                    let plain = Arc::clone(&plain);
                    async move {
                        whole(tokio::task::spawn_blocking(move || plain.get(&got(number))).await??.len())
                    }
                })
            })
            .contender(OBJECT_STORE, || {
                let store = Arc::clone(&store);
                rate(CALLERS, time, numbers, move |number| {
                    let store = Arc::clone(&store);
                    async move { whole(store.get(&StorePath::from(got(number))).await?.bytes().await?.len()) }
                })
            })
            .contender(OPENDAL, || {
                let operator = operator.clone();
                rate(CALLERS, time, numbers, move |number| {
                    let operator = operator.clone();
                    async move { whole(operator.read(&got(number)).await?.len()) }
                })
            })
            .at_least(0.8, PLAIN)
            .at_least(1.3, OBJECT_STORE)
            .at_least(5.0, OPENDAL);
    contest.run(environment.rounds).await
}

async fn fill(
    ours: &Arc<dyn Backend>,
    plain: &Arc<PlainStore>,
    store: &Arc<LocalFileSystem>,
    operator: &Operator,
) -> Result<()> {
    let numbers = futures_util::stream::iter(0..FILES);
    let written = numbers.map(|number| async move {
        let key = ObjectKey::new(got(number))?;
        ours.save(&key, content().into(), SaveOptions::default()).await?;
        plain.put(&got(number), number, &content())?;
        store.put(&StorePath::from(got(number)), content().into()).await?;
        operator.write(&got(number), content()).await?;
        anyhow::Ok(())
    });
    written.buffer_unordered(CALLERS).collect::<Vec<_>>().await.into_iter().collect()
}

async fn get(backend: Arc<dyn Backend>, number: u64) -> Result<()> {
    let key = ObjectKey::new(got(number))?;
    let body = backend.retrieve(&key, RetrieveOptions::default()).await?.body;
    whole(body.collect(SIZE_BYTES as u64).await?.len())
}

fn whole(length: usize) -> Result<()> {
    ensure!(length == SIZE_BYTES, "read {length} bytes of {SIZE_BYTES}");
    Ok(())
}

fn content() -> Bytes {
    Bytes::from(vec![7; SIZE_BYTES])
}

/// A name in one of 256 folders.
fn name(prefix: &str, number: u64) -> String {
    format!("{prefix}/{:02x}/{number:08}.bin", number % 256)
}

/// One of the files that are read, in no order that a disk or a cache could guess.
fn got(number: u64) -> String {
    name("get", number.wrapping_mul(7919) % FILES)
}
