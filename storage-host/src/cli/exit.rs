//! What the process's exit code says.

use storage_core::{Error, ErrorKind};

/// What `storage --help` says of exit codes.
pub(super) const HELP: &str = "\
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 not found · 4 configuration or plugin · 5 not allowed · \
6 no room (quota, disk) · 7 a backend cannot be reached now · 8 damage was found";

/// Something was found wrong by a command that looks for it.
pub(super) const DAMAGE: u8 = 8;

/// A backend does not serve.
pub(super) const UNAVAILABLE: u8 = 7;

/// The exit code for an error.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    let kind = error.downcast_ref::<Error>().map(Error::kind);
    match kind {
        Some(ErrorKind::InvalidArgument | ErrorKind::InvalidKey | ErrorKind::RangeNotSatisfiable) => 2,
        Some(ErrorKind::NotFound) => 3,
        Some(ErrorKind::ConfigInvalid | ErrorKind::PluginLoad) => 4,
        Some(
            ErrorKind::PermissionDenied
            | ErrorKind::Unauthenticated
            | ErrorKind::ReadOnly
            | ErrorKind::ObjectLocked,
        ) => 5,
        Some(ErrorKind::QuotaExceeded | ErrorKind::NoSpace | ErrorKind::TooLarge) => 6,
        Some(ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited) => UNAVAILABLE,
        Some(ErrorKind::ChecksumMismatch | ErrorKind::Corrupted) => DAMAGE,
        _ => 1,
    }
}
