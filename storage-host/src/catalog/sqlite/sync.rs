//! All that the catalog's threads and callers wait for one another with.
//!
//! `catalog.rs`, `lines.rs`, `readers.rs` and `writer.rs` take it from here and from nowhere else. Tests compile these
//! a second time, with primitives whose every step a scheduler decides in the place of these (`schedules/`).

pub(super) use std::thread;
pub(super) use std::time::Instant;

pub(super) use parking_lot::{Mutex, RwLock};
pub(super) use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
pub(super) use tokio::task::spawn_blocking;

pub(super) use super::patience::Patience;
