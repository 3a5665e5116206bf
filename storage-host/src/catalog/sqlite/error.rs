//! What SQLite says went wrong, as the one error type. The only place that reads its codes.

use rusqlite::ErrorCode;
use storage_core::{Error, ErrorKind, Retry};

/// Why a statement, or a sequence of them, gave no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database could not do it.
    Database(rusqlite::Error),
    /// The database could, and the rules forbid it.
    Refused(Error),
}

/// What functions inside a transaction answer.
pub(super) type Answer<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    /// The error for the caller.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Database(error) => database_error(error),
        }
    }
}

/// The error for what the database reports.
pub(super) fn database_error(error: rusqlite::Error) -> Error {
    let (kind, retry, message) = classify(&error);
    Error::new(kind, message).with_retry(retry).with_source(error)
}

fn classify(error: &rusqlite::Error) -> (ErrorKind, Retry, &'static str) {
    use rusqlite::Error as E;
    let code = match error {
        // The memory that connections share lies in a file too, and could not grow.
        E::SqliteFailure(failure, _) if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => {
            ErrorCode::DiskFull
        }
        E::SqliteFailure(failure, _) => failure.code,
        E::SqlInputError { error, .. } => error.code,
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => {
            return (ErrorKind::Corrupted, Retry::Never, "a row of the catalog cannot be read");
        }
        E::ToSqlConversionFailure(_) => {
            return (
                ErrorKind::InvalidArgument,
                Retry::Never,
                "a number is larger than the catalog can keep (2^63 - 1)",
            );
        }
        _ => {
            return (
                ErrorKind::Internal,
                Retry::Never,
                "the catalog was used in a way that it does not allow",
            );
        }
    };
    match code {
        ErrorCode::DiskFull => (
            ErrorKind::NoSpace,
            Retry::Never,
            "there is no room left for the catalog: free some on its device",
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            (ErrorKind::Unavailable, Retry::May, "another process keeps the catalog locked")
        }
        ErrorCode::ReadOnly => (ErrorKind::ReadOnly, Retry::Never, "the catalog cannot be written"),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            (ErrorKind::PermissionDenied, Retry::Never, "access to the catalog is denied")
        }
        // Whether a commit that failed like this is on the disk shows only when the database is next opened.
        ErrorCode::SystemIoFailure => {
            (ErrorKind::Unavailable, Retry::Never, "the device of the catalog reports a fault")
        }
        ErrorCode::CannotOpen => (ErrorKind::Unavailable, Retry::Never, "the catalog cannot be opened"),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => (
            ErrorKind::Corrupted,
            Retry::Never,
            "the catalog is damaged: restore it from a backup or rebuild it",
        ),
        // Every rule that a caller can break is checked before the statement runs.
        ErrorCode::ConstraintViolation => (
            ErrorKind::Corrupted,
            Retry::Never,
            "the catalog contradicts itself: run `storage catalog fsck --repair`",
        ),
        ErrorCode::OutOfMemory => {
            (ErrorKind::Unavailable, Retry::May, "there is no memory left for the catalog")
        }
        ErrorCode::TooBig => (ErrorKind::TooLarge, Retry::Never, "a value is too large for the catalog"),
        _ => (ErrorKind::Internal, Retry::Never, "the catalog could not run a statement"),
    }
}

/// A copy of an error for each of several callers whom the same fault struck.
pub(super) fn same_error(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_retry(error.retry());
    let copy = error.context().fold(copy, |copy, (name, value)| copy.with_context(name.to_owned(), value));
    match error.causes().as_slice() {
        [] => copy,
        causes => copy.with_source(causes.join(": ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_one_whichever_file_of_the_database_could_not_grow() {
        for code in [rusqlite::ffi::SQLITE_FULL, rusqlite::ffi::SQLITE_IOERR_SHMSIZE] {
            let failure = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            assert_eq!(database_error(failure).kind(), ErrorKind::NoSpace, "code {code}");
        }
        let failure =
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR), None);
        assert_eq!(database_error(failure).kind(), ErrorKind::Unavailable);
    }
}
