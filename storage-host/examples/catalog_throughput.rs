//! How many saves the catalog commits in a second, durably, with one caller and with many at once.
//!
//! `cargo run --example catalog_throughput -- [FOLDER] [FILES]`: measures in FOLDER (the system's folder for
//! temporary files by default), in a catalog that holds FILES files already (0 by default).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use storage_core::ObjectKey;
use storage_host::catalog::{
    AuditEntry, Base, Catalog, CatalogOptions, FileId, FileQuery, FileVersionId, Garbage, NewVersion,
    Placement, SqliteCatalog, UserId,
};
use tokio::task::JoinSet;

/// How long each line of the table is measured.
const ROUND: Duration = Duration::from_secs(3);

const CALLERS: [usize; 3] = [1, 16, 64];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let files: u64 = arguments.next().map_or(Ok(0), |count| count.parse()).context("FILES is a number")?;
    let folder = tempfile::tempdir_in(parent)?;
    let catalog = Arc::new(SqliteCatalog::open(folder.path().join("catalog.db"), CatalogOptions::default())?);
    let mut out = std::io::stdout();
    writeln!(out, "fsync of 32 KiB appended: {:?}", fsync_time(folder.path())?)?;
    fill(&catalog, files).await?;
    writeln!(out, "files in the catalog: {}", catalog.totals().await?.files)?;
    for callers in CALLERS {
        let before = catalog.stats();
        let rate = measure(callers, &catalog, |catalog| async move { commit(&catalog).await }).await?;
        let after = catalog.stats();
        let fsyncs = (after.durable_transactions - before.durable_transactions).max(1);
        let shared = (after.changes - before.changes) as f64 / fsyncs as f64;
        writeln!(
            out,
            "commit_version         {callers:>3} callers {rate:>8.0}/s  {shared:>5.1} share an fsync"
        )?;
    }
    for callers in CALLERS {
        let rate = measure(callers, &catalog, |catalog| async move { save(&catalog).await }).await?;
        writeln!(out, "reserve, begin, commit {callers:>3} callers {rate:>8.0}/s")?;
    }
    let user = owner(0)?;
    let query = FileQuery { limit: 100, ..FileQuery::default() };
    let file = catalog.list(&user, query.clone()).await?.files.first().context("a file")?.id;
    for callers in CALLERS {
        let user = user.clone();
        let read = move |catalog: Arc<SqliteCatalog>| {
            let user = user.clone();
            async move { Ok(catalog.file(&user, file).await.map(drop)?) }
        };
        let rate = measure(callers, &catalog, read).await?;
        writeln!(out, "file                   {callers:>3} callers {rate:>8.0}/s")?;
    }
    let page = move |catalog: Arc<SqliteCatalog>| {
        let (user, query) = (user.clone(), query.clone());
        async move { Ok(catalog.list(&user, query).await.map(drop)?) }
    };
    let rate = measure(1, &catalog, page).await?;
    writeln!(out, "list, 100 files a page   1 callers {rate:>8.0}/s")?;
    catalog.close().await?;
    Ok(())
}

/// Calls as often as so many callers can, and answers how often in a second.
async fn measure<F>(
    callers: usize,
    catalog: &Arc<SqliteCatalog>,
    call: impl Fn(Arc<SqliteCatalog>) -> F + Clone + Send + 'static,
) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let calls = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (catalog, calls, call) = (Arc::clone(catalog), Arc::clone(&calls), call.clone());
        tasks.spawn(async move {
            while started.elapsed() < ROUND {
                call(Arc::clone(&catalog)).await?;
                calls.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(calls.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

async fn fill(catalog: &Arc<SqliteCatalog>, files: u64) -> anyhow::Result<()> {
    let left = Arc::new(AtomicU64::new(files));
    let mut tasks = JoinSet::new();
    for _ in 0..256 {
        let (catalog, left) = (Arc::clone(catalog), Arc::clone(&left));
        tasks.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                commit(&catalog).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// What a save asks of the catalog from first to last.
async fn save(catalog: &SqliteCatalog) -> anyhow::Result<()> {
    let (mut version, audit) = new_file()?;
    let object = Garbage { backend: version.placement.backend.clone(), key: version.placement.key.clone() };
    let reserve = catalog.reserve(&version.user, version.size_bytes, 1, Duration::from_secs(60));
    let (reservation, begun) = tokio::join!(reserve, catalog.begin_object(&object));
    begun?;
    version.reservation = Some(reservation?);
    catalog.commit_version(version, audit).await?;
    Ok(())
}

async fn commit(catalog: &SqliteCatalog) -> anyhow::Result<()> {
    let (version, audit) = new_file()?;
    catalog.commit_version(version, audit).await?;
    Ok(())
}

/// One of a hundred users.
fn owner(number: u128) -> anyhow::Result<UserId> {
    Ok(UserId::new(format!("user-{}", number % 100))?)
}

fn new_file() -> anyhow::Result<(NewVersion, AuditEntry)> {
    let (file, version) = (FileId::new(), FileVersionId::new());
    let user = owner(file.as_uuid().as_u128())?;
    let filename = format!("résumé-{}.pdf", version.as_uuid().as_u128() % 100_000);
    let key = ObjectKey::new(format!("users/{user}/{file}/{version}/{filename}"))?;
    let audit = AuditEntry {
        at: SystemTime::now(),
        actor: "key:bench".to_owned(),
        user: user.clone(),
        action: "save".to_owned(),
        file: Some(file),
        version: Some(version),
        outcome: "ok".to_owned(),
        correlation_id: Some(version.to_string()),
        remote: Some("192.0.2.1".to_owned()),
    };
    let version = NewVersion {
        file,
        user,
        version,
        base: Base::NewFile,
        filename,
        content_type: "application/pdf".to_owned(),
        size_bytes: 4_096,
        digests: [7; 32].into(),
        metadata: BTreeMap::from([("job".to_owned(), "4711".to_owned())]),
        tags: BTreeMap::new(),
        placement: Placement { backend: "local".to_owned(), key, tier: None },
        reservation: None,
        created_at: SystemTime::now(),
    };
    Ok((version, audit))
}

/// What the device takes to make a small append durable: the floor under a commit of its own.
fn fsync_time(folder: &Path) -> anyhow::Result<Duration> {
    let mut file = File::create(folder.join("fsync"))?;
    let started = Instant::now();
    for _ in 0..200 {
        file.write_all(&[1; 32 << 10])?;
        file.sync_data()?;
    }
    Ok(started.elapsed() / 200)
}
