//! Signed links: `GET /v1/links/{token}`. The token is the only credential, and it only ever reads.

use axum::extract::State;
use axum::response::Response;
use http::{Extensions, HeaderMap};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth;
use super::content::{Source, answer};
use super::error::{Problem, ProblemBody};
use super::extract::Path;
use super::openapi::Problems;
use super::state::HttpState;
use crate::service::Actor;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(read, head))
}

#[derive(Deserialize)]
struct LinkPath {
    token: String,
}

/// Downloads what a link names.
///
/// Ranges and conditions work as for the content of a file. An expired link answers 403 `link_expired`; one that
/// was altered, or signed by nobody here, 403 `link_invalid`.
#[utoipa::path(
    get, path = "/v1/links/{token}", tag = "links", security(()),
    params(("token" = String, Path, description = "the token that `download-link` made")),
    responses(
        (status = 200, description = "The content", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "A part of the content", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it"),
        (status = 403, description = "The link has expired or is not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The file was deleted", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn read(
    State(state): State<HttpState>,
    Path(path): Path<LinkPath>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&source(&state, path, &extensions), &headers, true).await
}

/// Describes what a link names in the headers of `GET`.
#[utoipa::path(
    head, path = "/v1/links/{token}", tag = "links", security(()),
    params(("token" = String, Path, description = "the token that `download-link` made")),
    responses(
        (status = 200, description = "The headers of the content"),
        (status = 304, description = "The client has it"),
        (status = 403, description = "The link has expired or is not valid"),
        Problems,
    ),
)]
async fn head(
    State(state): State<HttpState>,
    Path(path): Path<LinkPath>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&source(&state, path, &extensions), &headers, false).await
}

fn source(state: &HttpState, path: LinkPath, extensions: &Extensions) -> Source {
    let actor = Actor { name: "link".to_owned(), remote: auth::remote(extensions) };
    Source::Link { service: state.service().with_actor(actor), token: path.token }
}
