//! Deletes.

use futures_util::{StreamExt as _, stream};
use storage_core::{DeleteOptions, DeleteResult, Error, ErrorKind, ObjectKey, Result};

use crate::open::Store;
use crate::options::{check_extra, tagged, version};

/// Requests of one call that are under way at once. Google's batches save no request of these: each counts.
const PARALLEL: usize = 32;

/// Removes an object, or one version of it for good.
///
/// Google makes no delete markers: the current generation of a bucket with versions becomes an old one.
///
/// # Errors
///
/// As [`storage_core::Backend::delete`].
pub(crate) async fn delete(store: &Store, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
    check_extra(&options.extra)?;
    let generation = match version(store, options.version.as_ref()) {
        // No version has such a name.
        Err(error) if error.kind() == ErrorKind::NotFound && options.if_match.is_none() => {
            return Ok(DeleteResult::default());
        }
        generation => generation?,
    };
    let mut query: Vec<_> =
        generation.iter().map(|generation| ("generation", generation.to_string())).collect();
    if let Some(tag) = &options.if_match {
        query.push(("ifGenerationMatch", tagged(tag)?.to_string()));
    }
    let existed = store.client.remove(key.as_str(), &query).await?;
    if !existed && options.if_match.is_some() {
        return Err(Error::new(ErrorKind::PreconditionFailed, "there is no object that could have the tag"));
    }
    Ok(DeleteResult { existed, version: options.version.filter(|_| existed), delete_marker: false })
}

/// Removes many objects.
pub(crate) async fn delete_many(store: &Store, keys: Vec<ObjectKey>) -> Vec<Result<DeleteResult>> {
    let deletes: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let store = store.clone();
            async move {
                let deleted = delete(&store, &key, DeleteOptions::default()).await;
                deleted.map_err(|error| error.with_key(&key))
            }
        })
        .collect();
    stream::iter(deletes).buffered(PARALLEL).collect().await
}
