//! Finds out, when the backend opens, what this server can do: by doing it to an object that is removed again.
//!
//! Servers that do not know a condition or a digest mostly ignore it and answer with success. Only a write that
//! ought to be refused shows what is honoured. All of it takes about ten small requests, most of them side by side.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream as Payload;
use aws_sdk_s3::types::MetadataDirective;
use bytes::Bytes;
use storage_core::{
    Checksums, ETag, Error, ErrorKind, ObjectKey, Result, Retry, SaveOptions, UploadId, WriteCondition,
};

use crate::error::{convert, fault, has_unknown_outcome};
use crate::store::{Store, copy_source};
use crate::{digest, options, save, upload};

/// Where the probes are: out of the way of every key that the host makes.
const FOLDER: &str = ".storage-service-probe/";

/// The probe of a bucket that locks everything: it cannot be removed, so that there is one for all times.
pub(crate) const KEPT_KEY: &str = ".storage-service-probe/kept";

/// A tag that no object has.
const NO_TAG: &str = "\"00000000000000000000000000000000\"";

const CONTENT: &[u8] = b"a probe of the storage service\n";

/// The key of a probe that nobody else uses.
pub(crate) fn fresh_key(what: &str) -> String {
    format!("{FOLDER}{what}-{:016x}", rand::random::<u64>())
}

/// Finds out what the server can do, and notes it in the store's features.
///
/// # Errors
///
/// Where the server cannot be asked now. A key that may not write is no error: nothing is declared then.
pub(crate) async fn run(store: &mut Store) -> Result<()> {
    let is_kept = store.locked_by_default;
    let key = if is_kept { KEPT_KEY.to_owned() } else { fresh_key("open") };
    let other = format!("{key}-digest");
    let found = Box::pin(find_out(store, &key, &other)).await;
    if !is_kept {
        clear(store, &key).await;
    }
    match found {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            tracing::info!(error = %error.report(), "the access key may not write; nothing is known of conditional writes");
            Ok(())
        }
        found => found,
    }
}

async fn find_out(store: &mut Store, key: &str, other: &str) -> Result<()> {
    let (tags, checked) = tokio::join!(put_with_tags(store, key), is_digest_checked(store, other));
    let kept_tags = tags?;
    store.features.crc64nvme = checked?;
    // Before any write that a server may let pass, since it would take the tags away.
    let (tagged, fits) = tokio::join!(are_tags_kept(store, key, kept_tags), fits_whole_digest(store, key));
    let tagged = tagged?;
    store.features.crc64nvme &= fits?;
    let object = ObjectKey::new(key)?;
    let store_ref: &Store = store;
    let put = || {
        store_ref.client.put_object().bucket(store_ref.bucket()).key(key).body(Payload::from_static(CONTENT))
    };
    let absent = async { refused(put().if_none_match("*").send().await) };
    let matching = async { refused(put().if_match(NO_TAG).send().await) };
    let copied = async {
        let copy = || {
            let copy = store_ref.client.copy_object().bucket(store_ref.bucket()).key(key);
            let copy = copy.copy_source(copy_source(store_ref.bucket(), &object, None));
            copy.metadata_directive(MetadataDirective::Replace)
        };
        let absent = refused(copy().if_none_match("*").send().await)?;
        Ok::<_, Error>(absent && refused(copy().if_match(NO_TAG).send().await)?)
    };
    let (absent, matching, completed, copied) =
        tokio::join!(absent, matching, completes_on_condition(store_ref, &object), copied);
    let (completed_absent, completed_matching) = completed?;
    let (absent, matching, copied) = (absent?, matching?, copied?);
    // Last, since a server that ignores the condition deletes the object.
    let deleting = if store.locked_by_default {
        false
    } else {
        let delete = store.client.delete_object().bucket(store.bucket()).key(key).if_match(NO_TAG);
        refused(delete.send().await)?
    };
    let features = &mut store.features;
    features.write_if_absent = absent && completed_absent;
    features.write_if_match = matching && completed_matching;
    features.copy_conditions = copied;
    features.delete_if_match = deleting;
    (features.tags, features.counts_tags) = tagged;
    Ok(())
}

