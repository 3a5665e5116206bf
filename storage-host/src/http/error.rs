//! [`Problem`]: every error answer, as `application/problem+json` (RFC 9457).
//!
//! Handlers and extractors answer a `Problem`; the outermost middleware writes its body, since only it knows
//! the request's id. This file alone decides which status an error kind becomes, and what of an error a client
//! is shown: for its own faults the message, for ours only that there was one (unless `STORAGE_DEBUG` is set).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use storage_core::{Error, ErrorKind, Retry};
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:ident, $name:literal, $title:literal;)+) => {
        /// What an error answer is about. The names are part of the interface: they are added to, never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The stable name, which programs compare.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The status that goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)+ }
            }

            /// What it means, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request is not understood: a header, query parameter or body is malformed.
    InvalidRequest = BAD_REQUEST, "invalid_request", "The request is malformed";
    /// A value of the request is not allowed.
    InvalidArgument = BAD_REQUEST, "invalid_argument", "A value of the request is not allowed";
    /// The body is shorter or longer than was declared, or broke off.
    LengthMismatch = BAD_REQUEST, "length_mismatch", "The body does not have its declared length";
    /// A service key did not say for which user it acts.
    UserRequired = BAD_REQUEST, "user_required", "The X-User-Id header is missing";
    /// No credentials, or none that are accepted.
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "Credentials are missing or not accepted";
    /// The credentials do not allow this.
    PermissionDenied = FORBIDDEN, "permission_denied", "The credentials do not allow this";
    /// The user's quota is used up.
    QuotaExceeded = FORBIDDEN, "quota_exceeded", "The quota is used up";
    /// The link worked once and has expired.
    LinkExpired = FORBIDDEN, "link_expired", "The link has expired";
    /// The link was altered, or nobody here signed it.
    LinkInvalid = FORBIDDEN, "link_invalid", "The link is not valid";
    /// The user has no such file or version.
    NotFound = NOT_FOUND, "not_found", "There is no such file or version";
    /// The service has no such backend.
    BackendNotFound = NOT_FOUND, "backend_not_found", "There is no such backend";
    /// The service has no such path.
    RouteNotFound = NOT_FOUND, "route_not_found", "There is no such path";
    /// The path does not have this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "The path does not have this method";
    /// The client sent nothing for too long.
    RequestTimeout = REQUEST_TIMEOUT, "request_timeout", "The request was not sent in time";
    /// What was to be made exists.
    AlreadyExists = CONFLICT, "already_exists", "It exists already";
    /// An administrator's change would not work, and was not made.
    ChangeRefused = CONFLICT, "change_refused", "The change was not made";
    /// Another writer was at work at the same time.
    Conflict = CONFLICT, "conflict", "Another request changed it at the same time";
    /// The object is archived.
    ObjectArchived = CONFLICT, "object_archived", "The content is archived and must be restored first";
    /// A condition header does not hold.
    PreconditionFailed = PRECONDITION_FAILED, "precondition_failed", "A condition of the request does not hold";
    /// The body is too large.
    TooLarge = PAYLOAD_TOO_LARGE, "too_large", "The request is too large";
    /// The URI is too long.
    UriTooLong = URI_TOO_LONG, "uri_too_long", "The URI is too long";
    /// The body has a type or encoding that is not accepted.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body's type is not accepted";
    /// The range starts beyond the end.
    RangeNotSatisfiable = RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "The range is not within the file";
    /// The body is not what its digest promised.
    ChecksumMismatch = UNPROCESSABLE_ENTITY, "checksum_mismatch", "The body does not match its digest";
    /// Retention or a legal hold forbids it.
    ObjectLocked = LOCKED, "object_locked", "Retention or a legal hold forbids the change";
    /// Too many requests.
    RateLimited = TOO_MANY_REQUESTS, "rate_limited", "Too many requests";
    /// The headers are too many or too large.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The headers are too large";
    /// A fault of the service.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The service failed";
    /// The stored content is damaged.
    Corrupted = INTERNAL_SERVER_ERROR, "corrupted", "The stored content is damaged";
    /// The backend does not have this.
    Unsupported = NOT_IMPLEMENTED, "unsupported", "The storage backend does not support this";
    /// The backend cannot be reached.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "The storage is not available now";
    /// The backend takes no writes.
    ReadOnly = SERVICE_UNAVAILABLE, "read_only", "The storage accepts reads only";
    /// The backend did not answer in time.
    Timeout = GATEWAY_TIMEOUT, "timeout", "The storage did not answer in time";
    /// The backend is full.
    NoSpace = INSUFFICIENT_STORAGE, "no_space", "The storage is full";
}

