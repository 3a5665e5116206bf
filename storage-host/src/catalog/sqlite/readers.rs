//! Connections that read, a few at a time. Each read sees one state of the database, and all that was committed
//! before it began.
//!
//! Reads run on threads that may block. One of a few rows runs on the thread that asks for it, as long as what it
//! needs is in memory (see [`super::patience`]): a hop to another thread takes several times as long as the read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use storage_core::{Error, ErrorKind, Result};

use super::error::{Answer, Fault};
use super::open::open_reader;
use super::sync::{Mutex, Patience, Semaphore, SemaphorePermit, spawn_blocking};

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    connections: Arc<Connections>,
    permits: Arc<Semaphore>,
    count: u32,
    pub(super) patience: Patience,
}

/// The connections that nobody uses now, and how further ones are opened.
#[derive(Debug)]
struct Connections {
    path: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool of at most this many connections, which are opened when they are first needed.
    pub(super) fn new(path: &Path, count: u32, busy_timeout: Duration) -> Self {
        let count = count.max(1);
        let connections = Connections { path: path.to_owned(), busy_timeout, idle: Mutex::new(Vec::new()) };
        Self {
            connections: Arc::new(connections),
            permits: Arc::new(Semaphore::new(count as usize)),
            count,
            patience: Patience::new(),
        }
    }

    /// Runs statements that read, in one transaction.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let connections = Arc::clone(&self.connections);
        let task = spawn_blocking(move || {
            let answer = connections.get().and_then(|connection| connections.run(connection, read));
            drop(permit);
            answer
        });
        let answer = task.await.map_err(|error| {
            Error::new(ErrorKind::Internal, "a read of the catalog panicked or was cancelled")
                .with_source(error)
        });
        answer.flatten().map_err(|error| error.with_operation(name))
    }

    /// The same for statements that read a few rows: on the thread of the caller, where that need not wait for a
    /// connection and, as far as can be known, not for the disk.
    pub(super) async fn call_short<T: Send + 'static>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let Some((connection, permit)) = self.at_hand() else { return self.call(name, read).await };
        let answer = self.patience.try_out(|| self.connections.run(connection, read));
        drop(permit);
        answer.map_err(|error| error.with_operation(name))
    }

    /// A connection that is open and free, where the thread that asks may use it.
    fn at_hand(&self) -> Option<(Connection, SemaphorePermit<'_>)> {
        if !self.patience.is_left() {
            return None;
        }
        let permit = self.permits.try_acquire().ok()?;
        Some((self.connections.idle.lock().pop()?, permit))
    }

    /// Waits for the reads under way, and closes every connection. Idempotent.
    pub(super) async fn close(&self) {
        // The semaphore is closed already when somebody else closes at the same time.
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            drop(all);
        }
        self.connections.idle.lock().clear();
    }
}

impl Connections {
    fn get(&self) -> Result<Connection> {
        let kept = self.idle.lock().pop();
        kept.map_or_else(|| open_reader(&self.path, self.busy_timeout), Ok)
    }

    /// Reads, and keeps the connection for the next one.
    fn run<T>(&self, connection: Connection, read: impl FnOnce(&Connection) -> Answer<T>) -> Result<T> {
        let answer = in_transaction(&connection, read).map_err(|fault| match fault {
            // What is refused is the caller's affair, and the path is not.
            Fault::Refused(error) => error,
            fault @ Fault::Database(_) => fault.into_error().with_context("catalog", self.path.display()),
        });
        // A connection that is still in a transaction would go on seeing this moment for ever.
        if connection.is_autocommit() {
            self.idle.lock().push(connection);
        }
        answer
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
