//! [`Trace`]: one record of every call, at debug level.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures_util::stream::poll_fn;
use futures_util::{StreamExt, ready};
use storage_core::{ByteStream, Result};
use tracing::{Instrument, Span};

use super::layer::{Answer, Call, Layer};

/// Records of every call: backend, operation, key, duration, bytes and outcome.
///
/// Whatever the plugin logs meanwhile lies within the call's span. Errors are told by their kind alone,
/// since whoever handles them logs them.
pub(super) struct Trace {
    pub(super) backend: Arc<str>,
}

impl Layer for Trace {
    async fn around<T, F>(
        &self,
        call: &Call<'_>,
        body: ByteStream,
        next: &(impl Fn(ByteStream) -> F + Sync),
    ) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<T>> + Send,
    {
        let span = tracing::debug_span!(
            "backend_call",
            backend = &*self.backend,
            operation = call.operation,
            key = call.key.map(tracing::field::display),
        );
        let mut record = Record::new(span.clone(), "answer");
        let answer = next(body).instrument(span.clone()).await;
        record.outcome = outcome(&answer);
        let answer = answer?;
        record.bytes = answer.stored_bytes().unwrap_or_default();
        Ok(answer.map_body(|body| traced(body, span, &mut record)))
    }
}

/// Records how a body was read. One that is a buffer counts as read with the answer.
fn traced(mut body: ByteStream, span: Span, answer: &mut Record) -> ByteStream {
    if let Some(buffer) = body.as_buffer() {
        answer.bytes = buffer.len() as u64;
        return body;
    }
    let length_bytes = body.length_bytes();
    let mut record = Record::new(span, "body");
    let chunks = poll_fn(move |context| {
        let item = {
            let _entered = record.span.enter();
            ready!(body.poll_next_unpin(context))
        };
        match &item {
            Some(Ok(chunk)) => record.bytes += chunk.len() as u64,
            Some(Err(error)) => record.outcome = error.kind().name(),
            None => record.outcome = "ok",
        }
        Poll::Ready(item)
    });
    ByteStream::from_stream(chunks, length_bytes)
}

fn outcome<T>(answer: &Result<T>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(error) => error.kind().name(),
    }
}

/// Writes its event when it is dropped, so that a call which the caller dropped is recorded too.
struct Record {
    span: Span,
    part: &'static str,
    started: Instant,
    bytes: u64,
    outcome: &'static str,
}

impl Record {
    fn new(span: Span, part: &'static str) -> Self {
        Self { span, part, started: Instant::now(), bytes: 0, outcome: "dropped" }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        tracing::debug!(
            parent: &self.span,
            part = self.part,
            duration_ms = self.started.elapsed().as_secs_f64() * 1e3,
            bytes = self.bytes,
            outcome = self.outcome,
            "backend call"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use parking_lot::Mutex;
    use storage_core::{Backend, RetrieveOptions, Retry};
    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;
    use crate::layers::testing::{Fault, Faults, key};

    /// Collects every event of the layer as `part outcome bytes`.
    #[derive(Clone, Default)]
    struct Events(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Events {
        fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
            struct Fields(Vec<(&'static str, String)>);
            impl Visit for Fields {
                fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                    self.0.push((field.name(), format!("{value:?}").replace('"', "")));
                }
            }
            let mut fields = Fields(Vec::new());
            event.record(&mut fields);
            let field = |name| {
                fields
                    .0
                    .iter()
                    .find(|(found, _)| *found == name)
                    .map(|(_, text)| text.clone())
                    .unwrap_or_default()
            };
            self.0.lock().push([field("part"), field("outcome"), field("bytes")].join(" "));
        }
    }

    #[tokio::test]
    async fn every_call_and_every_body_is_recorded_however_it_ended() {
        let events = Events::default();
        let subscriber = tracing_subscriber::registry().with(events.clone());
        let _installed = tracing::subscriber::set_default(subscriber);
        let faults = Faults::new([
            Fault::Error(Retry::Never),
            Fault::BreakBody(Some(Retry::May)),
            Fault::BreakBody(None),
            Fault::Hang,
        ]);
        let backend = faults.below(Trace { backend: "hot".into() }).await;
        let open = async || backend.retrieve(&key(), RetrieveOptions::default()).await;
        assert!(backend.exists(&key()).await.is_err());
        let mut broken = open().await.expect("answered").body;
        while broken.next().await.is_some() {}
        drop(open().await.expect("answered"));
        let hanging = async { backend.exists(&key()).await };
        tokio::select! { biased; _ = hanging => unreachable!("it hangs"), () = async {} => {} }
        let whole = open().await.expect("answered").body.collect(99).await.expect("content");
        backend.save(&key(), whole.into(), storage_core::SaveOptions::default()).await.expect("saved");
        drop(broken);

        let expected = [
            "answer unavailable 0",
            "answer ok 0",
            "body unavailable 3",
            "answer ok 0",
            "body dropped 0",
            "answer dropped 0",
            "answer ok 7",
            "answer ok 7",
        ];
        assert_eq!(*events.0.lock(), expected);
    }
}
