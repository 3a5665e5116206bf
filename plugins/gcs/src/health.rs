//! Whether the bucket would serve now, with these credentials.

use reqwest::StatusCode;
use serde::Deserialize;
use storage_core::{Health, Result};

use crate::client::with_query;
use crate::open::Store;
use crate::resource::Listing;

/// What the plugin needs of the bucket, and what fails without it.
const NEEDED: [(&str, &str); 4] = [
    ("storage.objects.get", "files cannot be read"),
    ("storage.objects.list", "files cannot be listed"),
    ("storage.objects.create", "files cannot be saved"),
    ("storage.objects.delete", "files cannot be deleted or overwritten, and temporary parts stay"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Granted {
    permissions: Vec<String>,
}

/// Asks which permissions the credentials have, which proves them and the bucket as well.
///
/// # Errors
///
/// Why the bucket would not serve.
pub(crate) async fn health(store: &Store) -> Result<Health> {
    let url = format!("{}/iam/testPermissions", store.client.bucket_url());
    let query: Vec<_> = NEEDED.iter().map(|(name, _)| ("permissions", (*name).to_owned())).collect();
    let granted = match store.client.get::<Granted>(&url, &query).await {
        Ok(granted) => granted.permissions,
        // Emulators have no such question, and anybody may do anything.
        Err(failure) if failure.is(StatusCode::NOT_FOUND) && store.client.auth().is_anonymous() => {
            return listed(store).await;
        }
        Err(failure) if failure.is(StatusCode::NOT_FOUND) && !is_google(store) => return listed(store).await,
        Err(failure) => return Err(failure.error),
    };
    let missing = NEEDED.iter().filter(|(name, _)| granted.iter().all(|granted| granted != name));
    let problems = missing.map(|(name, effect)| format!("the permission {name} is missing: {effect}"));
    Ok(Health { problems: problems.collect(), ..Health::default() })
}

fn is_google(store: &Store) -> bool {
    store.config.endpoint == crate::config::GOOGLE
}

/// A listing of one name proves the bucket and the right to read alone, which is said.
async fn listed(store: &Store) -> Result<Health> {
    let query = [("maxResults", "1".to_owned())];
    store.client.get::<Listing>(&with_query(&store.client.objects_url(), &query), &[]).await?;
    let extra = [("permissions".to_owned(), "the server does not tell them".to_owned())].into();
    Ok(Health { extra, ..Health::default() })
}
