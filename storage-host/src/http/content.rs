//! The content of a file: `GET`, `HEAD` and `PUT /v1/files/{id}/content`.

#![allow(unused_qualifications, reason = "the macro that describes routes qualifies what it generates")]

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::body::{self, BodyFault, ContentBody};
use super::error::{Problem, ProblemBody};
use super::extract::{Path, UrlQuery};
use super::files::FilePath;
use super::headers::condition::{self, Conditions, Verdict};
use super::headers::{digest, range};
use super::model::FileBody;
use super::openapi::Problems;
use super::state::HttpState;
use super::upload::{RawOptions, described, tier};
use crate::catalog::{FileId, FileVersionId};
use crate::service::{
    FileContent, FileInfo, RetrieveFileOptions, SaveFileOptions, SimpleStorageService, content_disposition,
};

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(read, head, replace))
}

/// Which content to answer, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ContentQuery {
    /// The version; the current one where absent.
    #[param(value_type = Option<uuid::Uuid>)]
    version: Option<FileVersionId>,
    /// Whether a browser saves the file or shows it.
    #[serde(default)]
    #[param(inline)]
    disposition: Disposition,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Disposition {
    #[default]
    Attachment,
    Inline,
}

/// Answers the content of a file, or a part of it.
///
/// One range is answered with 206; several are answered with the whole file. A file that is read to its end is
/// checked against its digest: where it is damaged, the connection is broken off.
#[utoipa::path(
    get, path = "/v1/files/{id}/content", tag = "content",
    params(
        ("id" = uuid::Uuid, Path, description = "the file"), ContentQuery,
        ("Range" = Option<String>, Header, description = "`bytes=0-99`, `bytes=100-`, `bytes=-100`"),
        ("If-None-Match" = Option<String>, Header, description = "answers 304 where the content has this tag"),
        ("If-Modified-Since" = Option<String>, Header, description = "answers 304 where it has not changed since"),
        ("If-Match" = Option<String>, Header, description = "answers 412 unless the content has this tag"),
        ("If-Range" = Option<String>, Header, description = "answers the whole file unless the content has this tag"),
    ),
    responses(
        (status = 200, description = "The content", body = String, content_type = "application/octet-stream", headers(
            ("ETag" = String, description = "the tag of the content"),
            ("Last-Modified" = String, description = "when the version was saved"),
            ("Content-Disposition" = String, description = "the name of the file"),
            ("Repr-Digest" = String, description = "SHA-256 of the whole content (RFC 9530)"),
        )),
        (status = 206, description = "A part of the content", body = String, content_type = "application/octet-stream", headers(
            ("Content-Range" = String, description = "which part"),
        )),
        (status = 304, description = "The client has it"),
        (status = 404, description = "The user has no such file", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The condition does not hold", body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "The range starts beyond the end", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn read(
    caller: Caller,
    Path(path): Path<FilePath>,
    UrlQuery(query): UrlQuery<ContentQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&file_source(caller, &path, &query), &headers, true).await
}

/// Describes the content of a file in the headers of `GET`. A range is not looked at.
#[utoipa::path(
    head, path = "/v1/files/{id}/content", tag = "content",
    params(("id" = uuid::Uuid, Path, description = "the file"), ContentQuery),
    responses(
        (status = 200, description = "The headers of the content"),
        (status = 304, description = "The client has it"),
        (status = 404, description = "The user has no such file"),
        (status = 412, description = "The condition does not hold"),
        Problems,
    ),
)]
async fn head(
    caller: Caller,
    Path(path): Path<FilePath>,
    UrlQuery(query): UrlQuery<ContentQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&file_source(caller, &path, &query), &headers, false).await
}

/// How new content is to be saved.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReplaceQuery {
    /// The name from now on; as it was where absent.
    filename: Option<String>,
    /// The tier to store in.
    tier: Option<String>,
}

