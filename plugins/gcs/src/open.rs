//! Opens a bucket: finds out who asks, sees that the bucket is there or creates it, and learns what it can do.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use storage_core::{Error, ErrorKind, Result, Tier};
use tokio_util::task::TaskTracker;

use crate::auth::{self, Signer};
use crate::client::{Client, with_query};
use crate::config::Config;
use crate::error::Failure;
use crate::resource::{Bucket, NewObject, tier};

/// An opened bucket. Cloning is cheap enough for a task.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) client: Client,
    pub(crate) config: std::sync::Arc<Config>,
    /// Who signs URLs, where somebody can.
    pub(crate) signer: Option<Signer>,
    /// Work that outlives the call which began it.
    pub(crate) tracker: TaskTracker,
    pub(crate) keeps_versions: bool,
    /// Whether the class of an object can be chosen.
    pub(crate) has_tiers: bool,
    /// Whether temporary objects can be removed at once, as uploads in parts need it, and the plugin's own ones be
    /// overwritten.
    pub(crate) allows_temporary: bool,
    /// The class of what is saved without a tier; none where Google chooses it.
    pub(crate) default_class: Option<String>,
    pub(crate) location: Option<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("bucket", &self.config.bucket).finish_non_exhaustive()
    }
}

impl Store {
    /// What a temporary object is like: in the class that costs nothing to leave early.
    pub(crate) fn temporary(&self) -> NewObject {
        let storage_class = self.has_tiers.then(|| "STANDARD".to_owned());
        NewObject { storage_class, ..NewObject::default() }
    }

    /// Whether temporary objects can be joined to an object of this class: what is joined has the class of its
    /// sources, whatever is asked for.
    pub(crate) fn joins_to(&self, class: Option<&str>) -> bool {
        class.is_none_or(|class| tier(class) == Some(Tier::Hot))
    }

    /// The key to encrypt a new object with, as a request carries it.
    pub(crate) fn key_query(&self) -> Vec<(&'static str, String)> {
        self.config.kms_key.iter().map(|key| ("kmsKeyName", key.clone())).collect()
    }
}

/// Opens the bucket that the configuration describes.
///
/// # Errors
///
/// `ConfigInvalid` for credentials that cannot be used and for a bucket that does not exist; `Unauthenticated`,
/// `PermissionDenied`, `Unavailable`.
pub(crate) async fn open(config: Config) -> Result<Store> {
    // Google's crate signs with what is installed for the whole library. Who came first installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (auth, signer) = auth::find(&config)?;
    let client = Client::new(&config, auth)?;
    let bucket = find_bucket(&client, &config).await?;
    let autoclass = bucket.autoclass.as_ref().is_some_and(|autoclass| autoclass.enabled);
    let class = config.storage_class.clone().or_else(|| bucket.storage_class.clone());
    let locks = bucket.retention_policy.is_some() || bucket.default_event_based_hold;
    Ok(Store {
        client,
        signer,
        tracker: TaskTracker::new(),
        keeps_versions: bucket.versioning.is_some_and(|versioning| versioning.enabled),
        has_tiers: !autoclass,
        allows_temporary: !locks,
        default_class: if autoclass { None } else { class },
        location: bucket.location,
        config: std::sync::Arc::new(config),
    })
}

async fn find_bucket(client: &Client, config: &Config) -> Result<Bucket> {
    match client.get::<Bucket>(&client.bucket_url(), &[]).await {
        Ok(bucket) => Ok(bucket),
        Err(failure) if failure.is(StatusCode::NOT_FOUND) && config.create_bucket => {
            create(client, config).await
        }
        Err(failure) if failure.is(StatusCode::NOT_FOUND) => Err(missing(config, failure)),
        Err(failure) if failure.error.kind() == ErrorKind::PermissionDenied => {
            // Who may only read and write objects cannot see the bucket. What it can do is then taken for the usual.
            tracing::warn!(
                error = %failure.error,
                "the bucket cannot be described (storage.buckets.get is missing): it is taken for one of class \
                 STANDARD without versions, Autoclass and retention"
            );
            Ok(Bucket::default())
        }
        Err(failure) => Err(failure.error),
    }
}

