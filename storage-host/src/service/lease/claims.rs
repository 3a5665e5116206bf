//! The claims of a save: made, kept alive, used up by the commit, or given back.
//!
//! Claims that are not settled when the lease is dropped (a caller who went away) are given back in the
//! background; what even that does not reach (a killed process) lapses in the catalog and is found by the
//! reconciler.
//!
//! Compiled twice in tests: see [`super::sync`].

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use storage_core::{Error, ErrorKind, Result, Retry};

use super::sync::{AtomicBool, AtomicU64, Handle, Instant, Mutex, Ordering, spawn, timeout};
use crate::catalog::{AuditEntry, Catalog, Garbage, NewVersion, ReservationId, UserId};
use crate::manager::NamedBackend;
use crate::service::objects::remove_object;
use crate::service::retrieve::find_version;
use crate::service::types::FileInfo;

/// How long a claim lasts that is not renewed. The janitor takes objects for abandoned some minutes later.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// How often the claims of a save under way are renewed.
pub(super) const RENEWAL: Duration = Duration::from_secs(60);

/// The claims of one save.
pub(crate) struct Lease {
    pub(super) claims: Claims,
    reserved_bytes: AtomicU64,
    settled: AtomicBool,
    /// When the claim to the object was last renewed.
    renewed_at: Mutex<Moment>,
    /// Where claims are given back: the lease may be dropped on a thread of a plugin's, which knows no runtime
    /// of the host's.
    runtime: Handle,
}

