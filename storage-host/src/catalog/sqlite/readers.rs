//! Connections that read, a few at a time, on threads that may block. Each read sees one state of the database,
//! and all that was committed before it began.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use storage_core::{Error, ErrorKind, Result};

use super::error::{Answer, Fault};
use super::open::open_reader;
use super::sync::{Mutex, Semaphore, spawn_blocking};

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    busy_timeout: Duration,
    permits: Arc<Semaphore>,
    count: u32,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// A pool of at most this many connections, which are opened when they are first needed.
    pub(super) fn new(path: &Path, count: u32, busy_timeout: Duration) -> Self {
        let count = count.max(1);
        Self {
            path: path.to_owned(),
            busy_timeout,
            permits: Arc::new(Semaphore::new(count as usize)),
            count,
            idle: Arc::default(),
        }
    }

    /// Runs statements that read, in one transaction.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        let busy_timeout = self.busy_timeout;
        let task = spawn_blocking(move || {
            let kept = idle.lock().pop();
            let connection = match kept {
                Some(connection) => connection,
                None => open_reader(&path, busy_timeout)?,
            };
            let answer = in_transaction(&connection, read).map_err(|fault| match fault {
                // What is refused is the caller's affair, and the path is not.
                Fault::Refused(error) => error,
                fault @ Fault::Database(_) => fault.into_error().with_context("catalog", path.display()),
            });
            // A connection that is still in a transaction would go on seeing this moment for ever.
            if connection.is_autocommit() {
                idle.lock().push(connection);
            }
            drop(permit);
            answer
        });
        let answer = task.await.map_err(|error| {
            Error::new(ErrorKind::Internal, "a read of the catalog panicked or was cancelled")
                .with_source(error)
        });
        answer.flatten().map_err(|error| error.with_operation(name))
    }

    /// Waits for the reads under way, and closes every connection. Idempotent.
    pub(super) async fn close(&self) {
        // The semaphore is closed already when somebody else closes at the same time.
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            drop(all);
        }
        self.idle.lock().clear();
    }
}

fn in_transaction<T>(connection: &Connection, read: impl FnOnce(&Connection) -> Answer<T>) -> Answer<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let answer = read(connection);
    let ended = connection.prepare_cached("COMMIT")?.execute([]);
    let answer = answer?;
    ended?;
    Ok(answer)
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the catalog is closed")
}
