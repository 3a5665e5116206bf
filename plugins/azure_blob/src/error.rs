//! The one table from Azure's error codes to kinds of fault, and from faults of the connection.

use std::time::Duration;

use azure_core::headers::{HeaderName, Headers};
use storage_core::{Error, ErrorKind, Retry};

/// What a code means: the kind, whether a retry may help, and what to do about it.
type Row = (ErrorKind, Retry, &'static str);

/// The fact of an error by which the service got nothing of the request.
const NOT_SENT: (&str, &str) = ("request", "not sent");

const NEVER: Retry = Retry::Never;
const MAY: Retry = Retry::May;

/// The error of an answer that is none of success. `body` is what was sent with it, as far as it was read.
pub(crate) fn from_answer(status: u16, headers: &Headers, body: &[u8]) -> Error {
    let header = |name: &'static str| headers.get_optional_str(&HeaderName::from_static(name));
    let text = String::from_utf8_lossy(body);
    let code = header("x-ms-error-code").map(str::to_owned).or_else(|| element(&text, "Code"));
    let code = code.unwrap_or_default();
    // The first line; the others repeat the request's id and the time.
    let words = element(&text, "Message");
    let words = words.as_deref().and_then(|words| words.lines().next()).unwrap_or_default().trim();
    // The emulator has one code for a wrong signature and for a missing permission, and only the words differ.
    let unproven = code == "AuthorizationFailure" && words.starts_with("Server failed to authenticate");
    let (kind, retry, advice) = classify(status, if unproven { "AuthenticationFailed" } else { &code });
    let retry = match (retry, header("retry-after").and_then(|text| text.parse().ok())) {
        (Retry::May, Some(seconds)) => Retry::After(Duration::from_secs(seconds)),
        (retry, _) => retry,
    };
    let said = if words.is_empty() { plain(status) } else { lowercase_phrase(words) };
    let message = match advice {
        "" => said,
        advice => format!("{said}: {advice}"),
    };
    let mut error = Error::new(kind, message).with_retry(retry).with_context("status", status);
    if !code.is_empty() {
        error = error.with_context("code", &code);
    }
    if let Some(id) = header("x-ms-request-id") {
        error = error.with_context("request_id", id);
    }
    if let Some(reason) = element(&text, "AuthenticationErrorDetail") {
        // It may quote the whole text that was signed, over many lines; what is wrong stands in the first.
        let line: String = reason.lines().next().unwrap_or_default().chars().take(300).collect();
        error = error.with_context("detail", line);
    }
    error
}

/// The table. What is not in it goes by its status.
fn classify(status: u16, code: &str) -> Row {
    use ErrorKind as Kind;
    if status == 304 {
        // It has the code of a condition that failed.
        return by_status(status);
    }
    match code {
        "BlobNotFound" | "ResourceNotFound" => (Kind::NotFound, NEVER, ""),
        // It is a 404, but of what was configured and not of what was asked for.
        "ContainerNotFound" => (Kind::ConfigInvalid, NEVER, "the container does not exist"),
        "ContainerBeingDeleted" | "ContainerDisabled" => (Kind::Unavailable, MAY, ""),
        "BlobAlreadyExists" | "UnauthorizedBlobOverwrite" => (Kind::AlreadyExists, NEVER, ""),
        "ConditionNotMet" | "TargetConditionNotMet" | "SourceConditionNotMet" | "CopyIdMismatch" => {
            (Kind::PreconditionFailed, NEVER, "")
        }
        "InvalidRange" => (Kind::RangeNotSatisfiable, NEVER, ""),
        "BlobArchived" | "BlobBeingRehydrated" => (
            Kind::ObjectArchived,
            NEVER,
            "it must be brought back first: ask for its restore, which takes up to 15 hours",
        ),
        "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" | "ImmutableDueToLegalHold" => {
            (Kind::ObjectLocked, NEVER, "")
        }
        // Somebody holds the blob against changes.
        "LeaseIdMissing" | "LeaseIdMismatchWithBlobOperation" | "LeaseLost" => {
            (Kind::ObjectLocked, NEVER, "another program holds a lease on it")
        }
        "LeaseAlreadyPresent" | "LeaseIsBreakingAndCannotBeAcquired" | "PendingCopyOperation" => {
            (Kind::Conflict, MAY, "")
        }
        // Another writer of the same name finished meanwhile, and Azure dropped the blocks that waited.
        "InvalidBlockList" => (Kind::Conflict, MAY, "another writer of this object finished meanwhile"),
        "InvalidBlobOrBlock" => (
            Kind::Conflict,
            NEVER,
            "another program left blocks of another form under this name; delete the object, or wait a week until \
             Azure forgets them",
        ),
        // The signature is right or wrong; the permissions do not matter yet.
        "AuthenticationFailed" | "NoAuthenticationInformation" | "InvalidAuthenticationInfo" => (
            Kind::Unauthenticated,
            NEVER,
            "check AZURE_ACCOUNT_KEY, AZURE_SAS_TOKEN or AZURE_CONNECTION_STRING and the clock of this machine, which \
             may be 15 minutes off at most",
        ),
        "KeyBasedAuthenticationNotPermitted" => (
            Kind::PermissionDenied,
            NEVER,
            "the account refuses keys; sign in with Entra ID (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET)",
        ),
        "AuthorizationPermissionMismatch" => (
            Kind::PermissionDenied,
            NEVER,
            "the identity lacks a role such as Storage Blob Data Contributor, or the signature a permission",
        ),
        "AuthorizationSourceIPMismatch" | "IpAuthorizationError" => (
            Kind::PermissionDenied,
            NEVER,
            "the signature or the account's firewall does not allow this address",
        ),
        "AuthorizationProtocolMismatch" => {
            (Kind::PermissionDenied, NEVER, "the signature allows https only; check AZURE_ENDPOINT_URL")
        }
        "AuthorizationFailure"
        | "AuthorizationServiceMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "InsufficientAccountPermissions"
        | "UnauthorizedOperation"
        | "AccountIsDisabled"
        | "PublicAccessNotPermitted" => (Kind::PermissionDenied, NEVER, ""),
        "ServerBusy" | "TooManyRequests" | "IngressExceedsAccountLimit" | "EgressExceedsAccountLimit" => {
            (Kind::RateLimited, MAY, "")
        }
        "OperationTimedOut" | "RequestTimeout" => (Kind::Timeout, MAY, ""),
        "InternalError" | "ServiceUnavailable" => (Kind::Unavailable, MAY, ""),
        // The bytes that came were not those that were sent: the way spoilt them, and the next try need not.
        "Md5Mismatch" | "Crc64Mismatch" => {
            (Kind::ChecksumMismatch, MAY, "the bytes were damaged on their way")
        }
        "RequestBodyTooLarge" | "MetadataTooLarge" | "BlockCountExceedsLimit" | "BlockListTooLong" => {
            (Kind::TooLarge, NEVER, "")
        }
        "InvalidResourceName" | "InvalidUri" => {
            (Kind::InvalidKey, NEVER, "Azure takes names of 1024 characters and 254 segments at most")
        }
        "AccountBeingCreated" => (Kind::Unavailable, MAY, ""),
        "BlobTierInadequateForContentLength"
        | "InvalidBlobTier"
        | "BlobAccessTierNotSupportedForAccountType"
        | "AccessTierNotSupportedForBlobType"
        | "FeatureVersionMismatch"
        | "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"
        | "NotImplemented" => (Kind::Unsupported, NEVER, "the account does not have this"),
        _ => by_status(status),
    }
}

fn by_status(status: u16) -> Row {
    use ErrorKind as Kind;
    match status {
        304 => (Kind::NotModified, NEVER, ""),
        401 => (Kind::Unauthenticated, NEVER, ""),
        403 => (Kind::PermissionDenied, NEVER, ""),
        404 => (Kind::NotFound, NEVER, ""),
        408 => (Kind::Timeout, MAY, ""),
        409 => (Kind::Conflict, NEVER, ""),
        412 => (Kind::PreconditionFailed, NEVER, ""),
        413 => (Kind::TooLarge, NEVER, ""),
        416 => (Kind::RangeNotSatisfiable, NEVER, ""),
        429 => (Kind::RateLimited, MAY, ""),
        501 => (Kind::Unsupported, NEVER, "the server does not have this"),
        300..=399 => (Kind::ConfigInvalid, NEVER, "this is no blob service; check AZURE_ENDPOINT_URL"),
        400..=499 => (Kind::InvalidArgument, NEVER, ""),
        _ => (Kind::Unavailable, MAY, ""),
    }
}

fn plain(status: u16) -> String {
    match status {
        304 => "the object has not changed".to_owned(),
        404 => "there is no such object".to_owned(),
        412 => "the object does not satisfy the condition".to_owned(),
        416 => "the range is not within the object".to_owned(),
        status => format!("the service answered {status}"),
    }
}

/// The provider's words in the form of our messages.
fn lowercase_phrase(words: &str) -> String {
    let words = words.trim_end_matches('.');
    let mut characters = words.chars();
    match characters.next() {
        // An abbreviation (XML, MD5) stays as it is.
        Some(first) if !characters.as_str().starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()) => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => format!("the service says: {words}"),
    }
}

