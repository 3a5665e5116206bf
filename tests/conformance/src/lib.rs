//! The conformance suite: what [`storage_core::Backend`] promises, one behaviour a case.
//!
//! [`all`] gives the cases, [`Target`] says how a backend is opened, and [`Case::run`] tells what became
//! of it. The tests of this project run it against every plugin, and `storage plugins verify` against any library.

pub mod fixture;

mod outcome;
mod suite;
mod target;

pub use outcome::{Outcome, hush_panics};
pub use suite::{Case, Checked, Plan, all};
pub use target::{Instance, Target};
