//! Object lock: retention and legal hold of one version, and what a bucket does by default.

use std::time::SystemTime;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, ObjectKey, Result};

use crate::config::LockMode;
use crate::error::{convert, fault, invalid};
use crate::meta::time;
use crate::store::Store;

/// What a bucket has of object lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BucketLock {
    /// Objects can be locked.
    pub(crate) enabled: bool,
    /// Every new version is, so that what is written cannot be removed.
    pub(crate) by_default: bool,
}

/// Asks what the bucket has of object lock.
///
/// # Errors
///
/// Where the question could not be answered.
pub(crate) async fn of_bucket(store: &Store) -> Result<BucketLock> {
    let answer = store.client.get_object_lock_configuration().bucket(store.bucket()).send().await;
    match answer.map_err(|error| convert("read the bucket's lock", error)) {
        Ok(answer) => {
            let lock = answer.object_lock_configuration();
            let enabled =
                lock.and_then(|lock| lock.object_lock_enabled()) == Some(&ObjectLockEnabled::Enabled);
            let rule = lock.and_then(|lock| lock.rule()).and_then(|rule| rule.default_retention());
            Ok(BucketLock { enabled, by_default: rule.is_some() })
        }
        // There is none, this server has none, or it is not for this key to know.
        Err(error) if !error.retry().is_allowed() => Ok(BucketLock::default()),
        Err(error) => Err(error),
    }
}

/// Locks every new version of a new bucket by default.
///
/// # Errors
///
/// The server's.
pub(crate) async fn set_default(store: &Store, mode: LockMode, days: i32) -> Result<()> {
    let retention = DefaultRetention::builder().mode(mode.name().into()).days(days).build();
    let lock = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(retention).build())
        .build();
    let request = store.client.put_object_lock_configuration().bucket(store.bucket());
    request.object_lock_configuration(lock).send().await.map(drop).map_err(fault("set the bucket's lock"))
}

/// The lock of one version, as JSON.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn get(store: &Store, key: &ObjectKey, version: Option<String>) -> Result<Value> {
    let retention = store.client.get_object_retention().bucket(store.bucket()).key(key.as_str());
    let retention = retention.set_version_id(version.clone()).send();
    let hold = store.client.get_object_legal_hold().bucket(store.bucket()).key(key.as_str());
    let hold = hold.set_version_id(version).send();
    let (retention, hold) = tokio::join!(retention, hold);
    let retention = absent(retention.map_err(|error| convert("read the retention", error)))?;
    let hold = absent(hold.map_err(|error| convert("read the legal hold", error)))?;
    let retention = retention.as_ref().and_then(|answer| answer.retention());
    let until = retention.and_then(|retention| retention.retain_until_date());
    let until = until.and_then(|until| Timestamp::try_from(time(Some(until))).ok());
    let held = hold.as_ref().and_then(|answer| answer.legal_hold()).and_then(|hold| hold.status());
    Ok(json!({
        "mode": retention.and_then(|retention| retention.mode()).map(|mode| mode.as_str().to_ascii_lowercase()),
        "until": until.map(|until| until.to_string()),
        "legal_hold": held == Some(&ObjectLockLegalHoldStatus::On),
    }))
}

/// A version without a lock is answered as an error, with a code of its own, which differs between servers.
fn absent<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => {
            let codes = [
                "NoSuchObjectLockConfiguration",
                "NoSuchObjectLegalHold",
                "ObjectLockConfigurationNotFoundError",
            ];
            let is_absent = error.context().any(|(name, value)| name == "code" && codes.contains(&value));
            if is_absent { Ok(None) } else { Err(error) }
        }
    }
}

/// Puts a version under legal hold, or lifts it.
///
/// # Errors
///
/// `NotFound`; `Unsupported` where the bucket has no object lock.
pub(crate) async fn set_legal_hold(
    store: &Store,
    key: &ObjectKey,
    version: Option<String>,
    on: bool,
) -> Result<Value> {
    let status = if on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
    let hold = ObjectLockLegalHold::builder().status(status).build();
    let request = store.client.put_object_legal_hold().bucket(store.bucket()).key(key.as_str());
    let request = request.set_version_id(version).legal_hold(hold);
    request.send().await.map_err(fault("set the legal hold"))?;
    Ok(json!({ "legal_hold": on }))
}

/// Keeps a version until a moment.
///
/// # Errors
///
/// `NotFound`; `ObjectLocked` where the retention that it has cannot be shortened.
pub(crate) async fn set_retention(
    store: &Store,
    key: &ObjectKey,
    version: Option<String>,
    mode: LockMode,
    until: Timestamp,
    bypass: bool,
) -> Result<Value> {
    let moment =
        SystemTime::try_from(until).map_err(|error| invalid("until is out of range").with_source(error))?;
    if moment <= SystemTime::now() {
        return Err(invalid("a retention ends in the future").with_context("until", until));
    }
    let retention = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::from(mode.name()))
        .retain_until_date(DateTime::from(moment))
        .build();
    let request = store.client.put_object_retention().bucket(store.bucket()).key(key.as_str());
    let request = request.set_version_id(version).retention(retention);
    let request = request.set_bypass_governance_retention(bypass.then_some(true));
    request.send().await.map_err(|error| match convert("set the retention", error) {
        // Every server says this where the retention that is there is longer.
        error if error.kind() == ErrorKind::PermissionDenied => Error::new(
            ErrorKind::ObjectLocked,
            "the version's retention cannot be shortened, or not by this key",
        )
        .with_source(std::io::Error::other(error.report())),
        error => error,
    })?;
    Ok(json!({ "mode": mode.name().to_ascii_lowercase(), "until": until.to_string() }))
}
