//! The tasks, clocks and shared values of claims.
//!
//! `claims.rs` takes them from here and from nowhere else. Tests compile it a second time, with primitives whose every
//! step a scheduler decides in the place of these (`schedules/`).

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) use parking_lot::Mutex;
pub(super) use tokio::runtime::Handle;
pub(super) use tokio::spawn;
pub(super) use tokio::time::{Instant, timeout};
