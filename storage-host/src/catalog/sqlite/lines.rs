//! Audit lines that nobody waits for, gathered so that many of them are one change.
//!
//! There is a line for every read, and a change for each would wake the writer and make it commit once for each.
//! So lines wait here for a moment, or until the catalog makes another change: they are written before it, so that
//! whoever sees the change sees what was noted before it too.
//!
//! Compiled twice in tests: see [`super::sync`].

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use storage_core::{Error, ErrorKind, Result};

use super::audit::write_line;
use super::error::Fault;
use super::sync::mpsc::error::TrySendError;
use super::sync::{Mutex, Semaphore, mpsc, thread};
use super::writer::{Change, Counters, Durability, QUEUE, Writer, closed, stopped};
use crate::catalog::AuditEntry;

/// How long a line waits for others. Each change makes readers read again what they had of the database.
const DELAY: Duration = Duration::from_millis(10);

/// What the change that writes lines is called.
const NAME: &str = "audit";

/// The way to the audit log. Dropping it hands over what was taken, in the background.
#[derive(Debug)]
pub(super) struct Lines {
    shared: Arc<Shared>,
    /// Tells the thread that there is a line.
    bell: mpsc::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    writer: Arc<Writer>,
    /// One for each line that may be taken and not yet be written; whoever comes then waits to be let in.
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    lines: Vec<AuditEntry>,
    is_closed: bool,
}

impl Lines {
    /// Starts the thread that hands lines over which have waited long enough.
    pub(super) fn start(writer: Arc<Writer>) -> Result<Self> {
        let waiting = Waiting { lines: Vec::new(), is_closed: false };
        let places = Arc::new(Semaphore::new(QUEUE));
        let shared = Arc::new(Shared { writer, places, waiting: Mutex::new(waiting) });
        let (bell, rings) = mpsc::channel(1);
        let served = Arc::clone(&shared);
        thread::Builder::new().name("catalog-audit".to_owned()).spawn(move || served.run(rings)).map_err(
            |error| {
                Error::new(ErrorKind::Unavailable, "the thread that gathers audit lines could not be started")
                    .with_source(error)
            },
        )?;
        Ok(Self { shared, bell })
    }

    /// Takes a line.
    ///
    /// # Errors
    ///
    /// `Unavailable` where the catalog is closed.
    pub(super) async fn add(&self, line: AuditEntry) -> Result<()> {
        let Shared { places, waiting, .. } = &*self.shared;
        let place = places.acquire().await.map_err(|_| closed())?;
        let is_first = {
            let mut waiting = waiting.lock();
            if waiting.is_closed {
                return Err(closed());
            }
            // The batch that the line becomes part of gives the place back.
            place.forget();
            waiting.lines.push(line);
            waiting.lines.len() == 1
        };
        // A bell that rings already is heard just as well; where nobody listens any more, there is nobody to wait for.
        if is_first && matches!(self.bell.try_send(()), Err(TrySendError::Closed(()))) {
            return self.hand_over().await;
        }
        Ok(())
    }

    /// Hands over what was taken so far, so that it is written before whatever the writer is given next.
    ///
    /// # Errors
    ///
    /// `Unavailable` where the writer takes nothing more.
    pub(super) async fn hand_over(&self) -> Result<()> {
        if self.shared.waiting.lock().lines.is_empty() {
            return Ok(());
        }
        let queue = self.shared.writer.queue()?;
        let place = queue.reserve().await.map_err(|_| stopped())?;
        // Under the lock, so that batches are queued in the order in which they were taken.
        let mut waiting = self.shared.waiting.lock();
        if let Some(batch) = self.shared.take_all(&mut waiting) {
            place.send(Box::new(batch));
        }
        Ok(())
    }

    /// Whether there are lines that were taken and are not yet written.
    pub(super) fn are_under_way(&self) -> bool {
        self.shared.places.available_permits() < QUEUE
    }

    /// Takes nothing more, and hands over what was taken.
    ///
    /// # Errors
    ///
    /// As [`Lines::hand_over`].
    pub(super) async fn close(&self) -> Result<()> {
        self.shared.places.close();
        self.shared.waiting.lock().is_closed = true;
        self.hand_over().await
    }
}

impl Drop for Lines {
    /// Whoever drops the catalog may end the process right after: its thread might not get to it.
    fn drop(&mut self) {
        self.shared.try_hand_over();
    }
}

impl Shared {
    /// Until nobody can ring any more. Whoever puts a line where there was none rings, so that none is left then.
    fn run(&self, mut rings: mpsc::Receiver<()>) {
        while rings.blocking_recv().is_some() {
            thread::park_timeout(DELAY);
            while !self.try_hand_over() {
                thread::park_timeout(DELAY);
            }
        }
    }

    /// Hands over what waits; `false` where the writer has so much to do that it must wait longer.
    fn try_hand_over(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let Some(mut batch) = self.take_all(&mut waiting) else { return true };
        let error = match self.writer.queue() {
            Ok(queue) => match queue.try_reserve() {
                Ok(place) => {
                    place.send(Box::new(batch));
                    return true;
                }
                Err(TrySendError::Full(())) => {
                    waiting.lines = std::mem::take(&mut batch.lines);
                    return false;
                }
                Err(TrySendError::Closed(())) => stopped(),
            },
            Err(error) => error,
        };
        drop(waiting);
        batch.fail(error);
        Box::new(batch).answer();
        true
    }

    /// What waits, as one change.
    fn take_all(&self, waiting: &mut Waiting) -> Option<Batch> {
        let lines = std::mem::take(&mut waiting.lines);
        if lines.is_empty() {
            return None;
        }
        let (places, counters) = (Arc::clone(&self.places), Arc::clone(self.writer.counters()));
        Some(Batch { lines, fault: None, places, counters })
    }
}

/// Lines that are written in one change.
struct Batch {
    lines: Vec<AuditEntry>,
    fault: Option<Error>,
    places: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Change for Batch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn durability(&self) -> Durability {
        Durability::Relaxed
    }

    fn apply(&mut self, connection: &Connection) -> bool {
        let written = self.lines.iter().try_for_each(|line| write_line(connection, line));
        self.fault = written.map_err(Fault::into_error).err();
        self.fault.is_none()
    }

    fn error(&self) -> Option<&Error> {
        self.fault.as_ref()
    }

    fn fail(&mut self, error: Error) {
        self.fault = Some(error);
    }

    fn answer(mut self: Box<Self>) {
        self.settle();
    }
}

impl Batch {
    /// Gives the places of the lines back, and tells where the lines are lost.
    fn settle(&mut self) {
        let lines = std::mem::take(&mut self.lines).len();
        self.places.add_permits(lines);
        if let Some(error) = self.fault.take() {
            self.counters.lose(NAME, lines as u64, error);
        }
    }
}

impl Drop for Batch {
    /// Without an answer it is dropped where the writer's thread has ended.
    fn drop(&mut self) {
        if !self.lines.is_empty() {
            self.fault.get_or_insert_with(stopped);
            self.settle();
        }
    }
}
