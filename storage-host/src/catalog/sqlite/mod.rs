//! The catalog in a SQLite database: durable, embedded, and good for one host with any number of processes.
//!
//! One thread writes and lets concurrent changes share their commits ([`writer`]); a few connections read
//! ([`readers`]). Another process may read and write the same file at the same time, as the command line does
//! beside a running server: every decision is made inside a transaction, none from memory.
//!
//! Statements keep to what PostgreSQL understands as well and stand at the head of the module that runs them.

mod audit;
mod catalog;
mod check;
mod commit;
mod delete;
mod error;
mod keys;
mod lines;
mod list;
mod objects;
mod open;
mod patience;
mod quota;
mod read;
mod readers;
mod scrub;
mod sync;
mod value;
mod writer;

#[cfg(test)]
pub(crate) mod schedules;
#[cfg(test)]
mod tests;

pub use catalog::{SqliteCatalog, SqliteStats};
