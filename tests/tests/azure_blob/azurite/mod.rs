//! Over HTTP, by the account's key and by signatures.

mod credentials;
mod faults;
mod names;
mod presign;
mod requests;
mod secondary;
mod snapshots;
mod tiers;
mod transfer;
mod uploads;
mod versions;
