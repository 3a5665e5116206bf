//! `list_parts` and `list_uploads`.

use std::sync::Arc;

use storage_core::{
    ListPartsOptions, ListUploadsOptions, ObjectKey, PartPage, Result, Upload, UploadId, UploadPage,
};

use crate::blocking;
use crate::document::system_time;
use crate::error::{corrupted, fault};
use crate::multipart::{find_upload, read_record};
use crate::options;
use crate::part::{PartFile, part_number};
use crate::store::Store;
use crate::token::{self, Place};

/// Lists the parts of an upload.
///
/// # Errors
///
/// As [`storage_core::Backend::list_parts`].
pub(crate) async fn list_parts(
    store: Arc<Store>,
    key: ObjectKey,
    upload: UploadId,
    options: ListPartsOptions,
) -> Result<PartPage> {
    let limit = options::page_size(options.limit)?;
    blocking::run(store.gate(), move |_| {
        find_upload(&store, &key, &upload)?;
        let names = store.uploads.names(upload.as_str()).map_err(fault("list the parts"))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| part_number(name)).collect();
        numbers.retain(|number| options.after.is_none_or(|after| *number > after));
        numbers.sort_unstable();
        let is_cut = numbers.len() > limit;
        numbers.truncate(limit);
        let next_after = numbers.last().copied().filter(|_| is_cut);
        let mut parts = Vec::with_capacity(numbers.len());
        for number in numbers {
            parts.extend(PartFile::open(&store, &upload, number)?.map(|file| file.part));
        }
        Ok(PartPage { parts, next_after })
    })
    .await
}

/// Lists uploads in progress.
///
/// # Errors
///
/// As [`storage_core::Backend::list_uploads`].
pub(crate) async fn list_uploads(store: Arc<Store>, options: ListUploadsOptions) -> Result<UploadPage> {
    let limit = options::page_size(options.limit)?;
    let after = match options.page_token.as_deref().map(token::read).transpose()? {
        None => None,
        Some(Place::Upload { key, upload }) => Some((key, upload)),
        Some(Place::Key(_) | Place::Group(_) | Place::Version { .. }) => return Err(token::foreign()),
    };
    blocking::run(store.gate(), move |_| {
        let mut found = Vec::new();
        for id in store.uploads.names("").map_err(fault("list the uploads"))? {
            if let Some(record) = read_record(&store, &id)?
                && record.key.starts_with(&options.prefix)
                && after.as_ref().is_none_or(|(key, last)| (&record.key, &id) > (key, last))
            {
                found.push((record.key, id, record.started_at));
            }
        }
        // The names begin with the time, so that within a key they order by start.
        found.sort_unstable();
        let is_cut = found.len() > limit;
        found.truncate(limit);
        let next_page_token = found
            .last()
            .filter(|_| is_cut)
            .map(|(key, id, _)| token::write(&Place::Upload { key: key.clone(), upload: id.clone() }));
        let uploads = found.into_iter().map(|(key, id, started_at)| {
            let key = ObjectKey::new(key).map_err(|error| {
                corrupted("an upload's record is damaged").with_context("upload", &id).with_source(error)
            })?;
            Ok(Upload { key, id: UploadId::new(id), started_at: system_time(started_at) })
        });
        Ok(UploadPage { uploads: uploads.collect::<Result<_>>()?, next_page_token })
    })
    .await
}