impl Code {
    /// Whether it is about what the client asked for, which he is told, and not about what failed within.
    pub(super) fn is_explained(self) -> bool {
        self.status().is_client_error() || self == Code::Unsupported
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::AlreadyExists => Code::AlreadyExists,
            ErrorKind::PreconditionFailed => Code::PreconditionFailed,
            // What the service itself may not do with its backends and its catalog. Who calls it is judged before, by
            // codes and not by kinds of error; he is not to take these for a fault of his own credentials.
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => Code::Internal,
            // Not 507: a user's allowance is no fault of the server, and a 5xx would be tried again.
            ErrorKind::QuotaExceeded => Code::QuotaExceeded,
            ErrorKind::TooLarge => Code::TooLarge,
            ErrorKind::InvalidKey | ErrorKind::InvalidArgument => Code::InvalidArgument,
            ErrorKind::RangeNotSatisfiable => Code::RangeNotSatisfiable,
            ErrorKind::Unsupported => Code::Unsupported,
            ErrorKind::RateLimited => Code::RateLimited,
            ErrorKind::Timeout => Code::Timeout,
            ErrorKind::Unavailable | ErrorKind::Cancelled => Code::Unavailable,
            ErrorKind::ChecksumMismatch => Code::ChecksumMismatch,
            ErrorKind::LengthMismatch => Code::LengthMismatch,
            ErrorKind::ObjectArchived => Code::ObjectArchived,
            ErrorKind::ObjectLocked => Code::ObjectLocked,
            ErrorKind::NoSpace => Code::NoSpace,
            ErrorKind::ReadOnly => Code::ReadOnly,
            ErrorKind::Conflict => Code::Conflict,
            ErrorKind::Corrupted => Code::Corrupted,
            // `NotModified` is no error over HTTP and is answered before it could come here.
            _ => Code::Internal,
        }
    }
}

/// An error answer on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    context: BTreeMap<String, String>,
    headers: HeaderMap,
    cause: Option<Arc<Error>>,
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The query parameter, header, path parameter or member of the body.
    #[schema(example = "limit")]
    pub field: String,
    /// What is wrong with it.
    #[schema(example = "must be 1 to 1000")]
    pub message: String,
}

