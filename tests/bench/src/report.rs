//! [`Report`]: the figures of one run, as they are kept.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::row::Row;

/// With what later runs are compared.
const LAST: &str = "last.json";

/// The figures of one run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) taken_at: Timestamp,
    pub(crate) machine: String,
    pub(crate) rounds: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A group that could not be measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) group: String,
    pub(crate) reason: String,
}

impl Report {
    /// Without figures yet.
    pub(crate) fn new(rounds: usize) -> Self {
        Self {
            taken_at: Timestamp::now(),
            machine: machine(),
            rounds,
            rows: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(crate) fn leave_out(&mut self, group: &str, reason: &str) {
        self.left_out.push(LeftOut { group: group.to_owned(), reason: reason.to_owned() });
    }

    /// The run before; none before the first.
    ///
    /// # Errors
    ///
    /// What was kept cannot be read.
    pub(crate) fn load_last(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(LAST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        serde_json::from_slice(&text).map(Some).with_context(|| {
            format!("{} is not what this version writes: remove it to begin anew", path.display())
        })
    }

    /// Keeps the figures under the time at which they were taken and, where `as_last`, also as those that the next run
    /// is compared with.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub(crate) fn save(&self, folder: &Path, as_last: bool) -> Result<PathBuf> {
        let text = serde_json::to_vec_pretty(self)?;
        let path = folder.join(format!("{}.json", self.taken_at.strftime("%Y-%m-%dT%H-%M-%SZ")));
        let write =
            |path: &Path| fs::write(path, &text).with_context(|| format!("writing {}", path.display()));
        write(&path)?;
        if as_last {
            write(&folder.join(LAST))?;
        }
        Ok(path)
    }

    /// The row of this name.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// What the figures were taken on: they say nothing of another machine.
fn machine() -> String {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = text("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = text("/proc/sys/kernel/osrelease");
    format!("{cores} × {}, Linux {}", model.trim_start_matches([' ', '\t', ':']), kernel.trim())
}
