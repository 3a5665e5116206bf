//! Which uploads are in progress, and which parts they have; and the sweep of those that were forgotten.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use storage_core::{
    Checksums, ETag, ErrorKind, ListPartsOptions, ListUploadsOptions, ObjectKey, Part, PartPage, Result,
    Upload, UploadId, UploadPage,
};

use crate::digest::parse;
use crate::error::{fault, not_found};
use crate::meta::{etag, size, time};
use crate::store::Store;
use crate::token::Listing;
use crate::upload::MAX_PARTS;
use crate::{options, upload};

/// How often forgotten uploads are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Lists the parts of an upload by number.
///
/// # Errors
///
/// As [`storage_core::Backend::list_parts`].
pub(crate) async fn list_parts(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    options: ListPartsOptions,
) -> Result<PartPage> {
    let limit = options::page_size(options.limit)?;
    if !options::is_name(upload.as_str()) {
        return Err(not_found("upload"));
    }
    some_parts(store, key, upload, options.after, limit).await
}

/// One page of parts.
///
/// # Errors
///
/// `NotFound` for the upload.
pub(crate) async fn some_parts(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    after: Option<u32>,
    limit: u32,
) -> Result<PartPage> {
    let request = store.client.list_parts().bucket(store.bucket()).key(key.as_str());
    let request = request
        .upload_id(upload.as_str())
        .max_parts(i32::try_from(limit).unwrap_or(i32::MAX))
        .set_part_number_marker(after.map(|number| number.min(MAX_PARTS).to_string()));
    let answer = request.send().await.map_err(fault("list the parts"))?;
    let parts = answer.parts().iter().filter_map(|part| {
        let described = Part {
            number: u32::try_from(part.part_number()?).ok()?,
            size_bytes: size(part.size()),
            etag: etag(part.e_tag()).unwrap_or_else(|| ETag::new("")),
            checksums: Checksums {
                crc64nvme: parse(part.checksum_crc64_nvme()).map(u64::from_be_bytes),
                ..Checksums::default()
            },
        };
        let is_last = store.sent.is_last(upload, described.number, &described.etag);
        Some((described, (is_last, time(part.last_modified()))))
    });
    let mut parts: Vec<_> = parts.collect();
    // Of several parts of one number the newest comes first, and is the one that stays.
    parts.sort_by_key(|(part, age)| (part.number, std::cmp::Reverse(*age)));
    parts.dedup_by_key(|(part, _)| part.number);
    let parts: Vec<_> = parts.into_iter().map(|(part, _)| part).collect();
    let next_after = parts.last().map(|part| part.number).filter(|_| answer.is_truncated() == Some(true));
    Ok(PartPage { parts, next_after })
}

/// Every part of an upload.
///
/// # Errors
///
/// `NotFound` for the upload.
pub(crate) async fn all_parts(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<Vec<Part>> {
    let (mut parts, mut after) = (Vec::new(), None);
    loop {
        let page = some_parts(store, key, upload, after, options::MAX_PAGE).await?;
        parts.extend(page.parts);
        match page.next_after {
            Some(next) if Some(next) > after => after = Some(next),
            _ => return Ok(parts),
        }
    }
}

/// Lists uploads in progress by key and start.
///
/// # Errors
///
/// As [`storage_core::Backend::list_uploads`].
pub(crate) async fn list_uploads(store: &Store, options: ListUploadsOptions) -> Result<UploadPage> {
    let limit = options::page_size(options.limit)?;
    let place = options.page_token.as_deref().map(|token| Listing::Uploads.place::<2>(token)).transpose()?;
    let mut uploads = all_uploads(store, &options.prefix).await?;
    if let Some([key, id]) = place {
        // The token names the last upload that was given; the rest follows it in the order of the listing.
        let after = uploads.iter().position(|upload| upload.key.as_str() == key && upload.id.as_str() == id);
        match after {
            Some(index) => drop(uploads.drain(..=index)),
            // It ended meanwhile: whatever began under its key is told again rather than left out.
            None => uploads.retain(|upload| upload.key.as_str() >= key.as_str()),
        }
    }
    let more = uploads.len() > limit as usize;
    uploads.truncate(limit as usize);
    let last = uploads.last().filter(|_| more);
    let next_page_token = last.map(|last| Listing::Uploads.token(&[last.key.as_str(), last.id.as_str()]));
    Ok(UploadPage { uploads, next_page_token })
}

/// Every upload in progress under a prefix, in order. Servers differ in the order that they list in, and in what
/// they make of markers, so that all are read: there are few, since each ends within hours.
async fn all_uploads(store: &Store, prefix: &str) -> Result<Vec<Upload>> {
    let mut uploads: Vec<Upload> = Vec::new();
    let (mut key_marker, mut id_marker) = (None::<String>, None::<String>);
    loop {
        let request = store.client.list_multipart_uploads().bucket(store.bucket()).prefix(prefix);
        let request = request.set_key_marker(key_marker.clone()).set_upload_id_marker(id_marker.clone());
        let answer = request.send().await.map_err(fault("list the uploads"))?;
        let before = uploads.len();
        for one in answer.uploads() {
            let (Some(key), Some(id)) = (one.key(), one.upload_id()) else { continue };
            let Ok(key) = ObjectKey::new(key) else { continue };
            let id = UploadId::new(id);
            if key.as_str().starts_with(prefix)
                && !uploads.iter().any(|known| known.id == id && known.key == key)
            {
                uploads.push(Upload { key, id, started_at: time(one.initiated()) });
            }
        }
        let next =
            (answer.next_key_marker().map(str::to_owned), answer.next_upload_id_marker().map(str::to_owned));
        let goes_on = answer.is_truncated() == Some(true) && next.0.is_some() && uploads.len() > before;
        if !goes_on {
            break;
        }
        (key_marker, id_marker) = next;
    }
    uploads.sort_by(|one, other| {
        (&one.key, one.started_at, one.id.as_str()).cmp(&(&other.key, other.started_at, other.id.as_str()))
    });
    Ok(uploads)
}

/// Aborts uploads that began so long ago that nobody will complete them. Gives their number.
///
/// # Errors
///
/// The server's.
pub(crate) async fn sweep(store: &Store, older_than: Duration) -> Result<u64> {
    let Some(before) = SystemTime::now().checked_sub(older_than) else { return Ok(0) };
    let mut aborted = 0;
    for one in all_uploads(store, "").await? {
        if one.started_at >= before {
            continue;
        }
        match upload::abort(store, &one.key, &one.id).await {
            Ok(()) => {
                tracing::info!(key = %one.key, upload = %one.id, "a forgotten upload was aborted");
                aborted += 1;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(aborted)
}

/// Sweeps now and once a day, for as long as it is not stopped.
pub(crate) async fn sweep_daily(store: Arc<Store>) {
    loop {
        match sweep(&store, store.config.abort_uploads_after).await {
            Ok(_) => {}
            // A server without a listing of uploads, or a key that may only read: there is nothing to sweep.
            Err(error) if !error.retry().is_allowed() => {
                tracing::debug!(error = %error.report(), "forgotten uploads are not swept");
                return;
            }
            Err(error) => tracing::warn!(error = %error.report(), "forgotten uploads could not be swept"),
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}
