//! The HTTP face of the service: REST under `/v1`, health, and the document that describes both.
//!
//! [`Server`] binds and serves; [`router`] gives the routes alone, for programs that embed them and for tests.
//! One file per resource holds its handlers: arguments are extracted, the service is called once, its answer is
//! written. What is common to all requests (ids, limits, error bodies, authentication) is in `middleware`, `error`
//! and `auth`. Nothing here decides about files, and nothing here calls a backend or writes to the catalog.
//!
//! `docs/http-api.md` describes the interface for its users.

pub mod auth;
pub mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod server;
mod state;

mod middleware;
mod openapi;

mod admin;
mod batch;
mod content;
mod files;
mod health;
mod links;
mod upload;
mod usage;
mod versions;

mod body;
mod connection;
mod extract;
mod form;
mod headers;
mod model;
mod multipart;
mod read_size;
mod stall;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;

pub use openapi::document;
pub use server::{Server, serve};
pub use state::{HttpState, Options};

/// The largest JSON body, in bytes. Content is not limited by it.
const MAX_JSON_BYTES: usize = 256 * 1024;

/// Every route, ready to be served.
pub fn router(state: HttpState) -> Router {
    let (routes, document) = routes(&state).split_for_parts();
    let json = openapi::Document::new(&document);
    let routes = routes
        .merge(openapi::pages(json))
        .fallback(error::route_not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES));
    enveloped(routes, state)
}

/// The one route that answers to signed links, for programs that embed the service behind routes of their own.
pub fn link_router(state: HttpState) -> Router {
    let (routes, _) = links::router().split_for_parts();
    enveloped(routes, state)
}

/// Requests go through this layer first and last, so that every answer has an id and every error a body.
fn enveloped(routes: Router<HttpState>, state: HttpState) -> Router {
    routes.layer(axum::middleware::from_fn_with_state(state.clone(), middleware::envelope)).with_state(state)
}

/// The routes that the document describes.
fn routes(state: &HttpState) -> OpenApiRouter<HttpState> {
    let authenticated = OpenApiRouter::new()
        .merge(files::router())
        .merge(upload::router())
        .merge(content::router())
        .merge(versions::router())
        .merge(batch::router())
        .merge(usage::router())
        // Whatever is merged above is closed to callers without credentials.
        .route_layer(axum::middleware::from_fn_with_state(state.clone(), auth::require));
    let administrative = admin::router()
        .route_layer(axum::middleware::from_fn_with_state(state.clone(), auth::require_administrator));
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(authenticated)
        .merge(administrative)
        .merge(links::router())
        .merge(health::router())
}
