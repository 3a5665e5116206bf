//! The one table from what the server answers to kinds of fault, and whether a repetition may help.

use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use storage_core::{Error, ErrorKind, Retry};

/// The fact of an error by which the server got nothing of the request.
const NOT_SENT: (&str, &str) = ("request", "not sent");

/// The name of the fact that what was asked for may have been done.
const OUTCOME: &str = "outcome";

/// Turns a failed request into an error; `what` says what was tried (`read the object`).
pub(crate) fn fault<E>(what: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    move |error| convert(what, error)
}

/// As [`fault`], for one error.
pub(crate) fn convert<E>(what: &'static str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(refusal) => {
            let (error, answer) = (refusal.err(), refusal.raw());
            let status = answer.status().as_u16();
            answered(what, status, error.code(), error.message(), answer)
        }
        SdkError::ResponseError(unreadable) => {
            let status = unreadable.raw().status().as_u16();
            // What stands between client and server (a proxy, a balancer) answers in a language of its own.
            if status >= 300 {
                return answered(what, status, None, None, unreadable.raw());
            }
            Error::new(ErrorKind::Unavailable, format!("could not {what}: the answer cannot be understood"))
                .with_retry(Retry::May)
                .with_context("status", status)
        }
        SdkError::DispatchFailure(failure) => {
            let error = failure.as_connector_error();
            let chain = error.map(|error| DisplayErrorContext(error).to_string()).unwrap_or_default();
            let root = error.map(|error| root_cause(error)).unwrap_or_default();
            undelivered(what, failure.is_timeout(), failure.is_user(), &chain, root)
        }
        SdkError::TimeoutError(_) => undelivered(what, true, false, "", String::new()),
        other => Error::new(ErrorKind::Internal, format!("could not {what}: the request cannot be made"))
            .with_context("reason", DisplayErrorContext(other)),
    }
}

/// The error of a write under a condition, or of a delete. Where it may have taken effect all the same, it must not be
/// made again: it would meet its own first attempt, and take that for somebody else's.
pub(crate) fn of_conditional(error: Error) -> Error {
    if may_have_taken_effect(&error) { with_unknown_outcome(error) } else { error }
}

/// Says that it is not known whether what was asked for was done.
pub(crate) fn with_unknown_outcome(error: Error) -> Error {
    error.with_retry(Retry::Never).with_context(OUTCOME, "it is not known whether it took effect")
}

/// Whether an error says that.
pub(crate) fn has_unknown_outcome(error: &Error) -> bool {
    error.context().any(|(name, _)| name == OUTCOME)
}

/// There was no answer, or one of a server that failed midway. One that asks for fewer requests did nothing, and two
/// writes that met are told so before either is done.
fn may_have_taken_effect(error: &Error) -> bool {
    let did_nothing = |fact: (&str, &str)| match fact {
        ("code", code) => is_body_missing(code) || code == "XMinioServerNotInitialized",
        fact => fact == NOT_SENT,
    };
    error.retry().is_allowed()
        && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
        && !error.context().any(did_nothing)
}

/// The body ended before its length: the connection broke.
fn is_body_missing(code: &str) -> bool {
    matches!(code, "IncompleteBody" | "RequestTimeout" | "UnexpectedEof")
}

/// What the system said, without the words of every layer above it.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

/// The connection could not be made, or broke. `chain` is everything that is known of it, `root` the part to be told.
fn undelivered(what: &'static str, timed_out: bool, own_fault: bool, chain: &str, root: String) -> Error {
    let chain = chain.to_ascii_lowercase();
    let certificate = chain.contains("certificate") || chain.contains("unknownissuer");
    let (kind, retry, advice) = if certificate {
        // Another attempt meets the same certificate.
        (
            ErrorKind::Unavailable,
            Retry::Never,
            "the server's certificate is not trusted; name the one that signed it in MINIO_CA_FILE",
        )
    } else if chain.contains("corrupt message") || chain.contains("invalidcontenttype") {
        let advice = "the server does not speak TLS; use http:// or MINIO_SECURE=false";
        (ErrorKind::ConfigInvalid, Retry::Never, advice)
    } else if timed_out {
        (ErrorKind::Timeout, Retry::May, "the server did not answer in time")
    } else if own_fault {
        (ErrorKind::Internal, Retry::Never, "the request cannot be sent")
    } else {
        (ErrorKind::Unavailable, Retry::May, "the connection could not be made, or broke")
    };
    let mut error = Error::new(kind, format!("could not {what}: {advice}")).with_retry(retry);
    // The words of the HTTP client for a connection that was not made.
    if chain.contains("client error (connect)") {
        error = error.with_context(NOT_SENT.0, NOT_SENT.1);
    }
    if root.is_empty() { error } else { error.with_source(std::io::Error::other(root)) }
}

