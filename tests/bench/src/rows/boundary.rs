//! What the plugin boundary adds to a call: the in-memory backend linked into this program, and the same one loaded
//! from its library.

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;
use storage_core::memory::MemoryBackend;
use storage_core::{Backend, ObjectKey, RetrieveOptions, SaveOptions};

use crate::contest::Contest;
use crate::environment::Environment;
use crate::plugins::open_library;
use crate::row::{Contender, Floor, Row, Unit};

pub(crate) const ROWS: &[&str] = &[
    "boundary-call",
    "boundary-retrieve-1m",
    "boundary-allocations-exists",
    "boundary-allocations-retrieve",
    "boundary-bytes-save",
    "boundary-bytes-retrieve",
];

const LOADED: &str = "loaded";
const LINKED: &str = "linked";

/// So many calls are timed together.
const CALLS: u32 = 20_000;

/// What a call may add, in nanoseconds.
const ADDED_NANOSECONDS: f64 = 200.0;

/// A call that carries 1 MiB and allocates less than this, in bytes, did not copy it.
const NO_COPY_BYTES: f64 = 16.0 * 1024.0;

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let loaded = open_library(&environment.library("storage_fixture_memory")?, &[]).await?;
    let linked: Arc<dyn Backend> = Arc::new(MemoryBackend::new("linked"));
    let key = &ObjectKey::new("users/7/0190a8e4/1/curriculum.pdf")?;
    let missing = &ObjectKey::new("users/7/0190a8e4/1/missing.pdf")?;
    for backend in [&loaded, &linked] {
        let payload = Bytes::from(vec![7; 1 << 20]);
        backend.save(key, payload.into(), SaveOptions::default()).await?;
    }
    let mut rows = Vec::new();
    if environment.wants("boundary-call") {
        let contest = Contest::new("boundary-call", "one call that answers at once", Unit::Nanoseconds)
            .contender(LOADED, || nanoseconds(|| exists(&loaded, missing)))
            .contender(LINKED, || nanoseconds(|| exists(&linked, missing)))
            .adds_at_most(ADDED_NANOSECONDS, LINKED);
        // Short rounds: more of them cost nothing and tell more.
        rows.push(contest.run(environment.rounds * 4).await?);
    }
    if environment.wants("boundary-retrieve-1m") {
        let contest = Contest::new("boundary-retrieve-1m", "retrieve of 1 MiB to its end", Unit::Nanoseconds)
            .contender(LOADED, || nanoseconds(|| retrieve(&loaded, key)))
            .contender(LINKED, || nanoseconds(|| retrieve(&linked, key)));
        rows.push(contest.run(environment.rounds * 4).await?);
    }
    if ROWS
        .iter()
        .filter(|row| row.starts_with("boundary-allocations") || row.starts_with("boundary-bytes"))
        .any(|row| environment.wants(row))
    {
        let counts = count_allocations(environment)?;
        rows.extend(allocation_rows(&counts)?.into_iter().filter(|row| environment.wants(&row.name)));
    }
    Ok(rows)
}

async fn exists(backend: &Arc<dyn Backend>, key: &ObjectKey) -> Result<()> {
    backend.exists(key).await?;
    Ok(())
}

async fn retrieve(backend: &Arc<dyn Backend>, key: &ObjectKey) -> Result<()> {
    let mut body = backend.retrieve(key, RetrieveOptions::default()).await?.body;
    while body.next().await.transpose()?.is_some() {}
    Ok(())
}

async fn nanoseconds<F: Future<Output = Result<()>>>(call: impl Fn() -> F) -> Result<f64> {
    let started = Instant::now();
    for _ in 0..CALLS {
        call().await?;
    }
    Ok(started.elapsed().as_nanos() as f64 / f64::from(CALLS))
}

fn count_allocations(environment: &Environment) -> Result<Value> {
    let library = environment.library("storage_bench_counted")?;
    let output = Command::new(environment.bench_program("allocations")?).arg(library).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).context("reading the counts")
}

/// Counts are exact: one round says it all.
fn allocation_rows(counts: &Value) -> Result<Vec<Row>> {
    let row = |name: &str, work: &str, operation: &str, what: &str, unit, floors| {
        let contender = |contender: &str| {
            let count = counts[contender][operation][what].as_f64();
            count.map(|count| Contender { name: contender.to_owned(), rounds: vec![count] })
        };
        let contenders = [LOADED, LINKED].map(contender).into_iter().collect::<Option<Vec<_>>>();
        let contenders = contenders.with_context(|| format!("no count of {operation}: {counts}"))?;
        anyhow::Ok(Row { name: name.to_owned(), work: work.to_owned(), unit, contenders, floors })
    };
    let no_copy = || vec![Floor::Figure { at_most: NO_COPY_BYTES }];
    Ok(vec![
        row(
            "boundary-allocations-exists",
            "allocations of exists",
            "exists",
            "calls",
            Unit::Count,
            Vec::new(),
        )?,
        row(
            "boundary-allocations-retrieve",
            "allocations of retrieve",
            "retrieve",
            "calls",
            Unit::Count,
            Vec::new(),
        )?,
        row(
            "boundary-bytes-save",
            "bytes allocated by a save of 1 MiB",
            "save",
            "bytes",
            Unit::Bytes,
            no_copy(),
        )?,
        row(
            "boundary-bytes-retrieve",
            "bytes allocated by a retrieve of 1 MiB",
            "retrieve",
            "bytes",
            Unit::Bytes,
            no_copy(),
        )?,
    ])
}
