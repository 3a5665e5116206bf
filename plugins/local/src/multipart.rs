//! Uploads in parts: `begin`, `upload_part`, `complete`, `abort`.
//!
//! An upload is a directory below `uploads/` with `upload.json` and one file a part, so that it survives a
//! restart. Whoever adds a part shares the directory's lock; whoever ends the upload has it alone.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use storage_core::{
    AbortResult, ByteStream, CompleteOptions, Error, ErrorKind, ObjectKey, Part, PartOptions, Result,
    SaveOptions, SaveResult, UploadId,
};

use crate::blocking::{self, Cancel};
use crate::copy::{append, verify};
use crate::document::{Attributes, to_json};
use crate::error::{corrupted, fault, io_fault, not_found};
use crate::folder::{Lock, wait_for_lock};
use crate::options;
use crate::part::{PartFile, part_name};
use crate::store::Store;
use crate::write::{BATCH_BYTES, Batch, Content, ContentWriter, write_stream};

/// The highest number of a part.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// The name of the file that describes an upload.
const RECORD: &str = "upload.json";

/// The form of the records that this version writes.
const FORMAT: u32 = 1;

/// What is known of an upload.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    pub(crate) key: String,
    pub(crate) started_at: Timestamp,
    attributes: Attributes,
}

/// Begins an upload.
///
/// # Errors
///
/// As [`storage_core::Backend::begin_multipart`].
pub(crate) async fn begin(store: Arc<Store>, key: ObjectKey, save_options: SaveOptions) -> Result<UploadId> {
    options::check_description(&save_options)?;
    let record = Record {
        format: FORMAT,
        key: key.as_str().to_owned(),
        started_at: Timestamp::now(),
        attributes: Attributes::of(save_options),
    };
    blocking::run(store.gate(), move |cancel| {
        let staging = store.staging()?;
        let id = uuid::Uuid::now_v7().simple().to_string();
        let directory = staging.create_directory("upload", store.config.directory_mode)?;
        let mut staged = staging.create("json")?;
        staged.file().write_all(&to_json(&record)?).map_err(io_fault("write the upload's record"))?;
        store.sync(&staged)?;
        staged.publish(directory.fd(), RECORD).map_err(fault("put the upload's record in its place"))?;
        cancel.check()?;
        directory.publish(&store.uploads, &id).map_err(fault("put the upload in its place"))?;
        let changed = [
            store.uploads.open_directory(&id).map_err(fault("open the upload"))?,
            store.uploads.open_directory("").map_err(fault("open the uploads"))?,
        ];
        store.sync_directories(&changed)?;
        Ok(UploadId::new(id))
    })
    .await
}

/// Stores one part.
///
/// # Errors
///
/// As [`storage_core::Backend::upload_part`].
pub(crate) async fn upload_part(
    store: Arc<Store>,
    key: ObjectKey,
    upload: UploadId,
    number: u32,
    mut body: ByteStream,
    part_options: PartOptions,
) -> Result<Part> {
    options::check_extra(&part_options.extra)?;
    if !(1..=MAX_PARTS).contains(&number) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{number} is not the number of a part: 1 to {MAX_PARTS}"),
        ));
    }
    let checksums = part_options.checksums;
    let batch = Batch::gather(&mut body, BATCH_BYTES).await?;
    if batch.is_last {
        return blocking::run(store.gate(), move |cancel| {
            let mut writer = ContentWriter::create(&store, "part", checksums, None)?;
            writer.write(&batch.chunks)?;
            finish_part(&store, &key, &upload, number, writer, cancel)
        })
        .await;
    }
    {
        let (store, key, upload) = (Arc::clone(&store), key.clone(), upload.clone());
        blocking::run(store.gate(), move |_| find_upload(&store, &key, &upload)).await?;
    }
    let writer = write_stream(&store, "part", checksums, batch, body).await?;
    blocking::run(store.gate(), move |cancel| finish_part(&store, &key, &upload, number, writer, cancel))
        .await
}

fn finish_part(
    store: &Store,
    key: &ObjectKey,
    upload: &UploadId,
    number: u32,
    writer: ContentWriter,
    cancel: &Cancel,
) -> Result<Part> {
    let (mut staged, part) = PartFile::write(store, writer, number)?;
    // It may have ended while the part was on its way.
    let (directory, _) = lock_upload(store, key, upload, Lock::Shared)?;
    cancel.check()?;
    staged.publish(&directory, &part_name(number)).map_err(fault("put the part in its place"))?;
    store.sync_directories(&[directory])?;
    Ok(part)
}

