//! What a process that is killed tells of its work, and how that is read.

use std::collections::BTreeMap;

use storage_core::Result;
use storage_host::catalog::{FileId, FileVersionId, UserId};

/// How many clients work at once, each for a user of its own.
pub const CLIENTS: u64 = 6;

/// The user for whom a client works.
///
/// # Errors
///
/// None for a number.
pub fn owner(client: u64) -> Result<UserId> {
    UserId::new(format!("client-{client}"))
}

/// What was answered before the process was killed.
#[derive(Debug, Default)]
pub struct Answers {
    /// The versions that were saved, with client, seed and length of their content, by file.
    pub saved: BTreeMap<FileId, Vec<(FileVersionId, u64, u64, u64)>>,
    /// The files of which a delete was begun, and whether it was answered.
    pub deletes: BTreeMap<FileId, (u64, bool)>,
}

impl Answers {
    /// Adds a line. One that was cut off by the kill was not an answer.
    pub fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        // A closure, so that a word that is missing or cut off leaves the whole line out.
        let _incomplete = (|| -> Option<()> {
            let (client, file) = (words.get(1)?.parse().ok()?, words.get(2)?.parse().ok()?);
            match *words.first()? {
                "saved" => {
                    let version = words.get(3)?.parse().ok()?;
                    let (seed, size_bytes) = (words.get(4)?.parse().ok()?, words.get(5)?.parse().ok()?);
                    self.saved.entry(file).or_default().push((version, client, seed, size_bytes));
                }
                "deleting" => {
                    self.deletes.insert(file, (client, false));
                }
                "deleted" => {
                    self.deletes.insert(file, (client, true));
                }
                _ => {}
            }
            Some(())
        })();
    }
}
