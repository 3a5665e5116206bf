//! Joins objects to one, however many they are: Google joins 32 at a time. What is joined has the class of its sources,
//! so that one of another class is joined under a temporary name and then copied to where it belongs.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use storage_core::{Error, ErrorKind, Result, Retry};

use crate::copy::rewrite;
use crate::digest::join;
use crate::error::Failure;
use crate::open::Store;
use crate::options::Conditional;
use crate::resource::{NewObject, Object};
use crate::retry::repeat;
use crate::single::{check_stored, or_done_before};

/// The most objects that are joined in one request.
const MAX_SOURCES: usize = 32;

/// Requests to join that are under way at once.
const PARALLEL: usize = 4;

/// An object to be joined with others.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) generation: u64,
    pub(crate) size_bytes: u64,
    pub(crate) crc32c: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    source_objects: Vec<Source<'a>>,
    destination: &'a NewObject,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    name: &'a str,
    generation: String,
    object_preconditions: Preconditions,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions {
    if_generation_match: String,
}

/// The length and the CRC-32C of all of them, one after the other.
pub(crate) fn whole(components: &[Component]) -> (u64, u32) {
    components.iter().fold((0, 0), |(size_bytes, crc32c), next| {
        (size_bytes + next.size_bytes, join(crc32c, next.crc32c, next.size_bytes))
    })
}

/// Joins components to an object, which appears in one step. What lies between is put under `scratch`, and is for
/// the caller to remove.
///
/// # Errors
///
/// `AlreadyExists` or `PreconditionFailed`, as the condition has it; `ChecksumMismatch`.
pub(crate) async fn compose(
    store: &Store,
    scratch: &str,
    components: Vec<Component>,
    mut new: NewObject,
    condition: &Conditional,
) -> Result<Object> {
    let (size_bytes, crc32c) = whole(&components);
    // What is empty adds nothing, unless there is nothing else.
    let mut level: Vec<_> = components.iter().filter(|one| one.size_bytes > 0).cloned().collect();
    if level.is_empty() {
        level.extend(components.into_iter().next());
    }
    let mut depth = 0;
    while level.len() > MAX_SOURCES {
        depth += 1;
        let joins = level.chunks(MAX_SOURCES).enumerate().map(|(number, sources)| {
            let name = format!("{scratch}joined-{depth}-{number:06}");
            let sources = sources.to_vec();
            async move { join_some(store, name, sources).await }
        });
        // Collected first: a stream that borrows the sources is not general enough for the compiler.
        let joins: Vec<_> = joins.collect();
        level = stream::iter(joins).buffered(PARALLEL).try_collect().await?;
    }
    let elsewhere = if store.joins_to(new.storage_class.as_deref()) {
        new.storage_class = store.temporary().storage_class;
        None
    } else {
        Some(join_some(store, format!("{scratch}whole"), std::mem::take(&mut level)).await?)
    };
    condition.mark(&mut new);
    let query = condition.query();
    let made = repeat(async |may_be_done| {
        let sent = match &elsewhere {
            Some(joined) => copied(store, joined, &new, &query).await,
            None => request(store, &new, &level, &query).await,
        };
        or_done_before(&store.client, &new, condition, may_be_done, sent).await
    });
    let object = made.await.map_err(|failure| condition.refusal(failure))?;
    check_stored(&store.client, &new, &object, size_bytes, crc32c).await?;
    Ok(object)
}

async fn join_some(store: &Store, name: String, sources: Vec<Component>) -> Result<Component> {
    let (size_bytes, crc32c) = whole(&sources);
    let new = NewObject { name: name.clone(), ..store.temporary() };
    let object = repeat(async |_| request(store, &new, &sources, &[]).await).await?;
    check_stored(&store.client, &new, &object, size_bytes, crc32c).await?;
    Ok(Component { name, generation: object.generation()?, size_bytes, crc32c })
}

/// Copies what was joined to where it belongs, into its class.
async fn copied(
    store: &Store,
    joined: &Component,
    new: &NewObject,
    query: &[(&'static str, String)],
) -> Result<Object, Failure> {
    rewrite(store, &joined.name, joined.generation, &new.name, new, query).await.map_err(taken)
}

async fn request(
    store: &Store,
    new: &NewObject,
    sources: &[Component],
    query: &[(&'static str, String)],
) -> Result<Object, Failure> {
    let source_objects = sources
        .iter()
        .map(|one| Source {
            name: &one.name,
            generation: one.generation.to_string(),
            object_preconditions: Preconditions { if_generation_match: one.generation.to_string() },
        })
        .collect();
    let url = format!("{}/compose", store.client.object_url(&new.name));
    let query: Vec<_> = query.iter().cloned().chain(store.key_query()).collect();
    let body = Request { source_objects, destination: new };
    let answer = store.client.post(&url, &query, &body).await;
    answer.map_err(taken)
}

/// A component that is gone was taken by somebody who cleans up: that is no missing object.
fn taken(failure: Failure) -> Failure {
    if !failure.is_missing() {
        return failure;
    }
    let error = Error::new(ErrorKind::Conflict, "a part of the upload is gone").with_retry(Retry::May);
    Failure { error: error.with_source(failure.error), ..failure }
}
