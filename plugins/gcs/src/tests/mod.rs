//! Tests of the plugin against what Google publishes, and of what it is configured with.

mod cdn;
mod config;
mod credentials;
mod v4;
