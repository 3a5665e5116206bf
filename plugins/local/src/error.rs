//! The one table from the system's error numbers to kinds of fault.

use rustix::io::Errno;
use storage_core::{Error, ErrorKind, Retry};

/// Turns an error number into an error; `what` says what was tried (`write the content`).
pub(crate) fn fault(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| from_errno(what, errno)
}

/// As [`fault`], for the errors of the standard library.
pub(crate) fn io_fault(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| match Errno::from_io_error(&error) {
        Some(errno) => from_errno(what, errno),
        None => Error::new(ErrorKind::Internal, format!("could not {what}")).with_source(error),
    }
}

fn from_errno(what: &'static str, errno: Errno) -> Error {
    let (kind, retry, advice) = classify(errno);
    let message = match advice {
        "" => format!("could not {what}"),
        advice => format!("could not {what}: {advice}"),
    };
    Error::new(kind, message).with_retry(retry).with_source(std::io::Error::from(errno))
}

fn classify(errno: Errno) -> (ErrorKind, Retry, &'static str) {
    match errno {
        // Trying again frees no room.
        Errno::NOSPC => (ErrorKind::NoSpace, Retry::Never, "the disk is full"),
        Errno::DQUOT => (ErrorKind::NoSpace, Retry::Never, "the disk quota is used up"),
        Errno::ROFS => (ErrorKind::ReadOnly, Retry::Never, "the file system is mounted read-only"),
        Errno::ACCESS | Errno::PERM => {
            (ErrorKind::PermissionDenied, Retry::Never, "the service's user lacks the permission")
        }
        Errno::FBIG => (ErrorKind::TooLarge, Retry::Never, "the file system takes no file of this size"),
        Errno::NAMETOOLONG => {
            (ErrorKind::InvalidKey, Retry::Never, "the file system takes no path of this length")
        }
        // `openat2` refuses links; what was put in the store's way is not the store's.
        Errno::LOOP => (
            ErrorKind::PermissionDenied,
            Retry::Never,
            "a symbolic link stands in the way and is not followed",
        ),
        Errno::XDEV => {
            (ErrorKind::ConfigInvalid, Retry::Never, "the folders of a store must lie on one file system")
        }
        Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY => (
            ErrorKind::Corrupted,
            Retry::Never,
            "something that the store did not put there stands in the way",
        ),
        Errno::MFILE | Errno::NFILE => {
            (ErrorKind::Unavailable, Retry::May, "too many files are open; raise the limit (ulimit -n)")
        }
        Errno::NOMEM | Errno::AGAIN | Errno::INTR | Errno::BUSY | Errno::NOLCK => {
            (ErrorKind::Unavailable, Retry::May, "the system is short of resources")
        }
        Errno::IO => (ErrorKind::Unavailable, Retry::May, "the device failed"),
        // Network file systems.
        Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NOTCONN => {
            (ErrorKind::Unavailable, Retry::May, "the file system's server does not answer")
        }
        Errno::NOENT => (ErrorKind::Unavailable, Retry::Never, "the store's folders are gone"),
        _ => (ErrorKind::Internal, Retry::Never, ""),
    }
}

/// There is no such object, version or upload.
pub(crate) fn not_found(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no such {what}"))
}

/// What the store holds contradicts itself.
pub(crate) fn corrupted(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupted, message)
}

/// The store cannot be written, which was found when it opened.
pub(crate) fn read_only() -> Error {
    from_errno("write to the store", Errno::ROFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_numbers_have_their_kind_advice_and_retry() {
        for (errno, kind, retry, advice) in [
            (Errno::NOSPC, ErrorKind::NoSpace, Retry::Never, "full"),
            (Errno::DQUOT, ErrorKind::NoSpace, Retry::Never, "quota"),
            (Errno::ROFS, ErrorKind::ReadOnly, Retry::Never, "read-only"),
            (Errno::ACCESS, ErrorKind::PermissionDenied, Retry::Never, "permission"),
            (Errno::MFILE, ErrorKind::Unavailable, Retry::May, "ulimit"),
            (Errno::LOOP, ErrorKind::PermissionDenied, Retry::Never, "symbolic link"),
        ] {
            for error in [from_errno("save", errno), io_fault("save")(std::io::Error::from(errno))] {
                assert_eq!((error.kind(), error.retry()), (kind, retry), "{errno}");
                assert!(error.message().contains(advice), "{error}");
                assert_eq!(error.causes().len(), 1, "the system's own words are kept");
            }
        }
    }
}
