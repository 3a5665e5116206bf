//! What stands around every entry into one side's code: its runtime, the correlation id, and the panic guard.
//!
//! Both adapters use it: around a plugin's operations and the bodies it answers, and around the bodies that a host
//! sends, which a plugin may poll on its own threads. Nothing unwinds through it, not even a destructor.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::value::{Mirror, Outcome};
use crate::correlation;
use crate::error::{Error, ErrorKind, Result};
use crate::stream::ByteStream;

/// The side whose code is entered.
pub(crate) trait Surroundings: Send + Sync {
    /// Runs this once, inside the side's runtime.
    fn within(&self, run: &mut dyn FnMut());

    /// The error that stands for a panic of this side's code.
    fn panicked(&self, message: &str) -> Error;
}

/// The surroundings of one call.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) surroundings: Arc<dyn Surroundings>,
    pub(crate) correlation: Option<Arc<str>>,
    pub(crate) operation: &'static str,
}

impl Guard {
    /// Runs some of the side's code.
    ///
    /// # Errors
    ///
    /// What stands for its panic.
    pub(crate) fn run<T>(&self, code: impl FnOnce() -> T) -> Result<T> {
        let mut code = Some(code);
        let mut outcome = None;
        let entered = catch_unwind(AssertUnwindSafe(|| {
            let _entered = correlation::enter(self.correlation.clone());
            self.surroundings.within(&mut || outcome = code.take().map(|code| code()));
        }));
        match (entered, outcome) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(self.panicked("the runtime did not run the call")),
            // A value that came before the panic is dropped here, outside of the runtime, and may panic as well.
            (Err(panic), outcome) => {
                let message = message_of(panic.as_ref());
                drop_quietly(panic);
                drop_quietly(outcome);
                Err(self.panicked(&message))
            }
        }
    }

    fn panicked(&self, message: &str) -> Error {
        let error = self.surroundings.panicked(message).with_operation(self.operation);
        match LAST_PANIC.take() {
            Some(location) => error.with_context("location", location),
            None => error,
        }
    }

    /// Drops something of the side's inside its surroundings.
    pub(crate) fn release<T>(&self, slot: &mut Option<T>) {
        if slot.is_some()
            && let Err(error) = self.run(|| *slot = None)
        {
            tracing::error!(error = %error, "a destructor panicked");
        }
    }
}

thread_local! {
    static LAST_PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// Notes where this thread panicked, for the error that the guard will make of it. Called by a panic hook.
pub(crate) fn note_panic(location: String) {
    // A thread that is ending has no slot any more, and no guard that would read it.
    let _ = LAST_PANIC.try_with(|slot| slot.set(Some(location)));
}

/// The words of a panic.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_owned(),
    }
}

/// Drops a value whose destructor may panic, and leaks what it panics with.
fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(panic);
    }
}

/// An operation of this side that the other side polls.
pub(crate) struct GuardedFuture<F> {
    /// Absent once it is over. Pinned: it is dropped where it is and never moved.
    future: Option<F>,
    guard: Guard,
}

impl<F> GuardedFuture<F> {
    pub(crate) fn new(guard: Guard, future: F) -> Self {
        Self { future: Some(future), guard }
    }
}

impl<F: Future<Output = Result<T>>, T: Mirror> Future for GuardedFuture<F> {
    type Output = Outcome<T::Abi>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is not moved out of, only polled in place and dropped in place.
        let this = unsafe { self.get_unchecked_mut() };
        let (guard, slot) = (&this.guard, &mut this.future);
        let polled = guard.run(|| {
            let Some(future) = slot.as_mut() else {
                let error = Error::new(ErrorKind::Internal, "an operation was polled after its end");
                return Poll::Ready(Err(error));
            };
            // SAFETY: `self` is pinned, and so is its field.
            let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
            if polled.is_ready() {
                // Here, and not by `release`, which would enter the runtime once more.
                *slot = None;
            }
            polled
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(answer.into_abi()),
            Err(panic) => {
                guard.release(slot);
                Poll::Ready(Err::<T, _>(panic).into_abi())
            }
        }
    }
}

impl<F> Drop for GuardedFuture<F> {
    fn drop(&mut self) {
        self.guard.release(&mut self.future);
    }
}

/// A body of this side that the other side reads.
pub(crate) struct GuardedStream {
    stream: Option<ByteStream>,
    guard: Guard,
}

impl GuardedStream {
    pub(crate) fn new(stream: ByteStream, guard: Guard) -> Self {
        Self { stream: Some(stream), guard }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(stream) = self.stream.as_mut() else {
            return Poll::Ready(None);
        };
        let item = match self.guard.run(|| Pin::new(stream).poll_next(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(item)) => item,
            Err(panic) => Some(Err(panic)),
        };
        if !matches!(item, Some(Ok(_))) {
            self.guard.release(&mut self.stream);
        }
        Poll::Ready(item)
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        self.guard.release(&mut self.stream);
    }
}
