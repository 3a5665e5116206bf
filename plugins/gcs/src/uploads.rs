//! What is kept of uploads in parts: a description of each, and one object for each part.

use serde::{Deserialize, Serialize};
use storage_core::{
    ETag, ListPartsOptions, ListUploadsOptions, ObjectKey, Part, PartPage, Result, Upload, UploadId,
    UploadPage,
};

use crate::error::{bad_answer, not_found};
use crate::layout;
use crate::list::FIELDS;
use crate::open::Store;
use crate::options::page_size;
use crate::resource::{Listing, NewObject, Object, system_time};
use crate::sweep::current;
use crate::token::{self, Place};

/// The entry of a description's metadata that names the key.
pub(crate) const KEY: &str = "storage.key";

/// The content of a description.
#[derive(Deserialize, Serialize)]
pub(crate) struct Description {
    /// What the object will be like.
    pub(crate) object: NewObject,
}

/// The description of an upload of this key, as an object.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn find(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<Object> {
    require_parts(store)?;
    if !layout::is_id(upload.as_str()) {
        return Err(not_found("upload"));
    }
    match store.client.object(&layout::upload(upload.as_str()), None).await {
        Ok(object) if object.metadata.get(KEY).map(String::as_str) == Some(key.as_str()) => Ok(object),
        Ok(_) => Err(not_found("upload of this key")),
        Err(failure) if failure.is_missing() => Err(not_found("upload")),
        Err(failure) => Err(failure.error),
    }
}

/// Refuses uploads in parts where their temporary objects could not be removed.
///
/// # Errors
///
/// `Unsupported`.
pub(crate) fn require_parts(store: &Store) -> Result<()> {
    if store.allows_temporary {
        return Ok(());
    }
    Err(storage_core::Error::new(
        storage_core::ErrorKind::Unsupported,
        "uploads in parts need temporary objects, which a bucket with retention or default holds does not let go",
    ))
}

/// What an upload's object will be like.
///
/// # Errors
///
/// `NotFound` where it is gone meanwhile.
pub(crate) async fn description(store: &Store, found: &Object) -> Result<Description> {
    let answer = store.client.open(&found.name, found.generation()?, 0..found.size_bytes()?).await;
    let answer =
        answer.map_err(|failure| if failure.is_missing() { not_found("upload") } else { failure.error })?;
    store.client.json(answer).await
}

/// Lists parts.
///
/// # Errors
///
/// As [`storage_core::Backend::list_parts`].
pub(crate) async fn list_parts(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    options: &ListPartsOptions,
) -> Result<PartPage> {
    let limit = page_size(options.limit)?;
    find(store, key, upload).await?;
    let mut parts = parts(store, upload.as_str(), options.after.unwrap_or_default(), limit + 1).await?;
    let goes_on = parts.len() > limit;
    parts.truncate(limit);
    let next_after = parts.last().filter(|_| goes_on).map(|part| part.number);
    Ok(PartPage { parts, next_after })
}

/// The parts after a number, at least so many where there are so many.
///
/// # Errors
///
/// See [`crate::error`].
pub(crate) async fn parts(store: &Store, id: &str, after: u32, enough: usize) -> Result<Vec<Part>> {
    let (client, prefix) = (&store.client, layout::parts(id));
    let (mut parts, mut google_token) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![
            ("prefix", prefix.clone()),
            ("startOffset", layout::part(id, after.saturating_add(1))),
            ("fields", FIELDS.to_owned()),
        ];
        query.extend(google_token.take().map(|token| ("pageToken", token)));
        let page: Listing = client.get(&client.objects_url(), &query).await?;
        for object in page.items {
            // What is joined on the way to completion lies there too, and is no part.
            let number = object.name.strip_prefix(&prefix).and_then(|number| number.parse().ok());
            if let Some(number) = number {
                parts.push(part(number, &object)?);
            }
        }
        google_token = page.next_page_token;
        if google_token.is_none() || parts.len() >= enough {
            return Ok(parts);
        }
    }
}

/// A part, as its object tells.
///
/// # Errors
///
/// `Internal` for an answer without size or generation.
pub(crate) fn part(number: u32, object: &Object) -> Result<Part> {
    Ok(Part {
        number,
        size_bytes: object.size_bytes()?,
        etag: ETag::new(object.generation()?.to_string()),
        checksums: object.checksums(),
    })
}

/// Lists uploads in progress. They are few, so that all are read and put in order here.
///
/// # Errors
///
/// As [`storage_core::Backend::list_uploads`].
pub(crate) async fn list_uploads(store: &Store, options: ListUploadsOptions) -> Result<UploadPage> {
    require_parts(store)?;
    let limit = page_size(options.limit)?;
    let after = match options.page_token.as_deref().map(token::read).transpose()? {
        None => None,
        Some(Place::Upload { key, started, upload }) => Some((key, started, upload)),
        Some(_) => return Err(token::foreign()),
    };
    let mut uploads = Vec::new();
    for object in current(&store.client, layout::UPLOADS).await? {
        let Some(id) = object.name.strip_prefix(layout::UPLOADS) else { continue };
        let Some(key) = object.metadata.get(KEY) else { continue };
        if !key.starts_with(&options.prefix) {
            continue;
        }
        let started = object.created_at()?;
        let place = (key.clone(), started.as_microsecond(), id.to_owned());
        if after.as_ref().is_none_or(|after| place > *after) {
            uploads.push((place, started));
        }
    }
    uploads.sort();
    let goes_on = uploads.len() > limit;
    uploads.truncate(limit);
    let next_page_token = uploads.last().filter(|_| goes_on).map(|((key, started, upload), _)| {
        token::write(&Place::Upload { key: key.clone(), started: *started, upload: upload.clone() })
    });
    let uploads = uploads
        .into_iter()
        .map(|((key, _, id), started)| {
            let key =
                ObjectKey::new(key).map_err(|error| bad_answer("an upload of no key").with_source(error))?;
            Ok(Upload { key, id: UploadId::new(id), started_at: system_time(started)? })
        })
        .collect::<Result<_>>()?;
    Ok(UploadPage { uploads, next_page_token })
}
