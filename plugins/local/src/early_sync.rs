//! [`EarlySync`]: brings a long content to the disk while it is still being written.
//!
//! Otherwise all of it would wait in the system's memory for the sync at its end: the disk would idle first and the
//! caller later, and so would everybody else whose sync comes behind such a long one.

use storage_core::Result;
use tokio::task::JoinHandle;

use crate::blocking;
use crate::store::Store;
use crate::write::ContentWriter;

/// So much is written between two of them. More makes writers wait for the disk, less has the file system commit more
/// often than it need.
const STEP_BYTES: u64 = 32 * 1024 * 1024;

/// It begins only while more than so many operations could use the disk beside it.
const SPARE_PLACES: usize = 16;

/// The syncs of one content, one at a time.
#[derive(Default)]
pub(crate) struct EarlySync {
    begun_bytes: u64,
    under_way: Option<JoinHandle<Result<()>>>,
}

impl EarlySync {
    /// Begins one when enough was written since the last, but not where that would keep others from the disk. It does
    /// not wait. What goes wrong is told by a later call: the system tells it only once.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) async fn advance(&mut self, store: &Store, writer: &ContentWriter) -> Result<()> {
        if !store.config.fsync || writer.size_bytes() < self.begun_bytes + STEP_BYTES {
            return Ok(());
        }
        if let Some(sync) = self.under_way.take_if(|sync| sync.is_finished()) {
            blocking::join(sync).await?;
        }
        let gate = store.gate();
        if self.under_way.is_none()
            && gate.available_permits() > SPARE_PLACES
            && let Ok(place) = gate.try_acquire_owned()
            // Where there is no descriptor to spare, the sync at the end does it all.
            && let Ok(sync) = writer.begin_sync()
        {
            self.begun_bytes = writer.size_bytes();
            self.under_way = Some(tokio::task::spawn_blocking(move || {
                let _place = place;
                sync()
            }));
        }
        Ok(())
    }

    /// Waits for the one that is under way.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) async fn end(self) -> Result<()> {
        match self.under_way {
            Some(sync) => blocking::join(sync).await,
            None => Ok(()),
        }
    }
}
