//! Health: for load balancers and operators. Open to all; what is wrong with a backend is told to services only.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use storage_core::{Error, ErrorKind};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Identity;
use super::error::{Problem, ProblemBody};
use super::openapi::Problems;
use super::state::HttpState;
use crate::service::{BackendHealth, StorageHealth};

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(storage))
}

/// The state of a probe.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthBody {
    /// `live` or `ready`.
    status: &'static str,
}

/// The state of the backends, and what they hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StorageHealth)]
struct StorageHealthBody {
    /// Every backend, by name.
    backends: BTreeMap<String, BackendHealthBody>,
    /// The backend that new files go to.
    #[schema(example = "local")]
    primary_backend: String,
    /// Files of all users.
    #[schema(example = 15234)]
    total_files: u64,
    /// What all versions of all files take, in gigabytes (1,000,000,000 bytes).
    #[schema(example = 45.2)]
    total_size_gb: f64,
}

/// The state of one backend.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackendHealth)]
struct BackendHealthBody {
    /// Whether it answers and nothing is wrong with it.
    healthy: bool,
    /// How long it took to answer, in milliseconds.
    #[schema(example = 2)]
    latency_ms: u64,
    /// What is wrong with it; only for callers with a service key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// Answers as long as the process does.
#[utoipa::path(
    get, path = "/health/live", tag = "health", security(()),
    responses((status = 200, description = "The process runs", body = HealthBody)),
)]
async fn live() -> Json<HealthBody> {
    Json(HealthBody { status: "live" })
}

/// Tells whether requests should be sent here: not while shutting down, nor while the primary backend is down.
///
/// What `/health/storage` only warns of, a disk that is nearly full for instance, changes nothing here.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", security(()),
    responses(
        (status = 200, description = "Ready", body = HealthBody),
        (status = 503, description = "Not ready", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn ready(State(state): State<HttpState>) -> Result<Json<HealthBody>, Problem> {
    if state.is_draining() {
        let error = Error::new(ErrorKind::Unavailable, "the service is shutting down");
        return Err(Problem::from(error).detail("the service is shutting down"));
    }
    let health = state.health().await?;
    if primary(&health).is_some_and(|backend| backend.serving) {
        return Ok(Json(HealthBody { status: "ready" }));
    }
    let error = Error::new(ErrorKind::Unavailable, "the primary backend does not serve");
    Err(Problem::from(error).detail("the primary backend does not serve"))
}

/// Describes every backend, and what they hold together.
///
/// The status is 503 where the primary backend is not healthy. The report is at most a second old.
#[utoipa::path(
    get, path = "/health/storage", tag = "health",
    security((), ("service_key" = [])),
    responses(
        (status = 200, description = "The primary backend is healthy", body = StorageHealthBody),
        (status = 503, description = "It is not", body = StorageHealthBody),
        Problems,
    ),
)]
async fn storage(State(state): State<HttpState>, headers: HeaderMap) -> Result<Response, Problem> {
    let health = state.health().await?;
    let tells_problems = headers.contains_key(http::header::AUTHORIZATION)
        && matches!(
            state.authenticator().identify(&headers).await?,
            Identity::Service(_) | Identity::Administrator(_)
        );
    let status = match primary(&health).is_some_and(|backend| backend.healthy) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, Json(report(&health, tells_problems))).into_response())
}

fn primary(health: &StorageHealth) -> Option<&BackendHealth> {
    health.backends.get(&health.primary_backend)
}

fn report(health: &StorageHealth, tells_problems: bool) -> StorageHealthBody {
    let backends = health.backends.iter().map(|(name, backend)| {
        let problems = if tells_problems { backend.problems.clone() } else { Vec::new() };
        let latency_ms = u64::try_from(backend.latency.as_millis()).unwrap_or(u64::MAX);
        (name.clone(), BackendHealthBody { healthy: backend.healthy, latency_ms, problems })
    });
    StorageHealthBody {
        backends: backends.collect(),
        primary_backend: health.primary_backend.clone(),
        total_files: health.total_files,
        // To the kilobyte; larger numbers lose no digit that matters.
        total_size_gb: (health.total_bytes as f64 / 1e3).round() / 1e6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn health(healthy: bool) -> StorageHealth {
        let problems = if healthy { Vec::new() } else { vec!["/srv/storage is full".to_owned()] };
        let backend =
            BackendHealth { healthy, serving: healthy, latency: Duration::from_micros(2_700), problems };
        StorageHealth {
            backends: BTreeMap::from([("local".to_owned(), backend)]),
            primary_backend: "local".to_owned(),
            total_files: 15_234,
            total_bytes: 45_200_000_000,
        }
    }

    #[test]
    fn the_report_has_the_documented_shape() {
        let body = serde_json::to_string(&report(&health(true), true)).expect("JSON");
        assert_eq!(
            body,
            r#"{"backends":{"local":{"healthy":true,"latency_ms":2}},"primary_backend":"local","total_files":15234,"total_size_gb":45.2}"#
        );
    }

    #[test]
    fn what_is_wrong_is_told_to_services_only() {
        let told = |tells| serde_json::to_string(&report(&health(false), tells)).expect("JSON");
        assert!(told(true).contains("is full"));
        assert!(!told(false).contains("is full"));
    }
}
