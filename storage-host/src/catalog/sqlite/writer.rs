//! The one thread that changes a database. Changes that wait are made in one transaction and share its commit.
//!
//! Each change runs in a savepoint of its own: one that fails, or panics, undoes itself alone. Nobody is
//! answered before the commit, and where the commit fails everybody whose change was in it gets that error.
//! A change that was taken is made, whether or not its caller still waits.
//!
//! Two kinds of commit: a *durable* one is on the disk before it is answered (`synchronous=FULL`). A *relaxed*
//! one survives the death of the process but perhaps not a power cut, and costs no `fsync`
//! (`synchronous=NORMAL`): for promises that a restart takes back anyway. The next durable commit makes the
//! relaxed ones before it durable too: they are in the same log.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use storage_core::{Error, ErrorKind, Result};

use super::error::{Answer, Fault, database_error, same_error};
use super::sync::{Instant, Mutex, RwLock, mpsc, oneshot, thread, watch};

/// How many changes may wait; whoever comes then waits to be let in.
pub(super) const QUEUE: usize = 1_024;

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many changes may wait.
    pub(super) queue: usize,
    /// How many changes share a commit at most.
    pub(super) batch: usize,
    /// After this time a transaction takes no further change, so that no caller waits for many large ones.
    pub(super) batch_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: QUEUE, batch: 256, batch_time: Duration::from_millis(50) }
    }
}

/// What a commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives a power cut.
    Durable,
    /// It survives the death of the process.
    Relaxed,
}

/// What a writer did since it was started.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Transactions that were committed.
    pub(super) transactions: AtomicU64,
    /// Of these, the durable ones.
    pub(super) durable_transactions: AtomicU64,
    /// Changes that were committed.
    pub(super) changes: AtomicU64,
    /// Changes that nobody waits for and that failed.
    pub(super) lost_changes: AtomicU64,
    /// Why the last of these failed.
    last_loss: Mutex<Option<Error>>,
}

impl Counters {
    /// Counts changes that nobody waits for and that failed, and tells of them.
    pub(super) fn lose(&self, name: &'static str, count: u64, error: Error) {
        self.lost_changes.fetch_add(count, Ordering::Relaxed);
        tracing::error!(change = name, count, error = %error.report(), "changes of the catalog were lost");
        *self.last_loss.lock() = Some(error);
    }
}

/// The way to the thread. Dropping it lets the thread finish what was taken, in the background.
#[derive(Debug)]
pub(super) struct Writer {
    queue: RwLock<Option<mpsc::Sender<Box<dyn Change>>>>,
    finished: watch::Receiver<()>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread, which from now on owns the connection: one that [`super::open::Schema::open`] gave.
    pub(super) fn start(connection: Connection, path: &Path, limits: Limits) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(limits.queue);
        let (alive, finished) = watch::channel(());
        let counters = Arc::new(Counters::default());
        let mut thread = Thread {
            connection,
            path: path.to_owned(),
            limits,
            durability: Durability::Durable,
            queue: receiver,
            counters: Arc::clone(&counters),
            _alive: alive,
        };
        thread::Builder::new().name("catalog-writer".to_owned()).spawn(move || thread.run()).map_err(
            |error| {
                Error::new(ErrorKind::Unavailable, "the thread that writes the catalog could not be started")
                    .with_source(error)
            },
        )?;
        Ok(Self { queue: RwLock::new(Some(sender)), finished, counters })
    }

    /// Makes a change, and answers once it is committed.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        durability: Durability,
        change: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.submit(Box::new(Call { name, durability, change: Some(change), outcome: None, reply })).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Hands over a change and does not wait for it. Where it fails, that is logged and counted.
    pub(super) async fn enqueue(
        &self,
        name: &'static str,
        change: impl FnOnce(&Connection) -> Answer<()> + Send + 'static,
    ) -> Result<()> {
        let counters = Arc::clone(&self.counters);
        self.submit(Box::new(Background { name, change: Some(change), outcome: None, counters })).await
    }

    async fn submit(&self, change: Box<dyn Change>) -> Result<()> {
        self.queue()?.send(change).await.map_err(|_| stopped())
    }

    /// Where changes wait for the thread, which takes them in this order.
    ///
    /// # Errors
    ///
    /// `Unavailable` once the writer is closed.
    pub(super) fn queue(&self) -> Result<mpsc::Sender<Box<dyn Change>>> {
        self.queue.read().clone().ok_or_else(closed)
    }

    /// How many changes wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.read().as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// What the writer did so far.
    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// How many changes were lost so far that nobody waited for.
    pub(super) fn lost_changes(&self) -> u64 {
        self.counters.lost_changes.load(Ordering::Relaxed)
    }

    /// Takes nothing more, and waits until what was taken is written and the connection is closed.
    ///
    /// # Errors
    ///
    /// Why a change was lost that nobody waited for, after there were so many of them.
    pub(super) async fn close(&self, lost_before: u64) -> Result<()> {
        drop(self.queue.write().take());
        let mut finished = self.finished.clone();
        while finished.changed().await.is_ok() {}
        match self.lost_changes() - lost_before {
            0 => Ok(()),
            lost => {
                let cause = self.counters.last_loss.lock().take();
                let kind = cause.as_ref().map_or(ErrorKind::Unavailable, Error::kind);
                let error = Error::new(kind, "audit lines could not be written before the end")
                    .with_context("lost", lost);
                Err(match cause {
                    Some(cause) => error.with_source(cause),
                    None => error,
                })
            }
        }
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the catalog is closed")
}

pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Internal, "the thread that writes the catalog has ended: restart the process")
}

/// A change that waits for its turn.
pub(super) trait Change: Send {
    fn name(&self) -> &'static str;

    fn durability(&self) -> Durability;

    /// Makes the change; answers whether it is to be kept.
    fn apply(&mut self, connection: &Connection) -> bool;

    /// Why the change was not made.
    fn error(&self) -> Option<&Error>;

    /// Keeps this error as the outcome, whatever it was before.
    fn fail(&mut self, error: Error);

    /// Tells the caller the outcome.
    fn answer(self: Box<Self>);
}

struct Call<T, F> {
    name: &'static str,
    durability: Durability,
    change: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Answer<T> + Send> Change for Call<T, F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn apply(&mut self, connection: &Connection) -> bool {
        let outcome = self.change.take().map(|change| change(connection).map_err(Fault::into_error));
        let keep = matches!(outcome, Some(Ok(_)));
        self.outcome = outcome;
        keep
    }

    fn error(&self) -> Option<&Error> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err())
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // A caller who no longer waits needs no answer.
            let _ = self.reply.send(outcome.map_err(|error| error.with_operation(self.name)));
        }
    }
}

struct Background<F> {
    name: &'static str,
    change: Option<F>,
    outcome: Option<Result<()>>,
    counters: Arc<Counters>,
}

impl<F: FnOnce(&Connection) -> Answer<()> + Send> Change for Background<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn durability(&self) -> Durability {
        Durability::Relaxed
    }

    fn apply(&mut self, connection: &Connection) -> bool {
        let outcome = self.change.take().map(|change| change(connection).map_err(Fault::into_error));
        let keep = matches!(outcome, Some(Ok(())));
        self.outcome = outcome;
        keep
    }

    fn error(&self) -> Option<&Error> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err())
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        if let Some(Err(error)) = self.outcome {
            self.counters.lose(self.name, 1, error);
        }
    }
}

struct Thread {
    connection: Connection,
    path: PathBuf,
    limits: Limits,
    /// What the connection promises now.
    durability: Durability,
    queue: mpsc::Receiver<Box<dyn Change>>,
    counters: Arc<Counters>,
    /// Dropped last of all, which tells that the connection is closed.
    _alive: watch::Sender<()>,
}

