//! Google Cloud Storage: parallel uploads, generations, storage classes, signed URLs.
//!
//! The plugin speaks the JSON API through a thin client of its own ([`client`]) and leaves credentials and signing
//! to Google's crate ([`auth`]). A file is one object; what an upload needs on the way lies under names that no
//! file can have ([`layout`]). `README.md` tells why, and how it is tested.
//!
//! Nothing here sends a request but through [`client`], reads an answer but through [`resource`], or decides what
//! an answer means but in [`error`].
#![forbid(unsafe_code)]

mod backend;
mod config;
mod open;

mod composite;
mod copy;
mod delete;
mod health;
mod lifecycle;
mod list;
mod multipart;
mod presign;
mod read;
mod save;
mod sweep;
mod uploads;
mod versions;

mod extensions;

mod auth;
mod cdn;
mod client;
mod compose;
mod digest;
mod error;
mod layout;
mod options;
mod ranged;
mod resource;
mod resumable;
mod retry;
mod single;
mod token;

#[cfg(test)]
mod tests;

use backend::GcsBackend;

storage_core::export_backend! {
    backend_type: "gcs",
    description: "Google Cloud Storage: parallel uploads, generations, storage classes, signed URLs",
    variable_prefix: "GCS_",
    schema: config::schema,
    open: GcsBackend::open,
}
