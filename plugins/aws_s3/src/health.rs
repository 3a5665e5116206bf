//! The probe: would S3 serve now, and do these credentials allow what the service does?
//!
//! Each permission is tried with a request that changes nothing: it asks for what is not there, or under a condition
//! that no object satisfies. S3 looks at permissions first, so that a refusal names the one that is missing.

use std::sync::Arc;

use storage_core::{Error, ErrorKind, Extra, Health, ObjectKey, Result, SaveOptions};

use crate::call::call;
use crate::options::Wishes;
use crate::store::Store;
use crate::upload;

/// A key under which nothing is ever stored.
const PROBE: &str = "storage-service/health-probe";

/// A tag that no object has.
const NO_TAG: &str = "\"00000000000000000000000000000000\"";

/// Probes the bucket.
///
/// # Errors
///
/// Why S3 would not serve.
pub(crate) async fn health(store: &Arc<Store>) -> Result<Health> {
    let is_directory = store.config.kind().is_directory();
    let (list, get, put, delete) =
        futures_util::join!(may_list(store), may_get(store), may_put(store), may_delete(store));
    let mut problems = Vec::new();
    // Who may not list is told that what is missing is forbidden, so that only the first is sure.
    let may_list = list.is_ok();
    for (permission, resource, answer) in [
        ("s3:ListBucket", "", list),
        ("s3:GetObject", "/*", get),
        ("s3:PutObject", "/*", put),
        ("s3:DeleteObject", "/*", delete),
    ] {
        match answer {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                if permission == "s3:GetObject" && !may_list {
                    continue;
                }
                let (permission, resource) = match (is_directory, may_list) {
                    (false, _) => (permission, resource),
                    (true, false) => ("s3express:CreateSession", ""),
                    (true, true) => ("s3express:CreateSession with s3express:SessionMode ReadWrite", ""),
                };
                let problem = missing(store, permission, resource, &error);
                // A directory bucket asks for the same right for all.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let extra = Extra::from([("region".to_owned(), store.region().to_owned())]);
    Ok(Health { problems, extra, ..Health::default() })
}

fn missing(store: &Store, permission: &str, resource: &str, error: &Error) -> String {
    let words = error.context().find(|(name, _)| *name == "answer").map_or("", |(_, words)| words);
    // The object may be written, but the key of KMS may not be used for it.
    let permission = if words.contains("kms:") { "kms:GenerateDataKey or kms:Decrypt" } else { permission };
    format!(
        "the permission {permission} on {}{resource} is missing; the policy that is needed: storage backends policy {}",
        crate::extension::policy::bucket_arn(store),
        store.name
    )
}

async fn may_list(store: &Store) -> Result<()> {
    let request = store.s3.list_objects_v2().bucket(&store.config.bucket).max_keys(1);
    call(store, "list the objects", 0, request.send()).await.map(drop)
}

async fn may_get(store: &Store) -> Result<()> {
    let request = store.s3.get_object().bucket(&store.config.bucket).key(PROBE);
    expect_missing(call(store, "get an object", 0, request.send()).await.map(drop))
}

/// Begins an upload, which is aborted at once.
async fn may_put(store: &Arc<Store>) -> Result<()> {
    let key = ObjectKey::new(PROBE)?;
    let class = crate::class::to_ask(store.config.storage_class.clone());
    let wishes = Wishes { class, ..Wishes::default() };
    upload::begin(store, &key, SaveOptions::default(), wishes).await.map(drop)
}

async fn may_delete(store: &Store) -> Result<()> {
    let request = store.s3.delete_object().bucket(&store.config.bucket).key(PROBE).if_match(NO_TAG);
    expect_missing(call(store, "delete an object", 0, request.send()).await.map(drop))
}

/// That nothing is there is the right answer.
fn expect_missing(answer: Result<()>) -> Result<()> {
    match answer {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PreconditionFailed) => Ok(()),
        other => other,
    }
}