/// The answer does not tell whether the bucket or its project is missing; the advice is for the bucket.
fn missing(config: &Config, failure: Failure) -> Error {
    let bucket = &config.bucket;
    let location = config.location.split('+').next().unwrap_or_default();
    let project = config.project.as_deref().unwrap_or("PROJECT");
    let message = format!(
        "the bucket {bucket} (GCS_BUCKET_NAME) does not exist: create it with `gcloud storage buckets create \
         gs://{bucket} --project={project} --location={location} --uniform-bucket-level-access`, or set create_bucket \
         (GCS_CREATE_BUCKET) to true"
    );
    Error::new(ErrorKind::ConfigInvalid, message).with_source(failure.error)
}

async fn create(client: &Client, config: &Config) -> Result<Bucket> {
    let project = config.project.clone().unwrap_or_default();
    let url = with_query(&client.buckets_url(), &[("project", project)]);
    match client.post::<Bucket>(&url, &[], &new_bucket(config)).await {
        Ok(bucket) => {
            tracing::info!(bucket = config.bucket, location = config.location, "the bucket was created");
            Ok(bucket)
        }
        // Another host was first; or the name is somebody else's, which reading it tells.
        Err(failure) if failure.is(StatusCode::CONFLICT) => {
            let found = client.get::<Bucket>(&client.bucket_url(), &[]).await;
            found.map_err(|failure| match failure.error.kind() {
                ErrorKind::PermissionDenied => Error::new(
                    ErrorKind::ConfigInvalid,
                    format!(
                        "the name {} (GCS_BUCKET_NAME) is taken by somebody else: choose another",
                        config.bucket
                    ),
                )
                .with_source(failure.error),
                _ => failure.error,
            })
        }
        Err(failure) => Err(failure.error.with_context("bucket", &config.bucket)),
    }
}

/// The resource of a bucket to be created.
pub(crate) fn new_bucket(config: &Config) -> Value {
    let mut bucket = Map::new();
    let mut set = |name: &str, value: Value| drop(bucket.insert(name.to_owned(), value));
    set("name", json!(config.bucket));
    match config.pair_of_regions() {
        Some((one, other)) => {
            let regions = [one.to_uppercase(), other.to_uppercase()];
            set("location", json!(continent(one)));
            set("customPlacementConfig", json!({ "dataLocations": regions }));
        }
        None => set("location", json!(config.location.to_uppercase())),
    }
    set("storageClass", json!(config.storage_class.as_deref().unwrap_or("STANDARD")));
    set(
        "iamConfiguration",
        json!({ "uniformBucketLevelAccess": { "enabled": true }, "publicAccessPrevention": "enforced" }),
    );
    if config.versioning {
        set("versioning", json!({ "enabled": true }));
    }
    if config.autoclass {
        set("autoclass", json!({ "enabled": true, "terminalStorageClass": "ARCHIVE" }));
    }
    if let Some(time) = config.soft_delete {
        set("softDeletePolicy", json!({ "retentionDurationSeconds": seconds(time) }));
    }
    if let Some(time) = config.retention {
        set("retentionPolicy", json!({ "retentionPeriod": seconds(time) }));
    }
    if let Some(key) = &config.kms_key {
        set("encryption", json!({ "defaultKmsKeyName": key }));
    }
    Value::Object(bucket)
}

/// A span as Google writes it: a number in a text.
pub(crate) fn seconds(time: Duration) -> String {
    time.as_secs().to_string()
}

/// The location of a bucket in two regions: the multi-region that both lie in.
fn continent(region: &str) -> &'static str {
    match region.to_ascii_lowercase().split('-').next() {
        Some("europe") => "EU",
        Some("asia") => "ASIA",
        _ => "US",
    }
}
