//! Placeholder.

pub mod examples;
pub mod plugins;
