//! Removes temporary objects: those of an upload that ended, and those of a process that died.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use storage_core::Result;

use crate::client::Client;
use crate::error::Failure;
use crate::layout;
use crate::open::Store;
use crate::resource::{Listing, Object};

/// What nobody touched for so long belongs to nobody: a part of an upload under way is younger by far.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How often a backend looks for what was forgotten.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// Removals that are under way at once.
const PARALLEL: usize = 8;

/// All objects whose names start so, old generations included.
async fn generations(client: &Client, prefix: &str) -> Result<Vec<Object>, Failure> {
    everything(client, prefix, true).await
}

/// All objects whose names start so, as they are now.
///
/// # Errors
///
/// See [`crate::error`].
pub(crate) async fn current(client: &Client, prefix: &str) -> Result<Vec<Object>, Failure> {
    everything(client, prefix, false).await
}

async fn everything(client: &Client, prefix: &str, versions: bool) -> Result<Vec<Object>, Failure> {
    let (mut all, mut page_token) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![
            ("prefix", prefix.to_owned()),
            ("versions", versions.to_string()),
            ("fields", "items(name,generation,size,timeCreated,metadata),nextPageToken".to_owned()),
        ];
        query.extend(page_token.take().map(|token| ("pageToken", token)));
        let page: Listing = client.get(&client.objects_url(), &query).await?;
        all.extend(page.items);
        match page.next_page_token {
            Some(token) => page_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// Removes these generations for good.
async fn remove(client: &Client, objects: Vec<Object>) -> Result<()> {
    let removals: Vec<_> = objects
        .into_iter()
        .map(|object| {
            let client = client.clone();
            async move {
                let query = [("generation", object.generation()?.to_string())];
                crate::retry::repeat(async |_| client.remove(&object.name, &query).await).await?;
                Ok(())
            }
        })
        .collect();
    stream::iter(removals).buffer_unordered(PARALLEL).try_collect().await
}

/// Removes all objects whose names start so, and their old generations.
///
/// # Errors
///
/// See [`crate::error`].
pub(crate) async fn purge(store: &Store, prefix: &str) -> Result<()> {
    let objects = generations(&store.client, prefix).await?;
    remove(&store.client, objects).await
}

/// Looks for what was forgotten, at once and then daily, until it is aborted.
pub(crate) async fn run_daily(store: Store) {
    loop {
        if let Err(error) = sweep(&store, SystemTime::now()).await {
            tracing::warn!(%error, "temporary objects of uploads that ended cannot be looked for");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes what belongs to no upload and was not touched for a day. How many objects went is answered.
///
/// # Errors
///
/// See [`crate::error`].
pub(crate) async fn sweep(store: &Store, now: SystemTime) -> Result<usize> {
    let client = &store.client;
    let mut forgotten = Vec::new();
    // First the parts and then the uploads: the parts of an upload that begins meanwhile are not seen.
    let components = generations(client, layout::COMPONENTS).await?;
    forgotten.extend(untouched(sessions(components, layout::COMPONENTS), now)?);
    let parts = sessions(generations(client, layout::PARTS).await?, layout::PARTS);
    let claims = sessions(generations(client, layout::CLAIMS).await?, layout::CLAIMS);
    let open: BTreeSet<_> = current(client, layout::UPLOADS)
        .await?
        .into_iter()
        .filter_map(|upload| upload.name.strip_prefix(layout::UPLOADS).map(str::to_owned))
        .collect();
    let orphans = |groups: BTreeMap<String, Vec<Object>>| {
        groups.into_iter().filter(|(id, _)| !open.contains(id)).collect()
    };
    forgotten.extend(untouched(orphans(parts), now)?);
    forgotten.extend(untouched(orphans(claims), now)?);
    let count = forgotten.len();
    remove(client, forgotten).await?;
    if count > 0 {
        tracing::info!(count, "temporary objects of uploads that ended were removed");
    }
    Ok(count)
}

/// Objects by the session that their names tell.
fn sessions(objects: Vec<Object>, prefix: &str) -> BTreeMap<String, Vec<Object>> {
    let mut sessions = BTreeMap::<_, Vec<_>>::new();
    for object in objects {
        let rest = object.name.strip_prefix(prefix).unwrap_or_default();
        let session = rest.split_once('/').map_or(rest, |(session, _)| session).to_owned();
        sessions.entry(session).or_default().push(object);
    }
    sessions
}

/// The objects of sessions of which even the youngest is old.
fn untouched(sessions: BTreeMap<String, Vec<Object>>, now: SystemTime) -> Result<Vec<Object>> {
    let mut old = Vec::new();
    for objects in sessions.into_values() {
        let mut youngest = SystemTime::UNIX_EPOCH;
        for object in &objects {
            youngest = youngest.max(object.created()?);
        }
        if now.duration_since(youngest).is_ok_and(|age| age >= FORGOTTEN_AFTER) {
            old.extend(objects);
        }
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, created: &str) -> Object {
        let json = serde_json::json!({ "name": name, "timeCreated": created, "generation": "1" });
        serde_json::from_value(json).expect("an object")
    }

    #[test]
    fn a_session_is_forgotten_as_a_whole_or_not_at_all() {
        let objects = vec![
            object("/p/old/1", "2026-01-01T00:00:00Z"),
            object("/p/old/2", "2026-01-01T05:00:00Z"),
            object("/p/live/1", "2026-01-01T00:00:00Z"),
            object("/p/live/2", "2026-01-02T00:00:00Z"),
            object("/p/claim", "2026-01-01T00:00:00Z"),
        ];
        let now: jiff::Timestamp = "2026-01-02T06:00:00Z".parse().expect("a moment");
        let old = untouched(sessions(objects, "/p/"), now.try_into().expect("in bounds")).expect("told");
        let names: Vec<_> = old.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(names, ["/p/claim", "/p/old/1", "/p/old/2"]);
    }
}