/// The text of an element of a small XML document.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

/// The error of a connection that could not be made, broke or was too slow. Without the URL, which may be signed.
pub(crate) fn from_transport(error: reqwest_azure::Error) -> Error {
    let error = error.without_url();
    let causes = causes(&error);
    let (kind, retry, message) = if causes.iter().any(|cause| cause.contains("invalid peer certificate")) {
        let message = "the server's certificate is not trusted: name the authority's in AZURE_CA_FILE, or check \
                       AZURE_ENDPOINT_URL";
        (ErrorKind::ConfigInvalid, NEVER, message)
    } else if error.is_connect() && !error.is_timeout() {
        (ErrorKind::Unavailable, MAY, "the blob service cannot be reached")
    } else if error.is_timeout() {
        (ErrorKind::Timeout, MAY, "the blob service did not answer in time")
    } else if error.is_builder() {
        (ErrorKind::InvalidArgument, NEVER, "the request cannot be made")
    } else {
        (ErrorKind::Unavailable, MAY, "the connection to the blob service broke")
    };
    let is_sent = !error.is_connect();
    let told = Error::new(kind, message).with_retry(retry).with_source(error);
    if is_sent { told } else { told.with_context(NOT_SENT.0, NOT_SENT.1) }
}

/// The error of a write under a condition, or of a delete. Where it may have taken effect all the same, it must not be
/// made again: it would meet its own first attempt, and take that for somebody else's.
pub(crate) fn of_conditional(error: Error) -> Error {
    if !may_have_taken_effect(&error) {
        return error;
    }
    error.with_retry(NEVER).with_context("outcome", "it is not known whether it took effect")
}