/// Saves new content as a new version of the file.
///
/// Name, metadata and tags stay as they are where the request does not give others. With `If-Match` the version
/// is made only where the current content has that tag, so that no one overwrites what he has not seen.
#[utoipa::path(
    put, path = "/v1/files/{id}/content", tag = "content",
    params(
        ("id" = uuid::Uuid, Path, description = "the file"), ReplaceQuery,
        ("If-Match" = Option<String>, Header, description = "the tag of the content that is replaced"),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:BASE64:` (RFC 9530), which is checked"),
        ("X-Content-SHA256" = Option<String>, Header, description = "the same in hexadecimal"),
        ("X-Storage-Metadata" = Option<String>, Header, description = "metadata as in a query string, instead of those before"),
        ("X-Storage-Tags" = Option<String>, Header, description = "tags, as the metadata"),
    ),
    request_body(content = String, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The file in its new version", body = FileBody),
        (status = 404, description = "The user has no such file", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The condition does not hold", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than an upload may be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The body does not match its digest; nothing was saved", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
)]
async fn replace(
    State(state): State<HttpState>,
    caller: Caller,
    Path(path): Path<FilePath>,
    UrlQuery(query): UrlQuery<ReplaceQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let raw = RawOptions::from_headers(&parts.headers)?;
    let conditions = Conditions::from_headers(&parts.headers)?;
    let fault = BodyFault::default();
    let content = body::upload(body, state.options().http.max_upload_bytes, &fault)?;
    let current = caller.service.metadata(path.id, &caller.user, None).await?;
    conditions.check_write(&current)?;
    let options = SaveFileOptions {
        metadata: raw.metadata.unwrap_or(current.metadata),
        tags: raw.tags.unwrap_or(current.tags),
        content_type: raw.content_type,
        sha256: raw.sha256,
        replace: Some(path.id),
        // Another version may be made while the body arrives: the catalog decides at the end.
        if_current: conditions.names_state().then_some(current.version),
        tier: tier(query.tier.as_deref())?,
    };
    let filename = query.filename.unwrap_or(current.filename);
    let saved = caller.service.save_with(content, &filename, &caller.user, options).await;
    let info = saved.map_err(|error| fault.or(error))?;
    Ok(described(StatusCode::OK, info, None))
}

fn file_source(caller: Caller, path: &FilePath, query: &ContentQuery) -> Source {
    let inline = query.disposition == Disposition::Inline;
    Source::File { caller, id: path.id, version: query.version, inline }
}

/// Where content comes from.
pub(super) enum Source {
    /// A file of the caller.
    File { caller: Caller, id: FileId, version: Option<FileVersionId>, inline: bool },
    /// What a signed link names.
    Link { service: SimpleStorageService, token: String },
}

impl Source {
    /// Opens a part of it, and tells whether it is to be shown inline.
    async fn open(&self, mut options: RetrieveFileOptions) -> Result<(FileContent, bool), Problem> {
        match self {
            Source::File { caller, id, version, inline } => {
                options.version = options.version.or(*version);
                let content = caller.service.retrieve_with(*id, &caller.user, options).await;
                content.map(|content| (content, *inline))
            }
            Source::Link { service, token } => service.open_link(token, options).await,
        }
        .map_err(Problem::of_stored_content)
    }

    async fn describe(&self) -> Result<(FileInfo, bool), Problem> {
        match self {
            Source::File { caller, id, version, inline } => {
                let info = caller.service.metadata(*id, &caller.user, *version).await?;
                Ok((info, *inline))
            }
            Source::Link { .. } => {
                let (content, inline) = self.open(RetrieveFileOptions::default()).await?;
                Ok((content.info, inline))
            }
        }
    }

    /// Makes later reads be of the version that was described, whatever is saved meanwhile.
    fn pin(&self, info: &FileInfo) -> Option<FileVersionId> {
        match self {
            Source::File { .. } => Some(info.version),
            // A link is of one version anyway.
            Source::Link { .. } => None,
        }
    }
}

/// Answers `GET` or, without a body, `HEAD`.
pub(super) async fn answer(
    source: &Source,
    headers: &HeaderMap,
    with_body: bool,
) -> Result<Response, Problem> {
    let conditions = Conditions::from_headers(headers)?;
    let mut options = RetrieveFileOptions::default();
    if with_body {
        options.range = headers.get(RANGE).and_then(range::parse);
    }
    if !with_body || !conditions.is_empty() {
        let (info, inline) = source.describe().await?;
        if conditions.check_read(&info)? == Verdict::NotModified {
            let headers = identity(&info);
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        if !with_body {
            let mut headers = representation(&info, inline);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(info.size_bytes));
            return Ok(headers.into_response());
        }
        if !conditions.range_counts(&info) {
            options.range = None;
        }
        options.version = source.pin(&info);
    }
    let is_part = options.range.is_some();
    let (content, inline) = source.open(options).await?;
    let mut headers = representation(&content.info, inline);
    let mut status = StatusCode::OK;
    if is_part {
        status = StatusCode::PARTIAL_CONTENT;
        insert(&mut headers, CONTENT_RANGE, range::content_range(&content.range, content.info.size_bytes));
    }
    let length_bytes = content.range.end - content.range.start;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length_bytes));
    let mut response = Response::new(Body::new(ContentBody::new(content.body, length_bytes)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The headers that tell which content it is; all that 304 repeats.
fn identity(info: &FileInfo) -> HeaderMap {
    // Room for all that an answer with content has.
    let mut headers = HeaderMap::with_capacity(16);
    insert(&mut headers, ETAG, condition::etag(info));
    insert(&mut headers, LAST_MODIFIED, condition::last_modified(info));
    // Kept by the client alone, and asked about each time: a file may be deleted or given a new version.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers
}

/// The headers of content that is answered.
fn representation(info: &FileInfo, inline: bool) -> HeaderMap {
    const UNKNOWN: HeaderValue = HeaderValue::from_static("application/octet-stream");
    let mut headers = identity(info);
    headers.insert(CONTENT_TYPE, HeaderValue::try_from(&info.content_type).unwrap_or(UNKNOWN));
    insert(&mut headers, CONTENT_DISPOSITION, content_disposition(&info.filename, inline));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(&mut headers, digest::REPR_DIGEST, digest::structured_sha256(&info.sha256));
    if !is_pdf(info) {
        let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; sandbox";
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    headers
}

/// Users' files must not run scripts in the name of this service. Browsers keep those of a PDF to themselves, and
/// refuse to show one in a sandbox.
fn is_pdf(info: &FileInfo) -> bool {
    info.content_type.eq_ignore_ascii_case("application/pdf")
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: String) {
    // Everything written here is printable ASCII.
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::model::tests::file_info;

    #[test]
    fn content_names_itself_and_cannot_run_scripts() {
        let mut info = file_info();
        let headers = representation(&info, true);
        assert_eq!(headers[CONTENT_TYPE], "application/pdf");
        assert_eq!(headers[ETAG], format!("\"{}\"", "07".repeat(32)));
        assert_eq!(headers[LAST_MODIFIED], "Tue, 14 Nov 2023 22:13:20 GMT");
        assert!(headers[CONTENT_DISPOSITION].to_str().expect("ASCII").starts_with("inline"));
        assert!(!headers.contains_key(CONTENT_SECURITY_POLICY));
        for active in ["text/html", "image/svg+xml", "application/pdf+html"] {
            info.content_type = active.to_owned();
            let policy = representation(&info, true)[CONTENT_SECURITY_POLICY].clone();
            assert!(policy.to_str().expect("ASCII").contains("sandbox"));
        }
    }

    #[test]
    fn a_content_type_that_is_no_header_is_not_written() {
        let mut info = file_info();
        info.content_type = "text/plain\r\nSet-Cookie: a=b".to_owned();
        assert_eq!(representation(&info, false)[CONTENT_TYPE], "application/octet-stream");
    }
}
