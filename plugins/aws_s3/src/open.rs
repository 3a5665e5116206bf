//! Opens a bucket: makes sure that it is there, and learns what it can do.

use std::sync::Arc;

use aws_sdk_s3::types::{BucketVersioningStatus, RestoreRequest, VersioningConfiguration};
use storage_core::{BackendInfo, Capabilities, Error, ErrorKind, Limits, Result};
use tokio::runtime::Handle;

use crate::call::call;
use crate::client::{connect, with_keys_of_the_account};
use crate::config::{Config, MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES};
use crate::metrics::Metrics;
use crate::pieces::MAX_OBJECT_BYTES;
use crate::store::{Background, Store};
use crate::{bucket, delete, directory, extension, options, presign, uploads};

/// Opens the bucket.
///
/// # Errors
///
/// As [`crate::backend::S3Backend::open`].
pub(crate) async fn open(name: String, config: Config) -> Result<(Arc<Store>, BackendInfo)> {
    let connection = connect(&config).await?;
    let mut store = Store {
        name,
        config,
        s3: connection.s3,
        sdk: connection.sdk,
        capabilities: Capabilities::none(),
        metrics: Metrics::default(),
        plain: connection.plain,
        walks: directory::Walks::default(),
        url_credentials: presign::Kept::default(),
        background: Background::new(Handle::current()),
    };
    find_bucket(&store).await?;
    store.capabilities = capabilities(&store).await?;
    let store = Arc::new(store);
    let info = describe(&store, connection.server.name());
    if let Some(age) = store.config.abort_uploads_after {
        store.background.spawn_endless(uploads::sweep_daily(Arc::clone(&store), age));
    }
    if let Some((namespace, interval)) = store.config.metrics.clone() {
        let publishing = extension::cloudwatch::publish_regularly(Arc::clone(&store), namespace, interval);
        store.background.spawn_endless(publishing);
    }
    Ok((store, info))
}

/// Looks for the bucket with a request whose answer has words, which that to `HEAD` has not.
async fn find_bucket(store: &Store) -> Result<()> {
    let request = store.s3.list_objects_v2().bucket(&store.config.bucket).max_keys(1);
    let error = match call(store, "look for the bucket", 0, request.send()).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    // Who may write and not list can work; the probe of health tells what is missing.
    if error.kind() == ErrorKind::PermissionDenied {
        tracing::warn!(error = %error.report(), "the bucket cannot be listed");
        return Ok(());
    }
    let is_missing = error.context().any(|fact| fact == ("code", "NoSuchBucket"));
    if !is_missing || !store.config.create_bucket {
        return Err(error);
    }
    create_bucket(store).await
}

async fn create_bucket(store: &Store) -> Result<()> {
    let request = store
        .s3
        .create_bucket()
        .bucket(&store.config.bucket)
        .set_create_bucket_configuration(bucket::configuration(&store.config.bucket, store.region()))
        .set_object_lock_enabled_for_bucket(store.config.object_lock.then_some(true))
        .customize()
        .config_override(with_keys_of_the_account());
    match call(store, "create the bucket", 0, request.send()).await {
        Ok(_) => tracing::info!(bucket = store.config.bucket, "the bucket was created"),
        // Another host of the service was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn capabilities(store: &Store) -> Result<Capabilities> {
    let kind = store.config.kind();
    let mut all = kind.capabilities();
    if kind.may_keep_versions() && keeps_versions(store).await? {
        all |= Capabilities::VERSIONS;
    }
    if !kind.is_directory() && has_archive(store).await? {
        all |= Capabilities::RESTORE;
    }
    Ok(all)
}

/// Whether the bucket keeps versions, after it was told to where the configuration says so.
async fn keeps_versions(store: &Store) -> Result<bool> {
    let bucket = &store.config.bucket;
    let request = store.s3.get_bucket_versioning().bucket(bucket);
    let status = match call(store, "ask for the bucket's versioning", 0, request.send()).await {
        Ok(answer) => answer.status().cloned(),
        // What may not be asked, and is not done by an access point, is believed.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            tracing::warn!(error = %error.report(), "the bucket's versioning is not known: AWS_S3_VERSIONING is believed");
            return Ok(store.config.versioning == Some(true));
        }
        Err(error) => return Err(error),
    };
    let is_enabled = status == Some(BucketVersioningStatus::Enabled);
    let Some(wanted) = store.config.versioning else { return Ok(is_enabled) };
    // What never kept versions need not be suspended.
    if wanted == is_enabled || (!wanted && status.is_none()) {
        return Ok(wanted);
    }
    let status = if wanted { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
    let configuration = VersioningConfiguration::builder().status(status).build();
    let request = store.s3.put_bucket_versioning().bucket(bucket).versioning_configuration(configuration);
    call(store, "set the bucket's versioning", 0, request.send()).await?;
    Ok(wanted)
}

/// Whether the server can restore archived objects. Amazon's can; another is asked to restore what is not there,
/// and says by its refusal whether it knows the operation.
async fn has_archive(store: &Store) -> Result<bool> {
    if store.config.endpoints.s3.is_none() {
        return Ok(true);
    }
    let request = store
        .s3
        .restore_object()
        .bucket(&store.config.bucket)
        .key("storage-service/no-such-object")
        .restore_request(RestoreRequest::builder().days(1).build());
    match call(store, "ask whether there is an archive", 0, request.send()).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) if error.retry().is_allowed() => Err(error),
        Err(error) => Ok(knows_restores(&error)),
    }
}

/// Whether a refusal is about the object, or the right to restore it, and not about the operation.
fn knows_restores(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::ObjectArchived)
}

fn describe(store: &Store, server: Option<String>) -> BackendInfo {
    let mut extra = storage_core::request::Extra::new();
    extra.insert("region".to_owned(), store.region().to_owned());
    if !store.config.kind().is_directory() {
        extra.insert("storage_class".to_owned(), store.config.storage_class.as_str().to_owned());
    }
    BackendInfo {
        backend_type: "aws_s3".to_owned(),
        location: store.config.location(),
        server,
        capabilities: store.capabilities,
        limits: Limits {
            max_object_bytes: Some(MAX_OBJECT_BYTES),
            max_single_save_bytes: None,
            min_part_bytes: Some(MIN_PART_BYTES),
            max_part_bytes: Some(MAX_PART_BYTES),
            max_parts: Some(MAX_PARTS),
            // At most 1000, which every integer holds.
            max_delete_batch: Some(delete::BATCH as u32),
            max_list_page: Some(options::MAX_PAGE),
            max_presign_expiry: Some(presign::longest(store.config.kind())),
        },
        extensions: extension::list(store.config.kind()),
        extra,
    }
}
