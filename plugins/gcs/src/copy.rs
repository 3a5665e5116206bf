//! Copies inside the bucket, and moves between storage classes, which are copies of an object onto itself.

use serde::Deserialize;
use storage_core::{
    Checksums, CopyOptions, Error, ErrorKind, ObjectKey, Result, SaveOptions, SaveResult, SetTierOptions,
    Tier,
};

use crate::error::{Failure, bad_answer};
use crate::open::Store;
use crate::options::{Conditional, check_description, check_extra, describe, storage_class, tagged, version};
use crate::read::find;
use crate::resource::{NewObject, Object};

/// One step of a copy: a large one takes several.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rewritten {
    done: bool,
    rewrite_token: Option<String>,
    resource: Option<Object>,
}

/// Copies an object.
///
/// # Errors
///
/// As [`storage_core::Backend::copy`].
pub(crate) async fn copy(
    store: &Store,
    from: &ObjectKey,
    to: &ObjectKey,
    options: CopyOptions,
) -> Result<SaveResult> {
    check_extra(&options.extra)?;
    let replacement = match &options.replace {
        Some(replace) => Some(replacement(store, to, replace)?),
        None => None,
    };
    let generation = version(store, options.source_version.as_ref())?;
    let condition = Conditional::new(options.condition)?;
    let source = find(store, from, generation).await?;
    if let Some(tag) = &options.source_if_match
        && tagged(tag)? != source.generation()?
    {
        return Err(Error::new(
            ErrorKind::PreconditionFailed,
            "the source has another tag than the given one",
        ));
    }
    let new = match replacement {
        // The class is the source's as well unless another was asked for.
        Some((new, has_tier)) if has_tier || !store.has_tiers => new,
        Some((new, _)) => {
            NewObject { storage_class: source.storage_class.clone().or(new.storage_class), ..new }
        }
        None => alike(store, &source),
    };
    let object =
        rewrite(store, &source.name, source.generation()?, to.as_str(), &new, &condition.query()).await;
    let object = object.map_err(|failure| condition.refusal(failure))?;
    object.saved(store.keeps_versions, Checksums::default())
}

/// What is to replace the description, and whether it names a tier.
fn replacement(store: &Store, to: &ObjectKey, replace: &SaveOptions) -> Result<(NewObject, bool)> {
    check_description(replace)?;
    Ok((describe(store, to.as_str(), replace)?, replace.tier.is_some()))
}

fn alike(store: &Store, source: &Object) -> NewObject {
    let new = source.described_alike();
    let storage_class =
        if store.has_tiers { new.storage_class.or_else(|| store.default_class.clone()) } else { None };
    NewObject { storage_class, ..new }
}

/// Moves an object to another class. It gets a new generation: Google has no other way.
///
/// # Errors
///
/// As [`storage_core::Backend::set_tier`]; `Unsupported` for an old version, which Google cannot move.
pub(crate) async fn set_tier(
    store: &Store,
    key: &ObjectKey,
    tier: Tier,
    options: SetTierOptions,
) -> Result<()> {
    check_extra(&options.extra)?;
    if options.speed.is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "all classes are read at once: there is nothing to speed up",
        ));
    }
    let wanted = storage_class(store, Some(tier))?;
    let generation = version(store, options.version.as_ref())?;
    let source = find(store, key, generation).await?;
    if source.time_deleted.is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "an old version cannot move to another class: a copy of it would become the current one",
        ));
    }
    if source.tier() == Some(tier) {
        return Ok(());
    }
    let new = NewObject {
        storage_class: wanted,
        temporary_hold: source.temporary_hold,
        event_based_hold: source.event_based_hold,
        ..source.described_alike()
    };
    // What is written meanwhile must not be undone by the copy of what was there before.
    let current = source.generation()?;
    let condition = [("ifGenerationMatch", current.to_string())];
    let moved = rewrite(store, &source.name, current, key.as_str(), &new, &condition).await;
    moved.map_err(|failure| match failure.error.kind() {
        ErrorKind::PreconditionFailed => {
            Error::new(ErrorKind::Conflict, "the object was replaced while it moved to another class")
                .with_retry(storage_core::Retry::May)
                .with_source(failure.error)
        }
        _ => failure.error,
    })?;
    Ok(())
}

/// Copies one generation, in as many steps as Google asks for. The object appears with the last.
///
/// # Errors
///
/// See [`crate::error`].
pub(crate) async fn rewrite(
    store: &Store,
    from: &str,
    generation: u64,
    to: &str,
    new: &NewObject,
    condition: &[(&'static str, String)],
) -> Result<Object, Failure> {
    let url = store.client.rewrite_url(from, to);
    let mut query = vec![("sourceGeneration", generation.to_string())];
    query.extend(condition.iter().cloned());
    query.extend(store.config.kms_key.iter().map(|key| ("destinationKmsKeyName", key.clone())));
    let mut rewrite_token = None::<String>;
    loop {
        let mut step = query.clone();
        step.extend(rewrite_token.take().map(|token| ("rewriteToken", token)));
        let answer: Rewritten = store.client.post(&url, &step, new).await?;
        if answer.done {
            return answer.resource.ok_or_else(|| bad_answer("a copy without an object").into());
        }
        let token = answer.rewrite_token;
        rewrite_token = Some(token.ok_or_else(|| bad_answer("a copy that cannot go on"))?);
    }
}
