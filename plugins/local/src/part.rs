//! The file of one part: its bytes, then a note of fixed length that says what they are, so that a part is
//! one file and replacing it is one step.

use std::fs::File;
use std::io::Write;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use storage_core::{Checksums, ETag, Error, ErrorKind, Part, Result, UploadId};

use crate::document::hexadecimal;
use crate::error::{corrupted, fault, io_fault};
use crate::staging::Staged;
use crate::store::Store;
use crate::write::ContentWriter;

/// The length of the note, in bytes. Spaces fill it up.
const NOTE_BYTES: usize = 512;

const PREFIX: &str = "part-";

/// What the note says.
#[derive(Serialize, Deserialize)]
struct Note {
    etag: String,
    size_bytes: u64,
    #[serde(default, with = "hexadecimal", skip_serializing_if = "Checksums::is_empty")]
    checksums: Checksums,
}

/// A part that can be read.
pub(crate) struct PartFile {
    /// Positioned at the start.
    pub(crate) file: File,
    pub(crate) part: Part,
}

/// The name of a part's file.
pub(crate) fn part_name(number: u32) -> String {
    format!("{PREFIX}{number:05}")
}

/// The number of the part in a file of this name.
pub(crate) fn part_number(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

impl PartFile {
    /// Ends a part's file and brings it to the disk; it still has to be put in its place.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch`; those of the file system.
    pub(crate) fn write(store: &Store, writer: ContentWriter, number: u32) -> Result<(Staged, Part)> {
        let (mut staged, size_bytes, checksums) = writer.into_verified()?;
        let etag = uuid::Uuid::now_v7().simple().to_string();
        let note = Note { etag: etag.clone(), size_bytes, checksums };
        let note = serde_json::to_string(&note).map_err(|error| {
            Error::new(ErrorKind::Internal, "could not write a part's note").with_source(error)
        })?;
        writeln!(staged.file(), "{note:<width$}", width = NOTE_BYTES - 1)
            .map_err(io_fault("write the part"))?;
        store.sync(&staged)?;
        Ok((staged, Part { number, size_bytes, etag: ETag::new(etag), checksums }))
    }

    /// Opens the part with this number; none where it was not sent.
    ///
    /// # Errors
    ///
    /// `Corrupted` for a file that is none of a part; those of the file system.
    pub(crate) fn open(store: &Store, upload: &UploadId, number: u32) -> Result<Option<Self>> {
        let path = format!("{upload}/{}", part_name(number));
        let file = match store.uploads.open_file(&path) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(fault("open a part")(errno)),
        };
        let damaged = || corrupted("a part of an upload is damaged").with_context("file", &path);
        let file_bytes = rustix::fs::fstat(&file).map_err(fault("look at a part"))?.st_size;
        let size_bytes = u64::try_from(file_bytes)
            .ok()
            .and_then(|size| size.checked_sub(NOTE_BYTES as u64))
            .ok_or_else(damaged)?;
        let mut text = [0; NOTE_BYTES];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut text, size_bytes)
            .map_err(io_fault("read a part"))?;
        let note: Note = serde_json::from_slice(&text).map_err(|error| damaged().with_source(error))?;
        if note.size_bytes != size_bytes {
            return Err(damaged());
        }
        let part = Part { number, size_bytes, etag: ETag::new(note.etag), checksums: note.checksums };
        Ok(Some(Self { file, part }))
    }

    /// Opens the part that a caller names.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where it was not sent or has another tag.
    pub(crate) fn open_named(store: &Store, upload: &UploadId, named: &Part) -> Result<Self> {
        let invalid = |message: &str| {
            Error::new(ErrorKind::InvalidArgument, message).with_context("number", named.number)
        };
        match Self::open(store, upload, named.number)? {
            None => Err(invalid("a part was named that was not sent")),
            Some(found) if found.part.etag != named.etag => Err(invalid("a part was named with another tag")),
            Some(found) => Ok(found),
        }
    }
}
