//! What the host lends to its plugins: its log, and its runtime for the bodies that it sends.

use std::panic::catch_unwind;
use std::sync::Arc;

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RSlice, RStr, Tuple2};
use tracing::level_filters::LevelFilter;

use super::guard::Surroundings;
use crate::error::{Error, ErrorKind};

/// The host's log, as a plugin sees it.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub(crate) struct AbiLog {
    /// Takes one event. Never unwinds.
    pub(crate) write: extern "C" fn(record: &AbiRecord<'_>),
    /// The highest level that is wanted: 0 for none, 1 (error) to 5 (trace).
    pub(crate) max_level: u8,
}

/// One event of a plugin. Everything is borrowed for the call.
#[repr(C)]
#[derive(StableAbi)]
pub(crate) struct AbiRecord<'a> {
    /// 1 (error) to 5 (trace).
    pub(crate) level: u8,
    /// The type of the plugin.
    pub(crate) plugin: RStr<'a>,
    pub(crate) target: RStr<'a>,
    pub(crate) message: RStr<'a>,
    pub(crate) fields: RSlice<'a, Tuple2<RStr<'a>, RStr<'a>>>,
    pub(crate) correlation: ROption<RStr<'a>>,
}

/// The log of this process: the subscriber of its `tracing`.
pub(super) fn log() -> AbiLog {
    let max_level = match LevelFilter::current() {
        LevelFilter::OFF => 0,
        LevelFilter::ERROR => 1,
        LevelFilter::WARN => 2,
        LevelFilter::INFO => 3,
        LevelFilter::DEBUG => 4,
        LevelFilter::TRACE => 5,
    };
    AbiLog { write, max_level }
}

extern "C" fn write(record: &AbiRecord<'_>) {
    // A subscriber that panics must not abort the process; the panic hook has told of it already.
    if let Err(panic) = catch_unwind(|| emit(record)) {
        std::mem::forget(panic);
    }
}

/// Emits an event of a plugin as one of the host's. Targets and field names are fixed at compile time in
/// `tracing`, so that those of the plugin become values.
fn emit(record: &AbiRecord<'_>) {
    macro_rules! event {
        ($level:ident) => {{
            let mut fields = String::new();
            for Tuple2(name, value) in record.fields.iter() {
                let space = if fields.is_empty() { "" } else { " " };
                fields.extend([space, name.as_str(), "=", value.as_str()]);
            }
            tracing::event!(
                target: "storage_plugin",
                tracing::Level::$level,
                plugin = record.plugin.as_str(),
                plugin_target = record.target.as_str(),
                correlation_id = record.correlation.as_ref().map(|id| id.as_str()).into_option(),
                fields = (!fields.is_empty()).then_some(fields.as_str()),
                "{}",
                record.message
            );
        }};
    }
    match record.level {
        1 => event!(ERROR),
        2 => event!(WARN),
        3 => event!(INFO),
        4 => event!(DEBUG),
        _ => event!(TRACE),
    }
}

/// Runs a closure inside the host's runtime.
pub(crate) type Enter = dyn Fn(&mut dyn FnMut()) + Send + Sync;

/// The host, around the bodies that it sends to a plugin.
pub(crate) struct HostSurroundings {
    pub(crate) enter: Option<Arc<Enter>>,
}

impl Surroundings for HostSurroundings {
    fn within(&self, run: &mut dyn FnMut()) {
        match &self.enter {
            Some(enter) => enter(run),
            None => run(),
        }
    }

    fn panicked(&self, message: &str) -> Error {
        Error::new(ErrorKind::Internal, format!("the source of the content panicked: {message}"))
    }
}
