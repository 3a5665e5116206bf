//! What the tests of the storage service share: the conformance suite, the backends that it is run
//! against, and content to save.

pub mod conformance;
pub mod examples;
pub mod fixture;
pub mod plugins;
pub mod target;
