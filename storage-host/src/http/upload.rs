//! New files: `POST /v1/files`, as a raw body or as a form.

#![allow(unused_qualifications, reason = "the macro that describes routes qualifies what it generates")]

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use storage_core::{ByteStream, Tier};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::body::{self, BodyFault};
use super::error::{Code, Problem};
use super::extract::UrlQuery;
use super::form::{self, Form};
use super::headers::{condition, digest, pairs};
use super::model::FileBody;
use super::openapi::Problems;
use super::state::HttpState;
use crate::service::{FileInfo, SaveFileOptions};

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(upload))
}

/// How a raw body is to be saved.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// The name of the file. Required for a raw body, not taken with a form.
    #[param(example = "resume.pdf")]
    filename: Option<String>,
    /// The tier to store in: `hot`, `warm`, `cold` or `glacier`.
    tier: Option<String>,
}

/// A file as a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form to the document; the form itself is read part by part")]
pub(super) struct UploadForm {
    /// The name; that of the file part where absent.
    filename: Option<String>,
    /// Metadata, as a JSON object of strings.
    metadata: Option<String>,
    /// Tags, as a JSON object of strings.
    tags: Option<String>,
    /// SHA-256 of the file in hexadecimal, which is checked.
    sha256: Option<String>,
    /// The tier to store in.
    tier: Option<String>,
    /// The file. It comes last.
    #[schema(format = Binary, value_type = String)]
    file: Vec<u8>,
}

/// Saves a new file.
///
/// The body is the file, or a form with one file. It is passed on while it arrives. The answer comes when the
/// file is durable. Where anything goes wrong, the client leaving included, nothing is saved.
#[utoipa::path(
    post, path = "/v1/files", tag = "files",
    params(
        UploadQuery,
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:BASE64:` (RFC 9530), which is checked"),
        ("X-Content-SHA256" = Option<String>, Header, description = "the same in hexadecimal"),
        ("X-Storage-Metadata" = Option<String>, Header, description = "metadata as in a query string: `job_id=42&title=R%C3%A9sum%C3%A9`"),
        ("X-Storage-Tags" = Option<String>, Header, description = "tags, as the metadata"),
    ),
    request_body(content((String = "application/octet-stream"), (UploadForm = "multipart/form-data"))),
    responses(
        (status = 201, description = "Saved", body = FileBody, headers(
            ("Location" = String, description = "the path of the file"),
            ("ETag" = String, description = "the tag of its content"),
        )),
        (status = 403, description = "The quota is used up (`quota_exceeded`)", body = super::error::ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than an upload may be", body = super::error::ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The body does not match its digest; nothing was saved", body = super::error::ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn upload(
    State(state): State<HttpState>,
    caller: Caller,
    UrlQuery(query): UrlQuery<UploadQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let max_bytes = state.options().http.max_upload_bytes;
    let fault = BodyFault::default();
    let (parts, body) = request.into_parts();
    let (content, filename, options) = if form::is_form(&parts.headers) {
        if query.filename.is_some() || query.tier.is_some() {
            return Err(Problem::invalid("query", "is not taken with a form: its parts describe the file"));
        }
        from_form(&parts.headers, body, max_bytes, &fault).await?
    } else {
        let filename = query
            .filename
            .ok_or_else(|| Problem::invalid("filename", "is missing: POST /v1/files?filename=NAME"))?;
        let raw = RawOptions::from_headers(&parts.headers)?;
        let options = SaveFileOptions {
            metadata: raw.metadata.unwrap_or_default(),
            tags: raw.tags.unwrap_or_default(),
            content_type: raw.content_type,
            sha256: raw.sha256,
            tier: tier(query.tier.as_deref())?,
            ..SaveFileOptions::default()
        };
        (body::upload(body, max_bytes, &fault)?, filename, options)
    };
    let saved = caller.service.save_with(content, &filename, &caller.user, options).await;
    let info = saved.map_err(|error| fault.or(error))?;
    Ok(created(info))
}

async fn from_form(
    headers: &HeaderMap,
    body: Body,
    max_bytes: u64,
    fault: &BodyFault,
) -> Result<(ByteStream, String, SaveFileOptions), Problem> {
    let mut form = Form::of_one(headers, body, max_bytes, fault)?;
    let file =
        form.next_file().await?.ok_or_else(|| Problem::invalid(form::FILE_PART, "the form has no file"))?;
    let options = file.options?;
    Ok((form.only_content().await, file.filename, options))
}

/// What the headers of a raw body say of the file.
pub(super) struct RawOptions {
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) content_type: Option<String>,
    pub(super) sha256: Option<crate::catalog::Sha256>,
}

impl RawOptions {
    /// Reads the headers of a raw body.
    ///
    /// # Errors
    ///
    /// A header that is malformed; 415 for a form, whose envelope would become the content of the file.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        body::refuse_encoding(headers)?;
        if form::is_form(headers) {
            return Err(Problem::new(Code::UnsupportedMediaType).detail(
                "a form is not taken here: send the content itself, or the form to POST /v1/files as a new file",
            ));
        }
        let content_type = match headers.get(CONTENT_TYPE) {
            None => None,
            Some(given) => {
                let given = given.to_str();
                form::known_type(given.map_err(|_| Problem::invalid("content-type", "is not ASCII"))?)
            }
        };
        Ok(Self {
            metadata: pairs::parse(headers, &pairs::X_STORAGE_METADATA)?,
            tags: pairs::parse(headers, &pairs::X_STORAGE_TAGS)?,
            content_type,
            sha256: digest::expected(headers)?,
        })
    }
}

/// The tier of this name.
pub(super) fn tier(name: Option<&str>) -> Result<Option<Tier>, Problem> {
    name.map(|name| {
        name.parse().map_err(|error: storage_core::Error| Problem::invalid("tier", error.message()))
    })
    .transpose()
}

/// The answer for a file that was made.
pub(super) fn created(info: FileInfo) -> Response {
    let location = format!("/v1/files/{}", info.id);
    described(StatusCode::CREATED, info, Some(&location))
}

/// The answer that describes a file, with the tag of its content.
pub(super) fn described(status: StatusCode, info: FileInfo, location: Option<&str>) -> Response {
    let mut headers = HeaderMap::new();
    let texts = [(ETAG, Some(condition::etag(&info))), (LOCATION, location.map(str::to_owned))];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    (status, headers, Json(FileBody::from(info))).into_response()
}
