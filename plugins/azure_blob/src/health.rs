//! `health`: really lists, writes, reads and deletes.

use azure_core::Method;
use bytes::Bytes;
use storage_core::{Error, ErrorKind, Health, Result, Retry};

use crate::client::{Call, Target};
use crate::store::{Shared, Store};
use crate::uploads::probe_name;

const PROBE: &[u8] = b"a probe of the storage service\n";

/// Asks the service whether it would serve now, with these credentials.
///
/// # Errors
///
/// Why it would not.
pub(crate) async fn health(store: Shared) -> Result<Health> {
    let mut health = Health::default();
    let list = Call::new(Method::Get, Target::Container)
        .query("restype", "container")
        .query("comp", "list")
        .query("maxresults", "1");
    note(&mut health, store.client.send(&list).await, "list blobs", "l")?;
    let blob = probe_name();
    let write =
        Call::blob(Method::Put, &blob).header("x-ms-blob-type", "BlockBlob").body(Bytes::from_static(PROBE));
    let Some(written) = note(&mut health, store.client.send(&write).await, "write blobs", "w")? else {
        return Ok(health);
    };
    let keeps_versions = written.header("x-ms-version-id").is_some();
    if keeps_versions != store.config.versioning {
        health.problems.push(match keeps_versions {
            true => "the account keeps versions: set AZURE_VERSIONING=true to reach them".to_owned(),
            false => "AZURE_VERSIONING is true, but the account keeps no versions: turn versioning on in the account's \
                      data protection"
                .to_owned(),
        });
    }
    let read = read_back(&store, &blob).await;
    let deleted = store.client.send(&Call::blob(Method::Delete, &blob)).await;
    note(&mut health, read, "read blobs", "r")?;
    note(&mut health, deleted, "delete blobs", "d")?;
    Ok(health)
}

async fn read_back(store: &Store, blob: &str) -> Result<()> {
    let read = store.client.send(&Call::blob(Method::Get, blob)).await?.bytes().await?;
    if read == PROBE {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unavailable, "the service gave other bytes than were written")
        .with_retry(Retry::May))
}

/// A permission that is missing is a problem of a backend that answers; anything else is a failure.
fn note<T>(health: &mut Health, result: Result<T>, what: &str, permission: &str) -> Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            health.problems.push(format!(
                "may not {what}: the identity needs the role Storage Blob Data Contributor, a signature the permission \
                 {permission}"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
