//! The one table from what S3 answers to kinds of fault, and what else can go wrong on the way there.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::create_session::CreateSessionError;
use aws_sdk_s3::operation::{RequestId, RequestIdExt};
use storage_core::{Error, ErrorKind, Retry};

/// What is tried when a directory bucket is first used, and when its session ends.
const OPEN_SESSION: &str = "open a session";

/// What a code means: the kind, whether a retry may help, and words for it.
type Row = (ErrorKind, Retry, &'static str);

/// The codes of S3, STS and KMS.
fn by_code(code: &str) -> Option<Row> {
    use ErrorKind as Kind;
    use Retry::{May, Never};
    Some(match code {
        "NoSuchKey" | "NotFound" => (Kind::NotFound, Never, "there is no such object"),
        "NoSuchVersion" => (Kind::NotFound, Never, "there is no such version"),
        "NoSuchUpload" => (Kind::NotFound, Never, "there is no such upload"),
        // The status is 404, but what is missing is not the caller's object.
        "NoSuchBucket" => (Kind::ConfigInvalid, Never, "the bucket does not exist"),
        "InvalidBucketName" => (Kind::ConfigInvalid, Never, "the bucket's name is none that S3 takes"),
        "BucketAlreadyExists" => (
            Kind::ConfigInvalid,
            Never,
            "a bucket of this name belongs to somebody else: choose another name",
        ),
        "BucketAlreadyOwnedByYou" => (Kind::AlreadyExists, Never, "the bucket is there already"),
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedAccess"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "Forbidden" => (Kind::PermissionDenied, Never, "the credentials do not allow this"),
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            (Kind::Unauthenticated, Never, "the access key does not exist: check AWS_ACCESS_KEY_ID")
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => (
            Kind::Unauthenticated,
            Never,
            "the secret key is not that of the access key: check AWS_SECRET_ACCESS_KEY",
        ),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (Kind::Unauthenticated, Never, "the temporary credentials have expired")
        }
        "InvalidToken" => {
            (Kind::Unauthenticated, Never, "the session token is not valid: check AWS_SESSION_TOKEN")
        }
        "InvalidSecurity" | "NotSignedUp" => (Kind::Unauthenticated, Never, "the credentials are not valid"),
        // The client has learnt the difference from this answer and signs the next request with it.
        "RequestTimeTooSkewed" => {
            (Kind::Unauthenticated, May, "the clock of this machine is wrong by more than 15 minutes: set it")
        }
        "RequestExpired" => (Kind::Unauthenticated, May, "the request was signed too long ago"),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            (Kind::ConfigInvalid, Never, "the bucket is in another region: check AWS_REGION")
        }
        "PreconditionFailed" => (Kind::PreconditionFailed, Never, "the condition does not hold"),
        "NotModified" => (Kind::NotModified, Never, "the object has not changed"),
        // Two writes with conditions met; S3 asks to repeat the request.
        "ConditionalRequestConflict" | "OperationAborted" => {
            (Kind::Conflict, May, "another writer was at work at the same time")
        }
        "InvalidRange" => (Kind::RangeNotSatisfiable, Never, "the range is not within the object"),
        "EntityTooLarge" => (Kind::TooLarge, Never, "the content is larger than S3 takes in one request"),
        "MetadataTooLarge" => (Kind::TooLarge, Never, "the metadata is larger than S3 keeps"),
        "EntityTooSmall" => {
            (Kind::InvalidArgument, Never, "a part that is not the last is below the smallest size of 5 MiB")
        }
        "InvalidPart" => (Kind::InvalidArgument, Never, "a named part was not sent or has another tag"),
        "InvalidPartOrder" => (Kind::InvalidArgument, Never, "the parts are not named in ascending order"),
        "KeyTooLongError" | "KeyTooLong" => (Kind::InvalidKey, Never, "the key is longer than S3 takes"),
        // The bytes were right when they left this process: something on the way changed them.
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            (Kind::ChecksumMismatch, May, "the bytes that arrived do not match their digest")
        }
        "IncompleteBody" => (Kind::Unavailable, May, "the content did not arrive whole"),
        // S3 closes a connection whose body stalls, and calls that a bad request.
        "RequestTimeout" => (Kind::Timeout, May, "the content arrived too slowly"),
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "BandwidthLimitExceeded"
        | "RequestThrottled" => (Kind::RateLimited, May, "S3 asks for fewer requests"),
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Busy" => {
            (Kind::Unavailable, May, "S3 cannot serve the request now")
        }
        "InvalidObjectState" => {
            (Kind::ObjectArchived, Never, "the object is archived and must be restored first")
        }
        "RestoreAlreadyInProgress" => (Kind::Conflict, Never, "the object is being restored already"),
        // Short of capacity; the object itself is fine.
        "GlacierExpeditedRetrievalNotAvailable" => {
            (Kind::RateLimited, May, "expedited restores are not to be had now: ask for standard speed")
        }
        "MethodNotAllowed" | "NotImplemented" => {
            (Kind::Unsupported, Never, "the server does not have this operation")
        }
        "KMS.DisabledException"
        | "KMS.NotFoundException"
        | "KMS.KMSInvalidStateException"
        | "KMS.InvalidKeyUsageException" => (
            Kind::ConfigInvalid,
            Never,
            "the key of KMS cannot be used: check AWS_S3_KMS_KEY_ID and the key's state",
        ),
        "KMS.ThrottlingException" => (
            Kind::RateLimited,
            May,
            "KMS asks for fewer requests: a bucket key (AWS_S3_KMS_BUCKET_KEY) spares them",
        ),
        "NoSuchLifecycleConfiguration"
        | "NoSuchTagSet"
        | "NoSuchConfiguration"
        | "ObjectLockConfigurationNotFoundError"
        | "NoSuchObjectLockConfiguration" => (Kind::NotFound, Never, "there is no such configuration"),
        "InvalidArgument"
        | "InvalidRequest"
        | "InvalidStorageClass"
        | "InvalidTag"
        | "MalformedXML"
        | "MalformedPolicy"
        | "InvalidEncryptionAlgorithmError"
        | "InvalidBucketState"
        | "InvalidURI"
        | "BadRequest" => (Kind::InvalidArgument, Never, "S3 does not take the request as it is"),
        _ => return None,
    })
}

