//! `delete` and `delete_many`.
//!
//! S3 answers the same whether there was something or not, and makes a delete marker of nothing, so that it is
//! asked first.

use std::collections::HashMap;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures_util::StreamExt as _;
use futures_util::stream;
use md5::{Digest as _, Md5};
use storage_core::{DeleteOptions, DeleteResult, Error, ErrorKind, ObjectKey, ObjectMeta, Result};

use crate::error::{convert, fault, of_conditional};
use crate::meta::version;
use crate::save::quoted;
use crate::store::Store;
use crate::{digest, lock, options, read};

/// The most keys of one request.
pub(crate) const MAX_BATCH: usize = 1000;

/// How many objects are asked for at once.
const QUESTIONS_AT_ONCE: usize = 16;

/// Removes an object, or one version of it.
///
/// # Errors
///
/// As [`storage_core::Backend::delete`].
pub(crate) async fn delete(store: &Store, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
    options::check_extra(&options.extra)?;
    if options.if_match.is_some() {
        store.require(
            store.features.delete_if_match,
            "deletes on condition of a tag",
            "it would delete whatever is there, as the probe at the opening showed",
        )?;
    }
    if options.version.is_some() {
        return delete_version(store, key, options).await;
    }
    let _alone = store.alone_with_condition(key, options.if_match.is_some()).await;
    let found = match read::head(store, key, None).await {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return missing(&options),
        Err(error) => return Err(error),
    };
    if options.if_match.is_some() && options.if_match != found.etag {
        return Err(another_tag());
    }
    let request = store.client.delete_object().bucket(store.bucket()).key(key.as_str());
    let request = request.set_if_match(options.if_match.as_ref().map(|tag| quoted(tag.as_str())));
    let answer = match request.send().await.map_err(|error| convert("delete the object", error)) {
        Ok(answer) => answer,
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::NotFound => return missing(&options),
        Err(error) => return Err(locked(undecided(error, &options))),
    };
    let marker = store.features.versions;
    Ok(DeleteResult { existed: true, version: version(store, answer.version_id()), delete_marker: marker })
}

fn missing(options: &DeleteOptions) -> Result<DeleteResult> {
    match options.if_match {
        Some(_) => Err(another_tag()),
        None => Ok(DeleteResult::default()),
    }
}

/// A delete under a condition is not to be made again where it may have been done: nothing would be there.
fn undecided(error: Error, options: &DeleteOptions) -> Error {
    if options.if_match.is_some() { of_conditional(error) } else { error }
}

fn another_tag() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the object does not have the expected tag")
}

/// MinIO and SeaweedFS refuse to delete a locked version with the code for a missing permission.
fn locked(error: Error) -> Error {
    let report = error.report().to_ascii_lowercase();
    let words = ["worm", "object lock", "locked", "retention", "legal hold"];
    if error.kind() != ErrorKind::PermissionDenied || !words.iter().any(|word| report.contains(word)) {
        return error;
    }
    object_locked(&error)
}

fn object_locked(error: &Error) -> Error {
    Error::new(ErrorKind::ObjectLocked, "the version is under retention or legal hold")
        .with_source(std::io::Error::other(error.report()))
}

/// Whether a version is locked: SeaweedFS refuses to delete it without saying why.
async fn is_locked(store: &Store, key: &ObjectKey, version: Option<String>) -> bool {
    let lock = lock::get(store, key, version).await.unwrap_or_default();
    lock["legal_hold"] == true || !lock["until"].is_null()
}

async fn delete_version(store: &Store, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
    let name = match read::named_version(store, options.version.as_ref()) {
        Ok(name) => name,
        Err(error) if error.kind() == ErrorKind::NotFound => return missing(&options),
        Err(error) => return Err(error),
    };
    match read::head(store, key, name.clone()).await {
        // A version never changes, so that its tag can be compared before.
        Ok(found) if options.if_match.is_some() && options.if_match != found.etag => {
            return Err(another_tag());
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A delete marker cannot be described either, but it is listed.
            if options.if_match.is_some()
                || !is_marker(store, key, name.as_deref().unwrap_or_default()).await?
            {
                return missing(&options);
            }
        }
        Err(error) => return Err(error),
    }
    let request =
        store.client.delete_object().bucket(store.bucket()).key(key.as_str()).set_version_id(name.clone());
    if let Err(error) = request.send().await {
        let error = locked(undecided(convert("delete the version", error), &options));
        if error.kind() == ErrorKind::PermissionDenied
            && store.features.object_lock
            && is_locked(store, key, name).await
        {
            return Err(object_locked(&error));
        }
        return Err(error);
    }
    Ok(DeleteResult { existed: true, version: options.version, delete_marker: false })
}

