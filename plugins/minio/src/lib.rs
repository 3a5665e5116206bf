//! MinIO, and servers that speak S3 as it does: SeaweedFS, Garage, Ceph, RustFS, R2.
//!
//! An object is an object of one bucket under its own key, addressed by path. What the server that answers can do
//! is asked when the backend opens ([`probe`]), never assumed: conditions and digests that a server would ignore
//! are not declared. `README.md` tells what is sent and what was tested against what.
#![forbid(unsafe_code)]

mod backend;
mod config;
mod open;
mod store;

mod copy;
mod delete;
mod extension;
mod health;
mod lifecycle;
mod list;
mod multipart;
mod presign;
mod read;
mod save;
mod uploads;
mod versions;

mod attributes;
mod client;
mod digest;
mod download;
mod endpoint;
mod error;
mod lock;
mod meta;
mod options;
mod pace;
mod piece;
mod probe;
mod sent;
mod server;
mod source;
#[cfg(test)]
mod testing;
mod token;
mod upload;
mod walk;

use backend::MinioBackend;

storage_core::export_backend! {
    backend_type: "minio",
    description: "MinIO and servers that speak S3 as it does: SeaweedFS, Garage, Ceph, RustFS, R2",
    variable_prefix: "MINIO_",
    schema: config::schema,
    open: MinioBackend::open,
}