/// Answers without a code: those to `HEAD` have no body, and proxies speak for themselves.
fn by_status(status: u16) -> Row {
    use ErrorKind as Kind;
    use Retry::{May, Never};
    match status {
        301 | 307 | 308 => (Kind::ConfigInvalid, Never, "the bucket is in another region: check AWS_REGION"),
        304 => (Kind::NotModified, Never, "the object has not changed"),
        400 => (Kind::InvalidArgument, Never, "S3 does not take the request as it is"),
        401 => (Kind::Unauthenticated, Never, "the credentials are not valid"),
        403 => (Kind::PermissionDenied, Never, "the credentials do not allow this"),
        404 => (Kind::NotFound, Never, "there is no such object"),
        405 | 501 => (Kind::Unsupported, Never, "the server does not have this operation"),
        407 => (Kind::ConfigInvalid, Never, "the proxy wants a user and a password: check AWS_S3_PROXY"),
        408 => (Kind::Timeout, May, "the request took too long"),
        409 => (Kind::Conflict, May, "another writer was at work at the same time"),
        412 => (Kind::PreconditionFailed, Never, "the condition does not hold"),
        413 => (Kind::TooLarge, Never, "the content is larger than the server takes"),
        416 => (Kind::RangeNotSatisfiable, Never, "the range is not within the object"),
        429 => (Kind::RateLimited, May, "S3 asks for fewer requests"),
        500 | 502 | 503 | 504 => (Kind::Unavailable, May, "S3 cannot serve the request now"),
        507 => (Kind::NoSpace, Never, "the server has no room left"),
        _ => (Kind::Internal, Never, "the server answered what nobody expects"),
    }
}

/// An answer of S3 as an error. `what` says what was tried.
pub(crate) fn answered(
    what: &'static str,
    code: Option<&str>,
    words: Option<&str>,
    status: u16,
    retry_after: Option<Duration>,
) -> Error {
    let (mut kind, mut retry, mut message) = code.and_then(by_code).unwrap_or_else(|| by_status(status));
    // S3 has no code of its own for what retention forbids.
    let is_lock = |words: &str| {
        let words = words.to_ascii_lowercase();
        ["object lock", "worm", "legal hold", "retention"].iter().any(|word| words.contains(word))
    };
    if kind == ErrorKind::PermissionDenied && words.is_some_and(is_lock) {
        (kind, message) = (ErrorKind::ObjectLocked, "retention or a legal hold forbids the change");
    }
    if let (true, Some(pause)) = (retry.is_allowed(), retry_after) {
        retry = Retry::After(pause);
    }
    let mut error = Error::new(kind, message).with_retry(retry).with_context("request", what);
    if let Some(code) = code {
        error = error.with_context("code", code.escape_debug());
    }
    error = error.with_context("status", status);
    match words.filter(|words| !words.is_empty()) {
        Some(words) => error.with_context("answer", words.escape_debug()),
        None => error,
    }
}