fn answered(
    what: &'static str,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    answer: &HttpResponse,
) -> Error {
    let header = |name: &str| answer.headers().get(name);
    let code = code.unwrap_or_default();
    let message = message.unwrap_or_default();
    let row = classify(status, code, message);
    let pause = header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let retry = match (row.retry, pause) {
        (Retry::May, Some(pause)) => Retry::After(pause),
        (retry, _) => retry,
    };
    let text = match row.advice {
        "" => format!("could not {what}"),
        advice => format!("could not {what}: {advice}"),
    };
    let mut error = Error::new(row.kind, text).with_retry(retry).with_context("status", status);
    if !code.is_empty() {
        error = error.with_context("code", code);
    }
    if let Some(id) = header("x-amz-request-id").filter(|id| !id.is_empty()) {
        error = error.with_context("request_id", id);
    }
    if let Some(region) = header("x-amz-bucket-region") {
        error = error.with_context("bucket_region", region);
    }
    if message.is_empty() { error } else { error.with_source(std::io::Error::other(message.to_owned())) }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    kind: ErrorKind,
    retry: Retry,
    advice: &'static str,
}

const fn row(kind: ErrorKind, retry: Retry, advice: &'static str) -> Row {
    Row { kind, retry, advice }
}

fn classify(status: u16, code: &str, message: &str) -> Row {
    by_code(code, message).unwrap_or_else(|| by_status(status))
}

