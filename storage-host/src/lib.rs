//! Everything between an application and a storage backend.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod events;
pub mod http;
pub mod layers;
pub mod manager;
pub mod plugin;
pub mod service;
pub mod telemetry;
