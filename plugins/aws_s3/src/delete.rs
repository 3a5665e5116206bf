//! Deletes. S3 answers the same whether there was something to delete or not, so that this is asked first.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures_util::{StreamExt, stream};
use storage_core::{DeleteOptions, DeleteResult, Error, ErrorKind, ObjectKey, Result, Retry, VersionId};

use crate::bucket::Kind;
use crate::call::call;
use crate::error::{answered, may_be_done};
use crate::meta::{etag, head, is_version_name, version};
use crate::options::{BYPASS, only, quoted};
use crate::store::Store;
use crate::write::in_doubt;

/// The most keys that one request deletes: S3's limit.
pub(crate) const BATCH: usize = 1000;
/// How many keys of a batch are looked for at once.
const LOOKUPS: usize = 32;

/// Removes an object or one version of it.
///
/// # Errors
///
/// As [`storage_core::Backend::delete`].
pub(crate) async fn delete(store: &Store, key: &ObjectKey, options: DeleteOptions) -> Result<DeleteResult> {
    only(&options.extra, &[BYPASS])?;
    if options.version.is_some() {
        store.require_versions()?;
    }
    let found = match head(store, key, options.version.as_ref()).await {
        Ok(answer) => Some(answer.e_tag().map(etag)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_conditional = options.if_match.is_some();
    if let Some(wanted) = &options.if_match
        && found.as_ref().and_then(Option::as_ref) != Some(wanted)
    {
        return Err(has_another_tag());
    }
    // The mark of a deletion has a name but cannot be described.
    let is_there = found.is_some() || is_marker(store, key, options.version.as_ref()).await?;
    if !is_there {
        return Ok(DeleteResult::default());
    }
    let bypass = options.extra.get(BYPASS).map(|text| flag(text)).transpose()?;
    let request = store
        .s3
        .delete_object()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .set_version_id(options.version.as_ref().map(|version| version.as_str().to_owned()))
        .set_bypass_governance_retention(bypass)
        // A version never changes: that of an object may have changed since it was looked at.
        .set_if_match(options.if_match.filter(|_| options.version.is_none()).as_ref().map(quoted));
    let answer = match call(store, "delete the object", 0, request.send()).await {
        // Somebody else deleted it meanwhile: S3 then says so instead of judging the condition.
        Err(error) if is_conditional && error.kind() == ErrorKind::NotFound => {
            return Err(has_another_tag().with_source(error));
        }
        // It would find nothing the next time, and call that a condition that does not hold.
        Err(error) if is_conditional && may_be_done(&error) => return Err(in_doubt(error)),
        answer => answer?,
    };
    Ok(match options.version {
        Some(version) => DeleteResult { existed: true, version: Some(version), delete_marker: false },
        None => DeleteResult {
            existed: true,
            version: version(store, answer.version_id()),
            delete_marker: answer.delete_marker() == Some(true),
        },
    })
}

fn has_another_tag() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the object has not the expected tag")
}

fn flag(text: &str) -> Result<bool> {
    text.parse()
        .map_err(|_| crate::error::invalid(format!("{BYPASS} is {text:?}, but must be true or false")))
}

/// Whether this version is the mark of a deletion.
async fn is_marker(store: &Store, key: &ObjectKey, version: Option<&VersionId>) -> Result<bool> {
    let Some(version) = version.filter(|version| is_version_name(version)) else { return Ok(false) };
    crate::versions::has_marker(store, key, version).await
}

/// Removes many objects.
///
/// # Errors
///
/// What concerns a request as a whole.
pub(crate) async fn delete_many(store: &Store, keys: Vec<ObjectKey>) -> Result<Vec<Result<DeleteResult>>> {
    if store.config.kind() == Kind::MultiRegion {
        // Many at once are not among the operations of such an access point.
        let deletes: Vec<_> = keys.iter().map(|key| delete(store, key, DeleteOptions::default())).collect();
        return Ok(stream::iter(deletes).buffered(LOOKUPS).collect().await);
    }
    let mut results = Vec::with_capacity(keys.len());
    for batch in keys.chunks(BATCH) {
        results.extend(delete_batch(store, batch).await?);
    }
    Ok(results)
}

async fn delete_batch(store: &Store, keys: &[ObjectKey]) -> Result<Vec<Result<DeleteResult>>> {
    let lookups: Vec<_> = keys.iter().map(|key| crate::meta::exists(store, key)).collect();
    let found: Vec<Result<bool>> = stream::iter(lookups).buffered(LOOKUPS).collect().await;
    let there = keys.iter().zip(&found).filter(|(_, found)| matches!(found, Ok(true)));
    let named: Vec<_> = there
        .map(|(key, _)| ObjectIdentifier::builder().key(key.as_str()).build())
        .collect::<Result<_, _>>()
        .map_err(incomplete)?;
    let mut answers = BTreeMap::new();
    if !named.is_empty() {
        let delete = Delete::builder().set_objects(Some(named)).quiet(false).build().map_err(incomplete)?;
        let request = store.s3.delete_objects().bucket(&store.config.bucket).delete(delete);
        let answer = call(store, "delete the objects", 0, request.send()).await?;
        for deleted in answer.deleted() {
            let made_marker = deleted.delete_marker() == Some(true);
            let version = version(store, deleted.delete_marker_version_id());
            let result = DeleteResult { existed: true, version, delete_marker: made_marker };
            answers.insert(deleted.key().unwrap_or_default().to_owned(), Ok(result));
        }
        for error in answer.errors() {
            let told = answered("delete the objects", error.code(), error.message(), 200, None);
            answers.insert(error.key().unwrap_or_default().to_owned(), Err(told));
        }
    }
    let result = |(key, found): (&ObjectKey, Result<bool>)| match found? {
        false => Ok(DeleteResult::default()),
        // Somebody may have named a key twice: the second time it is gone.
        true => answers.remove(key.as_str()).unwrap_or_else(|| Ok(DeleteResult::default())),
    };
    Ok(keys.iter().zip(found).map(result).collect())
}

fn incomplete(error: aws_sdk_s3::error::BuildError) -> Error {
    Error::new(ErrorKind::Internal, "the request cannot be made").with_retry(Retry::Never).with_source(error)
}

#[cfg(test)]
mod tests {
    use storage_core::ETag;

    use super::*;
    use crate::testing::{Said, Seen, key, scripted};

    #[tokio::test]
    async fn a_conditional_delete_that_may_have_happened_is_not_made_again() {
        for (if_match, retry) in [(Some(ETag::new("x")), Retry::Never), (None, Retry::May)] {
            let says = |seen: &Seen| match seen.method.as_str() {
                "HEAD" => Said::Answer(200, vec![("etag", "\"x\"".to_owned())], ""),
                _ => Said::Nothing,
            };
            let (store, _) = scripted(&[], says).await;
            let options = DeleteOptions { if_match, ..DeleteOptions::default() };
            let error = delete(&store, &key("object"), options).await.expect_err("the connection breaks");
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, retry), "{}", error.report());
        }
    }
}
