//! [`Outcome`]: what became of a case, and where it failed.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{Location, PanicHookInfo};

use storage_core::Capabilities;

thread_local! {
    /// Where this thread panicked last, while [`hush_panics`] is in force.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend behaves as it must.
    Passed,
    /// The backend does not declare this capability and refuses, as it must, whatever needs it.
    NotSupported(Capabilities),
    /// Nothing was checked, for this reason.
    LeftOut(String),
    /// The backend does not behave as it must.
    Failed(String),
}

/// Keeps panics of this process from being written to standard error: a case fails by panicking, and its
/// [`Outcome::Failed`] tells what and, from now on, where. What panics outside of a case is in the debug log.
///
/// For a process that does nothing but run the suite.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let location = panic.location().map(Location::to_string);
        tracing::debug!(location, "{}", message(panic.payload()));
        LAST_PANIC.with_borrow_mut(|last| *last = location);
    }));
}

/// What a panic said and, if that is known, where. To be called on the thread that panicked, at once.
pub(crate) fn failure(panic: &(dyn Any + Send)) -> String {
    let message = message(panic);
    match LAST_PANIC.take() {
        Some(location) => format!("{message}\nat {location}"),
        None => message.to_owned(),
    }
}

fn message(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked without a word")
}
