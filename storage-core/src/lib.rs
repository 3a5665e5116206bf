//! The contract between the storage host and its provider plugins.
//!
//! A provider is a type that implements [`Backend`], an ordinary async trait over
//! ordinary types. [`export_backend!`] turns a crate with such a type into a plugin;
//! the host loads it and gets a [`Backend`] back. Nothing outside [`abi`] knows that
//! a library boundary lies between the two.
//!
//! This crate depends on no async runtime and on no provider's SDK, so that plugins
//! and hosts may each bring their own.

pub mod abi;
pub mod backend;
pub mod capability;
pub mod config;
pub mod correlation;
pub mod error;
pub mod key;
#[cfg(feature = "memory")]
pub mod memory;
pub mod multipart;
pub mod object;
pub mod request;
pub mod stream;
pub mod tiering;
pub mod versions;

pub use backend::{Backend, OpenRequest};
pub use capability::{BackendInfo, Capabilities, Extension, ExtensionArgument, Health, Limits};
pub use config::{ConfigField, ConfigKind, ConfigReader, ConfigSchema, ConfigValue, ConfigValues};
pub use error::{Error, ErrorKind, Result, Retry};
pub use key::ObjectKey;
pub use multipart::{
    AbortResult, CompleteOptions, ListPartsOptions, ListUploadsOptions, Part, PartOptions, PartPage, Upload,
    UploadId, UploadPage,
};
pub use object::{Checksums, ETag, ObjectMeta, VersionId};
pub use request::{
    ByteRange, CopyOptions, DeleteOptions, DeleteResult, Extra, ListOptions, ListPage, MetadataOptions,
    PresignMethod, PresignRequest, PresignedUrl, ReadCondition, RetrieveOptions, Retrieved, SaveOptions,
    SaveResult, WriteCondition,
};
pub use stream::ByteStream;
pub use tiering::{
    LifecycleReport, LifecycleRule, RestoreOptions, RestoreSpeed, RestoreStatus, SetTierOptions, Tier,
};
pub use versions::{ListVersionsOptions, ObjectVersion, VersionPage};

/// Re-exported for [`macro@export_backend`] and for plugin authors: the trait attribute
/// that makes `async fn` in [`Backend`] usable through `dyn`.
pub use async_trait::async_trait;
