//! Amazon S3: every storage class, Glacier, KMS, versions, object lock, acceleration, directory buckets.
//!
//! [`backend`] hands each operation to the module that does it; [`store`] is what they work on. Every request to S3
//! goes through [`call`], and every error of S3 through [`error`]. Small content goes in one request; large content
//! goes in parts, up by [`upload`] and down by [`reader`].
//!
//! Bodies are in memory when they are sent, so that each request has its digest and can be made again; only the parts
//! that a caller sends himself and that are too large for that are [`streamed`].
#![forbid(unsafe_code)]

mod backend;
mod bucket;
mod config;
mod open;
mod schema;
mod store;

mod copy;
mod delete;
mod directory;
mod health;
mod lifecycle;
mod list;
mod meta;
mod multipart;
mod presign;
mod read;
mod reader;
mod streamed;
mod tiering;
mod upload;
mod uploads;
mod versions;
mod write;

mod extension;

mod call;
mod class;
mod client;
mod digest;
mod error;
mod metadata;
mod metrics;
mod options;
mod pace;
mod pieces;
mod query;
mod retry;
mod server;
mod token;
mod web_identity;

#[cfg(test)]
mod testing;

use backend::S3Backend;

storage_core::export_backend! {
    backend_type: "aws_s3",
    description: "Amazon S3: every storage class, Glacier, KMS, versions, object lock, acceleration",
    variable_prefix: "AWS_S3_",
    schema: schema::schema,
    open: S3Backend::open,
}
