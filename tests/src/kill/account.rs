//! What a kill loop did and found, added up.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ledger::Doubt;

/// What clients were answered.
#[derive(Debug, Default)]
pub struct Tally {
    new_files: AtomicU64,
    new_versions: AtomicU64,
    deletes: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    /// Notes a request that was answered with success.
    pub fn acknowledged(&self, what: &Doubt) {
        let counter = match what {
            Doubt::NewFile(_) => &self.new_files,
            Doubt::NewVersion(..) => &self.new_versions,
            Doubt::Delete(_) | Doubt::DeleteVersion(..) => &self.deletes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a request that was refused since the quota is used up.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// The account of a loop.
#[derive(Debug, Default)]
pub struct Account {
    /// How often the service was killed.
    pub kills: u64,
    /// What was answered.
    pub tally: Tally,
    /// Requests that were under way at a kill and turned out to have been done.
    pub done_unanswered: u64,
    /// Those that turned out not to have been done.
    pub not_done: u64,
    /// Versions that were read whole and compared, over all rounds.
    pub versions_read: u64,
    /// Objects of nobody's that a check found.
    pub orphans_found: u64,
    /// Objects of nobody's that were removed, those of deletes that the kill broke off included.
    pub objects_removed: u64,
    /// Promises of room that the kill left, in bytes, and that the repair took back.
    pub reserved_bytes_released: u64,
}

impl Account {
    /// How many requests were answered with success.
    pub fn acknowledged(&self) -> u64 {
        let Tally { new_files, new_versions, deletes, refused: _ } = &self.tally;
        [new_files, new_versions, deletes].map(|counter| counter.load(Ordering::Relaxed)).iter().sum()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let rows = [
            ("kills", self.kills),
            ("acknowledged", self.acknowledged()),
            ("  new files, copies included", load(&self.tally.new_files)),
            ("  new versions", load(&self.tally.new_versions)),
            ("  deletes of files and versions", load(&self.tally.deletes)),
            ("refused for quota, rightly", load(&self.tally.refused)),
            ("under way at a kill", self.done_unanswered + self.not_done),
            ("  done all the same, wholly", self.done_unanswered),
            ("  not done, wholly", self.not_done),
            ("versions read and compared", self.versions_read),
            ("orphans found", self.orphans_found),
            ("objects of nobody's removed", self.objects_removed),
            ("promised bytes taken back", self.reserved_bytes_released),
        ];
        rows.iter().try_for_each(|(name, number)| writeln!(f, "{name:<34} {number:>10}"))
    }
}
