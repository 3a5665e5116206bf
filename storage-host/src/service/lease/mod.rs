//! What a save claims while it is under way: room in the owner's quota, and the object that it writes.

mod claims;
mod sync;

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;

pub(super) use claims::{LIFETIME, Lease, Room};
