//! `delete`: a delete marker where versions are kept, else the end; and the end of single versions.

use std::sync::Arc;

use jiff::Timestamp;
use storage_core::{DeleteOptions, DeleteResult, ETag, Error, ErrorKind, ObjectKey, Result};

use crate::blocking::{self, Cancel};
use crate::document::{Document, Version};
use crate::options;
use crate::path::Place;
use crate::stamp::Stamp;
use crate::store::Store;

/// Removes an object or one version of it.
///
/// # Errors
///
/// As [`storage_core::Backend::delete`].
pub(crate) async fn delete(
    store: Arc<Store>,
    key: ObjectKey,
    options: DeleteOptions,
) -> Result<DeleteResult> {
    options::check_extra(&options.extra)?;
    options::check_version(&store, options.version.as_ref())?;
    blocking::run(store.gate(), move |cancel| delete_now(&store, &key, &options, cancel)).await
}

/// Removes many objects in one task.
pub(crate) async fn delete_many(
    store: Arc<Store>,
    keys: Vec<ObjectKey>,
) -> Result<Vec<Result<DeleteResult>>> {
    blocking::run(store.gate(), move |cancel| {
        let options = DeleteOptions::default();
        Ok(keys
            .iter()
            .map(|key| {
                let deleted = cancel.check().and_then(|()| delete_now(&store, key, &options, cancel));
                deleted.map_err(|error| error.with_operation("delete").with_key(key))
            })
            .collect())
    })
    .await
}

fn delete_now(
    store: &Store,
    key: &ObjectKey,
    options: &DeleteOptions,
    cancel: &Cancel,
) -> Result<DeleteResult> {
    store.staging()?;
    let place = store.names.place(key);
    if options.if_match.is_none() && store.load(key, &place)?.is_none() {
        // Nothing to lock for, and no lock file for every key that is asked for.
        return Ok(DeleteResult::default());
    }
    let _lock = store.lock(key)?;
    let document = store.load(key, &place)?;
    let target = document.as_ref().and_then(|document| match &options.version {
        None => document.current(),
        Some(id) => document.find(id),
    });
    check_tag(options.if_match.as_ref(), target)?;
    let (Some(target), Some(document)) = (target.cloned(), document.clone()) else {
        return Ok(DeleteResult::default());
    };
    cancel.check()?;
    match (&options.version, store.config.retention) {
        (Some(id), _) => {
            forget_version(store, &place, document, &target)?;
            Ok(DeleteResult { existed: true, version: Some(id.clone()), delete_marker: false })
        }
        (None, None) => {
            store.remove_object(&place, &document.versions)?;
            Ok(DeleteResult { existed: true, version: None, delete_marker: false })
        }
        (None, Some(_)) => {
            let marker = mark_deleted(store, &place, document)?;
            Ok(DeleteResult { existed: true, version: Some(marker.id()), delete_marker: true })
        }
    }
}

fn check_tag(expected: Option<&ETag>, target: Option<&Version>) -> Result<()> {
    let failed = |message| Err(Error::new(ErrorKind::PreconditionFailed, message));
    match (expected, target) {
        (None, _) => Ok(()),
        (Some(expected), Some(version)) if !version.deleted && version.etag() == *expected => Ok(()),
        (Some(_), Some(_)) => failed("the object has another tag"),
        (Some(_), None) => failed("the object does not exist"),
    }
}

/// Takes one version out of the document, for good. The one before it becomes current where it was.
fn forget_version(store: &Store, place: &Place, mut document: Document, target: &Version) -> Result<()> {
    document.versions.retain(|version| version.version != target.version);
    store.shrink(place, &document, std::slice::from_ref(target))
}

fn mark_deleted(store: &Store, place: &Place, mut document: Document) -> Result<Version> {
    let (stamp, moment) = Stamp::now(document.newest_moment());
    let marker = Version::delete_marker(stamp, moment);
    document.versions.insert(0, marker.clone());
    let expired = document.take_expired(store.config.retention, Timestamp::now());
    store.shrink(place, &document, &expired)?;
    Ok(marker)
}
