//! Uploads in parts, made of temporary objects that the bucket joins.
//!
//! Whoever ends an upload, by completing or aborting it, first takes a claim on it: an object that only one can
//! create. So of many who try at once one decides, and the others see what became of it. The upload is over when
//! its description is gone.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use storage_core::{
    AbortResult, ByteStream, Checksums, CompleteOptions, Error, ErrorKind, ObjectKey, Part, PartOptions,
    Result, Retry, SaveOptions, SaveResult, UploadId, WriteCondition,
};

use crate::compose::{Component, compose, whole};
use crate::composite::Scratch;
use crate::error::{bad_answer, not_found};
use crate::layout;
use crate::open::Store;
use crate::options::{Conditional, check_description, check_extra, check_joined, describe};
use crate::resource::{NewObject, Object};
use crate::save::{PART_BYTES, Source, send};
use crate::single::{Chunks, upload_if};
use crate::sweep::purge;
use crate::uploads::{Description, KEY, description, find, part, parts, require_parts};

/// The most parts of an upload, and the highest number of one.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// A claim of this age is of somebody who died.
const CLAIM_LASTS: Duration = Duration::from_secs(600);

/// How long one waits for whoever is ending the upload.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often one looks what became of the upload.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Begins an upload.
///
/// # Errors
///
/// As [`storage_core::Backend::begin_multipart`].
pub(crate) async fn begin(store: &Store, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
    require_parts(store)?;
    check_description(&options)?;
    let object = describe(store, key.as_str(), &options)?;
    let id = layout::new_id();
    let text = serde_json::to_vec(&Description { object })
        .map_err(|error| bad_answer("a description").with_source(error))?;
    let metadata = BTreeMap::from([(KEY.to_owned(), key.as_str().to_owned())]);
    let new = NewObject { name: layout::upload(&id), metadata, ..store.temporary() };
    put_small(store, new, text.into(), WriteCondition::Always).await?;
    Ok(UploadId::new(id))
}

async fn put_small(
    store: &Store,
    new: NewObject,
    text: bytes::Bytes,
    condition: WriteCondition,
) -> Result<Object> {
    let mut chunks = Chunks::default();
    chunks.push(text);
    let crc32c = chunks.crc32c();
    let condition = Conditional::new(condition)?;
    upload_if(&store.client, new, &chunks, crc32c, &condition, &store.key_query()).await
}

/// Sends a part.
///
/// # Errors
///
/// As [`storage_core::Backend::upload_part`].
pub(crate) async fn upload_part(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    number: u32,
    body: ByteStream,
    options: PartOptions,
) -> Result<Part> {
    require_parts(store)?;
    check_extra(&options.extra)?;
    if !(1..=MAX_PARTS).contains(&number) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("parts have the numbers 1 to {MAX_PARTS}"),
        )
        .with_context("number", number));
    }
    find(store, key, upload).await?;
    let mut source = Source::new(body, options.checksums)?;
    let first = source.next(PART_BYTES).await?;
    let new = NewObject { name: layout::part(upload.as_str(), number), ..store.temporary() };
    let condition = Conditional::new(WriteCondition::Always)?;
    let (object, _) = send(store, new, source, first, &condition).await?;
    // Where the upload ended meanwhile, whoever ended it may not have seen this part.
    if let Err(error) = find(store, key, upload).await {
        let query = [("generation", object.generation()?.to_string())];
        store.client.remove(&object.name, &query).await?;
        return Err(error);
    }
    part(number, &object)
}

/// Makes the object.
///
/// # Errors
///
/// As [`storage_core::Backend::complete_multipart`].
pub(crate) async fn complete(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    named: Vec<Part>,
    options: CompleteOptions,
) -> Result<SaveResult> {
    require_parts(store)?;
    check_extra(&options.extra)?;
    check_joined(&options.checksums)?;
    let condition = Conditional::new(options.condition)?;
    let claim = claim(store, key, upload).await?.ok_or_else(|| not_found("upload"))?;
    let completed = join(store, upload, &claim, &named, &options.checksums, &condition).await;
    match completed {
        Ok(object) => {
            end(store, upload, claim).await?;
            object.saved(store.keeps_versions, Checksums::default())
        }
        Err(error) => {
            claim.give_up(store).await;
            Err(error)
        }
    }
}

async fn join(
    store: &Store,
    upload: &UploadId,
    claim: &Claim,
    named: &[Part],
    expected: &Checksums,
    condition: &Conditional,
) -> Result<Object> {
    let new = description(store, &claim.upload).await?.object;
    let sent = parts(store, upload.as_str(), 0, usize::MAX).await?;
    let components = select(upload.as_str(), named, &sent)?;
    let joined = Checksums { crc32c: Some(whole(&components).1), ..Checksums::default() };
    expected.verify(&joined)?;
    let mut scratch = Scratch::new(store, layout::components(&layout::new_id()));
    let object = compose(store, scratch.prefix(), components, new, condition).await?;
    scratch.settled();
    Ok(object)
}

