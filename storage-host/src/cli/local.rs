//! Errors about files of this machine, as opposed to those of the service.

use std::io;
use std::path::Path;

use storage_core::{Error, ErrorKind};

/// What an error of the operating system means.
pub(super) fn kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            ErrorKind::InvalidArgument
        }
        _ => ErrorKind::Internal,
    }
}

/// The error as one of ours: what could not be done, with which file, and why.
pub(super) fn error(message: &str, path: &Path, source: io::Error) -> Error {
    Error::new(kind(&source), message).with_context("path", path.display()).with_source(source)
}
