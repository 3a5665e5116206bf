//! `invoke`: what this kind of server has that the contract does not.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, Extension, ExtensionArgument, ObjectKey, Result, VersionId};

use crate::config::LockMode;
use crate::error::invalid;
use crate::store::{Features, Store};
use crate::{health, lifecycle, lock, read, uploads};

/// What can be called, for this bucket and this server.
pub(crate) fn list(store: &Store) -> Vec<Extension> {
    let features: &Features = &store.features;
    let argument = |name: &str, description: &str, required| ExtensionArgument {
        name: name.to_owned(),
        description: description.to_owned(),
        required,
    };
    let key = || argument("key", "The object's key.", true);
    let version = || argument("version", "The version; the current one where absent.", false);
    let extension = |name: &str, description: &str, mutates, arguments: Vec<ExtensionArgument>| Extension {
        name: name.to_owned(),
        description: description.to_owned(),
        mutates,
        arguments,
    };
    let mut list = vec![extension(
        "sweep_uploads",
        "Aborts uploads in parts that began so long ago, and tells how many.",
        true,
        vec![argument("older_than_seconds", "Their age, in seconds.", true)],
    )];
    if features.lifecycle {
        list.push(extension(
            "lifecycle_rules",
            "Shows the lifecycle rules that the bucket has.",
            false,
            vec![],
        ));
    }
    if features.object_lock {
        let mode = argument(
            "mode",
            "governance (may be lifted by who is allowed to) or compliance (by nobody).",
            true,
        );
        let bypass = argument("bypass_governance", "true to shorten a retention of mode governance.", false);
        list.extend([
            extension(
                "get_lock",
                "Shows retention and legal hold of a version.",
                false,
                vec![key(), version()],
            ),
            extension(
                "set_legal_hold",
                "Puts a version under legal hold, or lifts it: it cannot be deleted meanwhile.",
                true,
                vec![key(), version(), argument("on", "true to hold, false to lift.", true)],
            ),
            extension(
                "set_retention",
                "Keeps a version from being deleted until a moment.",
                true,
                vec![
                    key(),
                    version(),
                    mode,
                    argument("until", "The moment, as 2030-01-31T00:00:00Z.", true),
                    bypass,
                ],
            ),
        ]);
    }
    if store.product.has_minio_health() {
        list.push(extension(
            "server_health",
            "Asks MinIO's own health endpoints: whether the server lives, and whether the cluster can read and write.",
            false,
            vec![],
        ));
    }
    list
}

/// Takes no arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sweep {
    older_than_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    key: String,
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    key: String,
    version: Option<String>,
    on: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retain {
    key: String,
    version: Option<String>,
    mode: Mode,
    until: Timestamp,
    #[serde(default)]
    bypass_governance: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Governance,
    Compliance,
}

/// Calls one of them.
///
/// # Errors
///
/// `Unsupported` for a name that is not listed; `InvalidArgument`; what the operation gives.
pub(crate) async fn invoke(store: &Store, name: &str, arguments: Value) -> Result<Value> {
    let known = list(store);
    if !known.iter().any(|extension| extension.name == name) {
        let names: Vec<_> = known.iter().map(|extension| extension.name.as_str()).collect();
        return Err(Error::new(ErrorKind::Unsupported, "this backend has no such extension")
            .with_context("extension", name.escape_debug())
            .with_context("available", names.join(", ")));
    }
    match name {
        "sweep_uploads" => {
            let Sweep { older_than_seconds } = parse(arguments)?;
            let aborted = uploads::sweep(store, Duration::from_secs(older_than_seconds)).await?;
            Ok(json!({ "aborted": aborted }))
        }
        "lifecycle_rules" => {
            let Nothing {} = parse(arguments)?;
            let rules = lifecycle::current(store).await?;
            Ok(json!({ "rules": rules.iter().map(shown).collect::<Vec<_>>() }))
        }
        "get_lock" => {
            let Which { key, version } = parse(arguments)?;
            lock::get(store, &object(&key)?, named(store, version)?).await
        }
        "set_legal_hold" => {
            let Hold { key, version, on } = parse(arguments)?;
            lock::set_legal_hold(store, &object(&key)?, named(store, version)?, on).await
        }
        "set_retention" => {
            let Retain { key, version, mode, until, bypass_governance } = parse(arguments)?;
            let mode = match mode {
                Mode::Governance => LockMode::Governance,
                Mode::Compliance => LockMode::Compliance,
            };
            let version = named(store, version)?;
            lock::set_retention(store, &object(&key)?, version, mode, until, bypass_governance).await
        }
        _ => {
            let Nothing {} = parse(arguments)?;
            health::of_minio(store).await
        }
    }
}

fn shown(rule: &aws_sdk_s3::types::LifecycleRule) -> Value {
    let old = rule.noncurrent_version_expiration();
    let abort = rule.abort_incomplete_multipart_upload();
    json!({
        "id": rule.id(),
        "prefix": rule.filter().and_then(|filter| filter.prefix()),
        "status": rule.status().as_str(),
        "expire_days": rule.expiration().and_then(|expiration| expiration.days()),
        "expire_old_versions_days": old.and_then(|old| old.noncurrent_days()),
        "abort_uploads_days": abort.and_then(|abort| abort.days_after_initiation()),
    })
}

fn object(key: &str) -> Result<ObjectKey> {
    ObjectKey::new(key).map_err(|error| invalid("the argument key is no object key").with_source(error))
}

fn named(store: &Store, version: Option<String>) -> Result<Option<String>> {
    read::named_version(store, version.map(VersionId::new).as_ref())
}

fn parse<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    if !arguments.is_object() {
        return Err(invalid("the arguments are not a JSON object"));
    }
    serde_json::from_value(arguments)
        .map_err(|error| invalid("the arguments are not those of this extension").with_source(error))
}
