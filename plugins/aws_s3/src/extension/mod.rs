//! What only S3 can do, called through `invoke`. Each extension describes itself and its arguments.

pub(crate) mod cloudwatch;
pub(crate) mod policy;

mod arguments;
mod intelligent;
mod lock;
mod upkeep;

use std::sync::Arc;

use serde_json::Value;
use storage_core::{Error, ErrorKind, Extension, ExtensionArgument, Result};

use crate::bucket::Kind;
use crate::store::Store;
use arguments::Arguments;

/// All extensions.
pub(crate) fn list(kind: Kind) -> Vec<Extension> {
    let mut all = vec![policy::extension()];
    all.extend(lock::extensions());
    all.extend(intelligent::extensions());
    all.extend(upkeep::extensions());
    all.extend(cloudwatch::extensions());
    all.retain(|extension| is_of(&extension.name, kind));
    all
}

/// Whether there is such a thing in a bucket of this sort.
fn is_of(name: &str, kind: Kind) -> bool {
    let is_of_all = [policy::NAME, upkeep::SWEEP, cloudwatch::PUBLISH].contains(&name);
    let is_of_objects = [lock::GET_LOCK, lock::SET_RETENTION, lock::SET_LEGAL_HOLD].contains(&name);
    match kind {
        Kind::General => true,
        // How the bucket is made is not told through an access point.
        Kind::AccessPoint | Kind::MultiRegion => is_of_all || is_of_objects,
        Kind::Directory | Kind::DirectoryAccessPoint => is_of_all,
    }
}

/// Calls one.
///
/// # Errors
///
/// As [`storage_core::Backend::invoke`].
pub(crate) async fn invoke(store: &Arc<Store>, name: &str, arguments: Value) -> Result<Value> {
    let all = list(store.config.kind());
    let Some(extension) = all.iter().find(|extension| extension.name == name) else {
        let names: Vec<_> = all.iter().map(|extension| extension.name.as_str()).collect();
        return Err(Error::new(ErrorKind::Unsupported, "S3 has no such extension")
            .with_context("extension", name.escape_debug())
            .with_context("available", names.join(", ")));
    };
    let arguments = Arguments::check(extension, arguments)?;
    match name {
        policy::NAME => Ok(policy::document(store)),
        lock::GET_LOCK => lock::get(store, &arguments).await,
        lock::SET_RETENTION => lock::set_retention(store, &arguments).await,
        lock::SET_LEGAL_HOLD => lock::set_legal_hold(store, &arguments).await,
        lock::GET_BUCKET_LOCK => lock::get_bucket(store).await,
        lock::SET_BUCKET_LOCK => lock::set_bucket(store, &arguments).await,
        intelligent::LIST => intelligent::list_all(store).await,
        intelligent::SET => intelligent::set(store, &arguments).await,
        intelligent::DELETE => intelligent::delete(store, &arguments).await,
        upkeep::SWEEP => upkeep::sweep(store, &arguments).await,
        upkeep::GET_ACCELERATION => upkeep::get_acceleration(store).await,
        upkeep::SET_ACCELERATION => upkeep::set_acceleration(store, &arguments).await,
        cloudwatch::STORAGE_METRICS => cloudwatch::storage_metrics(store, &arguments).await,
        _ => cloudwatch::publish_now(store, &arguments).await,
    }
}

/// An extension that takes these arguments.
fn extension(name: &str, mutates: bool, description: &str, arguments: Vec<ExtensionArgument>) -> Extension {
    Extension { name: name.to_owned(), description: description.to_owned(), mutates, arguments }
}

fn required(name: &str, description: &str) -> ExtensionArgument {
    ExtensionArgument { name: name.to_owned(), description: description.to_owned(), required: true }
}

fn optional(name: &str, description: &str) -> ExtensionArgument {
    ExtensionArgument { required: false, ..required(name, description) }
}
