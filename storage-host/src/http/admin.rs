//! The routes with which an administrator changes a running service: which backends there are, and which one new
//! files go to. Only keys of the scope `admin` reach them, and those reach no files.

use std::collections::BTreeMap;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage_core::ConfigValues;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Administrator;
use super::error::{Problem, ProblemBody};
use super::extract::{Json as Body, NoQuery, Path};
use super::openapi::Problems;
use super::state::HttpState;
use crate::manager::{BackendStatus, Reloaded};

/// Where values come from that a request sets.
const ORIGIN: &str = "a request of an administrator";

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(list, open))
        .routes(routes!(close))
        .routes(routes!(switch))
        .routes(routes!(reload))
}

/// A backend to be opened.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewBackend)]
#[serde(default, deny_unknown_fields)]
struct NewBackendBody {
    /// Its name.
    #[schema(example = "archive")]
    name: String,
    /// The backend type.
    #[serde(rename = "type")]
    #[schema(example = "sftp")]
    backend_type: String,
    /// Its configuration, by key.
    settings: BTreeMap<String, String>,
}

/// The backend that new files are to go to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewPrimary)]
#[serde(default, deny_unknown_fields)]
struct NewPrimaryBody {
    /// Its name.
    #[schema(example = "archive")]
    backend: String,
}

/// Every backend, by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backends)]
struct BackendsBody {
    /// The backends.
    backends: BTreeMap<String, BackendBody>,
}

/// A backend.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backend)]
struct BackendBody {
    /// The backend type.
    #[serde(rename = "type")]
    #[schema(example = "local")]
    backend_type: String,
    /// `ready`, or `unavailable:` and why.
    #[schema(example = "ready")]
    status: String,
    /// Whether new files go to it.
    is_primary: bool,
}

/// What came of reading the configuration again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reloaded)]
struct ReloadedBody {
    /// The backend that new files go to now.
    primary_backend: String,
    /// Backends that were opened: those that are new, and those with other settings than before.
    opened: Vec<String>,
    /// Backends that did not open yet; they are tried again until they do.
    waiting: Vec<String>,
    /// Backends that the configuration does not name: they are open until the service ends.
    not_configured: Vec<String>,
    /// Other settings that have changed; they count from the next start on.
    after_restart: Vec<String>,
}

impl From<Reloaded> for ReloadedBody {
    fn from(reloaded: Reloaded) -> Self {
        let Reloaded { primary, opened, waiting, not_configured, after_restart } = reloaded;
        Self { primary_backend: primary, opened, waiting, not_configured, after_restart }
    }
}

fn backends(state: &HttpState) -> Json<BackendsBody> {
    let body = |BackendStatus { info, status, is_primary }| BackendBody {
        backend_type: info.backend_type.clone(),
        status,
        is_primary,
    };
    let listed = state.service().manager().list_backends();
    Json(BackendsBody { backends: listed.into_iter().map(|(name, status)| (name, body(status))).collect() })
}

/// Lists the backends.
#[utoipa::path(
    get, path = "/v1/admin/backends", tag = "admin", security(("service_key" = [])),
    responses((status = 200, description = "The backends", body = BackendsBody), Problems),
)]
async fn list(State(state): State<HttpState>, _: NoQuery) -> Json<BackendsBody> {
    backends(&state)
}

/// Opens a further backend, until the service ends.
///
/// Its plugin may have been put into the plugin directory since the service started. New files go to it only once
/// it is made the primary backend. A backend that is to be there after the next start belongs into the configuration.
#[utoipa::path(
    post, path = "/v1/admin/backends", tag = "admin", security(("service_key" = [])),
    request_body = NewBackendBody,
    responses(
        (status = 201, description = "It is open", body = BackendsBody),
        (status = 409, description = "It cannot be opened, or the name is taken; nothing has changed", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn open(
    State(state): State<HttpState>,
    Extension(Administrator(by)): Extension<Administrator>,
    _: NoQuery,
    Body(backend): Body<NewBackendBody>,
) -> Result<(StatusCode, Json<BackendsBody>), Problem> {
    if backend.backend_type.is_empty() {
        return Err(Problem::invalid("type", "is missing"));
    }
    let mut values = ConfigValues::new();
    for (key, text) in backend.settings {
        values.set(key, text, ORIGIN);
    }
    tracing::info!(
        by,
        backend = backend.name,
        backend_type = backend.backend_type,
        "a backend is to be opened"
    );
    let opened = state.service().manager().open_backend(&backend.name, &backend.backend_type, values).await;
    opened.map_err(Problem::of_refused_change)?;
    Ok((StatusCode::CREATED, backends(&state)))
}

/// Closes a backend that new files do not go to, once the calls on it have ended.
///
/// Its files cannot be read until it is opened again.
#[utoipa::path(
    delete, path = "/v1/admin/backends/{name}", tag = "admin", security(("service_key" = [])),
    params(("name" = String, Path, description = "the backend")),
    responses(
        (status = 200, description = "It is closed", body = BackendsBody),
        (status = 404, description = "There is no such backend", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "New files go to it", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn close(
    State(state): State<HttpState>,
    Extension(Administrator(by)): Extension<Administrator>,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<Json<BackendsBody>, Problem> {
    tracing::info!(by, backend = name, "a backend is to be closed");
    state.service().manager().close_backend(&name).await.map_err(Problem::of_refused_change)?;
    Ok(backends(&state))
}

/// Lets new files go to another open backend, until the service ends or its configuration is read again.
///
/// Files that were saved before stay where they are, and can be read as before.
#[utoipa::path(
    put, path = "/v1/admin/primary", tag = "admin", security(("service_key" = [])),
    request_body = NewPrimaryBody,
    responses(
        (status = 200, description = "New files go there", body = BackendsBody),
        (status = 404, description = "There is no such backend", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not well; new files go where they went before", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn switch(
    State(state): State<HttpState>,
    Extension(Administrator(by)): Extension<Administrator>,
    _: NoQuery,
    Body(primary): Body<NewPrimaryBody>,
) -> Result<Json<BackendsBody>, Problem> {
    tracing::info!(by, backend = primary.backend, "new files are to go to another backend");
    state.service().manager().switch_primary(&primary.backend).await.map_err(Problem::of_refused_change)?;
    Ok(backends(&state))
}

/// Reads the configuration again, and does what it says of backends.
///
/// Whatever would stop a start refuses the change, and is told; everything then goes on as before.
#[utoipa::path(
    post, path = "/v1/admin/reload", tag = "admin", security(("service_key" = [])),
    responses(
        (status = 200, description = "It was done", body = ReloadedBody),
        (status = 409, description = "The configuration, a plugin or a backend is at fault; nothing has changed", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn reload(
    State(state): State<HttpState>,
    Extension(Administrator(by)): Extension<Administrator>,
    _: NoQuery,
) -> Result<Json<ReloadedBody>, Problem> {
    tracing::info!(by, "the configuration is to be read again");
    let reloaded = state.service().manager().reload().await.map_err(Problem::of_refused_change)?;
    Ok(Json(reloaded.into()))
}
