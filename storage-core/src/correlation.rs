//! The correlation id: which request of which caller the current work belongs to.
//!
//! The host sets it around a request; the plugin boundary carries it over and sets it again around
//! every poll of the plugin's work, so that the events of both sides can be put together.
//! It knows no runtime: the id is a thread-local that is set for the duration of each poll.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

thread_local! {
    static CURRENT: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

/// The id of the work that this thread is doing.
pub fn current() -> Option<Arc<str>> {
    // A thread that is ending may have destroyed the slot already: then there is no id.
    let read = |slot: &Cell<Option<Arc<str>>>| {
        let id = slot.take();
        slot.set(id.clone());
        id
    };
    CURRENT.try_with(read).ok().flatten()
}

/// Runs a future with this id as the [`current`] one. Tasks that it spawns do not inherit it.
pub async fn scope<F: Future>(id: impl Into<Arc<str>>, future: F) -> F::Output {
    let id = id.into();
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _entered = enter(Some(Arc::clone(&id)));
        future.as_mut().poll(cx)
    })
    .await
}

/// Makes an id (or none) the current one until the guard is dropped.
pub(crate) fn enter(id: Option<Arc<str>>) -> Entered {
    Entered { former: CURRENT.try_with(|slot| slot.replace(id)).ok().flatten() }
}

/// Puts the former id back when it is dropped.
pub(crate) struct Entered {
    former: Option<Arc<str>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let former = self.former.take();
        // Without a slot there is nothing to put back to.
        let _ = CURRENT.try_with(|slot| slot.set(former));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_id_holds_across_suspensions_and_only_inside_its_scope() {
        let inner = async {
            tokio::task::yield_now().await;
            let nested = scope("inner", async { current() }).await;
            (current(), nested)
        };
        let (outer, nested) = scope("outer", inner).await;
        assert_eq!(outer.as_deref(), Some("outer"));
        assert_eq!(nested.as_deref(), Some("inner"));
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn two_tasks_on_one_thread_keep_their_own_ids() {
        let work = |id: &'static str| {
            scope(id, async move {
                for _ in 0..10 {
                    assert_eq!(current().as_deref(), Some(id));
                    tokio::task::yield_now().await;
                }
            })
        };
        futures_util::future::join(work("a"), work("b")).await;
    }
}
