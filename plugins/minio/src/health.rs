//! `health`: really writes, reads and removes a probe, and asks MinIO's own endpoints.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::ByteStream as Payload;
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, Health, Result, Retry};

use crate::error::{convert, fault};
use crate::probe;
use crate::save;
use crate::store::Store;

const CONTENT: &[u8] = b"a probe of the storage service\n";

/// Asks the server whether it would serve now, reads and writes alike.
///
/// # Errors
///
/// Why it would not.
pub(crate) async fn health(store: &Store) -> Result<Health> {
    let request = store.client.list_objects_v2().bucket(store.bucket()).max_keys(1);
    request.send().await.map_err(fault("list the bucket"))?;
    let mut health = Health::default();
    if store.locked_by_default {
        try_writing(store, &mut health).await?;
    } else {
        write_and_read(store, &mut health).await?;
    }
    if store.product.has_minio_health() {
        for (name, path) in [("live", "/minio/health/live"), ("cluster", "/minio/health/cluster")] {
            let status = minio_status(store, path).await?;
            // Older servers, and what was made of them, have the first alone.
            if !(200..300).contains(&status) && !matches!(status, 400 | 403 | 404 | 405) {
                health.problems.push(format!("MinIO's health endpoint {path} answers {status}"));
            }
            health.extra.insert(format!("minio_{name}"), status.to_string());
        }
    }
    Ok(health)
}

/// Writes an object, reads it back and removes it.
async fn write_and_read(store: &Store, health: &mut Health) -> Result<()> {
    let key = probe::fresh_key("health");
    let put = store.client.put_object().bucket(store.bucket()).key(&key);
    let put = put.body(Payload::from_static(CONTENT)).send().await;
    let version = match put.map_err(|error| convert("write a probe", error)) {
        Ok(saved) => saved.version_id().map(str::to_owned),
        Err(error) => return missing_permission(error, "write objects (s3:PutObject)", health),
    };
    let read = read_back(store, &key).await;
    let removed = save::remove(store, &key, version.as_deref()).await;
    match read {
        Ok(bytes) if bytes == CONTENT => {}
        Ok(_) => {
            return Err(Error::new(ErrorKind::Unavailable, "the server gave other bytes than were written")
                .with_retry(Retry::May));
        }
        Err(error) => missing_permission(error, "read objects (s3:GetObject)", health)?,
    }
    match removed {
        Ok(()) => Ok(()),
        Err(error) => missing_permission(error, "delete objects (s3:DeleteObject)", health),
    }
}

async fn read_back(store: &Store, key: &str) -> Result<Vec<u8>> {
    let answer = store.client.get_object().bucket(store.bucket()).key(key).send().await;
    let answer = answer.map_err(fault("read the probe back"))?;
    let body = answer.body.collect().await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the probe's body broke off")
            .with_retry(Retry::May)
            .with_source(error)
    })?;
    Ok(body.to_vec())
}

/// Where every version is locked, a probe would stay: a write whose condition cannot hold is tried instead, which
/// still needs the permission.
async fn try_writing(store: &Store, health: &mut Health) -> Result<()> {
    if !store.features.write_if_match {
        return Ok(());
    }
    let put = store.client.put_object().bucket(store.bucket()).key(probe::KEPT_KEY).if_match("\"0\"");
    match put.body(Payload::from_static(CONTENT)).send().await.map_err(|error| convert("try to write", error))
    {
        Err(error) if [ErrorKind::PreconditionFailed, ErrorKind::NotFound].contains(&error.kind()) => Ok(()),
        Err(error) => missing_permission(error, "write objects (s3:PutObject)", health),
        Ok(_) => Ok(()),
    }
}

fn missing_permission(error: Error, what: &str, health: &mut Health) -> Result<()> {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            health.problems.push(format!("the access key (MINIO_ACCESS_KEY) may not {what}"));
            Ok(())
        }
        _ => Err(error),
    }
}

/// What MinIO's own endpoints say.
///
/// # Errors
///
/// Where they do not answer.
pub(crate) async fn of_minio(store: &Store) -> Result<Value> {
    let (live, cluster, readable) = tokio::join!(
        minio_status(store, "/minio/health/live"),
        minio_status(store, "/minio/health/cluster"),
        minio_status(store, "/minio/health/cluster/read"),
    );
    Ok(json!({ "live": live?, "cluster": cluster?, "cluster_read": readable? }))
}

/// Sends a request elsewhere, without its signature.
#[derive(Debug)]
struct Elsewhere(String);

impl Intercept for Elsewhere {
    fn name(&self) -> &'static str {
        "Elsewhere"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_uri(self.0.as_str())?;
        request.headers_mut().remove("authorization");
        Ok(())
    }
}

/// The status of one of MinIO's own endpoints, asked through the backend's own connections with a request of S3 that
/// is sent elsewhere; the answer is none that the SDK could read. Old servers know `GET` alone there, and refuse
/// what is signed.
async fn minio_status(store: &Store, path: &'static str) -> Result<u16> {
    let elsewhere = Elsewhere(format!("{}{path}", store.config.endpoint));
    let request = store.client.get_bucket_versioning().bucket(store.bucket()).customize();
    match request.interceptor(elsewhere).send().await {
        Ok(_) => Ok(200),
        Err(error) => match error.raw_response().map(|answer| answer.status().as_u16()) {
            Some(status) => Ok(status),
            None => Err(convert("ask MinIO's health endpoint", error)),
        },
    }
}