/// There was no answer, or one of a service that failed midway. One that asks for fewer requests did nothing.
fn may_have_taken_effect(error: &Error) -> bool {
    let did_nothing = |fact: (&str, &str)| match fact {
        ("code", code) => {
            matches!(code, "ContainerBeingDeleted" | "ContainerDisabled" | "AccountBeingCreated")
        }
        fact => fact == NOT_SENT,
    };
    error.retry().is_allowed()
        && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
        && !error.context().any(did_nothing)
}

/// The service was silent for too long.
pub(crate) fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "the blob service did not answer in time").with_retry(MAY)
}

fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

/// The error of a call that went through the SDK: what we put in on its way down, or what it says itself.
pub(crate) fn from_sdk(error: azure_core::Error) -> Error {
    let error = match error.into_downcast::<Error>() {
        Ok(ours) => return ours,
        Err(error) => error,
    };
    match error.kind() {
        azure_core::error::ErrorKind::HttpResponse { status, error_code } => {
            let status = *status as u16;
            let code = error_code.clone().unwrap_or_default();
            let (kind, retry, advice) = classify(status, &code);
            let words = error.as_http_error().and_then(|http| http.error_message().map(str::to_owned));
            let words = words.as_deref().and_then(|words| words.lines().next());
            let said = words.map_or_else(|| plain(status), lowercase_phrase);
            let message = if advice.is_empty() { said } else { format!("{said}: {advice}") };
            Error::new(kind, message)
                .with_retry(retry)
                .with_context("status", status)
                .with_context("code", code)
        }
        azure_core::error::ErrorKind::Credential => credential(&error),
        _ => Error::new(ErrorKind::Internal, "the SDK failed").with_context("reason", summary(&error)),
    }
}

/// Why there is no token. A connection that failed on the way is told as that.
fn credential(error: &azure_core::Error) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            let message = format!("no token of Entra ID could be fetched: {}", ours.message());
            let told = Error::new(ours.kind(), message).with_retry(ours.retry());
            return ours
                .context()
                .fold(told, |told, (name, value)| told.with_context(name.to_owned(), value));
        }
        next = cause.source();
    }
    Error::new(
        ErrorKind::Unauthenticated,
        "no token of Entra ID could be fetched: check AZURE_TENANT_ID, AZURE_CLIENT_ID and what proves the identity",
    )
    .with_context("reason", summary(error))
}

/// Entra ID's answer to who asks for a token, if it is none.
pub(crate) fn from_authority(status: u16, body: &[u8]) -> Error {
    let words = serde_json::from_slice::<serde_json::Value>(body).ok();
    let words = words.as_ref().and_then(|body| body["error_description"].as_str()).unwrap_or_default();
    let words: String = words.lines().next().unwrap_or_default().chars().take(400).collect();
    let error = match status {
        429 => Error::new(ErrorKind::RateLimited, "too many were asked for").with_retry(MAY),
        500.. => Error::new(ErrorKind::Unavailable, "it cannot serve now").with_retry(MAY),
        _ => Error::new(
            ErrorKind::Unauthenticated,
            "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE",
        ),
    };
    let error = error.with_context("status", status);
    if words.is_empty() { error } else { error.with_context("reason", words) }
}

