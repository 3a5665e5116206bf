//! The one error type of the system.
//!
//! An [`Error`] says what kind of fault it is, whether trying again may help, and where
//! it happened. It crosses the plugin boundary whole, its source chain included.
//! Whether a retry may help is decided where the provider's answer is read and never
//! guessed from the kind further up.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The result of every fallible operation of the contract.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of fault an [`Error`] is.
///
/// An open set: a plugin built against a newer `storage-core` may answer a kind that
/// this one does not name, and the number survives. Match with a fallback arm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorKind(u32);

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+) => {
        #[allow(non_upper_case_globals, reason = "the constants read as enum variants")]
        impl ErrorKind {
            $($(#[$doc])* pub const $name: ErrorKind = ErrorKind($code);)+

            /// Every kind that this version names, in the order of their codes.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name),+];

            /// The stable name, in `snake_case`; `"unknown"` for a kind this version does not name.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($code => $text,)+
                    _ => "unknown",
                }
            }
        }
    };
}

error_kinds! {
    /// The object, version or upload does not exist.
    NotFound = 1, "not_found";
    /// The object exists and the call asked that it must not.
    AlreadyExists = 2, "already_exists";
    /// A condition of the call (`if_match`, …) does not hold.
    PreconditionFailed = 3, "precondition_failed";
    /// The object is unchanged by the caller's read condition; there is nothing to send.
    NotModified = 4, "not_modified";
    /// The credentials are good but do not allow this.
    PermissionDenied = 5, "permission_denied";
    /// The credentials are missing, wrong or expired.
    Unauthenticated = 6, "unauthenticated";
    /// A user's or an account's allowance is used up.
    QuotaExceeded = 7, "quota_exceeded";
    /// The object, part or request is larger than the limit.
    TooLarge = 8, "too_large";
    /// The text is not a legal object key.
    InvalidKey = 9, "invalid_key";
    /// An argument of the call is wrong; repeating it cannot help.
    InvalidArgument = 10, "invalid_argument";
    /// The byte range starts beyond the end of the object.
    RangeNotSatisfiable = 11, "range_not_satisfiable";
    /// The configuration is wrong or incomplete.
    ConfigInvalid = 12, "config_invalid";
    /// The backend does not have this operation or option.
    Unsupported = 13, "unsupported";
    /// The provider asks for fewer requests.
    RateLimited = 14, "rate_limited";
    /// The operation did not finish in its time.
    Timeout = 15, "timeout";
    /// The provider cannot be reached or cannot serve now.
    Unavailable = 16, "unavailable";
    /// The caller gave up before the operation finished.
    Cancelled = 17, "cancelled";
    /// The bytes are not those that the digest promised.
    ChecksumMismatch = 18, "checksum_mismatch";
    /// The source ended before, or went on after, its declared length.
    LengthMismatch = 19, "length_mismatch";
    /// The object is archived and must be restored before it can be read.
    ObjectArchived = 20, "object_archived";
    /// Retention or a legal hold forbids the change.
    ObjectLocked = 21, "object_locked";
    /// The device or account has no room left.
    NoSpace = 22, "no_space";
    /// The store accepts reads only.
    ReadOnly = 23, "read_only";
    /// Another writer was at work at the same time; the call may be repeated.
    Conflict = 24, "conflict";
    /// The plugin panicked; the host lives on.
    PluginPanicked = 25, "plugin_panicked";
    /// The plugin library could not be found or loaded.
    PluginLoad = 26, "plugin_load";
    /// What the store holds contradicts itself (damaged metadata, impossible state).
    Corrupted = 27, "corrupted";
    /// A fault of the software itself.
    Internal = 28, "internal";
}

impl ErrorKind {
    /// The kind with this number, whether or not this version names it.
    pub const fn from_code(code: u32) -> Self {
        Self(code)
    }

    /// The number that crosses the plugin boundary.
    pub const fn code(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "unknown" => write!(f, "unknown({})", self.0),
            name => f.write_str(name),
        }
    }
}