/// The codes of S3, and those that servers like it made up.
fn by_code(code: &str, message: &str) -> Option<Row> {
    use ErrorKind as Kind;
    use Retry::{May, Never};
    let found = match code {
        "NoSuchKey" => row(Kind::NotFound, Never, "there is no such object"),
        "NoSuchVersion" => row(Kind::NotFound, Never, "there is no such version"),
        "NoSuchUpload" => row(Kind::NotFound, Never, "there is no such upload"),
        // 404 like the others, but no object of the bucket can be there until somebody makes the bucket.
        "NoSuchBucket" => row(
            Kind::ConfigInvalid,
            Never,
            "there is no such bucket (MINIO_BUCKET_NAME); make it with `mc mb ALIAS/BUCKET`, or set \
             MINIO_CREATE_BUCKET=true",
        ),
        "InvalidBucketName" => {
            row(Kind::ConfigInvalid, Never, "the server takes no bucket of this name (MINIO_BUCKET_NAME)")
        }
        "InvalidAccessKeyId" => {
            row(Kind::Unauthenticated, Never, "the server does not know the access key (MINIO_ACCESS_KEY)")
        }
        "SignatureDoesNotMatch" => row(
            Kind::Unauthenticated,
            Never,
            "the signature is not the server's; the secret is wrong (MINIO_SECRET_KEY), or a proxy changes requests",
        ),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => row(
            Kind::Unauthenticated,
            Never,
            "the temporary credentials are not valid any more (MINIO_SESSION_TOKEN)",
        ),
        "AuthorizationHeaderMalformed"
        | "InvalidRegion"
        | "AuthorizationQueryParametersError"
        | "IllegalLocationConstraintException" => {
            row(Kind::ConfigInvalid, Never, "the server is in another region; set MINIO_REGION to it")
        }
        "PermanentRedirect" | "TemporaryRedirect" | "Redirect" => row(
            Kind::ConfigInvalid,
            Never,
            "the bucket is elsewhere; check MINIO_ENDPOINT_URL and MINIO_REGION",
        ),
        // The clocks do not come closer by asking again.
        "RequestTimeTooSkewed" => row(
            Kind::Unauthenticated,
            Never,
            "this machine's clock and the server's differ by too much; synchronise them (NTP)",
        ),
        // SeaweedFS and Ceph answer this to a signature as well, but cannot be told apart from a policy.
        "AccessDenied" | "AllAccessDisabled" | "UnauthorizedAccess" => {
            row(Kind::PermissionDenied, Never, "the access key is not allowed to")
        }
        "AccountProblem" | "NotSignedUp" => row(Kind::PermissionDenied, Never, "the account is blocked"),
        "PreconditionFailed" => row(Kind::PreconditionFailed, Never, "the condition does not hold"),
        "NotModified" => row(Kind::NotModified, Never, "the object has not changed"),
        // Two conditional writes met: neither the condition nor the write was decided.
        "ConditionalRequestConflict" | "OperationAborted" => {
            row(Kind::Conflict, May, "another write was under way at the same time")
        }
        "InvalidRange" => row(Kind::RangeNotSatisfiable, Never, "the range is not within the object"),
        "KeyTooLongError" | "KeyTooLong" | "XMinioInvalidObjectName" => {
            row(Kind::InvalidKey, Never, "the server takes no key of this form")
        }
        "XMinioParentIsObject" | "XMinioObjectExistsAsDirectory" => {
            row(Kind::InvalidKey, Never, "the server keeps no object below another one")
        }
        "EntityTooLarge" | "MaxMessageLengthExceeded" => {
            row(Kind::TooLarge, Never, "it is larger than the server takes")
        }
        "MetadataTooLarge" => row(Kind::TooLarge, Never, "the server takes no metadata of this size"),
        "EntityTooSmall" => {
            row(Kind::InvalidArgument, Never, "a part that is not the last is smaller than the server takes")
        }
        "InvalidPart" | "InvalidPartOrder" | "MalformedXML" | "InvalidPartNumber" | "TooManyParts" => row(
            Kind::InvalidArgument,
            Never,
            "the parts are not those that were sent, in the order of their numbers",
        ),
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "ChecksumMismatch" => {
            row(Kind::ChecksumMismatch, Never, "the server received other bytes than were sent")
        }
        _ if is_body_missing(code) => row(Kind::Unavailable, May, "the body did not arrive whole"),
        "ObjectLocked" | "InvalidRetentionPeriod" => row(Kind::ObjectLocked, Never, "the object is locked"),
        "InvalidObjectState" => row(
            Kind::ObjectArchived,
            Never,
            "the object is archived by a rule of the bucket and must be restored first (`mc ilm restore`)",
        ),
        "NotImplemented" | "XMinioNotImplemented" | "NotSupported" => {
            row(Kind::Unsupported, Never, "the server has no such operation")
        }
        "MethodNotAllowed" => row(Kind::Unsupported, Never, "the server does not allow this"),
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "TooManyRequests"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded" => row(Kind::RateLimited, May, "the server asks for fewer requests"),
        "ServiceUnavailable"
        | "Busy"
        | "XMinioServerNotInitialized"
        | "XMinioReadQuorum"
        | "XMinioWriteQuorum" => row(Kind::Unavailable, May, "the server cannot serve now"),
        "XMinioStorageFull" | "XMinioDiskFull" | "InsufficientStorage" => {
            row(Kind::NoSpace, Never, "the server's disks are full")
        }
        "XMinioBucketQuotaExceeded" | "XMinioAdminBucketQuotaExceeded" | "QuotaExceeded" => {
            row(Kind::NoSpace, Never, "the bucket's quota is used up")
        }
        // A server on a file system (JuiceFS) finds a file where a folder is to be, and cannot mend that.
        "InternalError" if message.contains("not a directory") || message.contains("is a directory") => {
            row(Kind::InvalidKey, Never, "the server keeps no object below another one")
        }
        "InternalError" | "InternalServerError" => row(Kind::Unavailable, May, "the server failed"),
        "InvalidArgument"
        | "InvalidRequest"
        | "MissingContentLength"
        | "InvalidTag"
        | "InvalidObjectLockConfiguration" => {
            row(Kind::InvalidArgument, Never, "the server does not take the request")
        }
        _ => return None,
    };
    Some(found)
}

/// Answers without a code that is known: those to `HEAD` have none, and proxies answer in a language of their own.
fn by_status(status: u16) -> Row {
    use ErrorKind as Kind;
    use Retry::{May, Never};
    match status {
        304 => row(Kind::NotModified, Never, "the object has not changed"),
        300..=399 => {
            row(Kind::ConfigInvalid, Never, "the server redirects; check MINIO_ENDPOINT_URL and MINIO_REGION")
        }
        401 => row(Kind::Unauthenticated, Never, "the server does not accept the credentials"),
        403 => row(Kind::PermissionDenied, Never, "the access key is not allowed to"),
        404 => row(Kind::NotFound, Never, "there is no such object"),
        405 | 501 => row(Kind::Unsupported, Never, "the server does not have this"),
        408 => row(Kind::Timeout, May, "the server waited for too long"),
        409 => row(Kind::Conflict, May, "another write was under way at the same time"),
        411..=411 | 400 => row(Kind::InvalidArgument, Never, "the server does not take the request"),
        412 => row(Kind::PreconditionFailed, Never, "the condition does not hold"),
        413 => row(Kind::TooLarge, Never, "it is larger than the server takes"),
        416 => row(Kind::RangeNotSatisfiable, Never, "the range is not within the object"),
        429 => row(Kind::RateLimited, May, "the server asks for fewer requests"),
        // R2 says 499 when a connection broke on its way.
        499 => row(Kind::Unavailable, May, "the connection broke"),
        507 => row(Kind::NoSpace, Never, "the server has no room left"),
        500 | 502..=504 | 520..=530 => row(Kind::Unavailable, May, "the server cannot serve now"),
        _ => row(Kind::Internal, Never, "the server gave an answer that is not known"),
    }
}

