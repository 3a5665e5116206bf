//! Tiers: moves between classes, restores from the archive, and their status.

use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, StorageClass, Tier as Speed};
use storage_core::{
    Capabilities, Error, ErrorKind, ObjectKey, RestoreOptions, RestoreSpeed, RestoreStatus, Result,
    SetTierOptions, Tier, VersionId,
};

use crate::call::call;
use crate::class;
use crate::copy::{Source, change_class};
use crate::error::{invalid, unsupported};
use crate::meta::{head, version};
use crate::options::only;
use crate::store::Store;

/// Moves an object to another tier: S3 copies it onto itself.
///
/// # Errors
///
/// As [`storage_core::Backend::set_tier`].
pub(crate) async fn set_tier(
    store: &Arc<Store>,
    key: &ObjectKey,
    tier: Tier,
    options: SetTierOptions,
) -> Result<()> {
    only(&options.extra, &[])?;
    store.require(Capabilities::TIERS, "set_tier")?;
    if options.speed.is_some() {
        return Err(unsupported(
            "S3 brings nothing back by a move: ask for a restore with this speed, then move it",
        ));
    }
    if options.version.is_some() {
        store.require_versions()?;
    }
    let found = head(store, key, None).await;
    if let Some(wanted) = &options.version {
        let current = found.as_ref().ok().and_then(|answer| version(store, answer.version_id()));
        if current.as_ref() != Some(wanted) {
            // A version that does not exist is told as that.
            head(store, key, Some(wanted)).await?;
            return Err(unsupported(
                "S3 changes the class of the newest version alone, since the move is a copy on top: a lifecycle rule \
                 moves older ones",
            ));
        }
    }
    let found = found?;
    let wanted = store.config.tiers.class(tier);
    let present = class::of_answer(found.storage_class());
    // A class of the same tier that is not the configured one is not what was asked for, and is changed.
    if present == *wanted {
        return Ok(());
    }
    let source = Source::find(store, key, None).await?;
    change_class(store, source, wanted).await
}

/// Asks for an archived object to be made readable.
///
/// # Errors
///
/// As [`storage_core::Backend::restore`].
pub(crate) async fn restore(store: &Store, key: &ObjectKey, options: RestoreOptions) -> Result<()> {
    store.require(Capabilities::RESTORE, "restore")?;
    only(&options.extra, &[])?;
    if options.version.is_some() {
        store.require_versions()?;
    }
    let answer = head(store, key, options.version.as_ref()).await?;
    if status_of(&answer) == RestoreStatus::NotArchived {
        return Err(invalid("the object is not archived: it can be read as it is")
            .with_context("storage_class", class::of_answer(answer.storage_class()).as_str()));
    }
    let speed = speed(&answer, options.speed)?;
    let request = match answer.storage_class() {
        // It comes back for good, so that there are no days.
        Some(StorageClass::IntelligentTiering) => {
            RestoreRequest::builder().glacier_job_parameters(job(speed)?).build()
        }
        _ => {
            let days = options.days.map_or(Ok(store.config.restore_days), i32::try_from);
            let days = days.ok().filter(|days| *days > 0);
            let days = days.ok_or_else(|| invalid("a restore is for 1 day or more"))?;
            RestoreRequest::builder().days(days).glacier_job_parameters(job(speed)?).build()
        }
    };
    let request = store
        .s3
        .restore_object()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .set_version_id(options.version.map(|version| version.as_str().to_owned()))
        .restore_request(request);
    match call(store, "restore the object", 0, request.send()).await {
        // It was asked for before.
        Err(error) if is_under_way(&error) => Ok(()),
        answer => answer.map(drop),
    }
}

fn is_under_way(error: &Error) -> bool {
    error.context().any(|fact| fact == ("code", "RestoreAlreadyInProgress"))
}

fn speed(answer: &HeadObjectOutput, wanted: RestoreSpeed) -> Result<Speed> {
    match wanted {
        RestoreSpeed::Bulk => Ok(Speed::Bulk),
        RestoreSpeed::Standard => Ok(Speed::Standard),
        RestoreSpeed::Expedited if answer.storage_class() == Some(&StorageClass::DeepArchive) => Err(
            unsupported("DEEP_ARCHIVE has no expedited restores: ask for standard (12 hours) or bulk (48)"),
        ),
        RestoreSpeed::Expedited => Ok(Speed::Expedited),
    }
}

fn job(speed: Speed) -> Result<GlacierJobParameters> {
    GlacierJobParameters::builder()
        .tier(speed)
        .build()
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be made").with_source(error))
}

/// Whether an object can be read now.
///
/// # Errors
///
/// As [`storage_core::Backend::restore_status`].
pub(crate) async fn restore_status(
    store: &Store,
    key: &ObjectKey,
    version: Option<VersionId>,
) -> Result<RestoreStatus> {
    store.require(Capabilities::RESTORE, "restore_status")?;
    if version.is_some() {
        store.require_versions()?;
    }
    Ok(status_of(&head(store, key, version.as_ref()).await?))
}

/// Whether the object can be read as it is.
pub(crate) fn is_readable(answer: &HeadObjectOutput) -> bool {
    matches!(status_of(answer), RestoreStatus::NotArchived | RestoreStatus::Restored { .. })
}

fn status_of(answer: &HeadObjectOutput) -> RestoreStatus {
    let is_archived =
        answer.storage_class().is_some_and(class::is_archive) || answer.archive_status().is_some();
    read_status(is_archived, answer.restore(), SystemTime::now())
}

/// What the header `x-amz-restore` says: `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`.
fn read_status(is_archived: bool, header: Option<&str>, now: SystemTime) -> RestoreStatus {
    let Some(header) = header.filter(|_| is_archived) else {
        return if is_archived { RestoreStatus::Archived } else { RestoreStatus::NotArchived };
    };
    if header.contains("ongoing-request=\"true\"") {
        return RestoreStatus::InProgress;
    }
    let date = header.split_once("expiry-date=\"").and_then(|(_, rest)| rest.split_once('"'));
    let until = date
        .and_then(|(date, _)| DateTime::from_str(date, DateTimeFormat::HttpDate).ok())
        .and_then(|date| SystemTime::try_from(date).ok());
    match until {
        Some(until) if until <= now => RestoreStatus::Archived,
        until => RestoreStatus::Restored { until },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_header_of_a_restore_is_understood() {
        let christmas = SystemTime::UNIX_EPOCH + Duration::from_secs(1_356_048_000);
        let header = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"";
        let before = christmas - Duration::from_secs(1);
        let status = |header| read_status(true, header, before);
        assert_eq!(status(None), RestoreStatus::Archived);
        assert_eq!(status(Some("ongoing-request=\"true\"")), RestoreStatus::InProgress);
        assert_eq!(status(Some(header)), RestoreStatus::Restored { until: Some(christmas) });
        assert_eq!(status(Some("ongoing-request=\"false\"")), RestoreStatus::Restored { until: None });
        assert_eq!(read_status(true, Some(header), christmas), RestoreStatus::Archived, "the copy is gone");
        assert_eq!(read_status(false, None, before), RestoreStatus::NotArchived);
    }
}