/// Whether a version is a delete marker.
async fn is_marker(store: &Store, key: &ObjectKey, name: &str) -> Result<bool> {
    let mut after: Option<(String, Option<String>)> = None;
    loop {
        let request = store.client.list_object_versions().bucket(store.bucket()).prefix(key.as_str());
        let request = match after {
            None => request,
            Some((key, version)) => request.key_marker(key).set_version_id_marker(version),
        };
        let page = request.send().await.map_err(fault("list the versions"))?;
        let markers = page.delete_markers();
        let is_it =
            markers.iter().any(|one| one.key() == Some(key.as_str()) && one.version_id() == Some(name));
        let next = page.next_key_marker().map(str::to_owned);
        match next {
            _ if is_it => return Ok(true),
            // The key itself comes before all keys that it is the start of.
            Some(next) if page.is_truncated() == Some(true) && next == key.as_str() => {
                after = Some((next, page.next_version_id_marker().map(str::to_owned)));
            }
            _ => return Ok(false),
        }
    }
}

/// Removes many objects.
///
/// # Errors
///
/// What concerns the call as a whole.
pub(crate) async fn delete_many(store: &Store, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
    let mut results = Vec::with_capacity(keys.len());
    for batch in keys.chunks(MAX_BATCH) {
        let found: Vec<Result<ObjectMeta>> =
            stream::iter(batch.iter().cloned().map(|key| async move { read::head(store, &key, None).await }))
                .buffered(QUESTIONS_AT_ONCE)
                .collect()
                .await;
        let there = batch.iter().zip(&found).filter(|(_, found)| found.is_ok()).map(|(key, _)| key);
        let mut deleted = delete_batch(store, there).await?;
        for (key, found) in batch.iter().zip(found) {
            results.push(match found {
                // A key that was named twice is gone with its first mention.
                Ok(_) => deleted.remove(key.as_str()).unwrap_or_else(|| Ok(DeleteResult::default())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(DeleteResult::default()),
                Err(error) => Err(error),
            });
        }
    }
    Ok(results)
}

/// Removes the objects with one request, and says what became of each.
async fn delete_batch(
    store: &Store,
    keys: impl Iterator<Item = &ObjectKey>,
) -> Result<HashMap<String, Result<DeleteResult>>> {
    let identify = |key: &ObjectKey| {
        ObjectIdentifier::builder()
            .key(key.as_str())
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be made").with_source(error))
    };
    let mut unique: Vec<_> = keys.collect();
    unique.sort_unstable();
    unique.dedup();
    if unique.is_empty() {
        return Ok(HashMap::new());
    }
    let objects = unique.iter().map(|key| identify(key)).collect::<Result<Vec<_>>>()?;
    let delete = Delete::builder()
        .set_objects(Some(objects))
        .build()
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be made").with_source(error))?;
    let request = store.client.delete_objects().bucket(store.bucket()).delete(delete);
    // Older servers insist on the MD5, of which newer ones make nothing.
    let request = request.customize().mutate_request(|request| {
        let md5 = request.body().bytes().map(|body| digest::header(&Md5::digest(body)));
        if let Some(md5) = md5 {
            request.headers_mut().insert("content-md5", md5);
        }
    });
    let answer = request.send().await.map_err(fault("delete the objects"))?;
    let markers = store.features.versions;
    let mut results: HashMap<_, Result<DeleteResult>> = HashMap::new();
    for key in unique {
        let gone = DeleteResult { existed: true, version: None, delete_marker: markers };
        results.insert(key.as_str().to_owned(), Ok(gone));
    }
    for deleted in answer.deleted() {
        if let Some(Ok(result)) = deleted.key().and_then(|key| results.get_mut(key)) {
            result.version = version(store, deleted.delete_marker_version_id());
        }
    }
    for refused in answer.errors() {
        let Some(key) = refused.key() else { continue };
        let error = batch_fault(refused.code().unwrap_or_default(), refused.message().unwrap_or_default());
        results.insert(key.to_owned(), Err(locked(error)));
    }
    Ok(results)
}

fn batch_fault(code: &str, message: &str) -> Error {
    crate::error::refused("delete the object", code, message)
}

#[cfg(test)]
mod tests {
    use storage_core::{ETag, Retry};

    use super::*;
    use crate::testing::{Answer, key, store};

    #[tokio::test]
    async fn a_delete_under_a_condition_that_may_have_been_done_is_not_to_be_made_again() {
        for (if_match, retry) in [(Some(ETag::new("a")), Retry::Never), (None, Retry::May)] {
            let there = Answer::Gives("200 OK\r\netag: \"a\"\r\ncontent-length: 4", String::new());
            let (store, _requests) = store(vec![there, Answer::Breaks]);
            let options = DeleteOptions { if_match, ..DeleteOptions::default() };
            let error = delete(&store, &key(), options).await.expect_err("no answer");
            assert_eq!(error.retry(), retry, "{error}");
        }
    }
}
