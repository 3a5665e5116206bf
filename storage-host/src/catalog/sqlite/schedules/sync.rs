//! What the catalog waits with, where a scheduler decides. The channels are Tokio's own, which know no runtime: before
//! and after each operation anybody else may have their turn.

use std::cell::Cell;
use std::time::Duration;

use shuttle::future::JoinHandle;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicBool, Ordering};

pub(super) use tokio::sync::{Semaphore, SemaphorePermit, watch};

thread_local! {
    /// How many tasks of the schedule have not ended.
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
    /// Whether the writer was told that its time is over, and has not looked at the clock anew.
    static TIME_IS_OVER: Cell<bool> = const { Cell::new(false) };
}

/// Forgets the schedule before.
pub(super) fn begin() {
    UNDER_WAY.set(0);
    TIME_IS_OVER.set(false);
}

/// A place where the scheduler may have somebody else go on.
pub(crate) fn step() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// Whether a thing happens that does so once in so many times.
pub(crate) fn once_in(times: u32) -> bool {
    thread_rng().gen_ratio(1, times)
}

/// One of several.
pub(crate) fn any_of<T: Copy>(choices: &[T]) -> T {
    choices[thread_rng().gen_range(0..choices.len())]
}

/// Starts a task.
pub(crate) fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    UNDER_WAY.set(UNDER_WAY.get() + 1);
    shuttle::future::spawn(async move {
        let answer = work.await;
        UNDER_WAY.set(UNDER_WAY.get() - 1);
        answer
    })
}

/// Waits until every task has ended, those that nobody waits for as well.
pub(crate) async fn settled() {
    while UNDER_WAY.get() > 0 {
        shuttle::future::yield_now().await;
    }
}

pub(super) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn(async move { work() })
}

/// Whether the writer has found that it must take no further change, and takes one.
pub(super) fn time_is_over() -> bool {
    TIME_IS_OVER.get()
}

/// A clock by which any time may have passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant;

impl Instant {
    pub(super) fn now() -> Self {
        TIME_IS_OVER.set(false);
        Self
    }

    pub(super) fn elapsed(self) -> Duration {
        let over = once_in(8);
        TIME_IS_OVER.set(over);
        if over { Duration::MAX } else { Duration::ZERO }
    }
}

/// Reads that may or may not run where they are asked for.
#[derive(Debug)]
pub(super) struct Patience;

impl Patience {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn is_left(&self) -> bool {
        !once_in(2)
    }

    pub(super) fn try_out<T>(&self, read: impl FnOnce() -> T) -> T {
        step();
        read()
    }
}

/// A mutual exclusion that nobody leaves by a panic.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0.lock().expect("no holder panicked")
    }
}

#[derive(Debug)]
pub(super) struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub(super) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
        self.0.read().expect("no holder panicked")
    }

    pub(super) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
        self.0.write().expect("no holder panicked")
    }
}

pub(super) mod thread {
    //! Threads, whose waits are over at any time.

    use std::time::Duration;

    pub(in super::super) use shuttle::thread::Builder;

    pub(in super::super) fn park_timeout(_: Duration) {
        shuttle::thread::yield_now();
    }
}

pub(super) mod mpsc {
    //! Queues.

    use std::fmt;

    use tokio::sync::mpsc;
    use tokio::sync::mpsc::error::{SendError, TryRecvError};

    use super::step;

    pub(in super::super) use tokio::sync::mpsc::{Permit, error};

    pub(in super::super) fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Sender(sender), Receiver(receiver))
    }

    pub(in super::super) struct Sender<T>(mpsc::Sender<T>);

    impl<T> fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Sender<T> {
        pub(in super::super) async fn send(&self, value: T) -> Result<(), SendError<T>> {
            step();
            let sent = self.0.send(value).await;
            step();
            sent
        }

        pub(in super::super) fn try_send(&self, value: T) -> Result<(), error::TrySendError<T>> {
            step();
            let sent = self.0.try_send(value);
            step();
            sent
        }

        pub(in super::super) async fn reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
            step();
            let place = self.0.reserve().await;
            step();
            place
        }

        pub(in super::super) fn try_reserve(&self) -> Result<Permit<'_, T>, error::TrySendError<()>> {
            step();
            self.0.try_reserve()
        }

        pub(in super::super) fn max_capacity(&self) -> usize {
            self.0.max_capacity()
        }

        pub(in super::super) fn capacity(&self) -> usize {
            self.0.capacity()
        }
    }

    pub(in super::super) struct Receiver<T>(mpsc::Receiver<T>);

    impl<T> Receiver<T> {
        pub(in super::super) fn blocking_recv(&mut self) -> Option<T> {
            step();
            shuttle::future::block_on(self.0.recv())
        }

        pub(in super::super) fn try_recv(&mut self) -> Result<T, TryRecvError> {
            step();
            self.0.try_recv()
        }
    }
}

pub(super) mod oneshot {
    //! Answers.

    use tokio::sync::oneshot;

    use super::step;

    pub(in super::super) use tokio::sync::oneshot::Receiver;

    pub(in super::super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Sender(sender), receiver)
    }

    pub(in super::super) struct Sender<T>(oneshot::Sender<T>);

    impl<T> Sender<T> {
        pub(in super::super) fn send(self, value: T) -> Result<(), T> {
            step();
            let sent = self.0.send(value);
            step();
            sent
        }
    }
}