impl Thread {
    fn run(&mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let (mut durable, mut relaxed) = (VecDeque::new(), VecDeque::new());
            let mut next = Some(first);
            while let Some(change) = next {
                match change.durability() {
                    Durability::Durable => durable.push_back(change),
                    Durability::Relaxed => relaxed.push_back(change),
                }
                let taken = durable.len() + relaxed.len();
                next = if taken < self.limits.batch { self.queue.try_recv().ok() } else { None };
            }
            // Relaxed changes first: who waits for them need not wait for the disk.
            for (mut changes, durability) in [(relaxed, Durability::Relaxed), (durable, Durability::Durable)]
            {
                while !changes.is_empty() {
                    self.commit_some(&mut changes, durability);
                }
            }
        }
    }

    /// Makes changes from the front in one transaction, and answers them.
    fn commit_some(&mut self, waiting: &mut VecDeque<Box<dyn Change>>, durability: Durability) {
        if let Err(error) = self.begin(durability) {
            // Whatever hinders the transaction hinders all that wait for it alike.
            let error = self.describe(error);
            return answer_all_with(waiting.drain(..), &error);
        }
        let started = Instant::now();
        let mut taken = Vec::with_capacity(waiting.len());
        let mut kept = 0;
        let mut outcome = Ok(());
        while outcome.is_ok() && started.elapsed() < self.limits.batch_time {
            let Some(mut change) = waiting.pop_front() else { break };
            outcome =
                apply_in_savepoint(&self.connection, change.as_mut()).map(|keep| kept += u64::from(keep));
            taken.push(change);
        }
        let outcome = outcome.and_then(|()| {
            let commit = self.connection.prepare_cached("COMMIT");
            commit.and_then(|mut commit| commit.execute([])).map(drop).map_err(database_error)
        });
        if let Err(error) = outcome {
            self.abort();
            // Those that were refused, too: what they were refused for may just have been undone.
            let error = self.describe(error);
            return answer_all_with(taken, &error);
        }
        self.counters.transactions.fetch_add(1, Ordering::Relaxed);
        self.counters.changes.fetch_add(kept, Ordering::Relaxed);
        if durability == Durability::Durable {
            self.counters.durable_transactions.fetch_add(1, Ordering::Relaxed);
        }
        taken.into_iter().for_each(Change::answer);
    }

    fn begin(&mut self, durability: Durability) -> Result<()> {
        // SQLite refuses to change this inside a transaction, hence one transaction never mixes the two.
        if self.durability != durability {
            let level = match durability {
                Durability::Durable => "FULL",
                Durability::Relaxed => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", level).map_err(database_error)?;
            self.durability = durability;
        }
        let begin = self.connection.prepare_cached("BEGIN IMMEDIATE");
        begin.and_then(|mut begin| begin.execute([])).map(drop).map_err(database_error)
    }

    /// Ends a transaction that cannot be committed.
    fn abort(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.connection.execute_batch("ROLLBACK") {
            tracing::error!(%error, catalog = %self.path.display(), "a transaction could not be rolled back");
        }
    }

    fn describe(&self, error: Error) -> Error {
        error.with_context("catalog", self.path.display())
    }
}

fn answer_all_with(changes: impl IntoIterator<Item = Box<dyn Change>>, error: &Error) {
    for mut change in changes {
        change.fail(same_error(error));
        change.answer();
    }
}

/// Makes one change; answers whether it stands. An error means that the transaction is no longer sound.
fn apply_in_savepoint(connection: &Connection, change: &mut dyn Change) -> Result<bool> {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    run("SAVEPOINT change").map_err(database_error)?;
    let outcome = catch_unwind(AssertUnwindSafe(|| change.apply(connection)));
    let keep = match outcome {
        Ok(keep) => keep,
        Err(panic) => {
            change.fail(panicked(change.name(), panic.as_ref()));
            false
        }
    };
    if connection.is_autocommit() {
        // A full disk or a device fault undoes the whole transaction, not the change alone.
        return Err(change.error().map_or_else(undone, same_error));
    }
    if !keep {
        run("ROLLBACK TO change").map_err(database_error)?;
    }
    run("RELEASE change").map_err(database_error)?;
    Ok(keep)
}

fn undone() -> Error {
    Error::new(ErrorKind::Internal, "a change ended the transaction that it shares with others")
}

fn panicked(name: &'static str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    tracing::error!(change = name, panic = text, "a change of the catalog panicked");
    Error::new(ErrorKind::Internal, "a change of the catalog panicked").with_context("panic", text)
}
