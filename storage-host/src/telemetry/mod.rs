//! What is logged, where and how. The command line and embedding programs call [`init`] once at their start.
//!
//! Log lines go to standard error; standard output belongs to data. Each line of a request carries the fields
//! of its [`request_span`], the correlation id among them. No field may hold a secret.

use std::io::IsTerminal as _;

use storage_core::{Error, ErrorKind, Result};
use tracing::{Level, Span, Subscriber};
use tracing_subscriber::filter::{Directive, EnvFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogConfig;

/// The levels that a log can be set to as a whole.
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];

/// What `STORAGE_DEBUG` opens: the targets of the host, of the contract and of every plugin begin like this.
const OWN_TARGETS: &str = "storage";

/// Sets up logging for the process. `false` where a subscriber was there before: that of the embedding program,
/// which then goes on to receive everything.
///
/// # Errors
///
/// `ConfigInvalid` where the level is neither a level nor a filter.
pub fn init(config: &LogConfig) -> Result<bool> {
    let is_terminal = std::io::stderr().is_terminal();
    Ok(subscriber(config, is_terminal, std::io::stderr)?.try_init().is_ok())
}

/// The span of one request, at the outside of everything that is done for it.
pub fn request_span(method: &str, path: &str, request_id: &str, correlation_id: &str) -> Span {
    tracing::span!(Level::ERROR, "request", method, path, request_id, correlation_id)
}

/// Whether a text is a level, or a filter such as `info,hyper=warn`; if not, why.
///
/// A lone word that is no level would be taken for the name of a module and silence all others: it is refused.
///
/// # Errors
///
/// The end of a sentence that begins with the text.
pub fn parse_level(text: &str) -> Result<(), String> {
    filter(text).map(drop)
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    let form =
        format!("is not one of {}, or a filter such as info,storage_host::http=debug", LEVELS.join(", "));
    let is_sound = text.split(',').all(|directive| match directive.trim() {
        "" => false,
        directive => directive.contains(['=', '[']) || LEVELS.contains(&&*directive.to_ascii_lowercase()),
    });
    if !is_sound {
        return Err(form);
    }
    EnvFilter::builder().parse(text).map_err(|error| format!("{form}: {error}"))
}

fn subscriber<W>(
    config: &LogConfig,
    is_terminal: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let mut filter = filter(&config.level).map_err(|problem| {
        Error::new(ErrorKind::ConfigInvalid, format!("the log level {problem}"))
            .with_context("value", format!("{:?}", config.level))
            .with_context("variable", "LOG_LEVEL")
    })?;
    // Where the whole log shows as much already, a directive of our own could only show less.
    let shows_debug = config.level.split(',').any(|word| matches!(word.trim(), "debug" | "trace"));
    if config.debug && !shows_debug {
        filter = filter.add_directive(own_targets()?);
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(if config.json {
        let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(true);
        Box::new(builder.finish())
    } else if is_terminal {
        // The default colours the lines unless NO_COLOR forbids it.
        Box::new(builder.finish())
    } else {
        Box::new(builder.with_ansi(false).finish())
    })
}

fn own_targets() -> Result<Directive> {
    format!("{OWN_TARGETS}=debug").parse().map_err(|error| {
        Error::new(ErrorKind::Internal, "the filter of the service's own modules is malformed")
            .with_source(error)
    })
}
