//! [`Environment`]: what every group of rows is given: how long to measure, where, and with which built files.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// What is to be measured, and with what.
pub(crate) struct Environment {
    /// How many rounds each row has.
    pub(crate) rounds: usize,
    /// How long a round of many small calls lasts.
    pub(crate) round_time: Duration,
    /// How many bytes a large file has.
    pub(crate) large_bytes: u64,
    /// How many bytes the file has whose way through the service is watched.
    pub(crate) huge_bytes: u64,
    /// How many files the large catalog has.
    pub(crate) catalog_files: u64,
    /// `target/PROFILE`, where this program lies and everything that it loads and starts.
    built: PathBuf,
    results: PathBuf,
    rows: Vec<String>,
}

impl Environment {
    /// For these rows. The folder is by default one beside the results.
    ///
    /// # Errors
    ///
    /// The program does not lie where cargo puts it; the folder cannot be made.
    pub(crate) fn new(folder: Option<PathBuf>, rows: Vec<String>) -> Result<Self> {
        let program = std::env::current_exe().context("the path of this program is not known")?;
        let built = program.parent().context("this program lies in no folder")?.to_path_buf();
        let target = built.parent().context("this program does not lie in cargo's target folder")?;
        let results = folder.unwrap_or_else(|| target.join("bench"));
        std::fs::create_dir_all(&results).with_context(|| format!("creating {}", results.display()))?;
        Ok(Self {
            rounds: 5,
            round_time: Duration::from_secs(1),
            large_bytes: 1 << 30,
            huge_bytes: 10 << 30,
            catalog_files: 1_000_000,
            built,
            results,
            rows,
        })
    }

    /// With so many rounds of this length.
    pub(crate) fn with_rounds(mut self, rounds: usize, round_time: Duration) -> Self {
        (self.rounds, self.round_time) = (rounds, round_time);
        self
    }

    /// With files and a catalog of these sizes.
    pub(crate) fn with_sizes(mut self, large_bytes: u64, huge_bytes: u64, catalog_files: u64) -> Self {
        (self.large_bytes, self.huge_bytes, self.catalog_files) = (large_bytes, huge_bytes, catalog_files);
        self
    }

    /// Rounds of work that takes seconds each: fewer, but never one alone.
    pub(crate) fn long_rounds(&self) -> usize {
        self.rounds.div_ceil(2).max(self.rounds.min(3))
    }

    /// Whether a row is to be measured.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.iter().any(|wanted| wanted == row)
    }

    /// Where figures and charts are kept, and what is costly to make anew.
    pub(crate) fn results(&self) -> &Path {
        &self.results
    }

    /// A folder that goes when it is dropped, on the disk that is measured.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(crate) fn scratch(&self) -> Result<TempDir> {
        TempDir::with_prefix_in("work-", &self.results).context("making a folder to work in")
    }

    /// The program of the service.
    ///
    /// # Errors
    ///
    /// It was not built.
    pub(crate) fn service_program(&self) -> Result<PathBuf> {
        self.built_file(&format!("storage{EXE_SUFFIX}"))
    }

    /// Another program of this package.
    ///
    /// # Errors
    ///
    /// It was not built.
    pub(crate) fn bench_program(&self, name: &str) -> Result<PathBuf> {
        self.built_file(&format!("storage-bench-{name}{EXE_SUFFIX}"))
    }

    /// A library that was built: `storage_backend_local`.
    ///
    /// # Errors
    ///
    /// It was not built.
    pub(crate) fn library(&self, name: &str) -> Result<PathBuf> {
        self.built_file(&format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))
    }

    /// The plugins that were built for these backend types.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.built.join("plugins")
    }

    /// What `cargo xtask servers` writes down of a server that it started.
    pub(crate) fn server_description(&self, name: &str) -> PathBuf {
        let target = self.built.parent().unwrap_or(&self.built);
        target.join("servers").join(name).join("server.json")
    }

    /// Where `cargo xtask servers` keeps the programs that it installed.
    pub(crate) fn server_installs(&self) -> PathBuf {
        self.built.parent().unwrap_or(&self.built).join("servers").join(".install")
    }

    fn built_file(&self, name: &str) -> Result<PathBuf> {
        let path = self.built.join(name);
        ensure!(path.is_file(), "{} was not built: run `cargo xtask bench`", path.display());
        Ok(path)
    }
}
