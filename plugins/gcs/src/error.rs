//! The one table from Google's answers to kinds of fault.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use storage_core::{Error, ErrorKind, Retry};

/// A request that failed, and how Google answered, if it did.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The status of the answer; none where there was no answer.
    pub(crate) status: Option<StatusCode>,
    /// What it means.
    pub(crate) error: Error,
}

impl Failure {
    /// Whether the answer has this status.
    pub(crate) fn is(&self, status: StatusCode) -> bool {
        self.status == Some(status)
    }

    /// Whether what was asked for is not there, though its bucket is.
    pub(crate) fn is_missing(&self) -> bool {
        self.is(StatusCode::NOT_FOUND) && self.error.kind() == ErrorKind::NotFound
    }

    /// Whether the request may have been carried out though its answer is lost.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.error.retry().is_allowed() && self.status.is_none_or(|status| status.is_server_error())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: None, error }
    }
}

/// The body of an answer that tells an error.
#[derive(Deserialize)]
struct Answer {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    reason: String,
}

/// What a failure within a session of a resumable upload means. A session that is gone is no missing object: a new
/// one may do it.
pub(crate) fn in_session(failure: Failure) -> Failure {
    if failure.error.kind() != ErrorKind::NotFound {
        return failure;
    }
    let error = Error::new(ErrorKind::Unavailable, "the upload session ended before the upload did");
    Failure { error: error.with_retry(Retry::May).with_source(failure.error), ..failure }
}

/// Makes a failure of an answer. `bucket` is for the advice.
pub(crate) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8], bucket: &str) -> Failure {
    let told = serde_json::from_slice::<Answer>(body).ok().map(|answer| answer.error);
    let reason = told.as_ref().and_then(|told| told.errors.first()).map(|detail| detail.reason.clone());
    let reason = reason.unwrap_or_default();
    // What is not JSON (a proxy's page, the XML of signed URLs) is kept as it is, within measure.
    let words = told.map_or_else(
        || String::from_utf8_lossy(&body[..body.len().min(300)]).trim().to_owned(),
        |told| told.message,
    );
    let (kind, retry, advice) = classify(status, &reason, &words);
    let message = match advice {
        Some(advice) => advice.replace("{bucket}", bucket),
        None => format!("the service answered {status}"),
    };
    let retry = match (retry, pause(headers)) {
        (Retry::May, Some(pause)) => Retry::After(pause),
        (retry, _) => retry,
    };
    let mut error = Error::new(kind, message).with_retry(retry).with_context("status", status.as_u16());
    if !reason.is_empty() {
        error = error.with_context("reason", reason);
    }
    if !words.is_empty() {
        error = error.with_context("service_says", words);
    }
    if let Some(id) = headers.get("x-guploader-uploadid").and_then(|value| value.to_str().ok()) {
        error = error.with_context("request_id", id);
    }
    Failure { status: Some(status), error }
}