/// What the SDK gave as an error. `what` says what was tried.
pub(crate) fn from_sdk<E>(what: &'static str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let Some(response) = error.raw_response() {
        let told = of_answer(what, &error, response);
        // What S3 said is all there is to know; what cannot be read says why.
        return if is_unreadable(&error, response) { told.with_source(error) } else { told };
    }
    // The session of a directory bucket is opened beneath the request that needs it.
    let session = find::<SdkError<CreateSessionError, HttpResponse>>(&error);
    if let Some((session, response)) = session.and_then(|session| Some((session, session.raw_response()?))) {
        return of_answer(OPEN_SESSION, session, response);
    }
    let (what, (kind, retry, message)) = match session {
        Some(session) => (OPEN_SESSION, unanswered(session)),
        None => (what, unanswered(&error)),
    };
    Error::new(kind, message).with_retry(retry).with_context("request", what).with_source(error)
}

/// Whether the status was a success, but the answer broke off or is not S3's.
fn is_unreadable<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
    response: &HttpResponse,
) -> bool {
    let has_code = error.as_service_error().is_some_and(|service| service.code().is_some());
    response.status().is_success() && !has_code
}

/// What an answer says.
fn of_answer<E>(what: &'static str, error: &SdkError<E, HttpResponse>, response: &HttpResponse) -> Error
where
    E: ProvideErrorMetadata,
    SdkError<E, HttpResponse>: RequestId + RequestIdExt,
{
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let status = response.status().as_u16();
    let retry_after = header("retry-after").and_then(|text| parse_retry_after(&text));
    let region = header("x-amz-bucket-region");
    let request_id = error.request_id().map(str::to_owned);
    let host_id = error.extended_request_id().map(str::to_owned);
    let mut told = match error.as_service_error() {
        _ if is_unreadable(error, response) => {
            Error::new(ErrorKind::Unavailable, "the answer cannot be read")
                .with_retry(Retry::May)
                .with_context("request", what)
                .with_context("status", status)
        }
        Some(service) => answered(what, service.code(), service.message(), status, retry_after),
        None => answered(what, None, None, status, retry_after),
    };
    if told.kind() == ErrorKind::ConfigInvalid
        && let Some(region) = region
    {
        told = told.with_context("region_of_the_bucket", region.escape_debug());
    }
    if let Some(id) = request_id {
        told = told.with_context("request_id", id);
    }
    match host_id {
        Some(id) => told.with_context("host_id", id),
        None => told,
    }
}

/// The pause that a server asks for, in seconds. (The form with a date is not used by S3.)
pub(crate) fn parse_retry_after(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// What went wrong before there was an answer.
fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> Row
where
    E: StdError + 'static,
{
    let is_timeout = match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    let is_local = matches!(error, SdkError::ConstructionFailure(_));
    let credentials = find::<CredentialsError>(error).map(credentials_row);
    let words = all_words(error);
    if let Some(row) = credentials {
        row
    } else if is_timeout {
        (ErrorKind::Timeout, Retry::May, "S3 did not answer in time")
    } else if words.contains("certificate") || words.contains("UnknownIssuer") {
        // Asking again meets the same certificate.
        (
            ErrorKind::ConfigInvalid,
            Retry::Never,
            "the server's certificate is not trusted: name the file of its authority in AWS_S3_CA_FILE",
        )
    } else if is_local {
        (ErrorKind::InvalidArgument, Retry::Never, "the request cannot be made")
    } else {
        (ErrorKind::Unavailable, Retry::May, "S3 cannot be reached or broke the connection")
    }
}

/// The source of the credentials gave none.
pub(crate) fn without_credentials(what: &'static str, error: CredentialsError) -> Error {
    let (kind, retry, message) = credentials_row(&error);
    Error::new(kind, message).with_retry(retry).with_context("request", what).with_source(error)
}

fn credentials_row(error: &CredentialsError) -> Row {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => (
            ErrorKind::Unauthenticated,
            Retry::Never,
            "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give \
             the machine a role",
        ),
        CredentialsError::ProviderTimedOut(_) => {
            (ErrorKind::Timeout, Retry::May, "the source of the credentials did not answer in time")
        }
        CredentialsError::InvalidConfiguration(_) => (
            ErrorKind::ConfigInvalid,
            Retry::Never,
            "the profile that the credentials come from is not sound",
        ),
        _ => (ErrorKind::Unauthenticated, Retry::Never, "the source of the credentials gave none"),
    }
}

/// The first cause of this type.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

fn all_words(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push_str(&cause.to_string());
        next = cause.source();
    }
    words
}

