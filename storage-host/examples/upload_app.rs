//! An application with an upload and a download route of its own: the first scene of the first user.
//!
//! ```text
//! cargo xtask build-plugins local
//! export PLUGIN_DIR=target/debug/plugins
//! cargo run -p storage-host --example upload_app              # or with another address: -- 127.0.0.1:3001
//! curl -H 'X-User: 42' -F file=@resume.pdf http://127.0.0.1:3000/upload
//! curl -H 'X-User: 42' http://127.0.0.1:3000/download/FILE_ID
//! ```
//!
//! The application decides who the user is (here by a header, which a real one must not trust); the storage decides
//! what that user may see. Links that the storage signs itself point back to this application, which answers them
//! with the storage's own route.

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Multipart, Path, State};
use axum::http::{StatusCode, request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::json;
use storage_core::{Error, ErrorKind};
use storage_host::catalog::{FileId, UserId};
use storage_host::http::{HttpState, Options, link_router};
use storage_host::service::{self, Metadata, SimpleStorageService, Storage};
use tokio::net::TcpListener;

/// Where the application listens, unless its argument says otherwise.
const ADDRESS: &str = "127.0.0.1:3000";

/// How large a form may be. A résumé is small enough to be held in memory while it is read; `save` takes a stream
/// as well, and the storage's own HTTP routes stream uploads of any size.
const MAX_UPLOAD_BYTES: usize = 10 * 1024 * 1024;

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the answer of a command-line example")]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| ADDRESS.to_owned());
    let listener =
        TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    let base = format!("http://{}", listener.local_addr()?);
    let loaded = Storage::builder().set("STORAGE_PUBLIC_URL", &base).load()?;
    let storage = service::open(&loaded).await?;
    let links = link_router(HttpState::new(Options::from(&loaded.config), storage.clone())?);
    let app = Router::new()
        .route("/upload", post(upload_file).layer(DefaultBodyLimit::max(MAX_UPLOAD_BYTES)))
        .route("/download/{file_id}", get(download_file))
        .with_state(storage.clone())
        .merge(links);
    println!("listening on {base}");
    axum::serve(listener, app).with_graceful_shutdown(interrupted()).await?;
    storage.close().await.context("closing the storage")
}

async fn upload_file(
    State(storage): State<SimpleStorageService>,
    CurrentUser(user): CurrentUser,
    mut form: Multipart,
) -> Result<Response, AppError> {
    let field = form.next_field().await.map_err(bad_form)?;
    let field = field.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "the form has no file"))?;
    let filename = field.file_name().unwrap_or("upload").to_owned();
    let content: Bytes = field.bytes().await.map_err(bad_form)?;
    let file_id = storage.save(content, &filename, &user, Metadata::new()).await?;
    Ok((StatusCode::CREATED, Json(json!({ "file_id": file_id }))).into_response())
}

async fn download_file(
    State(storage): State<SimpleStorageService>,
    CurrentUser(user): CurrentUser,
    Path(file_id): Path<FileId>,
) -> Result<Response, AppError> {
    let link = storage.get_download_url(file_id, &user, None).await?;
    Ok(Json(json!({ "download_url": link.url })).into_response())
}

/// Whoever the application says is calling.
struct CurrentUser(UserId);

impl<S: Send + Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, AppError> {
        let header = parts.headers.get("x-user").and_then(|value| value.to_str().ok());
        let name = header.ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "say who you are: X-User"))?;
        Ok(Self(UserId::new(name)?))
    }
}

/// An error of the storage as the application answers it.
struct AppError(Error);

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({ "error": self.0.message() }))).into_response()
    }
}

fn bad_form(error: axum::extract::multipart::MultipartError) -> Error {
    Error::new(ErrorKind::InvalidArgument, "the form could not be read").with_source(error)
}

async fn interrupted() {
    // Without a signal handler there is nothing to wait for: the application then runs until it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
