//! Intelligent-Tiering: when objects of that class that nobody reads go to its archive tiers.

use aws_sdk_s3::types::{
    IntelligentTieringAccessTier, IntelligentTieringConfiguration, IntelligentTieringFilter,
    IntelligentTieringStatus, Tiering,
};
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, Extension, Result};

use super::arguments::Arguments;
use super::{extension, optional, required};
use crate::call::call;
use crate::error::invalid;
use crate::store::Store;

pub(super) const LIST: &str = "list_intelligent_tiering";
pub(super) const SET: &str = "set_intelligent_tiering";
pub(super) const DELETE: &str = "delete_intelligent_tiering";

pub(super) fn extensions() -> Vec<Extension> {
    vec![
        extension(LIST, false, "Lists the bucket's configurations of Intelligent-Tiering.", vec![]),
        extension(
            SET,
            true,
            "Sets when objects of the class INTELLIGENT_TIERING that nobody reads are archived.",
            vec![
                required("id", "The configuration's name."),
                optional("prefix", "The keys that it concerns; all where absent."),
                optional(
                    "archive_after_days",
                    "90 to 730: after so many days without a read, minutes to hours to read.",
                ),
                optional(
                    "deep_archive_after_days",
                    "180 to 730: after so many days without a read, 12 hours to read.",
                ),
                optional("disabled", "true to keep the configuration and not to act on it."),
            ],
        ),
        extension(
            DELETE,
            true,
            "Deletes a configuration of Intelligent-Tiering.",
            vec![required("id", "The configuration's name.")],
        ),
    ]
}

pub(super) async fn list_all(store: &Store) -> Result<Value> {
    let (mut token, mut all) = (None, Vec::new());
    loop {
        let request = store
            .s3
            .list_bucket_intelligent_tiering_configurations()
            .bucket(&store.config.bucket)
            .set_continuation_token(token);
        let answer = call(store, "list the configurations of Intelligent-Tiering", 0, request.send()).await?;
        all.extend(answer.intelligent_tiering_configuration_list().iter().map(tell));
        token = answer.next_continuation_token().map(str::to_owned);
        if token.is_none() || answer.is_truncated() != Some(true) {
            return Ok(json!({ "configurations": all }));
        }
    }
}

fn tell(one: &IntelligentTieringConfiguration) -> Value {
    let days = |tier: IntelligentTieringAccessTier| {
        one.tierings().iter().find(|tiering| *tiering.access_tier() == tier).map(|tiering| tiering.days())
    };
    json!({
        "id": one.id(),
        "prefix": one.filter().and_then(|filter| filter.prefix()),
        "enabled": *one.status() == IntelligentTieringStatus::Enabled,
        "archive_after_days": days(IntelligentTieringAccessTier::ArchiveAccess),
        "deep_archive_after_days": days(IntelligentTieringAccessTier::DeepArchiveAccess),
    })
}

pub(super) async fn set(store: &Store, arguments: &Arguments) -> Result<Value> {
    let id = arguments.required_text("id")?;
    let mut tierings = Vec::new();
    for (name, tier, least) in [
        ("archive_after_days", IntelligentTieringAccessTier::ArchiveAccess, 90),
        ("deep_archive_after_days", IntelligentTieringAccessTier::DeepArchiveAccess, 180),
    ] {
        let Some(days) = arguments.count(name)? else { continue };
        if !(least..=730).contains(&days) {
            return Err(invalid(format!("{name} is {days}, but must be {least} to 730")));
        }
        tierings.push(Tiering::builder().access_tier(tier).days(days).build().map_err(incomplete)?);
    }
    if tierings.is_empty() {
        return Err(invalid("archive_after_days or deep_archive_after_days is needed"));
    }
    let status = match arguments.flag("disabled")? {
        true => IntelligentTieringStatus::Disabled,
        false => IntelligentTieringStatus::Enabled,
    };
    let filter = arguments.text("prefix")?.filter(|prefix| !prefix.is_empty());
    let configuration = IntelligentTieringConfiguration::builder()
        .id(id)
        .status(status)
        .set_filter(filter.map(|prefix| IntelligentTieringFilter::builder().prefix(prefix).build()))
        .set_tierings(Some(tierings))
        .build()
        .map_err(incomplete)?;
    let request = store
        .s3
        .put_bucket_intelligent_tiering_configuration()
        .bucket(&store.config.bucket)
        .id(id)
        .intelligent_tiering_configuration(configuration);
    call(store, "set Intelligent-Tiering", 0, request.send()).await?;
    Ok(json!({}))
}

pub(super) async fn delete(store: &Store, arguments: &Arguments) -> Result<Value> {
    let request = store
        .s3
        .delete_bucket_intelligent_tiering_configuration()
        .bucket(&store.config.bucket)
        .id(arguments.required_text("id")?);
    call(store, "delete a configuration of Intelligent-Tiering", 0, request.send()).await?;
    Ok(json!({}))
}

fn incomplete(error: aws_sdk_s3::error::BuildError) -> Error {
    Error::new(ErrorKind::Internal, "the request cannot be made").with_source(error)
}
