//! Upkeep of the bucket: forgotten uploads, transfer acceleration.

use std::sync::Arc;

use aws_sdk_s3::types::{AccelerateConfiguration, BucketAccelerateStatus};
use serde_json::{Value, json};
use storage_core::config::parse_duration;
use storage_core::{Extension, Result};

use super::arguments::Arguments;
use super::{extension, required};
use crate::call::call;
use crate::error::invalid;
use crate::store::Store;
use crate::uploads;

pub(super) const SWEEP: &str = "sweep_uploads";
pub(super) const GET_ACCELERATION: &str = "get_acceleration";
pub(super) const SET_ACCELERATION: &str = "set_acceleration";

pub(super) fn extensions() -> Vec<Extension> {
    vec![
        extension(
            SWEEP,
            true,
            "Aborts uploads in the bucket that nobody completed for so long.",
            vec![required("older_than", "Their least age: 12h, 7days.")],
        ),
        extension(
            GET_ACCELERATION,
            false,
            "Tells whether transfer acceleration is on in the bucket.",
            vec![],
        ),
        extension(
            SET_ACCELERATION,
            true,
            "Turns transfer acceleration of the bucket on or off.",
            vec![required("enabled", "true or false.")],
        ),
    ]
}

pub(super) async fn sweep(store: &Arc<Store>, arguments: &Arguments) -> Result<Value> {
    let text = arguments.required_text("older_than")?;
    let age =
        parse_duration(text).ok_or_else(|| invalid(format!("{text:?} is no duration such as 7days")))?;
    Ok(json!({ "aborted": uploads::sweep(store, age).await? }))
}

pub(super) async fn get_acceleration(store: &Store) -> Result<Value> {
    let request = store.s3.get_bucket_accelerate_configuration().bucket(&store.config.bucket);
    let answer = call(store, "ask for transfer acceleration", 0, request.send()).await?;
    Ok(json!({ "enabled": answer.status() == Some(&BucketAccelerateStatus::Enabled) }))
}

pub(super) async fn set_acceleration(store: &Store, arguments: &Arguments) -> Result<Value> {
    let status = match arguments.flag("enabled")? {
        true => BucketAccelerateStatus::Enabled,
        false => BucketAccelerateStatus::Suspended,
    };
    let request = store
        .s3
        .put_bucket_accelerate_configuration()
        .bucket(&store.config.bucket)
        .accelerate_configuration(AccelerateConfiguration::builder().status(status).build());
    call(store, "set transfer acceleration", 0, request.send()).await?;
    Ok(json!({}))
}
