//! `health`: really writes, syncs, reads and removes a probe.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use storage_core::{Error, ErrorKind, Health, Result, Retry};

use crate::blocking;
use crate::error::{fault, io_fault};
use crate::store::Store;

const PROBE: &[u8] = b"a probe of the storage service\n";

/// Asks the disk whether it would serve now.
///
/// # Errors
///
/// Why it would not.
pub(crate) async fn health(store: Arc<Store>) -> Result<Health> {
    blocking::run(store.gate(), move |_| {
        store.check_present()?;
        let mut staged = store.staging()?.create("probe")?;
        staged.file().write_all(PROBE).map_err(io_fault("write a probe"))?;
        store.sync(&staged)?;
        let mut read = Vec::new();
        staged.file().seek(SeekFrom::Start(0)).map_err(io_fault("read the probe back"))?;
        staged.file().read_to_end(&mut read).map_err(io_fault("read the probe back"))?;
        if read != PROBE {
            return Err(Error::new(ErrorKind::Unavailable, "the disk gave other bytes than were written")
                .with_retry(Retry::May));
        }
        // What is left to the service's user, not what is left to root.
        let room = rustix::fs::fstatvfs(&store.root).map_err(fault("ask for the room on the disk"))?;
        let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
        let mut problems = Vec::new();
        if free_bytes < store.config.min_free_bytes {
            problems.push(format!(
                "{free_bytes} bytes are free on the disk, less than the {} of min_free (LOCAL_MIN_FREE)",
                store.config.min_free_bytes
            ));
        }
        // A file system that gives out inodes as it likes tells none at all.
        if room.f_files > 0 && room.f_favail < room.f_files / 100 {
            problems.push(format!("{} inodes are free on the disk, less than 1 %", room.f_favail));
        }
        Ok(Health { problems, free_bytes: Some(free_bytes), ..Health::default() })
    })
    .await
}
