//! Many files in one request: `POST /v1/files/batch` and `POST /v1/files/batch-delete`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use storage_core::ByteStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::Caller;
use super::body::BodyFault;
use super::error::{Code, Problem, ProblemBody};
use super::extract::{self, NoQuery};
use super::form::{FileContent, Form, FormFile};
use super::middleware::{self, RequestName};
use super::model::FileBody;
use super::openapi::Problems;
use super::state::HttpState;
use super::upload::UploadForm;
use crate::catalog::FileId;

/// The most files of one request.
const MAX_FILES: usize = 1000;
/// Files up to this size are taken from the form first, so that several can be saved at the same time.
const MAX_BUFFERED_BYTES: usize = 1024 * 1024;
/// So many files of all batches are held at the same time. Further ones are passed on while they arrive, each after
/// the one before it: slower, and without holding them, however many clients send how slowly.
pub(super) const MAX_HELD_FILES: usize = 64;
/// How many files are saved, or deleted, at the same time.
const CONCURRENCY: usize = 8;

pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(save)).routes(routes!(remove))
}

/// What became of every file of the request, in its order.
#[derive(Serialize, ToSchema)]
struct BatchBody {
    /// How many files were saved.
    saved: usize,
    /// How many were not.
    failed: usize,
    /// One result for each file.
    results: Vec<BatchResult>,
}

/// What became of one file: `file` or `problem`.
#[derive(Serialize, ToSchema)]
struct BatchResult {
    /// The name under which it was sent.
    filename: String,
    /// The file, where it was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileBody>,
    /// Why not, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

/// Saves many files, each on its own: one that fails does not keep the others from being saved.
///
/// The form holds up to 1,000 `file` parts; the fields before a file describe that file, and where one of them is wrong
/// that file alone is not saved. Where the form breaks off or is malformed, the files before that place are saved, and
/// the last result tells what was wrong.
#[utoipa::path(
    post, path = "/v1/files/batch", tag = "files",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "One result for each file", body = BatchBody), Problems),
)]
async fn save(
    State(state): State<HttpState>,
    caller: Caller,
    name: RequestName,
    _: NoQuery,
    request: Request,
) -> Result<Json<BatchBody>, Problem> {
    let (parts, body) = request.into_parts();
    let max_file_bytes = state.options().http.max_upload_bytes;
    let fault = BodyFault::default();
    let form = Form::of_many(&parts.headers, body, max_file_bytes, &fault)?;
    let (under_way, outcomes) = (FuturesUnordered::new(), Vec::new());
    let places = state.batch_places();
    let batch = Batch { caller, places, fault, under_way, outcomes };
    let outcomes = Box::pin(batch.run(form)).await;
    let debug = state.options().debug;
    let results: Vec<_> = outcomes.into_iter().map(|outcome| outcome.into_result(&name, debug)).collect();
    let saved = results.iter().filter(|result| result.file.is_some()).count();
    Ok(Json(BatchBody { saved, failed: results.len() - saved, results }))
}

/// Files that are being saved from one form.
struct Batch {
    caller: Caller,
    /// For the files that are held.
    places: Arc<Semaphore>,
    /// What was wrong with the form itself, so that nothing more can be read of it.
    fault: BodyFault,
    under_way: FuturesUnordered<BoxFuture<'static, Outcome>>,
    outcomes: Vec<Outcome>,
}

struct Outcome {
    index: usize,
    filename: String,
    result: Result<FileBody, Problem>,
}

/// The beginning of a file.
enum Start {
    /// All of it, and its place among those that are held.
    Whole(Bytes, OwnedSemaphorePermit),
    /// The first chunks, or an error; more follow.
    Chunks(Vec<storage_core::Result<Bytes>>),
}

impl Batch {
    async fn run(mut self, mut form: Form) -> Vec<Outcome> {
        for index in 0.. {
            let refused = match self.beside(form.next_file()).await {
                Ok(None) => break,
                Ok(Some(_)) if index == MAX_FILES => {
                    Problem::new(Code::TooLarge).detail(format!("a batch holds at most {MAX_FILES} files"))
                }
                Ok(Some(file)) => {
                    self.take(index, &form, file).await;
                    if self.fault.get().is_some() {
                        break;
                    }
                    continue;
                }
                Err(problem) => problem,
            };
            self.outcomes.push(Outcome { index, filename: String::new(), result: Err(refused) });
            break;
        }
        self.outcomes.extend(self.under_way.collect::<Vec<_>>().await);
        self.outcomes.sort_unstable_by_key(|outcome| outcome.index);
        self.outcomes
    }