/// The refusal of one object among many, which has a code and no status.
pub(crate) fn refused(what: &'static str, code: &str, message: &str) -> Error {
    let row = by_code(code, message).unwrap_or(row(ErrorKind::Internal, Retry::Never, ""));
    let error = Error::new(row.kind, format!("could not {what}: {}", row.advice)).with_retry(row.retry);
    error.with_context("code", code).with_source(std::io::Error::other(message.to_owned()))
}

/// There is no such object, version or upload.
pub(crate) fn not_found(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no such {what}"))
}

/// An argument of the call is wrong.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_before_the_status() {
        for (status, code, kind, retry) in [
            (404, "NoSuchKey", ErrorKind::NotFound, Retry::Never),
            (404, "NoSuchBucket", ErrorKind::ConfigInvalid, Retry::Never),
            (403, "SignatureDoesNotMatch", ErrorKind::Unauthenticated, Retry::Never),
            (403, "AccessDenied", ErrorKind::PermissionDenied, Retry::Never),
            (403, "RequestTimeTooSkewed", ErrorKind::Unauthenticated, Retry::Never),
            (409, "ConditionalRequestConflict", ErrorKind::Conflict, Retry::May),
            (412, "PreconditionFailed", ErrorKind::PreconditionFailed, Retry::Never),
            (503, "SlowDown", ErrorKind::RateLimited, Retry::May),
            (500, "InternalError", ErrorKind::Unavailable, Retry::May),
            (200, "InternalError", ErrorKind::Unavailable, Retry::May),
            (507, "XMinioStorageFull", ErrorKind::NoSpace, Retry::Never),
            (501, "NotImplemented", ErrorKind::Unsupported, Retry::Never),
            (400, "XAmzContentSHA256Mismatch", ErrorKind::ChecksumMismatch, Retry::Never),
            (503, "", ErrorKind::Unavailable, Retry::May),
            (403, "", ErrorKind::PermissionDenied, Retry::Never),
            (418, "", ErrorKind::Internal, Retry::Never),
        ] {
            let row = classify(status, code, "");
            assert_eq!((row.kind, row.retry), (kind, retry), "{status} {code}");
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_no_passing_fault() {
        let row = classify(500, "InternalError", "please try again.: cause(not a directory)");
        assert_eq!((row.kind, row.retry), (ErrorKind::InvalidKey, Retry::Never));
    }

    #[test]
    fn advice_names_the_variable_to_look_at() {
        for (code, part) in [
            ("NoSuchBucket", "mc mb"),
            ("InvalidAccessKeyId", "MINIO_ACCESS_KEY"),
            ("SignatureDoesNotMatch", "MINIO_SECRET_KEY"),
            ("AuthorizationHeaderMalformed", "MINIO_REGION"),
            ("RequestTimeTooSkewed", "NTP"),
        ] {
            assert!(classify(400, code, "").advice.contains(part), "{code}");
        }
    }

    #[test]
    fn what_a_broken_connection_was_is_told() {
        let error = undelivered("save", false, false, "tcp connect error", "Connection refused".to_owned());
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::May));
        assert!(error.report().contains("refused"), "{}", error.report());
        let error =
            undelivered("save", false, false, "invalid peer certificate: UnknownIssuer", String::new());
        assert!(error.message().contains("MINIO_CA_FILE") && error.retry() == Retry::Never, "{error}");
    }

    #[test]
    fn what_did_nothing_may_be_made_again_under_a_condition() {
        let of = |status, code| {
            let row = classify(status, code, "");
            let error = Error::new(row.kind, "no").with_retry(row.retry).with_context("code", code);
            of_conditional(error).retry()
        };
        for (status, code) in [
            (503, "SlowDown"),
            (429, ""),
            (409, "ConditionalRequestConflict"),
            (400, "IncompleteBody"),
            (503, "XMinioServerNotInitialized"),
        ] {
            assert_eq!(of(status, code), Retry::May, "{status} {code}");
        }
        for (status, code) in
            [(500, "InternalError"), (200, "InternalError"), (502, ""), (504, ""), (499, "")]
        {
            assert_eq!(of(status, code), Retry::Never, "{status} {code}");
        }
    }
}