#[derive(Clone)]
pub(super) struct Claims {
    pub(super) catalog: Arc<dyn Catalog>,
    backend: Arc<NamedBackend>,
    pub(super) object: Garbage,
    reservation: Option<ReservationId>,
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
        let user = user.clone();
        // The catalog makes a promise whether or not the caller still waits for it. A task of its own is still
        // there to give it back.
        let taking = spawn(async move {
            let reservation = match room {
                Some(room) => Some(catalog.reserve(&user, room.bytes, room.files, LIFETIME).await?),
                None => None,
            };
            let renewed_at = Mutex::new(Moment::now());
            let lease = Self {
                claims: Claims { catalog, backend, object, reservation },
                reserved_bytes: AtomicU64::new(room.map_or(0, |room| room.bytes)),
                settled: AtomicBool::new(false),
                renewed_at,
                runtime: Handle::current(),
            };
            lease.claims.catalog.begin_object(&lease.claims.object).await?;
            Ok(Arc::new(lease))
        });
        taking.await.unwrap_or_else(|join| {
            Err(Error::new(ErrorKind::Internal, "the claims of a save were not made").with_source(join))
        })
    }

    /// The reservation that the commit uses up.
    pub(crate) fn reservation(&self) -> Option<ReservationId> {
        self.claims.reservation
    }

    /// Makes sure that the reservation covers a length: nothing is reserved ahead of the bytes, so that no one
    /// else is refused room that stays free.
    pub(crate) async fn cover(&self, size_bytes: u64) -> Result<()> {
        let Some(reservation) = self.claims.reservation else { return Ok(()) };
        let missing = size_bytes.saturating_sub(self.reserved_bytes.load(Ordering::Relaxed));
        if missing > 0 {
            self.claims.catalog.grow_reservation(reservation, missing, LIFETIME).await.map_err(lapsed)?;
            self.reserved_bytes.fetch_add(missing, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Awaits the backend's work on the object and keeps the claims alive meanwhile, however long source or
    /// backend stand still. If it fails, the room is free again when this answers, and what may have been written
    /// is removed in the background.
    pub(crate) async fn hold<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        let result = loop {
            match timeout(RENEWAL, &mut work).await {
                Ok(result) => break result,
                Err(_) => self.renew().await,
            }
        };
        if result.is_err() {
            self.claims.release_room().await;
            self.settle();
            self.runtime.spawn(self.claims.clone().remove_stopped());
        }
        result
    }

    /// Makes sure that the object is still this save's. Asked last before the commit: a claim that was not renewed
    /// for long, because the machine slept or its clock was put forward, may have been taken for that of a dead
    /// process, and the object removed.
    ///
    /// # Errors
    ///
    /// `Timeout`.
    pub(super) fn ensure_in_force(&self) -> Result<()> {
        if !self.is_lapsed() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Timeout, "the save stood still until its claim to the object had lapsed")
            .with_retry(Retry::May))
    }

    fn is_lapsed(&self) -> bool {
        let Moment { wall, steady } = *self.renewed_at.lock();
        // The steady clock stands still while the machine sleeps; the wall clock is the one that the record is
        // judged by.
        steady.elapsed() > LIFETIME || wall.elapsed().is_ok_and(|elapsed| elapsed > LIFETIME)
    }

    /// Makes the stored object a version of a file. Runs to its end even if the caller goes away: an object must not
    /// be removed while the transaction that refers to it may still succeed.
    ///
    /// # Errors
    ///
    /// As [`Self::ensure_in_force`]; those of the catalog. Then nothing is there.
    pub(crate) async fn commit(self: Arc<Self>, version: NewVersion, audit: AuditEntry) -> Result<FileInfo> {
        let work = spawn(async move {
            if let Err(error) = self.ensure_in_force() {
                self.give_up().await;
                return Err(error);
            }
            // Whatever becomes of this task: nothing but the answer that there is no such version gives up an object
            // that a version may refer to.
            self.settle();
            let catalog = &self.claims.catalog;
            let (user, file, id) = (version.user.clone(), version.file, version.version);
            let error = match catalog.commit_version(version, audit).await {
                Ok(record) => return Ok(FileInfo::current(record)),
                Err(error) => error,
            };
            // A commit that failed may have happened all the same: the answer was lost, not the write.
            match find_version(catalog.as_ref(), file, &user, Some(id)).await {
                Ok((info, _)) => Ok(info),
                Err(missing) if missing.kind() == ErrorKind::NotFound => {
                    self.give_up().await;
                    Err(error)
                }
                // Unknown: the reconciler will know.
                Err(_) => Err(error),
            }
        });
        work.await.unwrap_or_else(|join| {
            Err(Error::new(ErrorKind::Internal, "the commit of a save did not end").with_source(join))
        })
    }

    /// Says that from here on the commit disposes of the claims: dropping the lease gives nothing back.
    fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Gives the claims back and removes what was written. Only after the backend has answered.
    pub(crate) async fn give_up(&self) {
        self.claims.release_room().await;
        // Where the object could not be removed its record stays: the reconciler goes by it.
        if self.claims.remove().await
            && let Err(error) = self.claims.catalog.abandon_object(&self.claims.object).await
        {
            tracing::warn!(error = %error.report(), "a removed object stays on record and will be removed again");
        }
        self.settle();
    }

    /// Prolongs the claims. Where that fails the work goes on: they last for several renewals, and the commit
    /// asks again for room that has lapsed. A claim to the object that has lapsed stays so.
    pub(super) async fn renew(&self) {
        if self.is_lapsed() {
            return;
        }
        let Claims { catalog, object, reservation, .. } = &self.claims;
        let now = Moment::now();
        let mut renewed = catalog.begin_object(object).await;
        if renewed.is_ok() {
            *self.renewed_at.lock() = now;
        }
        if let Some(reservation) = reservation {
            renewed = renewed.and(catalog.grow_reservation(*reservation, 0, LIFETIME).await);
        }
        if let Err(error) = renewed {
            tracing::warn!(error = %error.report(), key = %object.key, "the claims of a save were not renewed");
        }
    }
}

impl Claims {
    async fn release_room(&self) {
        if let Some(reservation) = self.reservation
            && let Err(error) = self.catalog.release_reservation(reservation).await
        {
            tracing::warn!(error = %error.report(), "a reservation was not released and will lapse");
        }
    }

    /// Removes the object, if it can be.
    async fn remove(&self) -> bool {
        let key = &self.object.key;
        match remove_object(&self.backend, key).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = %error.report(), %key, "an unfinished object was left to the reconciler");
                false
            }
        }
    }

    /// Removes the object of work that was stopped. Its record stays: a backend that was told to stop may yet
    /// finish what it is at, and only the age of the record tells that nobody is at it any more.
    async fn remove_stopped(self) {
        self.remove().await;
    }
}

/// A moment, by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    wall: SystemTime,
    steady: Instant,
}

impl Moment {
    fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
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
        let claims = self.claims.clone();
        self.runtime.spawn(async move {
            claims.release_room().await;
            claims.remove_stopped().await;
        });
    }
}

/// That a reservation is not found concerns nobody but the save that made it.
fn lapsed(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::Timeout, "the save stood still until its claim to room had lapsed")
                .with_source(error)
        }
        _ => error,
    }
}