    /// Takes one file from the form. One that is small is saved while the form is read on; a large one is passed
    /// on while it arrives. One of which the form says what cannot be is passed over.
    async fn take(&mut self, index: usize, form: &Form, file: FormFile) {
        let FormFile { filename, options } = file;
        let options = match options {
            Ok(options) => options,
            Err(problem) => {
                self.outcomes.push(Outcome { index, filename, result: Err(problem) });
                return;
            }
        };
        let file_fault = BodyFault::default();
        let mut content = form.content(file_fault.clone()).await;
        let begun = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => self.beside(start(&mut content, place)).await,
            Err(_) => Start::Chunks(Vec::new()),
        };
        let (content, place) = match begun {
            Start::Whole(bytes, place) => (ByteStream::from_bytes(bytes), Some(place)),
            Start::Chunks(chunks) => {
                (ByteStream::from_stream(stream::iter(chunks).chain(content.into_stream()), None), None)
            }
        };
        let is_whole = place.is_some();
        let caller = self.caller.clone();
        let save = async move {
            let _held = place;
            let saved = caller.service.save_with(content, &filename, &caller.user, options).await;
            let result = saved.map(FileBody::from).map_err(|error| file_fault.or(error));
            Outcome { index, filename, result }
        };
        if is_whole {
            self.under_way.push(save.boxed());
            while self.under_way.len() >= CONCURRENCY {
                self.outcomes.extend(self.under_way.next().await);
            }
        } else {
            let outcome = self.beside(save).await;
            self.outcomes.push(outcome);
        }
    }

    /// Does this while the saves under way go on.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(outcome) = self.under_way.next() => self.outcomes.push(outcome),
            }
        }
    }
}

impl Outcome {
    fn into_result(self, name: &RequestName, debug: bool) -> BatchResult {
        let (file, problem) = match self.result {
            Ok(file) => (Some(file), None),
            Err(problem) => {
                middleware::log(&problem);
                (None, Some(problem.into_body(name.instance.clone(), name.id.clone(), debug)))
            }
        };
        BatchResult { filename: self.filename, file, problem }
    }
}

/// Reads a file until it is whole or too large to be held.
async fn start(content: &mut FileContent, place: OwnedSemaphorePermit) -> Start {
    // Copied together: a small chunk may keep a large buffer of the connection alive.
    let mut held = BytesMut::new();
    while let Some(chunk) = content.next().await {
        match chunk {
            Ok(chunk) => held.extend_from_slice(&chunk),
            Err(error) => return Start::Chunks(vec![Ok(held.freeze()), Err(error)]),
        }
        if held.len() > MAX_BUFFERED_BYTES {
            return Start::Chunks(vec![Ok(held.freeze())]);
        }
    }
    Start::Whole(held.freeze(), place)
}

/// The files to delete.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchDeleteRequest {
    /// Up to 1,000 files.
    #[schema(value_type = Vec<Uuid>)]
    ids: Vec<FileId>,
}

/// What became of every file of the request, in its order.
#[derive(Serialize, ToSchema)]
struct BatchDeleteBody {
    /// How many files were deleted.
    deleted: usize,
    /// How many were not.
    failed: usize,
    /// One result for each file.
    results: Vec<BatchDeleteResult>,
}

/// What became of one file.
#[derive(Serialize, ToSchema)]
struct BatchDeleteResult {
    /// The file.
    id: Uuid,
    /// Whether it was deleted.
    deleted: bool,
    /// Why not, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

/// Deletes many files, each on its own.
#[utoipa::path(
    post, path = "/v1/files/batch-delete", tag = "files",
    request_body(content = BatchDeleteRequest),
    responses((status = 200, description = "One result for each file", body = BatchDeleteBody), Problems),
)]
async fn remove(
    State(state): State<HttpState>,
    caller: Caller,
    name: RequestName,
    _: NoQuery,
    extract::Json(request): extract::Json<BatchDeleteRequest>,
) -> Result<Json<BatchDeleteBody>, Problem> {
    if request.ids.is_empty() || request.ids.len() > MAX_FILES {
        return Err(Problem::invalid("ids", format!("names 1 to {MAX_FILES} files")));
    }
    let debug = state.options().debug;
    let delete = async |id: FileId| {
        let problem = match caller.service.delete(id, &caller.user).await {
            Ok(true) => None,
            Ok(false) => Some(Problem::new(Code::NotFound)),
            Err(error) => Some(error.into()),
        };
        let problem = problem.map(|problem| {
            middleware::log(&problem);
            problem.into_body(name.instance.clone(), name.id.clone(), debug)
        });
        BatchDeleteResult { id: id.as_uuid(), deleted: problem.is_none(), problem }
    };
    let results: Vec<_> = stream::iter(request.ids).map(delete).buffered(CONCURRENCY).collect().await;
    let deleted = results.iter().filter(|result| result.deleted).count();
    Ok(Json(BatchDeleteBody { deleted, failed: results.len() - deleted, results }))
}
