//! What the process's exit code says.

use std::io;

use storage_core::{Error, ErrorKind};

/// What `storage --help` says of exit codes.
pub(super) const HELP: &str = "\
Exit codes:
    0  done
    1  failed
    2  wrong usage
    3  not found
    4  the configuration, the catalog or a plugin cannot be used
    5  not allowed
    6  no room: quota, disk, or a limit of size
    7  a backend does not serve now
    8  damage was found, or a plugin that does not behave as it must
  130  interrupted";

/// Something was found wrong by a command that looks for it.
pub(super) const DAMAGE: u8 = 8;

/// A backend does not serve.
pub(super) const UNAVAILABLE: u8 = 7;

/// The exit code for an error.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<Error>() {
        return code_of(error.kind());
    }
    // What is left fails on this machine: mostly standard output.
    error.downcast_ref::<io::Error>().map_or(1, |error| code_of(super::local::kind(error)))
}

/// The exit code for a kind of error.
pub(super) fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::InvalidKey | ErrorKind::RangeNotSatisfiable => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::ConfigInvalid | ErrorKind::PluginLoad => 4,
        ErrorKind::PermissionDenied
        | ErrorKind::Unauthenticated
        | ErrorKind::ReadOnly
        | ErrorKind::ObjectLocked => 5,
        ErrorKind::QuotaExceeded | ErrorKind::NoSpace | ErrorKind::TooLarge => 6,
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited => UNAVAILABLE,
        ErrorKind::ChecksumMismatch | ErrorKind::Corrupted => DAMAGE,
        ErrorKind::Cancelled => 130,
        _ => 1,
    }
}
