//! Extractors whose refusals are problems that name the part of the request that is wrong.

use axum::extract::path::ErrorKind as PathErrorKind;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::body::read_problem;
use super::error::{Code, Problem};

/// Parameters of the path.
pub(super) struct Path<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extracted = axum::extract::Path::from_request_parts(parts, state).await;
        extracted.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| path_problem(&rejection))
    }
}

fn path_problem(rejection: &PathRejection) -> Problem {
    let PathRejection::FailedToDeserializePathParams(error) = rejection else {
        return Problem::new(Code::Internal);
    };
    match error.kind() {
        PathErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            Problem::invalid(key, format!("is not a {expected_type}"))
        }
        PathErrorKind::DeserializeError { key, message, .. } => Problem::invalid(key, message),
        PathErrorKind::InvalidUtf8InPathParam { key } => Problem::invalid(key, "is not UTF-8"),
        other => Problem::invalid("path", other.to_string()),
    }
}

/// Parameters of the query.
pub(super) struct UrlQuery<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for UrlQuery<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        refuse_other_text(parts.uri.query().unwrap_or_default())?;
        let extracted = axum::extract::Query::from_request_parts(parts, state).await;
        extracted
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| named("query", &rejection.body_text()))
    }
}

/// Text that is not UTF-8 would be taken with other characters in its place, and a file saved under another name.
fn refuse_other_text(query: &str) -> Result<(), Problem> {
    for pair in query.split('&') {
        if percent_encoding::percent_decode_str(pair).decode_utf8().is_err() {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            return Err(Problem::invalid(name, "is not UTF-8 when it is decoded"));
        }
    }
    Ok(())
}

/// A query without parameters: a route that takes none must not pass over one that a client believes in.
pub(super) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        let UrlQuery(Nothing {}) = UrlQuery::from_request_parts(parts, state).await?;
        Ok(Self)
    }
}

/// A body of JSON. One that is empty is the default, so that a body without content need not be sent.
pub(super) struct Json<T>(pub(super) T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        use axum::body::HttpBody as _;
        if request.body().size_hint().exact() == Some(0) {
            return Ok(Self(T::default()));
        }
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::BytesRejection(rejection))
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE =>
            {
                Err(Problem::new(Code::TooLarge).detail("the body is larger than this route takes"))
            }
            Err(JsonRejection::BytesRejection(rejection)) => Err(read_problem(&rejection)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Problem::new(Code::UnsupportedMediaType).detail("send Content-Type: application/json"))
            }
            Err(rejection) => Err(named("body", &rejection.body_text())),
        }
    }
}

/// The problem for a text of the form `Failed to …: FIELD: MESSAGE`, as the path to the faulty field is told.
fn named(place: &str, text: &str) -> Problem {
    let fault = text.split_once(": ").map_or(text, |(_, fault)| fault);
    match fault.split_once(": ") {
        Some((field, message)) if !field.contains(' ') => Problem::invalid(field, message),
        _ => Problem::invalid(place, fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use storage_core::Result;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Input {
        limit: Option<u32>,
    }

    async fn json(body: &'static str, content_type: &str) -> Result<Input, Problem> {
        let request = Request::builder()
            .header("content-type", content_type)
            .body(Body::from(body))
            .expect("a request");
        Json::from_request(request, &()).await.map(|Json(input)| input)
    }

    #[tokio::test]
    async fn a_faulty_body_names_the_field() {
        assert_eq!(json("{\"limit\": 3}", "application/json").await.expect("sound").limit, Some(3));
        assert_eq!(json("", "text/plain").await.expect("empty").limit, None);
        for (body, told) in [
            ("{\"limit\": \"x\"}", "limit: "),
            ("{\"limits\": 3}", "unknown field `limits`"),
            ("{", "body: EOF"),
        ] {
            let problem = json(body, "application/json").await.expect_err(body);
            assert_eq!(problem.code(), Code::InvalidRequest);
            let detail = problem.report().expect("a detail");
            assert!(detail.contains(told), "{detail}");
        }
        let problem = json("{}", "text/plain").await.expect_err("no JSON");
        assert_eq!(problem.code(), Code::UnsupportedMediaType);
    }

    #[tokio::test]
    async fn a_faulty_query_names_the_parameter() {
        for (query, told) in [
            ("limit=x", "limit: invalid digit"),
            ("limits=3", "unknown field `limits`"),
            ("a=%C3%A9&limit=%E9", "limit: is not UTF-8"),
            ("%E9=3", "%E9: is not UTF-8"),
        ] {
            let request = Request::builder().uri(format!("/?{query}")).body(()).expect("a request");
            let mut parts = request.into_parts().0;
            let problem =
                UrlQuery::<Input>::from_request_parts(&mut parts, &()).await.err().expect("refused");
            let detail = problem.report().expect("a detail");
            assert!(detail.contains(told), "{detail}");
        }
    }
}