/// Writes the probe, with a tag where the server takes tags. Whether it did is answered.
async fn put_with_tags(store: &Store, key: &str) -> Result<bool> {
    if store.locked_by_default && save::is_there(store, key).await? {
        return Ok(true);
    }
    let put =
        || store.client.put_object().bucket(store.bucket()).key(key).body(Payload::from_static(CONTENT));
    match put().tagging("probe=1").send().await.map_err(|error| convert("write a probe", error)) {
        Ok(_) => Ok(true),
        Err(error) if [ErrorKind::Unsupported, ErrorKind::InvalidArgument].contains(&error.kind()) => {
            put().send().await.map_err(fault("write a probe"))?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether the probe's tag is there, and whether answers to `HEAD` tell the number of tags.
async fn are_tags_kept(store: &Store, key: &str, were_taken: bool) -> Result<(bool, bool)> {
    if !were_taken {
        return Ok((false, false));
    }
    let head = store.client.head_object().bucket(store.bucket()).key(key).send();
    let tags = store.client.get_object_tagging().bucket(store.bucket()).key(key).send();
    let (head, tags) = tokio::join!(head, tags);
    let are_counted = head.map_err(fault("describe the probe"))?.tag_count() == Some(1);
    match tags {
        Ok(answer) => {
            let is_kept = answer.tag_set().iter().any(|tag| tag.key() == "probe" && tag.value() == "1");
            Ok((is_kept, are_counted))
        }
        Err(error) => definite(convert("read the probe's tags", error)).map(|()| (false, false)),
    }
}

/// Whether a CRC-64/NVME that is not the content's is refused.
async fn is_digest_checked(store: &Store, key: &str) -> Result<bool> {
    let wrong = digest::crc64_header(!digest::crc64nvme(CONTENT));
    let put = store.client.put_object().bucket(store.bucket()).key(key).checksum_crc64_nvme(wrong);
    match put
        .body(Payload::from_static(CONTENT))
        .send()
        .await
        .map_err(|error| convert("write a probe", error))
    {
        Ok(saved) => {
            if !store.locked_by_default {
                save::remove(store, key, saved.version_id()).await?;
            }
            Ok(false)
        }
        Err(error) if error.kind() == ErrorKind::ChecksumMismatch => Ok(true),
        Err(error) => definite(error).map(|()| false),
    }
}

/// Whether an upload can be begun whose parts have one digest over all of them.
async fn fits_whole_digest(store: &Store, key: &str) -> Result<bool> {
    let object = ObjectKey::new(key)?;
    match upload::begin(store, &object, &SaveOptions::default()).await {
        Ok(id) => {
            upload::abort(store, &object, &UploadId::new(id)).await?;
            Ok(true)
        }
        Err(error) => definite(error).map(|()| false),
    }
}

/// Whether completions are refused where something is there, and where the tag is another.
async fn completes_on_condition(store: &Store, key: &ObjectKey) -> Result<(bool, bool)> {
    let id = match upload::begin(store, key, &SaveOptions::default()).await {
        Ok(id) => id,
        Err(error) => return definite(error).map(|()| (false, false)),
    };
    let content = Bytes::from_static(CONTENT);
    let checksums = Checksums { crc64nvme: Some(digest::crc64nvme(CONTENT)), ..Checksums::default() };
    let found = async {
        let part = upload::send_part(store, key, &id, 1, content).await?;
        let conditions =
            [WriteCondition::IfAbsent, WriteCondition::IfMatch(ETag::new(NO_TAG.trim_matches('"')))];
        let mut honoured = [false; 2];
        for (condition, honoured) in conditions.iter().zip(&mut honoured) {
            let parts = vec![part.clone()];
            match upload::finish(store, key, &id, parts, condition, CONTENT.len() as u64, &checksums).await {
                // It is complete now, so that there is nothing to try the other condition on.
                Ok(_) => return Ok((false, false)),
                Err(error) => *honoured = is_refusal(&error) || definite(error).map(|()| false)?,
            }
        }
        Ok((honoured[0], honoured[1]))
    };
    let found = found.await;
    // An upload that was completed is gone; one of a server that failed is swept.
    if let Err(error) = upload::abort(store, key, &UploadId::new(&id)).await {
        tracing::debug!(error = %error.report(), "the probe's upload was not aborted");
    }
    found
}

/// Whether a write that ought to be refused was.
fn refused<T, E>(answer: Result<T, SdkError<E, HttpResponse>>) -> Result<bool>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok(false),
        Err(error) => {
            let error = convert("try a condition", error);
            if is_refusal(&error) { Ok(true) } else { definite(error).map(|()| false) }
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    [ErrorKind::PreconditionFailed, ErrorKind::AlreadyExists].contains(&error.kind())
}

/// An answer that would be the same again says that the server does not have this. One that may be another the next
/// time says nothing, and must not be taken for a lack.
fn definite(error: Error) -> Result<()> {
    match error.retry() {
        retry if retry.is_allowed() => Err(error),
        // Only the write must not be made again: another opening tries another key.
        _ if has_unknown_outcome(&error) => Err(error.with_retry(Retry::May)),
        _ => Ok(()),
    }
}

/// Removes the probe, with every version that it has.
async fn clear(store: &Store, key: &str) {
    let cleared = if store.features.versions {
        clear_versions(store, key).await
    } else {
        save::remove(store, key, None).await
    };
    if let Err(error) = cleared {
        // A key that may only read, or only write. There is nothing more to be done here.
        tracing::debug!(error = %error.report(), key, "the probe was not removed");
    }
}

async fn clear_versions(store: &Store, key: &str) -> Result<()> {
    let request = store.client.list_object_versions().bucket(store.bucket()).prefix(key);
    let page = request
        .max_keys(options::MAX_PAGE as i32)
        .send()
        .await
        .map_err(fault("list the probe's versions"))?;
    let versions = page.versions().iter().map(|one| (one.key(), one.version_id()));
    let markers = page.delete_markers().iter().map(|one| (one.key(), one.version_id()));
    for (found, version) in versions.chain(markers) {
        save::remove(store, found.unwrap_or(key), version).await?;
    }
    Ok(())
}
