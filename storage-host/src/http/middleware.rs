//! What every request goes through, whichever route it takes: ids, limits, a span, panics, error bodies.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::header::{CONTENT_TYPE, EXPECT, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use storage_core::{Error, ErrorKind, correlation};
use tracing::Instrument as _;
use uuid::Uuid;

use super::body::{DrainedBody, PacedBody};
use super::error::{Code, Problem, ProblemBody};
use super::state::HttpState;
use crate::service::LINK_PATH;
use crate::telemetry;

/// `X-Request-Id`: the client's where it is sane, and in every answer.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `X-Correlation-Id`: ties together the requests of one piece of work; the request's id where absent.
const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// The longest path and query, in bytes.
const MAX_URI_BYTES: usize = 8 * 1024;
/// The most that names and values of all headers take together, in bytes.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The longest head that is taken, in bytes, less what stands between its parts.
pub(super) const MAX_HEAD_BYTES: usize = MAX_URI_BYTES + MAX_HEADER_BYTES;

/// The name of the request under way, for bodies that hold problems within.
#[derive(Clone, Debug)]
pub(super) struct RequestName {
    pub(super) id: String,
    pub(super) instance: String,
}

impl<S: Sync> FromRequestParts<S> for RequestName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::new(Code::Internal))
    }
}

/// The outermost layer.
pub(super) async fn envelope(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = given_id(request.headers(), &X_REQUEST_ID).unwrap_or_else(|| Uuid::now_v7().to_string());
    let correlation_id = given_id(request.headers(), &X_CORRELATION_ID).unwrap_or_else(|| request_id.clone());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let name = RequestName { id: request_id.clone(), instance: instance(&request) };
    let span = telemetry::request_span(
        method.as_str(),
        route.as_deref().unwrap_or("none"),
        &request_id,
        &correlation_id,
    );
    let answered = async {
        let answer = AssertUnwindSafe(answer(&state, request, next, name.clone())).catch_unwind();
        let mut response = correlation::scope(correlation_id.as_str(), answer)
            .await
            .unwrap_or_else(|panic| panicked(panic.as_ref()));
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            log(&problem);
            response = with_body(response, problem.into_body(name.instance, name.id, state.options().debug));
        }
        tracing::debug!(status = response.status().as_u16(), elapsed = ?started.elapsed(), "answered");
        response
    };
    let mut response = answered.instrument(span).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    response
}

async fn answer(state: &HttpState, mut request: Request, next: Next, name: RequestName) -> Response {
    if let Err(problem) = check_size(&request) {
        return problem.into_response();
    }
    request.extensions_mut().insert(name);
    let idle_timeout = state.options().http.idle_timeout;
    // A stream of HTTP/2 can be ended alone; who asks before he sends learns the answer without having sent anything.
    let drains = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
    let request = request.map(|body| {
        // Most requests have none, and nothing to be waited for.
        if body.is_end_stream() {
            return body;
        }
        let paced = Body::new(PacedBody::new(body, idle_timeout));
        if drains { Body::new(DrainedBody::new(paced)) } else { paced }
    });
    next.run(request).await
}

fn check_size(request: &Request) -> Result<(), Problem> {
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if uri > MAX_URI_BYTES {
        let detail = format!("path and query are {uri} bytes long; at most {MAX_URI_BYTES} are taken");
        return Err(Problem::new(Code::UriTooLong).detail(detail));
    }
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MAX_HEADER_BYTES {
        let detail = format!("the headers are {headers} bytes long; at most {MAX_HEADER_BYTES} are taken");
        return Err(Problem::new(Code::HeadersTooLarge).detail(detail));
    }
    Ok(())
}

/// An id that the client gave, where it can be written to logs and headers as it is.
fn given_id(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let sane = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (!text.is_empty() && text.len() <= 128 && text.chars().all(sane)).then(|| text.to_owned())
}

fn instance(request: &Request) -> String {
    match request.uri().path() {
        path if path.starts_with(LINK_PATH) => LINK_PATH.to_owned(),
        path => path.to_owned(),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let error = Error::new(ErrorKind::Internal, format!("a handler panicked: {message}"));
    Problem::from(error).into_response()
}

/// Logs a problem, once, as loudly as it deserves: the operator's at `error`, those that pass at `warn`,
/// the client's at `debug`.
pub(super) fn log(problem: &Problem) {
    let (code, status) = (problem.code(), problem.code().status());
    let (name, error) = (code.name(), problem.report());
    match status {
        StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::INSUFFICIENT_STORAGE
        | StatusCode::TOO_MANY_REQUESTS => tracing::warn!(code = name, error, "a request was refused"),
        _ if code.is_explained() => tracing::debug!(code = name, error, "a request was refused"),
        _ => tracing::error!(code = name, error, "a request failed"),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the body is used up")]
fn with_body(response: Response, body: ProblemBody) -> Response {
    let (mut parts, _) = response.into_parts();
    // Strings, numbers and maps of strings always become JSON.
    let json = serde_json::to_vec(&body).unwrap_or_default();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_that_can_be_logged_as_they_are_are_taken() {
        let id = |text: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(text).expect("a header value"));
            given_id(&headers, &X_REQUEST_ID)
        };
        assert_eq!(id(b"a-1_b.c:d").as_deref(), Some("a-1_b.c:d"));
        for text in [&b""[..], b"a b", b"a\"b", "ä".as_bytes(), &[b'a'; 129]] {
            assert_eq!(id(text), None);
        }
    }

    #[test]
    fn long_uris_and_headers_are_refused() {
        let long = "x".repeat(MAX_HEADER_BYTES);
        let request = Request::builder().uri(format!("/{}", &long[..MAX_URI_BYTES])).body(Body::empty());
        let problem = check_size(&request.expect("a request")).expect_err("too long");
        assert_eq!(problem.code(), Code::UriTooLong);
        let request = Request::builder().header("x", &long).body(Body::empty());
        let problem = check_size(&request.expect("a request")).expect_err("too large");
        assert_eq!(problem.code(), Code::HeadersTooLarge);
    }

    #[test]
    fn a_links_token_is_not_repeated() {
        let request = Request::builder().uri("/v1/links/secret?x=1").body(Body::empty()).expect("a request");
        assert_eq!(instance(&request), "/v1/links/");
    }
}
