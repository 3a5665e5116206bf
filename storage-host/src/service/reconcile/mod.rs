//! Bringing catalog and backends together again after something went wrong: finding what differs, and rebuilding
//! the one from the others. Nothing is removed that cannot be proven to be nobody's.

mod fsck;
mod listing;
mod rebuild;
mod scrub;

pub use fsck::{BackendFindings, FsckOptions, FsckReport, MissingObject, WrongSize};
pub use rebuild::{BackendRebuild, RebuildReport};
pub use scrub::{BackendScrub, Damage, DamagedObject, ScrubOptions, ScrubReport};
