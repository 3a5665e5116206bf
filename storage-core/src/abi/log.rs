//! The plugin's side of the log: a `tracing` subscriber that forwards events to the host.
//!
//! A plugin has its own copy of `tracing`'s globals, in which nobody listens; [`connect`] makes this subscriber
//! the listener. Events above the host's level are refused per callsite, so that they cost nothing.
//! Spans stay in the plugin: what identifies the work is the correlation id.

use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use abi_stable::std_types::{RSlice, RStr, Tuple2};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, Event, Level, LevelFilter, Metadata, Subscriber, callsite, dispatcher};

use super::guard::note_panic;
use super::host::{AbiLog, AbiRecord};
use crate::correlation;

static MAX_LEVEL: AtomicU8 = AtomicU8::new(0);
static CONNECTED: OnceLock<()> = OnceLock::new();

/// Sends the events and panics of this library to the host from now on, or changes their level.
pub(crate) fn connect(plugin: &'static str, log: AbiLog) {
    let former = MAX_LEVEL.swap(log.max_level, Ordering::Relaxed);
    let mut fresh = false;
    CONNECTED.get_or_init(|| {
        fresh = true;
        let forwarder = Forwarder { plugin, write: log.write };
        if dispatcher::set_global_default(Dispatch::new(forwarder)).is_err() {
            let record = AbiRecord {
                level: 2,
                plugin: RStr::from_str(plugin),
                target: RStr::from_str(module_path!()),
                message: RStr::from_str("the plugin has a subscriber of its own, which keeps its events"),
                fields: RSlice::EMPTY,
                correlation: None.into(),
            };
            (log.write)(&record);
        }
        std::panic::set_hook(Box::new(|panic| {
            let location =
                panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            let message = panic.payload_as_str().unwrap_or("a panic without a message");
            tracing::error!(location, "the plugin panicked: {message}");
            note_panic(location);
        }));
    });
    if !fresh && former != log.max_level {
        callsite::rebuild_interest_cache();
    }
}

struct Forwarder {
    plugin: &'static str,
    write: extern "C" fn(&AbiRecord<'_>),
}

fn code(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Subscriber for Forwarder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match MAX_LEVEL.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && code(metadata.level()) <= MAX_LEVEL.load(Ordering::Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let fields: Vec<_> = text
            .fields
            .iter()
            .map(|(name, value)| Tuple2(RStr::from_str(name), value.as_str().into()))
            .collect();
        let correlation = correlation::current();
        (self.write)(&AbiRecord {
            level: code(metadata.level()),
            plugin: RStr::from_str(self.plugin),
            target: metadata.target().into(),
            message: text.message.as_str().into(),
            fields: RSlice::from_slice(&fields),
            correlation: correlation.as_deref().map(RStr::from_str).into(),
        });
    }

    // No span is ever enabled, so none of these is called with one of ours.

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The fields of an event as text.
#[derive(Default)]
struct Text {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string fails only where the value's own `Debug` does; what it wrote until then stays.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields.push((field.name(), format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.fields.push((field.name(), value.to_string()));
    }
}
