//! What a save claims while it is under way: room in the owner's quota, and the object that it writes.
//!
//! Claims that are not settled when the lease is dropped (an error, a caller who went away) are given back in
//! the background; what even that does not reach (a killed process) lapses in the catalog and is found by the
//! reconciler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use storage_core::Result;
use tokio::runtime::Handle;

use super::objects::remove_object;
use crate::catalog::{Catalog, Garbage, ReservationId, UserId};
use crate::manager::NamedBackend;

/// How long a claim lasts that is not renewed.
const LIFETIME: Duration = Duration::from_secs(600);

/// The claims of one save.
pub(crate) struct Lease {
    catalog: Arc<dyn Catalog>,
    backend: Arc<NamedBackend>,
    object: Garbage,
    reservation: Option<ReservationId>,
    reserved_bytes: AtomicU64,
    settled: AtomicBool,
}

impl Lease {
    /// Claims the object and, where `room` is given, that many bytes and files of the owner's quota.
    ///
    /// # Errors
    ///
    /// `QuotaExceeded`.
    pub(crate) async fn take(
        catalog: Arc<dyn Catalog>,
        backend: Arc<NamedBackend>,
        object: Garbage,
        user: &UserId,
        room: Option<Room>,
    ) -> Result<Arc<Self>> {
        let reservation = match room {
            Some(room) => Some(catalog.reserve(user, room.bytes, room.files, LIFETIME).await?),
            None => None,
        };
        let lease = Self {
            catalog,
            backend,
            object,
            reservation,
            reserved_bytes: AtomicU64::new(room.map_or(0, |room| room.bytes)),
            settled: AtomicBool::new(false),
        };
        lease.catalog.begin_object(&lease.object).await?;
        Ok(Arc::new(lease))
    }

    /// The reservation that the commit uses up.
    pub(crate) fn reservation(&self) -> Option<ReservationId> {
        self.reservation
    }

    /// Makes sure that the reservation covers a length: nothing is reserved ahead of the bytes, so that no one
    /// else is refused room that stays free.
    pub(crate) async fn cover(&self, size_bytes: u64) -> Result<()> {
        let Some(reservation) = self.reservation else { return Ok(()) };
        let missing = size_bytes.saturating_sub(self.reserved_bytes.load(Ordering::Relaxed));
        if missing > 0 {
            self.catalog.grow_reservation(reservation, missing, LIFETIME).await?;
            self.reserved_bytes.fetch_add(missing, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Prolongs the claims.
    pub(crate) async fn renew(&self) -> Result<()> {
        if let Some(reservation) = self.reservation {
            self.catalog.grow_reservation(reservation, 0, LIFETIME).await?;
        }
        self.catalog.begin_object(&self.object).await
    }

    /// Says that a commit used the claims up.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Gives the claims back and removes what was written.
    pub(crate) async fn give_up(&self) {
        self.settle();
        give_up(&self.catalog, &self.backend, &self.object, self.reservation).await;
    }
}

/// The room that a save asks for.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Files: 1, or 0 for a new version.
    pub(crate) files: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if *self.settled.get_mut() {
            return;
        }
        let Ok(handle) = Handle::try_current() else { return };
        let (catalog, backend) = (self.catalog.clone(), self.backend.clone());
        let (object, reservation) = (self.object.clone(), self.reservation);
        handle.spawn(async move { give_up(&catalog, &backend, &object, reservation).await });
    }
}

async fn give_up(
    catalog: &Arc<dyn Catalog>,
    backend: &NamedBackend,
    object: &Garbage,
    reservation: Option<ReservationId>,
) {
    if let Some(reservation) = reservation
        && let Err(error) = catalog.release_reservation(reservation).await
    {
        tracing::warn!(error = %error.report(), "a reservation was not released and will lapse");
    }
    // The record of the object stays where the object could not be removed: the reconciler goes by it.
    let removed = match remove_object(backend, &object.key).await {
        Ok(()) => catalog.abandon_object(object).await,
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::warn!(error = %error.report(), key = %object.key, "an unfinished object was left to the reconciler");
    }
}
