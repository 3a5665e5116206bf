//! The OpenAPI document, made from the handlers, and the page on which it is read and tried.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi as _};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::error::{FieldError, ProblemBody};
use super::files::{CopyRequest, LinkRequest};
use super::state::HttpState;

/// Where the document is.
const PATH: &str = "/openapi.json";

/// All of the document but the paths.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Storage Service",
        description = "Save, retrieve and delete files over any storage provider. \
            Errors are `application/problem+json` (RFC 9457) with a stable `code`."
    ),
    // The requests are named here since their bodies may be left out: what a handler names itself is required.
    components(schemas(ProblemBody, FieldError, CopyRequest, LinkRequest)),
    modifiers(&Schemes),
    security(("service_key" = [], "user_id" = []), ("user_token" = [])),
    tags(
        (name = "files", description = "Files as such"),
        (name = "content", description = "The bytes of a file"),
        (name = "versions", description = "Former states of a file"),
        (name = "links", description = "Links that need no further credentials"),
        (name = "usage", description = "What a user uses and may use"),
        (name = "admin", description = "For administrators: which backends there are, and where new files go"),
        (name = "health", description = "For load balancers and operators"),
    ),
)]
struct Frame;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut OpenApi) {
        let bearer = |format: &str, description: &str| {
            let scheme = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format(format)
                .description(Some(description));
            SecurityScheme::Http(scheme.build())
        };
        let user_id = ApiKeyValue::with_description("X-User-Id", "the user for whom a service key acts");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "service_key",
            bearer("sk_ID_SECRET", "a service key; it acts for the user that X-User-Id names"),
        );
        components.add_security_scheme("user_id", SecurityScheme::ApiKey(ApiKey::Header(user_id)));
        components.add_security_scheme("user_token", bearer("JWT", "an end user's token"));
    }
}

/// The errors that every route may answer.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |description: &str| {
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new().description(description);
            RefOr::T(response.content("application/problem+json", content).build())
        };
        BTreeMap::from([
            ("4XX".to_owned(), problem("The request is wrong or refused; `code` tells why")),
            ("5XX".to_owned(), problem("The service or a backend failed; it may be tried again later")),
        ])
    }
}

/// The document without its paths.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// The document of this version.
pub fn document(state: &HttpState) -> OpenApi {
    super::routes(state).into_openapi()
}

/// The document, written once.
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &OpenApi) -> Self {
        // It holds strings, numbers and maps only, which always become JSON.
        Self(serde_json::to_vec(document).unwrap_or_default().into())
    }
}

/// The document and the page that shows it.
pub(super) fn pages(document: Document) -> Router<HttpState> {
    let document = document.0;
    let answer = async move || ([(CONTENT_TYPE, "application/json")], document).into_response();
    let page = SwaggerUi::new("/docs").config(Config::from(PATH).try_it_out_enabled(true));
    Router::new().route(PATH, get(answer)).merge(page)
}
