//! The service with a million files in its catalog beside the same service with a thousand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use storage_core::ObjectKey;
use storage_host::catalog::{
    Base, Catalog, CatalogOptions, FileId, FileQuery, FileVersionId, NewVersion, Placement, SqliteCatalog,
    UserId,
};
use storage_host::service::{Metadata, SimpleStorageService};
use tokio::task::JoinSet;

use crate::contest::{Contest, rate};
use crate::environment::Environment;
use crate::row::{Row, Unit};
use crate::service;

pub(crate) const ROWS: &[&str] = &["catalog-metadata", "catalog-list", "catalog-save", "catalog-usage"];

/// With what the large catalog is compared.
const FEW_FILES: u64 = 1_000;

/// What one user has, so that a page is as long in both.
const FILES_OF_A_USER: u64 = 1_000;

/// One and a half times as slow.
const RATIO: f64 = 0.667;

/// So many files are entered at the same time: they share transactions.
const FILLERS: u64 = 256;

const CALLERS: usize = 16;
const MANY: &str = "many files";
const FEW: &str = "1,000 files";

/// The service, and a file in its catalog.
#[derive(Clone)]
struct Filled {
    service: SimpleStorageService,
    user: UserId,
    file: FileId,
}

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let folder = environment.scratch()?;
    let many = Filled::open(environment, folder.path(), environment.catalog_files).await?;
    let few = Filled::open(environment, folder.path(), FEW_FILES).await?;
    let mut rows = Vec::new();
    for (name, work) in [
        ("catalog-metadata", "metadata of a file"),
        ("catalog-list", "page of 100 files"),
        ("catalog-save", "save of 4 KiB"),
        ("catalog-usage", "usage of a user"),
    ] {
        if environment.wants(name) {
            let work = format!("{work}, 16 at once, with {} files in the catalog", environment.catalog_files);
            let contest = Contest::new(name, work, Unit::CallsPerSecond)
                .contender(MANY, || many.rate(environment, name))
                .contender(FEW, || few.rate(environment, name))
                .at_least(RATIO, FEW);
            rows.push(contest.run(environment.rounds).await?);
        }
    }
    many.service.close().await?;
    few.service.close().await?;
    Ok(rows)
}

impl Filled {
    async fn open(environment: &Environment, folder: &Path, files: u64) -> Result<Self> {
        let kept = filled_catalog(environment.results(), files).await?;
        let catalog = folder.join(format!("catalog-{files}.db"));
        std::fs::copy(&kept, &catalog).with_context(|| format!("copying {}", kept.display()))?;
        let service = service::open(environment, &folder.join(format!("service-{files}")), &catalog).await?;
        let user = user(0)?;
        let page = service.list(&user, FileQuery { limit: 1, ..FileQuery::default() }).await?;
        let file = page.files.first().context("the catalog has no file")?.id;
        Ok(Self { service, user, file })
    }

    async fn rate(&self, environment: &Environment, row: &str) -> Result<f64> {
        let numbers = &Arc::new(AtomicU64::new(0));
        let Self { service, user, file } = self.clone();
        let row = row.to_owned();
        rate(CALLERS, environment.round_time, numbers, move |_| {
            let (service, user, row) = (service.clone(), user.clone(), row.clone());
            async move {
                match row.as_str() {
                    "catalog-metadata" => drop(service.metadata(file, &user, None).await?),
                    "catalog-list" => {
                        let query = FileQuery { limit: 100, ..FileQuery::default() };
                        ensure!(service.list(&user, query).await?.files.len() == 100, "the page is short");
                    }
                    "catalog-save" => {
                        let content = Bytes::from_static(&[7; 4096]);
                        service.save(content, "new.bin", &user, Metadata::new()).await?;
                    }
                    _ => drop(service.usage(&user).await?),
                }
                Ok(())
            }
        })
        .await
    }
}

/// A catalog with so many files, which is kept for the next run: filling it takes longer than the rows.
pub(crate) async fn filled_catalog(folder: &Path, files: u64) -> Result<PathBuf> {
    let path = folder.join(format!("catalog-{files}.db"));
    if path.try_exists()? {
        match open_filled(&path, files).await {
            Ok(()) => return Ok(path),
            Err(error) => eprintln!("  {} is filled anew: {error:#}", path.display()),
        }
    }
    for suffix in ["", "-wal", "-shm"] {
        let file = folder.join(format!("catalog-{files}.db{suffix}"));
        if file.try_exists()? {
            std::fs::remove_file(file)?;
        }
    }
    eprintln!("  filling a catalog with {files} files");
    let catalog = Arc::new(SqliteCatalog::open(&path, CatalogOptions::default())?);
    fill(&catalog, files).await?;
    catalog.close().await?;
    Ok(path)
}

async fn open_filled(path: &Path, files: u64) -> Result<()> {
    let catalog = SqliteCatalog::open(path, CatalogOptions::default())?;
    let found = catalog.totals().await?.files;
    catalog.close().await?;
    ensure!(found == files, "it has {found} files");
    Ok(())
}

async fn fill(catalog: &Arc<SqliteCatalog>, files: u64) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..FILLERS {
        let (catalog, next) = (Arc::clone(catalog), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= files {
                    return anyhow::Ok(());
                }
                ensure!(
                    catalog.adopt_version(new_file(number)?).await?,
                    "the catalog knows the file already"
                );
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

fn user(number: u64) -> Result<UserId> {
    Ok(UserId::new(format!("user-{}", number / FILES_OF_A_USER))?)
}

fn new_file(number: u64) -> Result<NewVersion> {
    let (file, version, user) = (FileId::new(), FileVersionId::new(), user(number)?);
    let filename = format!("résumé-{number}.pdf");
    let key = ObjectKey::new(format!("users/{user}/{file}/{version}/{filename}"))?;
    Ok(NewVersion {
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
    })
}
