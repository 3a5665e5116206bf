//! Files on a local disk: durable, versioned, readable without this software.
//!
//! An object is two files in a directory that is named after its key: the content, under a name of its own for
//! every version, and a JSON document that describes all versions. Contents never change; a save writes a new
//! content and then replaces the document, which is the one step that makes it visible. `README.md` describes
//! the layout.
//!
//! Nothing here builds a path from anything but [`path`], opens one but through [`folder`], or writes into a
//! file that has its name already.
#![forbid(unsafe_code)]

mod backend;
mod config;
mod open;
mod store;

mod cached;
mod chunks;
mod copy;
mod delete;
mod health;
mod list;
mod multipart;
mod prune;
mod read;
mod uploads;
mod write;

mod blocking;
mod digest;
mod document;
mod early_sync;
mod error;
mod folder;
mod options;
mod pace;
mod part;
mod path;
mod staging;
mod stamp;
mod token;
mod walk;

#[cfg(test)]
mod tests;

use backend::LocalBackend;

storage_core::export_backend! {
    backend_type: "local",
    description: "Files on a local disk: durable, versioned, readable without this software",
    variable_prefix: "LOCAL_",
    schema: config::schema,
    open: LocalBackend::open,
}