/// An error answer (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`: the code tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub problem_type: &'static str,
    /// What kind of problem it is, in words.
    #[schema(example = "There is no such file or version")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// The stable name of the problem, for programs.
    #[schema(example = "not_found")]
    pub code: &'static str,
    /// What was wrong this time, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path that was asked for.
    pub instance: String,
    /// The id of the request, to be named in a support case; the logs have it too.
    pub request_id: String,
    /// What is wrong with which part of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Facts: limits, sizes, what was given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
    /// The causes of a fault of the service; only where it runs with `STORAGE_DEBUG`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            detail: None,
            errors: Vec::new(),
            context: BTreeMap::new(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// What was wrong this time, for the client.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Names a part of the request and what is wrong with it.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Keeps the error that led to it, for the log.
    #[must_use]
    pub fn cause(mut self, error: Error) -> Self {
        self.0.cause = Some(Arc::new(error));
        self
    }

    /// A request that names what is wrong with which of its parts.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::new(Code::InvalidRequest).detail(format!("{field}: {message}")).field(field, message)
    }

    /// Credentials that are missing or not accepted, with the challenge that HTTP asks for.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated).detail(detail).challenge()
    }

    /// What an error of reading stored content means. A digest that differs is damage here, not a wrong body.
    pub(super) fn of_stored_content(error: Error) -> Self {
        if error.kind() == ErrorKind::ChecksumMismatch {
            return Self::new(Code::Corrupted).cause(error);
        }
        error.into()
    }

    /// Why a change that an administrator asked for was not made: everything, since he is the one to mend it.
    pub(super) fn of_refused_change(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::NotFound => Code::BackendNotFound,
            ErrorKind::AlreadyExists => Code::AlreadyExists,
            ErrorKind::InvalidArgument => Code::InvalidArgument,
            ErrorKind::Unsupported => Code::Unsupported,
            _ => Code::ChangeRefused,
        };
        let causes = error.causes().into_iter();
        let mut problem = Self::new(code)
            .detail(causes.fold(error.message().to_owned(), |words, cause| format!("{words}: {cause}")));
        let context = &mut problem.0.context;
        context.extend(error.backend().map(|name| ("backend".to_owned(), name.to_owned())));
        for (name, value) in error.context() {
            // Faults of a configuration all have the same name.
            let told = context.entry(name.to_owned()).or_default();
            if !told.is_empty() {
                told.push('\n');
            }
            told.push_str(value);
        }
        problem.cause(error)
    }

    fn challenge(self) -> Self {
        self.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"storage\""))
    }

    /// What kind of problem it is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What went wrong, for the log. `None` where there is nothing that the status does not say.
    pub(super) fn report(&self) -> Option<String> {
        self.0.cause.as_ref().map(|cause| cause.report()).or_else(|| self.0.detail.clone())
    }

    /// The body, for this request.
    pub(super) fn into_body(self, instance: String, request_id: String, debug: bool) -> ProblemBody {
        let causes = match &self.0.cause {
            Some(cause) if debug => {
                std::iter::once(cause.to_string()).chain(cause.causes()).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        };
        ProblemBody {
            problem_type: "about:blank",
            title: self.0.code.title(),
            status: self.0.code.status().as_u16(),
            code: self.0.code.name(),
            detail: self.0.detail,
            instance,
            request_id,
            errors: self.0.errors,
            context: self.0.context,
            causes,
        }
    }
}

/// The context entry by which the service tells the code of a refusal more precisely than by its kind.
const CODE: &str = "code";

