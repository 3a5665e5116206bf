//! What the process's exit code says.

use std::{fmt, io};

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

/// The configuration, the catalog or a plugin cannot be used.
const UNUSABLE: u8 = 4;

/// The mark of an error that kept the service from starting. Whoever starts it again and again must learn from the exit
/// code that this mends nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtStart;

impl fmt::Display for AtStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service did not start")
    }
}

/// The exit code for an error.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    let Some(ours) = error.downcast_ref::<Error>() else {
        // What is left fails on this machine: mostly standard output.
        return error.downcast_ref::<io::Error>().map_or(1, |error| code_of(super::local::kind(error)));
    };
    if error.is::<AtStart>() && !may_pass(ours) { UNUSABLE } else { code_of(ours.kind()) }
}

/// Whether what is wrong may be right later although nobody changes configuration, catalog or plugins: a provider can
/// be reached again, room was made. Of what has no exit code of its own nothing is known.
fn may_pass(error: &Error) -> bool {
    error.retry().is_allowed() || matches!(code_of(error.kind()), 1 | 6 | UNAVAILABLE | 130)
}

/// The exit code for a kind of error.
pub(super) fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::InvalidKey | ErrorKind::RangeNotSatisfiable => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::ConfigInvalid | ErrorKind::PluginLoad => UNUSABLE,
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

#[cfg(test)]
mod tests {
    use storage_core::Retry;

    use super::*;

    #[test]
    fn a_start_that_fails_for_good_ends_with_4_and_one_that_may_succeed_later_does_not() {
        for (kind, retry, ordinary, at_start) in [
            (ErrorKind::PermissionDenied, Retry::Never, 5, 4),
            (ErrorKind::Unauthenticated, Retry::Never, 5, 4),
            (ErrorKind::ReadOnly, Retry::Never, 5, 4),
            (ErrorKind::Corrupted, Retry::Never, 8, 4),
            (ErrorKind::NotFound, Retry::Never, 3, 4),
            (ErrorKind::ConfigInvalid, Retry::Never, 4, 4),
            (ErrorKind::PermissionDenied, Retry::May, 5, 5),
            (ErrorKind::Unavailable, Retry::Never, 7, 7),
            (ErrorKind::Timeout, Retry::May, 7, 7),
            (ErrorKind::NoSpace, Retry::Never, 6, 6),
            (ErrorKind::Internal, Retry::Never, 1, 1),
        ] {
            let error = || anyhow::Error::from(Error::new(kind, "x").with_retry(retry));
            assert_eq!((code(&error()), code(&error().context(AtStart))), (ordinary, at_start), "{kind:?}");
        }
    }
}
