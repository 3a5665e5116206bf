//! The backend type `{{type}}`: keeps objects in the memory of the process.
//!
//! `storage_core::export_backend!` below makes this crate a plugin. The rest is ordinary async Rust: [`backend`]
//! implements the trait, one file each does an operation, and [`store`] stands for the provider.
#![forbid(unsafe_code)]

mod backend;
mod config;
mod delete;
mod list;
mod options;
mod read;
mod save;
mod store;

#[cfg(test)]
mod tests;

storage_core::export_backend! {
    backend_type: "{{type}}",
    description: "Keeps objects in the memory of the process",
    variable_prefix: "{{VARIABLE}}_",
    schema: config::schema,
    open: backend::{{Name}}Backend::open,
}