/// The components that the named parts are.
fn select(id: &str, named: &[Part], sent: &[Part]) -> Result<Vec<Component>> {
    let refused = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    if named.is_empty() {
        return refused("an upload is completed with one part at least".to_owned());
    }
    if !named.is_sorted_by(|one, next| one.number < next.number) {
        return refused("the numbers of the parts do not ascend".to_owned());
    }
    let sent: BTreeMap<_, _> = sent.iter().map(|part| (part.number, part)).collect();
    let mut components = Vec::with_capacity(named.len());
    for part in named {
        let number = part.number;
        let Some(found) = sent.get(&number) else { return refused(format!("part {number} was not sent")) };
        if found.etag != part.etag {
            return refused(format!("part {number} has another tag than the given one"));
        }
        let generation =
            found.etag.as_str().parse().map_err(|_| bad_answer("a part without a generation"))?;
        let crc32c = found.checksums.crc32c.ok_or_else(|| bad_answer("a part without a CRC-32C"))?;
        let name = layout::part(id, number);
        components.push(Component { name, generation, size_bytes: found.size_bytes, crc32c });
    }
    Ok(components)
}

/// Ends an upload and drops its parts.
///
/// # Errors
///
/// As [`storage_core::Backend::abort_multipart`].
pub(crate) async fn abort(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
    let Some(claim) = claim(store, key, upload).await? else { return Ok(AbortResult { existed: false }) };
    end(store, upload, claim).await?;
    Ok(AbortResult { existed: true })
}

/// Removes what is kept of an upload. With the description it is over; the rest goes in its own time.
async fn end(store: &Store, upload: &UploadId, claim: Claim) -> Result<()> {
    let query = [("generation", claim.upload.generation()?.to_string())];
    let removed = crate::retry::repeat(async |_| store.client.remove(&claim.upload.name, &query).await).await;
    if let Err(failure) = removed {
        // The object may be there already, so that the caller must not take this for a failure of the upload: what
        // is left is an upload that can be aborted.
        tracing::warn!(error = %failure.error, %upload, "an upload that ended is still listed: abort it");
    }
    let (store, id) = (store.clone(), upload.as_str().to_owned());
    let tracker = store.tracker.clone();
    tracker.spawn(async move {
        if let Err(error) = purge(&store, &layout::parts(&id)).await {
            tracing::warn!(%error, id, "the parts of an upload were left; a later sweep removes them");
        }
        claim.give_up(&store).await;
    });
    Ok(())
}

/// The right to end an upload.
struct Claim {
    object: Object,
    upload: Object,
}

impl Claim {
    /// Lets others try.
    async fn give_up(self, store: &Store) {
        let removed = async {
            let query = [("generation", self.object.generation()?.to_string())];
            store.client.remove(&self.object.name, &query).await
        };
        if let Err(failure) = removed.await {
            tracing::debug!(error = %failure.error, "a claim on an upload was left; it lapses");
        }
    }
}

/// Takes the right to end an upload. None where it does not exist, or was ended while this waited.
///
/// # Errors
///
/// `Conflict` where somebody else does not come to an end with it.
async fn claim(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<Option<Claim>> {
    let began = tokio::time::Instant::now();
    loop {
        let upload = match find(store, key, upload).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let id = upload.name.strip_prefix(layout::UPLOADS).unwrap_or_default();
        let new = NewObject { name: layout::claim(id), ..store.temporary() };
        match put_small(store, new, bytes::Bytes::new(), WriteCondition::IfAbsent).await {
            Ok(object) => return still_there(store, key, id, object).await,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        remove_lapsed(store, id).await?;
        if began.elapsed() > PATIENCE {
            let error = Error::new(ErrorKind::Conflict, "somebody else is completing or aborting the upload");
            return Err(error.with_retry(Retry::May));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The upload may have ended between the look at it and the claim.
async fn still_there(store: &Store, key: &ObjectKey, id: &str, object: Object) -> Result<Option<Claim>> {
    let found = find(store, key, &UploadId::new(id)).await;
    let claim = |upload| Claim { object: object.clone(), upload };
    match found {
        Ok(upload) => Ok(Some(claim(upload))),
        Err(error) => {
            claim(Object::default()).give_up(store).await;
            if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) }
        }
    }
}

/// Removes the claim of somebody who died.
async fn remove_lapsed(store: &Store, id: &str) -> Result<()> {
    let found = match store.client.object(&layout::claim(id), None).await {
        Ok(found) => found,
        Err(failure) if failure.is_missing() => return Ok(()),
        Err(failure) => return Err(failure.error),
    };
    let age = SystemTime::now().duration_since(found.created()?).unwrap_or_default();
    if age > CLAIM_LASTS {
        let query = [("generation", found.generation()?.to_string())];
        store.client.remove(&found.name, &query).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use storage_core::ETag;

    use super::*;

    fn given(number: u32, etag: &str) -> Part {
        let checksums = Checksums { crc32c: Some(number), ..Checksums::default() };
        Part { number, size_bytes: 1, etag: ETag::new(etag), checksums }
    }

    #[test]
    fn only_parts_as_they_were_sent_are_joined() {
        let sent = [given(1, "11"), given(2, "12"), given(7, "17")];
        let select = |named: &[Part]| select("id", named, &sent);
        let found = select(&[given(1, "11"), given(7, "17")]).expect("sent");
        let told: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.generation, one.crc32c)).collect();
        assert_eq!(told, [("/.storage/parts/id/00001", 11, 1), ("/.storage/parts/id/00007", 17, 7)]);
        for (wrong, says) in [
            (vec![], "one part at least"),
            (vec![given(2, "12"), given(1, "11")], "ascend"),
            (vec![given(1, "11"), given(1, "11")], "ascend"),
            (vec![given(3, "13")], "part 3 was not sent"),
            (vec![given(2, "11")], "part 2 has another tag"),
        ] {
            let error = select(&wrong).expect_err(says);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(says), "{error}");
        }
    }
}