/// An error and its causes in one line of bounded length.
fn summary(error: &azure_core::Error) -> String {
    let mut parts = vec![error.to_string()];
    parts.extend(causes(error));
    parts.dedup();
    parts.join(": ").replace(['\r', '\n'], " ").chars().take(600).collect()
}

/// There is no such object, version or upload.
pub(crate) fn not_found(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no such {what}"))
}

/// The provider's answer lacks what its documentation promises.
pub(crate) fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the service's answer has no usable {what}")).with_retry(MAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &'static str, extra: &[(&'static str, &'static str)]) -> Error {
        let mut headers = Headers::new();
        if !code.is_empty() {
            headers.insert("x-ms-error-code", code);
        }
        for (name, value) in extra {
            headers.insert(*name, *value);
        }
        from_answer(status, &headers, b"")
    }

    #[test]
    fn codes_have_their_kind_and_retry() {
        use ErrorKind as Kind;
        for (status, code, kind, retry) in [
            (404, "BlobNotFound", Kind::NotFound, NEVER),
            (404, "ContainerNotFound", Kind::ConfigInvalid, NEVER),
            (409, "BlobAlreadyExists", Kind::AlreadyExists, NEVER),
            (412, "ConditionNotMet", Kind::PreconditionFailed, NEVER),
            (409, "BlobArchived", Kind::ObjectArchived, NEVER),
            (409, "BlobImmutableDueToPolicy", Kind::ObjectLocked, NEVER),
            (400, "InvalidBlockList", Kind::Conflict, MAY),
            (403, "AuthenticationFailed", Kind::Unauthenticated, NEVER),
            (403, "AuthorizationPermissionMismatch", Kind::PermissionDenied, NEVER),
            (503, "ServerBusy", Kind::RateLimited, MAY),
            (500, "OperationTimedOut", Kind::Timeout, MAY),
            (500, "InternalError", Kind::Unavailable, MAY),
            (400, "Md5Mismatch", Kind::ChecksumMismatch, MAY),
            (413, "RequestBodyTooLarge", Kind::TooLarge, NEVER),
            (304, "ConditionNotMet", Kind::NotModified, NEVER),
            (502, "", Kind::Unavailable, MAY),
            (400, "SomethingNew", Kind::InvalidArgument, NEVER),
        ] {
            let error = answer(status, code, &[]);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {code}");
        }
    }

    #[test]
    fn the_pause_that_the_service_names_is_kept() {
        let error = answer(503, "ServerBusy", &[("retry-after", "7"), ("x-ms-request-id", "abc")]);
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(7)));
        assert!(error.context().any(|fact| fact == ("request_id", "abc")));
        assert_eq!(answer(404, "BlobNotFound", &[("retry-after", "7")]).retry(), NEVER);
    }

    #[test]
    fn the_services_words_are_kept_in_our_form() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code><Message>The server is busy.\nRequestId:1\n\
                     Time:2</Message></Error>";
        let error = from_answer(503, &Headers::new(), body);
        assert_eq!(error.message(), "the server is busy");
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(lowercase_phrase("XML is wrong."), "the service says: XML is wrong");
    }

    #[test]
    fn what_may_have_been_done_under_a_condition_is_not_to_be_made_again() {
        for (status, code) in
            [(503, "ServerBusy"), (429, ""), (409, "ContainerBeingDeleted"), (400, "Md5Mismatch")]
        {
            assert_eq!(of_conditional(answer(status, code, &[])).retry(), MAY, "{status} {code}");
        }
        for (status, code) in [(500, "OperationTimedOut"), (500, "InternalError"), (502, ""), (504, "")] {
            let error = of_conditional(answer(status, code, &[("retry-after", "1")]));
            assert_eq!(error.retry(), NEVER, "{status} {code}");
            assert!(error.to_string().contains("not known whether it took effect"), "{error}");
        }
        assert_eq!(of_conditional(timed_out()).retry(), NEVER);
    }

    #[tokio::test]
    async fn a_connection_that_was_not_made_took_no_request() {
        let refused = reqwest_azure::get("http://127.0.0.1:1/").await.expect_err("nobody answers");
        let error = of_conditional(from_transport(refused));
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, MAY), "{error}");
    }
}
