//! What a user uses and may use: `GET /v1/usage`.

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::error::Problem;
use super::extract::NoQuery;
use super::model::UsageBody;
use super::openapi::Problems;
use super::state::HttpState;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(usage))
}

/// Answers what the user uses and may use.
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage",
    responses((status = 200, description = "The usage", body = UsageBody), Problems),
)]
async fn usage(caller: Caller, _: NoQuery) -> Result<Json<UsageBody>, Problem> {
    Ok(Json(caller.service.usage(&caller.user).await?.into()))
}
