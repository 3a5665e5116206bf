//! Opens the backend: finds or makes the bucket, and learns what server and bucket can do.

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use storage_core::{Error, ErrorKind, Result};

use crate::client::{self, ServerHeader};
use crate::config::{Config, NewBucket};
use crate::error::{convert, fault};
use crate::server::Product;
use crate::store::Store;
use crate::{lifecycle, lock, probe};

/// Opens the store that the configuration describes.
///
/// # Errors
///
/// `ConfigInvalid` for a bucket that does not exist and may not be made, or keeps no versions where it must;
/// `Unauthenticated`, `PermissionDenied`, `Unavailable`.
pub(crate) async fn open(config: Config) -> Result<Store> {
    let server = ServerHeader::default();
    let client = client::connect(&config, server.clone())?;
    let mut store = Store::new(client, config, server);
    ensure_bucket(&store).await.map_err(|error| error.with_context("endpoint", &store.config.endpoint))?;
    store.product = Product::recognise(store.server.get(), &store.config.endpoint);
    let (versions, lifecycle, lock) =
        tokio::join!(keeps_versions(&store), has_lifecycle(&store), lock::of_bucket(&store));
    let lock = lock?;
    store.features.versions = versions?;
    store.features.lifecycle = lifecycle?;
    store.features.object_lock = lock.enabled;
    store.locked_by_default = lock.by_default;
    if store.config.versioning && !store.features.versions {
        return Err(no_versions(&store));
    }
    if store.config.probe {
        Box::pin(probe::run(&mut store)).await?;
    }
    if store.features.crc64nvme {
        store.reads = client::asking_for_digests(&store.client);
    }
    Ok(store)
}

/// The bucket must keep versions, and does not.
fn no_versions(store: &Store) -> Error {
    Error::new(
        ErrorKind::ConfigInvalid,
        format!(
            "the bucket {bucket} keeps no versions, but versioning (MINIO_VERSIONING) or object_lock \
             (MINIO_OBJECT_LOCK) asks for them; turn them on with `mc version enable ALIAS/{bucket}`",
            bucket = store.bucket()
        ),
    )
    .with_context("server", store.product_name())
}

/// Finds the bucket, else makes it where that is configured.
async fn ensure_bucket(store: &Store) -> Result<()> {
    let request = store.client.list_objects_v2().bucket(store.bucket()).max_keys(1);
    let Err(error) = request.send().await else { return Ok(()) };
    let error = convert("open the bucket", error);
    let is_missing = error.context().any(|(name, value)| name == "code" && value == "NoSuchBucket");
    match &store.config.create {
        Some(new) if is_missing => create(store, new).await,
        _ if is_missing => Err(missing_bucket(store)),
        _ => Err(error.with_context("bucket", store.bucket())),
    }
}

fn missing_bucket(store: &Store) -> Error {
    let (bucket, endpoint) = (store.bucket(), &store.config.endpoint);
    Error::new(
        ErrorKind::ConfigInvalid,
        format!(
            "there is no bucket {bucket} (MINIO_BUCKET_NAME): make it with `mc mb ALIAS/{bucket}` or \
             `aws --endpoint-url {endpoint} s3 mb s3://{bucket}`, or set MINIO_CREATE_BUCKET=true"
        ),
    )
}

async fn create(store: &Store, new: &NewBucket) -> Result<()> {
    let region = store.config.region.as_str();
    // The first region is the one that must not be named.
    let place = (region != "us-east-1" && region != "auto").then(|| {
        let region = BucketLocationConstraint::from(region);
        CreateBucketConfiguration::builder().location_constraint(region).build()
    });
    let request = store.client.create_bucket().bucket(store.bucket()).set_create_bucket_configuration(place);
    let request = request.set_object_lock_enabled_for_bucket(new.object_lock.then_some(true));
    if let Err(error) = request.send().await {
        let error = convert("make the bucket", error);
        let code = error.context().find(|(name, _)| *name == "code").map(|(_, value)| value.to_owned());
        return match code.as_deref() {
            // Another host was faster, and sets it up.
            Some("BucketAlreadyOwnedByYou") => Ok(()),
            Some("BucketAlreadyExists") => Err(Error::new(
                ErrorKind::ConfigInvalid,
                format!(
                    "the bucket {} (MINIO_BUCKET_NAME) belongs to somebody else; choose another name",
                    store.bucket()
                ),
            )),
            _ => Err(error.with_context("bucket", store.bucket())),
        };
    }
    tracing::info!(bucket = store.bucket(), "the bucket was made");
    if store.config.versioning {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request =
            store.client.put_bucket_versioning().bucket(store.bucket()).versioning_configuration(on);
        request.send().await.map_err(fault("let the new bucket keep versions (MINIO_VERSIONING)"))?;
    }
    if let Some((mode, days)) = new.default_retention {
        lock::set_default(store, mode, days).await?;
    }
    lifecycle::set_first_rules(store, new).await
}

/// Whether the bucket keeps versions. Suspended ones are not kept any more.
async fn keeps_versions(store: &Store) -> Result<bool> {
    let answer = store.client.get_bucket_versioning().bucket(store.bucket()).send().await;
    match answer.map_err(|error| convert("ask whether the bucket keeps versions", error)) {
        Ok(answer) => Ok(answer.status() == Some(&BucketVersioningStatus::Enabled)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied && store.config.versioning => Err(error),
        Err(error) if !error.retry().is_allowed() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn has_lifecycle(store: &Store) -> Result<bool> {
    match lifecycle::current(store).await {
        Ok(_) => Ok(true),
        Err(error) if !error.retry().is_allowed() => Ok(false),
        Err(error) => Err(error),
    }
}
