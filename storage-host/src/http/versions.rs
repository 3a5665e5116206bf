//! The versions of a file: list, bring back, delete.

use axum::Json;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::error::{Code, Problem, ProblemBody};
use super::extract::{NoQuery, Path};
use super::files::FilePath;
use super::headers::condition::Conditions;
use super::model::{FileBody, VersionListBody};
use super::openapi::Problems;
use super::state::HttpState;
use super::upload::described;
use crate::catalog::{FileId, FileVersionId};

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(restore)).routes(routes!(remove))
}

/// The version that a path names.
#[derive(Debug, Deserialize)]
struct VersionPath {
    id: FileId,
    version: FileVersionId,
}

/// Lists every version of a file, newest first.
#[utoipa::path(
    get, path = "/v1/files/{id}/versions", tag = "versions",
    params(("id" = uuid::Uuid, Path, description = "the file")),
    responses(
        (status = 200, description = "The versions", body = VersionListBody),
        (status = 404, description = "The user has no such file", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn list(
    caller: Caller,
    Path(path): Path<FilePath>,
    _: NoQuery,
) -> Result<Json<VersionListBody>, Problem> {
    let versions = caller.service.versions(path.id, &caller.user).await?;
    Ok(Json(VersionListBody { versions: versions.into_iter().map(FileBody::from).collect() }))
}

/// Makes the content of a former version the current one, as a new version.
#[utoipa::path(
    post, path = "/v1/files/{id}/versions/{version}/restore", tag = "versions",
    params(("id" = uuid::Uuid, Path, description = "the file"), ("version" = uuid::Uuid, Path, description = "the version")),
    responses(
        (status = 200, description = "The file as it is now", body = FileBody),
        (status = 404, description = "The user has no such file or version", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn restore(caller: Caller, Path(path): Path<VersionPath>, _: NoQuery) -> Result<Response, Problem> {
    let restored = caller.service.restore_version(path.id, &caller.user, path.version).await;
    Ok(described(StatusCode::OK, restored.map_err(Problem::of_stored_content)?, None))
}

/// Deletes a version that is not the current one.
#[utoipa::path(
    delete, path = "/v1/files/{id}/versions/{version}", tag = "versions",
    params(
        ("id" = uuid::Uuid, Path, description = "the file"), ("version" = uuid::Uuid, Path, description = "the version"),
        ("If-Match" = Option<String>, Header, description = "deletes only where the version has this tag"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "It is the current version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The condition does not hold; nothing was deleted", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The user has no such file or version", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn remove(
    caller: Caller,
    Path(path): Path<VersionPath>,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let conditions = Conditions::from_headers(&headers)?;
    if !conditions.is_empty() {
        // A version never changes, so that this holds until it is deleted.
        conditions.check_write(&caller.service.metadata(path.id, &caller.user, Some(path.version)).await?)?;
    }
    if caller.service.delete_version(path.id, &caller.user, path.version).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(Code::NotFound))
}
