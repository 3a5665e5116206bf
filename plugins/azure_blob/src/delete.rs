//! `delete` and `delete_many`.

use azure_core::Method;
use futures_util::{StreamExt as _, stream};
use storage_core::{DeleteOptions, DeleteResult, Error, ErrorKind, ObjectKey, Result, VersionId};

use crate::attributes::quoted;
use crate::client::Call;
use crate::store::{Shared, Store};
use crate::{describe, error, name, options};

/// How many deletes of one call are under way at once.
const AT_ONCE: usize = 32;

/// Removes an object with its snapshots, or one version of it for good.
///
/// # Errors
///
/// `PreconditionFailed`, `ObjectLocked`.
pub(crate) async fn delete(store: Shared, key: ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
    options::check_extra(&options.extra)?;
    let version = match options::version(&store, options.version.as_ref()) {
        // A text that names no version names none that exists.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DeleteResult::default()),
        other => other?,
    };
    let blob = name::of_key(&key)?;
    let condition = options.if_match.as_ref().map(|tag| ("if-match".to_owned(), quoted(tag)));
    let call = Call::blob(Method::Delete, &blob).headers(condition);
    let answer = match version {
        Some(version) => delete_version(&store, &blob, call, version).await,
        None => store.client.send(&call.header("x-ms-delete-snapshots", "include")).await.map(|_| ()),
    };
    match answer {
        Ok(()) => Ok(DeleteResult { existed: true, version: options.version, delete_marker: false }),
        Err(error) if error.kind() == ErrorKind::NotFound && options.if_match.is_some() => Err(Error::new(
            ErrorKind::PreconditionFailed,
            "there is no object that the condition could hold for",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(DeleteResult::default()),
        // Made again where it was done, it would find nothing that the condition holds for.
        Err(error) if options.if_match.is_some() => Err(error::of_conditional(error)),
        Err(error) => Err(error),
    }
}

/// Azure does not delete the current version by its name: it must cease to be the current one first. Afterwards the
/// object has no current version; an older one becomes it by a copy.
async fn delete_version(store: &Store, blob: &str, call: Call, version: &str) -> Result<()> {
    let call = describe::of_version(call, Some(version));
    let error = match store.client.send(&call).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if !error.context().any(|fact| fact.1 == "OperationNotAllowedOnRootBlob") {
        return Err(error);
    }
    let key = name::to_key(blob).ok_or_else(|| error::not_found("version"))?;
    let current = describe::head(store, &key, blob, None, &[]).await?;
    if current.version != Some(VersionId::new(version)) {
        return Err(error.with_retry(storage_core::Retry::May));
    }
    let pinned = current.etag.as_ref().map(|tag| ("if-match".to_owned(), quoted(tag)));
    store.client.send(&Call::blob(Method::Delete, blob).headers(pinned)).await?;
    store.client.send(&call).await?;
    Ok(())
}

/// Removes many objects, several at once.
///
/// # Errors
///
/// None for the call as a whole.
pub(crate) async fn delete_many(store: Shared, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
    let deletes = keys.into_iter().map(|key| delete(Shared::clone(&store), key, DeleteOptions::default()));
    Ok(stream::iter(deletes).buffered(AT_ONCE).collect().await)
}