/// Whether the same call may succeed if it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Retry {
    /// It will fail again.
    #[default]
    Never,
    /// It may succeed; the caller chooses the pause.
    May,
    /// It may succeed after this pause, which the provider named.
    After(Duration),
    /// It might have succeeded, was tried again and kept failing: do not retry further up.
    GaveUp,
}

impl Retry {
    /// Whether a retry is allowed.
    pub fn is_allowed(self) -> bool {
        matches!(self, Retry::May | Retry::After(_))
    }
}

/// What went wrong, whether a retry may help, and where it happened.
///
/// `Display` gives one line: the message, then the operation, backend, key and context.
/// The causes are in [`std::error::Error::source`]; [`Error::report`] gives them all.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    operation: Option<Cow<'static, str>>,
    backend: Option<String>,
    key: Option<String>,
    context: Vec<(Cow<'static, str>, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind that is not retried. The message is lowercase, without a final period,
    /// and holds no secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: Retry::Never,
            message: message.into(),
            operation: None,
            backend: None,
            key: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// An optional operation that this backend does not have.
    pub fn unsupported(operation: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, format!("this backend does not support {operation}"))
            .with_operation(operation)
    }

    /// Sets whether a retry may help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Names the operation, unless an inner layer already did.
    #[must_use]
    pub fn with_operation(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.0.operation.get_or_insert_with(|| operation.into());
        self
    }

    /// Names the backend, unless an inner layer already did.
    #[must_use]
    pub fn with_backend(mut self, backend: impl Into<String>) -> Self {
        self.0.backend.get_or_insert_with(|| backend.into());
        self
    }

    /// Names the object key, unless an inner layer already did.
    #[must_use]
    pub fn with_key(mut self, key: impl fmt::Display) -> Self {
        self.0.key.get_or_insert_with(|| key.to_string());
        self
    }

    /// Adds a fact for the reader. Never a secret.
    #[must_use]
    pub fn with_context(mut self, name: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        self.0.context.push((name.into(), value.to_string()));
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a retry may help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The message alone, without operation, backend, key and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The operation that failed.
    pub fn operation(&self) -> Option<&str> {
        self.0.operation.as_deref()
    }

    /// The name of the backend that failed.
    pub fn backend(&self) -> Option<&str> {
        self.0.backend.as_deref()
    }

    /// The object key that was worked on.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Facts for the reader, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// The messages of all causes, nearest first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }

    /// The error and all its causes in one line, for logs and terminals.
    pub fn report(&self) -> String {
        let mut line = self.to_string();
        for cause in self.causes() {
            line.push_str(": ");
            line.push_str(&cause);
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let named = [("operation", self.operation()), ("backend", self.backend()), ("key", self.key())];
        let facts = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut open = false;
        for (name, value) in facts.chain(self.context()) {
            f.write_str(if open { ", " } else { " (" })?;
            write!(f, "{name}: {value}")?;
            open = true;
        }
        if open { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("message", &self.0.message)
            .field("operation", &self.0.operation)
            .field("backend", &self.0.backend)
            .field("key", &self.0.key)
            .field("context", &self.0.context)
            .field("causes", &self.causes())
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_gives_the_facts_and_report_the_causes() {
        let error = Error::new(ErrorKind::Unavailable, "the provider did not answer")
            .with_source(std::io::Error::other("connection refused"))
            .with_operation("save")
            .with_operation("put_object")
            .with_backend("hot")
            .with_key("a/b")
            .with_context("attempt", 3);
        assert_eq!(
            error.to_string(),
            "the provider did not answer (operation: save, backend: hot, key: a/b, attempt: 3)"
        );
        assert!(error.report().ends_with("attempt: 3): connection refused"));
    }

    #[test]
    fn kinds_have_distinct_codes_and_names_and_unknown_ones_survive() {
        let mut codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.dedup();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        let newer = ErrorKind::from_code(9_000);
        assert_eq!(newer.name(), "unknown");
        assert_eq!(newer.to_string(), "unknown(9000)");
    }
}