/// Facts of a client's own request and quota.
const OWN_FACTS: &[&str] = &[
    "actual_sha256",
    "expected_sha256",
    "limit_bytes",
    "limit_files",
    "received_bytes",
    "requested_bytes",
    "requested_files",
    "size_bytes",
    "used_bytes",
    "used_files",
];

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match error.context().find(|(name, _)| *name == CODE) {
            Some((_, "link_expired")) => Code::LinkExpired,
            Some((_, "link_invalid")) => Code::LinkInvalid,
            _ => Code::from(error.kind()),
        };
        let mut problem = Problem::new(code);
        if code.is_explained() {
            problem = problem.detail(error.message());
            // What a backend adds (bucket names, paths) is not the client's business. An error of a body that the
            // backend was reading has passed through it and still tells of the client's own request.
            let passed_backend = error.backend().is_some();
            problem.0.context = error
                .context()
                .filter(|(name, _)| *name != CODE && (!passed_backend || OWN_FACTS.contains(name)))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
        }
        match code {
            Code::Unauthenticated => problem = problem.challenge(),
            Code::RateLimited | Code::Unavailable => {
                let pause = match error.retry() {
                    Retry::After(pause) => pause.max(Duration::from_secs(1)),
                    Retry::May | Retry::Never | Retry::GaveUp => Duration::from_secs(5),
                };
                let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
                problem = problem.header(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Code::RangeNotSatisfiable => {
                let size = error.context().find(|(name, _)| *name == "size_bytes").map(|(_, size)| size);
                let value = size.and_then(|size| HeaderValue::try_from(format!("bytes */{size}")).ok());
                if let Some(value) = value {
                    problem = problem.header(CONTENT_RANGE, value);
                }
            }
            _ => {}
        }
        problem.cause(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let headers = std::mem::take(&mut self.0.headers);
        let mut response = (self.0.code.status(), headers).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The answer to a path that the service does not have.
pub(super) async fn route_not_found() -> Problem {
    Problem::new(Code::RouteNotFound).detail("the document at /openapi.json lists every path")
}

/// The answer to a method that the path does not have. The router adds `Allow`.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: Error, debug: bool) -> serde_json::Value {
        let body = Problem::from(error).into_body("/v1/files".to_owned(), "r1".to_owned(), debug);
        serde_json::to_value(body).expect("a body is JSON")
    }

    #[test]
    fn code_names_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_page_for_users_explains_every_code_with_its_status() {
        let page = include_str!("../../../docs/http-api.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.name(), code.status().as_u16());
            assert!(page.contains(&row), "docs/http-api.md lacks the row {row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2);
        let codes =
            rows.filter(|row| row.split(" | ").nth(1).is_some_and(|cell| cell.parse::<u16>().is_ok()));
        assert_eq!(codes.count(), Code::ALL.len(), "docs/http-api.md explains a code that is none");
    }

    #[test]
    fn a_kind_keeps_its_name_over_http_unless_it_is_a_fault_within() {
        let hidden = [
            ErrorKind::NotModified,
            ErrorKind::InvalidKey,
            ErrorKind::PermissionDenied,
            ErrorKind::Unauthenticated,
            ErrorKind::ConfigInvalid,
            ErrorKind::Cancelled,
            ErrorKind::PluginPanicked,
            ErrorKind::PluginLoad,
        ];
        for kind in ErrorKind::ALL.iter().filter(|kind| !hidden.contains(kind)) {
            assert_eq!(Code::from(*kind).name(), kind.name());
        }
        assert_eq!(Code::from(ErrorKind::from_code(9_000)), Code::Internal);
    }

    #[test]
    fn faults_of_the_service_are_told_only_in_debug_mode() {
        let error = || {
            Error::new(ErrorKind::Internal, "disk /srv/secret broke")
                .with_source(std::io::Error::other("bad sector"))
                .with_backend("local")
        };
        let plain = body(error(), false);
        assert!(!plain.to_string().contains("secret") && !plain.to_string().contains("sector"), "{plain}");
        assert_eq!(plain["code"], "internal");
        assert_eq!(plain["request_id"], "r1");
        let told = body(error(), true)["causes"].to_string();
        assert!(told.contains("secret") && told.contains("sector"), "{told}");
    }

    #[test]
    fn a_clients_fault_is_explained_but_not_with_what_the_backend_added() {
        let error = Error::new(ErrorKind::QuotaExceeded, "the quota is 10 bytes").with_context("limit", 10);
        let answer = body(error, false);
        assert_eq!(answer["status"], 403);
        assert_eq!(answer["context"]["limit"], "10");
        let error = Error::new(ErrorKind::Unsupported, "a local disk has no tiers").with_backend("local");
        assert_eq!(body(error, false)["detail"], "a local disk has no tiers");
        let error = Error::new(ErrorKind::TooLarge, "too large")
            .with_backend("hot")
            .with_context("bucket", "b")
            .with_context("limit_bytes", 10);
        assert_eq!(body(error, false)["context"], serde_json::json!({"limit_bytes": "10"}));
    }

    #[test]
    fn headers_say_when_to_come_back_and_how_large_the_file_is() {
        let after = Error::new(ErrorKind::RateLimited, "slow down")
            .with_retry(Retry::After(Duration::from_millis(1_200)));
        let response = Problem::from(after).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let range = storage_core::ByteRange::From(9).resolve(4).expect_err("beyond the end");
        let response = Problem::from(range).into_response();
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(response.headers()[CONTENT_RANGE], "bytes */4");
        let response = Problem::unauthenticated("no credentials").into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"storage\"");
    }

    #[test]
    fn what_the_service_may_not_do_is_no_fault_of_the_callers_credentials() {
        for kind in [ErrorKind::PermissionDenied, ErrorKind::Unauthenticated] {
            let problem = Problem::from(Error::new(kind, "the bucket").with_context("bucket", "b"));
            assert_eq!(problem.code(), Code::Internal);
            assert!(problem.0.detail.is_none() && problem.0.context.is_empty(), "nothing of what is within");
        }
    }

    #[test]
    fn a_refused_link_says_why() {
        let refusal = |why: &str| {
            let error = Error::new(ErrorKind::PermissionDenied, "refused").with_context(CODE, why);
            Problem::from(error).code()
        };
        assert_eq!(refusal("link_expired"), Code::LinkExpired);
        assert_eq!(refusal("link_invalid"), Code::LinkInvalid);
    }
}
