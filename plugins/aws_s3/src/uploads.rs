//! Listings of uploads in progress and of their parts, and the sweep of those that nobody completes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use storage_core::{
    Checksums, ErrorKind, ListPartsOptions, ListUploadsOptions, ObjectKey, Part, PartPage, Result, Upload,
    UploadId, UploadPage,
};

use crate::call::call;
use crate::list::legal_key;
use crate::meta::{etag, size_of, system_time};
use crate::multipart::check_name;
use crate::options::page_size;
use crate::store::{Store, with_customer_key};
use crate::token::{self, Place};
use crate::{digest, directory, upload};

/// How often forgotten uploads are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Lists the parts of an upload.
///
/// # Errors
///
/// `NotFound`; `InvalidArgument`; what S3 answers.
pub(crate) async fn list_parts(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    options: ListPartsOptions,
) -> Result<PartPage> {
    let limit = page_size(options.limit)?;
    check_name(upload)?;
    let request = store
        .s3
        .list_parts()
        .bucket(&store.config.bucket)
        .key(key.as_str())
        .upload_id(upload.as_str())
        .set_part_number_marker(options.after.map(|after| after.to_string()))
        .max_parts(limit);
    let request = with_customer_key!(request, store);
    let answer = call(store, "list the parts", 0, request.send()).await?;
    let parts: Vec<_> = answer
        .parts()
        .iter()
        .filter_map(|part| {
            Some(Part {
                number: u32::try_from(part.part_number()?).ok()?,
                size_bytes: size_of(part.size()),
                etag: etag(part.e_tag()?),
                checksums: Checksums {
                    crc64nvme: digest::of_answer(None, None, part.checksum_crc64_nvme(), false).crc64nvme,
                    ..Checksums::default()
                },
            })
        })
        .collect();
    let next_after = parts.last().map(|part| part.number).filter(|_| answer.is_truncated() == Some(true));
    Ok(PartPage { parts, next_after })
}

/// Lists uploads in progress.
///
/// # Errors
///
/// `InvalidArgument`; what S3 answers.
pub(crate) async fn list_uploads(store: &Store, options: ListUploadsOptions) -> Result<UploadPage> {
    let limit = page_size(options.limit)?;
    let (key, id) = match options.page_token.as_deref().map(token::read).transpose()? {
        None => (None, None),
        Some(Place::Upload { key, upload }) => (Some(key), upload),
        Some(_) => return Err(token::foreign()),
    };
    if store.config.kind().is_directory() {
        let place = key.map(|key| (key, id));
        return directory::list_uploads(store, &options, place, limit.unsigned_abs() as usize).await;
    }
    let request = store
        .s3
        .list_multipart_uploads()
        .bucket(&store.config.bucket)
        .set_prefix(Some(options.prefix).filter(|prefix| !prefix.is_empty()))
        .set_key_marker(key)
        .set_upload_id_marker(id)
        .max_uploads(limit);
    let answer = call(store, "list the uploads", 0, request.send()).await?;
    let uploads = answer.uploads().iter().filter_map(|upload| {
        Some(Upload {
            key: legal_key(upload.key()?)?,
            id: UploadId::new(upload.upload_id()?),
            started_at: system_time(upload.initiated()),
        })
    });
    let next = answer.next_key_marker().filter(|_| answer.is_truncated() == Some(true));
    let next = next.map(|key| Place::Upload {
        key: key.to_owned(),
        upload: answer.next_upload_id_marker().filter(|id| !id.is_empty()).map(str::to_owned),
    });
    Ok(UploadPage { uploads: uploads.collect(), next_page_token: next.as_ref().map(token::write) })
}

/// Aborts uploads of this age now, and then daily.
pub(crate) async fn sweep_daily(store: Arc<Store>, age: Duration) {
    loop {
        match sweep(&store, age).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, ?age, "uploads that nobody completed were aborted"),
            // Without the permission to look there is nothing to sweep; whoever may not look need not be told daily.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                tracing::debug!(error = %error.report(), "forgotten uploads cannot be listed");
            }
            Err(error) => tracing::warn!(error = %error.report(), "forgotten uploads could not be swept"),
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Aborts uploads of this age.
///
/// # Errors
///
/// What S3 answers.
pub(crate) async fn sweep(store: &Store, age: Duration) -> Result<u64> {
    let Some(before) = SystemTime::now().checked_sub(age) else { return Ok(0) };
    let mut options = ListUploadsOptions::default();
    let mut count = 0;
    loop {
        let page = list_uploads(store, options.clone()).await?;
        for old in page.uploads.iter().filter(|upload| upload.started_at < before) {
            match upload::abort(store, &old.key, old.id.as_str()).await {
                Ok(()) => count += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        match page.next_page_token {
            Some(token) => options.page_token = Some(token),
            None => return Ok(count),
        }
    }
}
