//! `copy`: inside the file system, sharing the blocks where it can.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use rustix::io::Errno;
use storage_core::{Checksums, CopyOptions, Error, ErrorKind, ObjectKey, Result, SaveResult};

use crate::blocking::{self, Cancel};
use crate::digest::Digests;
use crate::document::Attributes;
use crate::error::{corrupted, fault, io_fault};
use crate::options;
use crate::read;
use crate::store::Store;
use crate::write::Content;

/// So much is copied before it is asked again whether anybody still waits.
const STEP_BYTES: u64 = 64 * 1024 * 1024;

/// Copies an object.
///
/// # Errors
///
/// As [`storage_core::Backend::copy`].
pub(crate) async fn copy(
    store: Arc<Store>,
    from: ObjectKey,
    to: ObjectKey,
    copy_options: CopyOptions,
) -> Result<SaveResult> {
    options::check_extra(&copy_options.extra)?;
    options::check_version(&store, copy_options.source_version.as_ref())?;
    if let Some(replace) = &copy_options.replace {
        options::check_description(replace)?;
    }
    blocking::run(store.gate(), move |cancel| copy_now(&store, &from, &to, copy_options, cancel)).await
}

fn copy_now(
    store: &Store,
    from: &ObjectKey,
    to: &ObjectKey,
    copy_options: CopyOptions,
    cancel: &Cancel,
) -> Result<SaveResult> {
    let (source, mut file) = read::open(store, from, copy_options.source_version.as_ref(), |version| {
        match &copy_options.source_if_match {
            Some(expected) if version.etag() != *expected => {
                Err(Error::new(ErrorKind::PreconditionFailed, "the source has another tag"))
            }
            _ => Ok(()),
        }
    })?;
    let staged = if from == to {
        // New words about the same bytes: contents never change, so one file may have two names.
        let place = store.names.place(from);
        let directory =
            store.objects.open_directory(&place.directory).map_err(fault("open the object's folder"))?;
        store.staging()?.link(directory, &place.content(&source.version), file)?
    } else {
        let mut staged = store.staging()?.create("copy")?;
        match rustix::fs::ioctl_ficlone(staged.file(), &file) {
            Ok(()) => {}
            // The file system cannot share blocks.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTTY | Errno::XDEV | Errno::NOSYS) => {
                append(&mut file, source.size_bytes, staged.file(), cancel)?;
            }
            Err(errno) => return Err(fault("share the content")(errno)),
        }
        store.sync(&staged)?;
        staged
    };
    let attributes = copy_options.replace.map_or(source.attributes, Attributes::of);
    let content = Content { staged, size_bytes: source.size_bytes, checksums: source.checksums };
    content.publish(store, to, &copy_options.condition, attributes, || cancel.check())
}

/// Appends the next so many bytes of a file to another, inside the kernel where it can.
///
/// # Errors
///
/// Those of the file system; `Corrupted` where the source is shorter; `Cancelled`.
pub(crate) fn append(from: &mut File, length_bytes: u64, to: &mut File, cancel: &Cancel) -> Result<()> {
    let mut left = length_bytes;
    while left > 0 {
        cancel.check()?;
        // Between two files this is `copy_file_range`.
        let copied = std::io::copy(&mut Read::take(&mut *from, left.min(STEP_BYTES)), to)
            .map_err(io_fault("copy the content"))?;
        if copied == 0 {
            return Err(corrupted("the content ended early: something else shortened the file"));
        }
        left -= copied;
    }
    Ok(())
}

/// Reads a whole file back and compares it with the digests that are expected, if any.
///
/// # Errors
///
/// `ChecksumMismatch`; those of the file system.
pub(crate) fn verify(file: &mut File, expected: Checksums) -> Result<Checksums> {
    let mut digests = Digests::expecting(expected);
    if !expected.is_empty() {
        file.seek(SeekFrom::Start(0)).map_err(io_fault("read the content back"))?;
        digests.update_from(file)?;
    }
    digests.verify()
}