/// The table. Each odd row says why it is there.
fn classify(status: StatusCode, reason: &str, words: &str) -> (ErrorKind, Retry, Option<&'static str>) {
    let never = Retry::Never;
    let says = |text: &str| words.contains(text);
    match (status.as_u16(), reason) {
        // The same status tells of a bucket and of an object; only the words differ.
        (404, _) if says("bucket does not exist") => (
            ErrorKind::ConfigInvalid,
            never,
            Some(
                "the bucket {bucket} (GCS_BUCKET_NAME) does not exist: create it with `gcloud storage buckets create \
                 gs://{bucket}`, or set create_bucket (GCS_CREATE_BUCKET) to true",
            ),
        ),
        (404, _) => (ErrorKind::NotFound, never, Some("there is no such object")),
        // A session of a resumable upload that is over.
        (410, _) => (ErrorKind::NotFound, never, Some("the upload session is over")),
        (401, _) => (
            ErrorKind::Unauthenticated,
            never,
            Some("the credentials are not accepted; see GOOGLE_APPLICATION_CREDENTIALS"),
        ),
        // 403 is also how Google says that a quota of requests is used up: it asks for a pause, not for rights.
        (403, "rateLimitExceeded" | "userRateLimitExceeded") => (ErrorKind::RateLimited, Retry::May, None),
        (403, "quotaExceeded" | "dailyLimitExceeded") => (ErrorKind::QuotaExceeded, never, None),
        // Holds and retention are refusals of rights to Google, and a lock to everybody else.
        (403, "retentionPolicyNotMet" | "objectUnderActiveHold") => (ErrorKind::ObjectLocked, never, None),
        // Of a hold the reason is that of a missing right; and a refused account or object may be named anything, so
        // that only the whole phrases count.
        (403, _) if says("is under active ") || says("is subject to bucket's retention policy") => {
            (ErrorKind::ObjectLocked, never, None)
        }
        (403, "accountDisabled") => (
            ErrorKind::PermissionDenied,
            never,
            Some("billing of the bucket's project is off, or the account is"),
        ),
        (403, _) => (
            ErrorKind::PermissionDenied,
            never,
            Some(
                "the credentials do not allow this; README.md of the plugin lists the roles that are needed",
            ),
        ),
        (400, "userProjectMissing") => {
            (ErrorKind::ConfigInvalid, never, Some("the bucket bills its readers: set GCS_USER_PROJECT"))
        }
        (400, _) => (ErrorKind::InvalidArgument, never, None),
        (408, _) => (ErrorKind::Timeout, Retry::May, None),
        (409, _) => (ErrorKind::Conflict, Retry::May, None),
        (412, _) => (ErrorKind::PreconditionFailed, never, Some("the object is not as the condition has it")),
        (413, _) => (ErrorKind::TooLarge, never, None),
        (416, _) => (ErrorKind::RangeNotSatisfiable, never, None),
        (429, _) => (ErrorKind::RateLimited, Retry::May, None),
        (501, _) => (ErrorKind::Unsupported, never, None),
        (500..=599, _) => (ErrorKind::Unavailable, Retry::May, None),
        _ => (ErrorKind::Internal, never, None),
    }
}

/// `Retry-After`, in seconds or as a date.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

/// Makes an error of a request that got no answer, or no whole one.
pub(crate) fn from_transport(error: reqwest::Error) -> Error {
    // The URL of a resumable session is as good as a credential.
    let error = error.without_url();
    let (kind, retry, message) = if error.is_timeout() {
        (ErrorKind::Timeout, Retry::May, "the service did not answer in time")
    } else if error.is_connect() && says(&error, "certificate") {
        let advice = "the service's certificate is not trusted; see GCS_CA_FILE";
        (ErrorKind::ConfigInvalid, Retry::Never, advice)
    } else if error.is_connect() {
        (ErrorKind::Unavailable, Retry::May, "the service cannot be reached; see GCS_ENDPOINT_URL")
    } else if error.is_builder() {
        (ErrorKind::InvalidArgument, Retry::Never, "the request cannot be made")
    } else {
        (ErrorKind::Unavailable, Retry::May, "the connection to the service broke")
    };
    Error::new(kind, message).with_retry(retry).with_source(error)
}

/// The service did not answer, or did not go on with its answer, for so long.
pub(crate) fn silent(patience: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "the service did not answer in time")
        .with_retry(Retry::May)
        .with_context("waited_seconds", patience.as_secs_f64())
}

