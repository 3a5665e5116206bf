//! `set_tier`, `restore` and `restore_status`: Azure's access tiers, and the way out of its archive.
//!
//! Azure brings an archived object back for good, by moving it to another tier, which takes hours; there is no copy
//! for some days.

use azure_core::Method;
use storage_core::{
    Error, ErrorKind, ObjectKey, ObjectMeta, RestoreOptions, RestoreSpeed, RestoreStatus, Result,
    SetTierOptions, Tier, VersionId,
};

use crate::attributes::azure_tier;
use crate::client::Call;
use crate::store::{Shared, Store};
use crate::{describe, name, options};

/// Moves an object to another tier. One that is archived is on its way from then on.
///
/// # Errors
///
/// `NotFound`; `Conflict` where it is on its way to another tier already.
pub(crate) async fn set_tier(
    store: Shared,
    key: ObjectKey,
    tier: Tier,
    options: SetTierOptions,
) -> Result<()> {
    options::check_extra(&options.extra)?;
    let version = options::version(&store, options.version.as_ref())?;
    put(&store, &key, version, azure_tier(tier), options.speed).await
}

async fn put(
    store: &Store,
    key: &ObjectKey,
    version: Option<&str>,
    tier: &str,
    speed: Option<RestoreSpeed>,
) -> Result<()> {
    let priority = speed.map(|speed| ("x-ms-rehydrate-priority".to_owned(), priority(speed).to_owned()));
    let call = describe::of_version(Call::blob(Method::Put, &name::of_key(key)?), version)
        .query("comp", "tier")
        .header("x-ms-access-tier", tier)
        .headers(priority);
    let error = match store.client.send(&call).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if error.kind() == ErrorKind::ObjectArchived {
        return Err(Error::new(ErrorKind::Conflict, "the object is on its way out of the archive already")
            .with_source(error));
    }
    Err(error)
}

/// Azure's priority of a speed. It has two: the standard one is the cheapest as well.
fn priority(speed: RestoreSpeed) -> &'static str {
    match speed {
        RestoreSpeed::Bulk | RestoreSpeed::Standard => "Standard",
        RestoreSpeed::Expedited => "High",
    }
}

/// Asks for an archived object to be moved to the tier that the configuration names.
///
/// # Errors
///
/// `NotFound`; `InvalidArgument` for an object that is not archived; `Unsupported` for a number of days.
pub(crate) async fn restore(store: Shared, key: ObjectKey, options: RestoreOptions) -> Result<()> {
    options::check_extra(&options.extra)?;
    if let Some(days) = options.days {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "Azure moves an archived object to another tier for good, and not for some days",
        )
        .with_context("days", days));
    }
    let version = options::version(&store, options.version.as_ref())?;
    match status_of(&describe::head(&store, &key, &name::of_key(&key)?, version, &[]).await?) {
        RestoreStatus::InProgress => Ok(()),
        RestoreStatus::Archived => {
            put(&store, &key, version, &store.config.rehydrate_tier, Some(options.speed)).await
        }
        _ => {
            Err(Error::new(ErrorKind::InvalidArgument, "the object is not archived and can be read as it is"))
        }
    }
}

/// Whether an object can be read now.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn restore_status(
    store: Shared,
    key: ObjectKey,
    version: Option<VersionId>,
) -> Result<RestoreStatus> {
    let version = options::version(&store, version.as_ref())?;
    let meta = describe::head(&store, &key, &name::of_key(&key)?, version, &[]).await?;
    Ok(status_of(&meta))
}

fn status_of(meta: &ObjectMeta) -> RestoreStatus {
    let pending =
        meta.extra.get("archive_status").is_some_and(|status| status.starts_with("rehydrate-pending"));
    match meta.tier {
        _ if pending => RestoreStatus::InProgress,
        Some(Tier::Glacier) => RestoreStatus::Archived,
        _ => RestoreStatus::NotArchived,
    }
}
