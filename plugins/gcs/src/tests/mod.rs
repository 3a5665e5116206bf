//! Tests of the plugin against what Google publishes, of what it is configured with, and of what it asks of a service.

mod cdn;
mod classes;
mod config;
mod credentials;
mod lifecycle;
mod patience;
mod served;
mod sessions;
mod v4;