/// Whether an error or one of its causes has this word. The type that tells a certificate's fault is not public.
fn says(error: &reqwest::Error, word: &str) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = next {
        if cause.to_string().contains(word) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// An answer that is not what the service's documentation says.
pub(crate) fn bad_answer(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the service's answer cannot be understood: {what}"))
}

/// There is no such object, version or upload.
pub(crate) fn not_found(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no such {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, reason: &str, message: &str, headers: &HeaderMap) -> Failure {
        let body =
            format!(r#"{{"error":{{"code":1,"message":"{message}","errors":[{{"reason":"{reason}"}}]}}}}"#);
        from_answer(StatusCode::from_u16(status).expect("a status"), headers, body.as_bytes(), "cvs")
    }

    #[test]
    fn answers_have_their_kind_and_retry_and_keep_the_services_words() {
        let (may, never) = (Retry::May, Retry::Never);
        for (status, reason, message, kind, retry) in [
            (400, "invalid", "bad", ErrorKind::InvalidArgument, never),
            (400, "userProjectMissing", "pay", ErrorKind::ConfigInvalid, never),
            (401, "authError", "no", ErrorKind::Unauthenticated, never),
            (403, "forbidden", "no rights", ErrorKind::PermissionDenied, never),
            (403, "rateLimitExceeded", "slow", ErrorKind::RateLimited, may),
            (403, "quotaExceeded", "used up", ErrorKind::QuotaExceeded, never),
            (403, "retentionPolicyNotMet", "kept", ErrorKind::ObjectLocked, never),
            (403, "objectUnderActiveHold", "held", ErrorKind::ObjectLocked, never),
            (403, "forbidden", "Object 'x' is under active Temporary hold", ErrorKind::ObjectLocked, never),
            (403, "forbidden", "'x' is subject to bucket's retention policy", ErrorKind::ObjectLocked, never),
            (
                403,
                "forbidden",
                "shareholders@x has no storage.objects.get",
                ErrorKind::PermissionDenied,
                never,
            ),
            (403, "forbidden", "cvs@threshold-prod has no access", ErrorKind::PermissionDenied, never),
            (403, "forbidden", "no access to b/retention.pdf", ErrorKind::PermissionDenied, never),
            (404, "notFound", "No such object: cvs/x", ErrorKind::NotFound, never),
            (404, "notFound", "The specified bucket does not exist.", ErrorKind::ConfigInvalid, never),
            (408, "", "late", ErrorKind::Timeout, may),
            (409, "conflict", "busy", ErrorKind::Conflict, may),
            (410, "gone", "over", ErrorKind::NotFound, never),
            (412, "conditionNotMet", "other", ErrorKind::PreconditionFailed, never),
            (413, "uploadTooLarge", "large", ErrorKind::TooLarge, never),
            (429, "rateLimitExceeded", "slow", ErrorKind::RateLimited, may),
            (500, "backendError", "oops", ErrorKind::Unavailable, may),
            (501, "notImplemented", "never", ErrorKind::Unsupported, never),
            (503, "backendError", "later", ErrorKind::Unavailable, may),
        ] {
            let error = answer(status, reason, message, &HeaderMap::new()).error;
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {reason}: {error}");
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn a_missing_bucket_is_told_with_the_command_that_creates_it() {
        let failure = answer(404, "notFound", "The specified bucket does not exist.", &HeaderMap::new());
        assert!(
            failure.error.message().contains("gcloud storage buckets create gs://cvs"),
            "{}",
            failure.error
        );
        assert!(!failure.is_missing(), "it is not the object that is missing");
    }

    #[test]
    fn retry_after_is_honoured_where_a_retry_helps() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().expect("a value"));
        let retry = |status| answer(status, "", "", &headers).error.retry();
        assert_eq!(retry(503), Retry::After(Duration::from_secs(7)));
        assert_eq!(retry(429), Retry::After(Duration::from_secs(7)));
        assert_eq!(retry(403), Retry::Never);
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        headers.insert(RETRY_AFTER, soon.parse().expect("a value"));
        let Retry::After(pause) = answer(503, "", "", &headers).error.retry() else {
            panic!("a date counts too")
        };
        assert!((85..=90).contains(&pause.as_secs()), "{pause:?}");
    }

    #[test]
    fn an_answer_that_is_no_json_is_told_in_part() {
        let page = "<html>".repeat(200);
        let error = from_answer(StatusCode::BAD_GATEWAY, &HeaderMap::new(), page.as_bytes(), "b").error;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("<html>") && error.to_string().len() < 600);
    }
}
