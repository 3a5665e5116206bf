//! Azure Blob Storage: block blobs with tiers, versions and tags.
//!
//! Requests go through one HTTP client and one authorisation ([`client`]), whether the typed API of
//! `azure_storage_blobs` makes them or, where that has no word for what is asked, this crate. A key's text is a
//! blob's name in the exact and order-preserving form that [`name`] describes.
//!
//! Nothing here logs a URL or a header: both carry signatures.
#![forbid(unsafe_code)]

mod backend;
mod config;
mod open;
mod store;

mod copy;
mod delete;
mod describe;
mod extension;
mod health;
mod lifecycle;
mod list;
mod multipart;
mod presign;
mod retrieve;
mod save;
mod tier;
mod uploads;
mod versions;

mod account;
mod attributes;
mod blocks;
mod body;
mod client;
mod credential;
mod digest;
mod error;
mod http;
mod name;
mod options;
mod pace;
mod retry;
mod sas;
mod token;
mod xml;

use backend::AzureBackend;

storage_core::export_backend! {
    backend_type: "azure_blob",
    description: "Azure Blob Storage: block blobs with tiers, versions and tags",
    variable_prefix: "AZURE_",
    schema: config::schema,
    open: AzureBackend::open,
}
