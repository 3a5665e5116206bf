//! The kill loop: clients work over HTTP, the service is killed, and whatever was answered must hold.
//!
//! [`client`] does the work, [`ledger`] remembers what was answered, [`check`] compares that with what a service that
//! was started again says, and [`account`] adds it all up.

pub mod account;
pub mod check;
pub mod client;
pub mod ledger;
