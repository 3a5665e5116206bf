//! Claims over time: kept alive, or lapsed.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use storage_core::memory::MemoryBackend;
use storage_core::{ErrorKind, ObjectKey, Result, Retry};
use tempfile::TempDir;

use super::claims::{LIFETIME, Lease, RENEWAL, Room};
use crate::catalog::{CatalogOptions, Garbage, SqliteCatalog, UserId};
use crate::manager::NamedBackend;

/// A claim, and the folder that its catalog lies in. From here on the clock is moved by hand.
async fn claim() -> (Arc<Lease>, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(path, CatalogOptions::default()).expect("a catalog");
    let backend = NamedBackend::new("main", Arc::new(MemoryBackend::new("main")));
    let object = Garbage { backend: "main".to_owned(), key: ObjectKey::new("users/ada/1").expect("a key") };
    let user = UserId::new("ada").expect("a user");
    let room = Some(Room { bytes: 10, files: 1 });
    let lease = Lease::take(Arc::new(catalog), backend, object, &user, room);
    let lease = lease.await.expect("nothing is in the way");
    tokio::time::pause();
    (lease, folder)
}

#[tokio::test]
async fn the_claims_of_work_that_stands_still_are_renewed() {
    let (lease, _folder) = claim().await;
    let held = Arc::clone(&lease);
    let work = tokio::spawn(async move { held.hold(pending::<Result<()>>()).await });
    tokio::task::yield_now().await;
    let reservation = lease.reservation().expect("room was asked for");
    let other = Garbage { key: ObjectKey::new("users/ada/2").expect("a key"), ..lease.claims.object.clone() };
    for _ in 0..2 * LIFETIME.as_secs() / RENEWAL.as_secs() {
        tokio::time::advance(RENEWAL).await;
        // The catalog does one thing after the other: when these are done, so are those of the renewal before them.
        lease.claims.catalog.begin_object(&other).await.expect("recorded");
        lease.claims.catalog.grow_reservation(reservation, 0, LIFETIME).await.expect("renewed");
        lease.ensure_in_force().expect("renewed in time");
    }
    work.abort();
}

#[tokio::test]
async fn a_claim_that_lapsed_stays_so() {
    let (lease, _folder) = claim().await;
    tokio::time::advance(LIFETIME - Duration::from_secs(1)).await;
    lease.ensure_in_force().expect("not yet");
    tokio::time::advance(Duration::from_secs(2)).await;
    lease.renew().await;
    let error = lease.ensure_in_force().expect_err("somebody may have taken the object for abandoned");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::May));
}