/// Whether S3 may have done what was asked of it though this came back: it did not answer, or failed on the way. What
/// it refused, asked to be made later, or was never sent, it did not do.
pub(crate) fn may_be_done(error: &Error) -> bool {
    if !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable) {
        return false;
    }
    let told = |wanted: &str| error.context().find_map(|(name, value)| (name == wanted).then_some(value));
    match told("status") {
        Some(status) => !status.starts_with('4'),
        None => told("request") != Some(OPEN_SESSION) && !StdError::source(error).is_some_and(is_unsent),
    }
}

/// Whether a request failed before it was on its way: there were no credentials, or no connection.
fn is_unsent(cause: &(dyn StdError + 'static)) -> bool {
    let words = all_words(cause);
    find::<CredentialsError>(cause).is_some()
        || ["client error (Connect)", "HTTP connect timeout"].iter().any(|text| words.contains(text))
}

/// There is no such thing.
pub(crate) fn not_found(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no such {what}"))
}

/// An argument that cannot be.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Something that S3, or this server or bucket, does not do.
pub(crate) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

/// Something did not happen in time.
pub(crate) fn timed_out(what: &'static str, after: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "S3 did not answer in time")
        .with_retry(Retry::May)
        .with_context("request", what)
        .with_context("waited", format!("{after:?}"))
}

/// What to do about an archived object.
pub(crate) fn archived(class: &str) -> Error {
    Error::new(
        ErrorKind::ObjectArchived,
        "the object is archived: ask for a restore, wait until its status is restored, and read it then",
    )
    .with_context("storage_class", class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_kind_and_retry() {
        for (code, status, kind, retry) in [
            ("NoSuchKey", 404, ErrorKind::NotFound, Retry::Never),
            ("NoSuchBucket", 404, ErrorKind::ConfigInvalid, Retry::Never),
            ("InvalidAccessKeyId", 403, ErrorKind::Unauthenticated, Retry::Never),
            ("SignatureDoesNotMatch", 403, ErrorKind::Unauthenticated, Retry::Never),
            ("RequestTimeTooSkewed", 403, ErrorKind::Unauthenticated, Retry::May),
            ("AccessDenied", 403, ErrorKind::PermissionDenied, Retry::Never),
            ("PermanentRedirect", 301, ErrorKind::ConfigInvalid, Retry::Never),
            ("SlowDown", 503, ErrorKind::RateLimited, Retry::May),
            ("InternalError", 200, ErrorKind::Unavailable, Retry::May),
            ("RequestTimeout", 400, ErrorKind::Timeout, Retry::May),
            ("InvalidObjectState", 403, ErrorKind::ObjectArchived, Retry::Never),
            ("ConditionalRequestConflict", 409, ErrorKind::Conflict, Retry::May),
            ("EntityTooSmall", 400, ErrorKind::InvalidArgument, Retry::Never),
            ("ACodeOfNextYear", 503, ErrorKind::Unavailable, Retry::May),
            ("ACodeOfNextYear", 418, ErrorKind::Internal, Retry::Never),
        ] {
            let error = answered("get the object", Some(code), Some("Their words."), status, None);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{code}");
            let told = error.to_string();
            assert!(told.contains(code) && told.contains("Their words."), "{told}");
        }
    }

    #[test]
    fn answers_without_a_code_go_by_their_status() {
        for (status, kind) in [
            (301, ErrorKind::ConfigInvalid),
            (304, ErrorKind::NotModified),
            (403, ErrorKind::PermissionDenied),
            (404, ErrorKind::NotFound),
            (412, ErrorKind::PreconditionFailed),
            (429, ErrorKind::RateLimited),
            (503, ErrorKind::Unavailable),
        ] {
            assert_eq!(answered("x", None, None, status, None).kind(), kind, "{status}");
        }
    }

    #[test]
    fn the_pause_that_the_server_asks_for_is_kept_where_a_retry_may_help() {
        let pause = parse_retry_after(" 7 ");
        assert_eq!(pause, Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        let retry = |code| answered("x", Some(code), None, 503, pause).retry();
        assert_eq!(retry("SlowDown"), Retry::After(Duration::from_secs(7)));
        assert_eq!(retry("AccessDenied"), Retry::Never);
    }

    #[test]
    fn a_lock_is_told_from_a_missing_permission() {
        let kind = |words| answered("x", Some("AccessDenied"), Some(words), 403, None).kind();
        assert_eq!(kind("Access Denied because object protected by object lock."), ErrorKind::ObjectLocked);
        assert_eq!(kind("Access Denied"), ErrorKind::PermissionDenied);
    }
}
