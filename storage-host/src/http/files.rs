//! Files as such: list, describe, delete, copy, link.

#![allow(unused_qualifications, reason = "the macro that describes routes qualifies what it generates")]

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::error::{Code, Problem, ProblemBody};
use super::extract::{self, NoQuery, Path, UrlQuery};
use super::headers::condition::Conditions;
use super::model::{FileBody, FileListBody, LinkBody};
use super::openapi::Problems;
use super::state::HttpState;
use super::upload::{created, described};
use crate::catalog::{FileId, FileQuery, FileVersionId, SortBy};
use crate::service::{CopyFileOptions, DeleteFileOptions, LinkOptions};

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(describe, remove))
        .routes(routes!(copy))
        .routes(routes!(link))
}

/// The file that a path names.
#[derive(Debug, Deserialize)]
pub(super) struct FilePath {
    pub(super) id: FileId,
}

/// A version that a query names.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionQuery {
    /// The version; the current one where absent.
    #[param(value_type = Option<uuid::Uuid>)]
    version: Option<FileVersionId>,
}

const DEFAULT_LIMIT: u32 = 100;

/// Which files to list, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only files whose name starts with this text.
    #[serde(default)]
    prefix: String,
    /// By what to sort.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// In which direction.
    #[serde(default)]
    #[param(inline)]
    order: Order,
    /// `next_cursor` of the page before; everything else must be as it was there.
    cursor: Option<String>,
    /// The most files to answer: 1 to 1,000, 100 where absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    CreatedAt,
    UpdatedAt,
    Filename,
    Size,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Asc,
    Desc,
}

impl From<Sort> for SortBy {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::CreatedAt => SortBy::CreatedAt,
            Sort::UpdatedAt => SortBy::UpdatedAt,
            Sort::Filename => SortBy::Filename,
            Sort::Size => SortBy::Size,
        }
    }
}

/// Lists the user's files, a page at a time.
#[utoipa::path(
    get, path = "/v1/files", tag = "files",
    params(ListQuery),
    responses((status = 200, description = "A page of files", body = FileListBody), Problems),
)]
async fn list(caller: Caller, UrlQuery(query): UrlQuery<ListQuery>) -> Result<Json<FileListBody>, Problem> {
    let query = FileQuery {
        filename_prefix: query.prefix,
        sort: query.sort.into(),
        descending: query.order == Order::Desc,
        cursor: query.cursor,
        limit: query.limit.unwrap_or(DEFAULT_LIMIT),
    };
    Ok(Json(caller.service.list(&caller.user, query).await?.into()))
}

/// Describes a file.
#[utoipa::path(
    get, path = "/v1/files/{id}", tag = "files",
    params(("id" = uuid::Uuid, Path, description = "the file"), VersionQuery),
    responses(
        (status = 200, description = "The file", body = FileBody),
        (status = 404, description = "The user has no such file", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn describe(
    caller: Caller,
    Path(path): Path<FilePath>,
    UrlQuery(query): UrlQuery<VersionQuery>,
) -> Result<Response, Problem> {
    let info = caller.service.metadata(path.id, &caller.user, query.version).await?;
    Ok(described(StatusCode::OK, info, None))
}

/// Deletes a file with all its versions.
#[utoipa::path(
    delete, path = "/v1/files/{id}", tag = "files",
    params(
        ("id" = uuid::Uuid, Path, description = "the file"),
        ("If-Match" = Option<String>, Header, description = "deletes only where the content has this tag"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "The user has no such file", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The condition does not hold; nothing was deleted", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn remove(
    caller: Caller,
    Path(path): Path<FilePath>,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let conditions = Conditions::from_headers(&headers)?;
    let mut options = DeleteFileOptions::default();
    if !conditions.is_empty() {
        let current = caller.service.metadata(path.id, &caller.user, None).await?;
        conditions.check_write(&current)?;
        // Another version may be made meanwhile: the catalog decides.
        options.if_current = conditions.names_state().then_some(current.version);
    }
    if caller.service.delete_with(path.id, &caller.user, options).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(Code::NotFound))
}

/// How to copy a file.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CopyRequest {
    /// The version to copy; the current one where absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    version: Option<FileVersionId>,
    /// The name of the copy; that of the original where absent.
    filename: Option<String>,
    /// The metadata of the copy; those of the original where absent.
    metadata: Option<BTreeMap<String, String>>,
}

/// Copies a file of the user to a new one.
#[utoipa::path(
    post, path = "/v1/files/{id}/copy", tag = "files",
    params(("id" = uuid::Uuid, Path, description = "the file")),
    request_body(content = ref("#/components/schemas/CopyRequest"), content_type = "application/json", description = "May be empty"),
    responses(
        (status = 201, description = "The copy", body = FileBody, headers(("Location" = String, description = "the path of the copy"))),
        (status = 404, description = "The user has no such file", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn copy(
    caller: Caller,
    Path(path): Path<FilePath>,
    _: NoQuery,
    extract::Json(request): extract::Json<CopyRequest>,
) -> Result<Response, Problem> {
    let CopyRequest { version, filename, metadata } = request;
    let options = CopyFileOptions { version, filename, metadata };
    let copied = caller.service.copy(path.id, &caller.user, options).await;
    Ok(created(copied.map_err(Problem::of_stored_content)?))
}

/// What a download link is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LinkRequest {
    /// How long it works, in seconds; the configured time where absent.
    #[schema(example = 3600)]
    expires_in_seconds: Option<u64>,
    /// The version; where absent, the one that is current now.
    #[schema(value_type = Option<uuid::Uuid>)]
    version: Option<FileVersionId>,
    /// Whether a browser shows the file instead of saving it.
    inline: bool,
}

/// Makes a link that downloads one version of the file without further credentials.
#[utoipa::path(
    post, path = "/v1/files/{id}/download-link", tag = "files",
    params(("id" = uuid::Uuid, Path, description = "the file")),
    request_body(content = ref("#/components/schemas/LinkRequest"), content_type = "application/json", description = "May be empty"),
    responses(
        (status = 200, description = "The link. Treat it as a secret", body = LinkBody),
        (status = 404, description = "The user has no such file", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn link(
    caller: Caller,
    Path(path): Path<FilePath>,
    _: NoQuery,
    extract::Json(request): extract::Json<LinkRequest>,
) -> Result<Response, Problem> {
    let LinkRequest { expires_in_seconds, version, inline } = request;
    let options = LinkOptions { expires_in: expires_in_seconds.map(Duration::from_secs), version, inline };
    let link = caller.service.get_download_url_with(path.id, &caller.user, options).await?;
    const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];
    Ok((NO_STORE, Json(LinkBody::from(link))).into_response())
}
