//! Everything between an application and a storage backend.
//!
//! A program that embeds the service begins at [`service::Storage`]. What follows is the architecture of the whole.
#![doc = include_str!("../../docs/architecture.md")]

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
