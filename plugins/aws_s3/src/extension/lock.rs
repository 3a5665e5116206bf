//! Object lock: retention and legal holds of objects, and the default of the bucket.

use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockRetention,
    ObjectLockRule,
};
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, Extension, ExtensionArgument, Result};

use super::arguments::Arguments;
use super::{extension, optional, required};
use crate::call::call;
use crate::error::invalid;
use crate::meta::format_time;
use crate::options::{legal_hold, lock_mode, moment};
use crate::store::Store;

pub(super) const GET_LOCK: &str = "get_object_lock";
pub(super) const SET_RETENTION: &str = "set_object_retention";
pub(super) const SET_LEGAL_HOLD: &str = "set_object_legal_hold";
pub(super) const GET_BUCKET_LOCK: &str = "get_bucket_object_lock";
pub(super) const SET_BUCKET_LOCK: &str = "set_bucket_object_lock";

pub(super) fn extensions() -> Vec<Extension> {
    let object = || {
        vec![
            required("key", "The object's key."),
            optional("version", "The version; the newest where absent."),
        ]
    };
    let and = |more: Vec<ExtensionArgument>| object().into_iter().chain(more).collect();
    vec![
        extension(GET_LOCK, false, "Tells the retention and the legal hold of an object.", object()),
        extension(
            SET_RETENTION,
            true,
            "Keeps an object from being deleted or overwritten until a moment.",
            and(vec![
                required(
                    "mode",
                    "GOVERNANCE, which a special permission may lift, or COMPLIANCE, which nobody may.",
                ),
                required("retain_until", "The moment, as RFC 3339 has it: 2030-01-31T12:00:00Z."),
                optional("bypass_governance", "true to shorten or lift a retention of mode GOVERNANCE."),
            ]),
        ),
        extension(
            SET_LEGAL_HOLD,
            true,
            "Keeps an object from being deleted until the hold is off.",
            and(vec![required("state", "on or off.")]),
        ),
        extension(
            GET_BUCKET_LOCK,
            false,
            "Tells whether the bucket can lock, and its default retention.",
            vec![],
        ),
        extension(
            SET_BUCKET_LOCK,
            true,
            "Sets the retention that new objects of the bucket get.",
            vec![
                required("mode", "GOVERNANCE or COMPLIANCE."),
                optional("days", "For how many days."),
                optional("years", "For how many years, instead of days."),
            ],
        ),
    ]
}

pub(super) async fn get(store: &Store, arguments: &Arguments) -> Result<Value> {
    let (key, version) = (arguments.key()?, arguments.version(store)?);
    let version = version.map(|version| version.as_str().to_owned());
    let bucket = &store.config.bucket;
    let retention =
        store.s3.get_object_retention().bucket(bucket).key(key.as_str()).set_version_id(version.clone());
    let hold = store.s3.get_object_legal_hold().bucket(bucket).key(key.as_str()).set_version_id(version);
    let retention = unless_none(call(store, "read the retention", 0, retention.send()).await)?;
    let hold = unless_none(call(store, "read the legal hold", 0, hold.send()).await)?;
    let retention = retention.as_ref().and_then(|answer| answer.retention());
    let hold = hold.as_ref().and_then(|answer| answer.legal_hold()).and_then(|hold| hold.status());
    Ok(json!({
        "mode": retention.and_then(|one| one.mode()).map(|mode| mode.as_str()),
        "retain_until": retention.and_then(|one| one.retain_until_date()).and_then(format_time),
        "legal_hold": hold.map(|hold| hold.as_str()),
    }))
}

pub(super) async fn set_retention(store: &Store, arguments: &Arguments) -> Result<Value> {
    let retention = ObjectLockRetention::builder()
        .mode(lock_mode_of_retention(arguments)?)
        .retain_until_date(moment(arguments.required_text("retain_until")?)?)
        .build();
    let bypass = arguments.flag("bypass_governance")?;
    let version = arguments.version(store)?.map(|version| version.as_str().to_owned());
    let request = store
        .s3
        .put_object_retention()
        .bucket(&store.config.bucket)
        .key(arguments.key()?.as_str())
        .set_version_id(version)
        .set_bypass_governance_retention(bypass.then_some(true))
        .retention(retention);
    call(store, "set the retention", 0, request.send()).await?;
    Ok(json!({}))
}

fn lock_mode_of_retention(arguments: &Arguments) -> Result<aws_sdk_s3::types::ObjectLockRetentionMode> {
    // The same words stand in both of the SDK's types.
    lock_mode(arguments.required_text("mode")?).map(|mode| mode.as_str().into())
}

pub(super) async fn set_legal_hold(store: &Store, arguments: &Arguments) -> Result<Value> {
    let hold = ObjectLockLegalHold::builder().status(legal_hold(arguments.required_text("state")?)?).build();
    let version = arguments.version(store)?.map(|version| version.as_str().to_owned());
    let request = store
        .s3
        .put_object_legal_hold()
        .bucket(&store.config.bucket)
        .key(arguments.key()?.as_str())
        .set_version_id(version)
        .legal_hold(hold);
    call(store, "set the legal hold", 0, request.send()).await?;
    Ok(json!({}))
}

pub(super) async fn get_bucket(store: &Store) -> Result<Value> {
    let request = store.s3.get_object_lock_configuration().bucket(&store.config.bucket);
    let answer = unless_none(call(store, "read the object lock of the bucket", 0, request.send()).await)?;
    let found = answer.as_ref().and_then(|answer| answer.object_lock_configuration());
    let default = found.and_then(|found| found.rule()).and_then(|rule| rule.default_retention());
    Ok(json!({
        "enabled": found.and_then(|found| found.object_lock_enabled()).is_some(),
        "mode": default.and_then(|one| one.mode()).map(|mode| mode.as_str()),
        "days": default.and_then(|one| one.days()),
        "years": default.and_then(|one| one.years()),
    }))
}

pub(super) async fn set_bucket(store: &Store, arguments: &Arguments) -> Result<Value> {
    let (days, years) = (arguments.count("days")?, arguments.count("years")?);
    if days.is_some() == years.is_some() {
        return Err(invalid("either days or years is needed"));
    }
    let default = DefaultRetention::builder()
        .mode(lock_mode_of_retention(arguments)?)
        .set_days(days)
        .set_years(years)
        .build();
    let configuration = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(default).build())
        .build();
    let request = store
        .s3
        .put_object_lock_configuration()
        .bucket(&store.config.bucket)
        .object_lock_configuration(configuration);
    call(store, "set the object lock of the bucket", 0, request.send()).await?;
    Ok(json!({}))
}

/// An answer, or nothing where there is no such configuration. A missing object is an error all the same.
fn unless_none<T>(answer: Result<T>) -> Result<Option<T>> {
    let is_none = |error: &Error| {
        let is_code = |(name, value): (&str, &str)| name == "code" && (value.contains("ObjectLock"));
        error.kind() == ErrorKind::NotFound && error.context().any(is_code)
    };
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_none(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