/// Makes the object of its parts.
///
/// # Errors
///
/// As [`storage_core::Backend::complete_multipart`].
pub(crate) async fn complete(
    store: Arc<Store>,
    key: ObjectKey,
    upload: UploadId,
    parts: Vec<Part>,
    complete_options: CompleteOptions,
) -> Result<SaveResult> {
    options::check_extra(&complete_options.extra)?;
    if parts.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "an upload is completed with at least one part"));
    }
    if let Some(pair) = parts.windows(2).find(|pair| pair[0].number >= pair[1].number) {
        return Err(Error::new(ErrorKind::InvalidArgument, "the numbers of the parts do not ascend")
            .with_context("number", pair[1].number));
    }
    blocking::run(store.gate(), move |cancel| {
        let (_lock, record) = lock_upload(&store, &key, &upload, Lock::Exclusive)?;
        let content = assemble(&store, &upload, &parts, &complete_options, cancel)?;
        let saved = content
            .publish(&store, &key, &complete_options.condition, record.attributes, || cancel.check())?;
        // The object is there: what is left of the upload is only rubbish now.
        if let Err(error) = store.staging()?.discard_directory(&store.uploads, upload.as_str()) {
            tracing::warn!(%error, upload = upload.as_str(), "could not remove a completed upload");
        }
        Ok(saved)
    })
    .await
}

fn assemble(
    store: &Store,
    upload: &UploadId,
    parts: &[Part],
    complete_options: &CompleteOptions,
    cancel: &Cancel,
) -> Result<Content> {
    // All are looked at before a byte is copied.
    for part in parts {
        PartFile::open_named(store, upload, part)?;
    }
    let mut staged = store.staging()?.create("assembled")?;
    let mut size_bytes = 0;
    for part in parts {
        let mut file = PartFile::open_named(store, upload, part)?;
        append(&mut file.file, file.part.size_bytes, staged.file(), cancel)?;
        size_bytes += file.part.size_bytes;
    }
    let checksums = verify(staged.file(), complete_options.checksums)?;
    store.sync(&staged)?;
    Ok(Content { staged, size_bytes, checksums })
}

/// Ends an upload.
///
/// # Errors
///
/// As [`storage_core::Backend::abort_multipart`].
pub(crate) async fn abort(store: Arc<Store>, key: ObjectKey, upload: UploadId) -> Result<AbortResult> {
    blocking::run(store.gate(), move |_| {
        let _lock = match lock_upload(&store, &key, &upload, Lock::Exclusive) {
            Ok((lock, _)) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(AbortResult { existed: false }),
            Err(error) => return Err(error),
        };
        let existed = store.staging()?.discard_directory(&store.uploads, upload.as_str())?;
        Ok(AbortResult { existed })
    })
    .await
}

/// Opens the directory of an upload of this key and waits for a lock on it, which is held until it is closed.
///
/// # Errors
///
/// `NotFound`, also where the upload is another key's or ended before the lock was given.
fn lock_upload(store: &Store, key: &ObjectKey, upload: &UploadId, lock: Lock) -> Result<(OwnedFd, Record)> {
    if !is_upload_id(upload.as_str()) {
        return Err(missing(upload));
    }
    let directory = match store.uploads.open_directory(upload.as_str()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Err(missing(upload)),
        Err(errno) => return Err(fault("open the upload")(errno)),
    };
    wait_for_lock(&directory, lock).map_err(fault("lock the upload"))?;
    let record = find_upload(store, key, upload)?;
    Ok((directory, record))
}

/// What is known of an upload of this key.
///
/// # Errors
///
/// `NotFound`, also where the upload is another key's.
pub(crate) fn find_upload(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<Record> {
    let record = read_record(store, upload.as_str())?.filter(|record| record.key == key.as_str());
    record.ok_or_else(|| missing(upload))
}

fn missing(upload: &UploadId) -> Error {
    not_found("upload of this key").with_context("upload", upload.as_str().escape_debug())
}

/// Names come from callers: only those that this module makes become part of a path.
fn is_upload_id(text: &str) -> bool {
    text.len() == uuid::fmt::Simple::LENGTH && uuid::Uuid::try_parse(text).is_ok()
}

/// Reads what is known of an upload; none where it does not exist.
///
/// # Errors
///
/// `Corrupted` for a damaged record.
pub(crate) fn read_record(store: &Store, upload: &str) -> Result<Option<Record>> {
    if !is_upload_id(upload) {
        return Ok(None);
    }
    let file: File = match store.uploads.open_file(&format!("{upload}/{RECORD}")) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(fault("open the upload's record")(errno)),
    };
    let text = std::io::read_to_string(file).map_err(io_fault("read the upload's record"))?;
    let damaged = || corrupted("an upload's record is damaged").with_context("upload", upload);
    let record: Record = serde_json::from_str(&text).map_err(|error| damaged().with_source(error))?;
    if record.format != FORMAT {
        return Err(damaged().with_context("format", record.format));
    }
    Ok(Some(record))
}
