//! What is logged, where and how. The command line and embedding programs call [`init`] once at their start.
//!
//! Log lines go to standard error; standard output belongs to data. Each line of a request carries the fields
//! of its [`request_span`], the correlation id among them. No field may hold a secret.

use std::io::IsTerminal as _;

use storage_core::{Error, ErrorKind, Result};
use tracing::{Level, Span, Subscriber};
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, log_filter};

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

/// The span of one request, at the outside of everything that is done for it. It is of the highest level, so that
/// even where only errors are logged they say which request they belong to.
///
/// Takes the route and not the path: that of a link holds its token, and a query may hold names of files.
pub fn request_span(method: &str, route: &str, request_id: &str, correlation_id: &str) -> Span {
    tracing::span!(Level::ERROR, "request", method, route, request_id, correlation_id)
}

fn subscriber<W>(
    config: &LogConfig,
    is_terminal: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let mut filter = log_filter(&config.level).map_err(|problem| {
        Error::new(ErrorKind::ConfigInvalid, format!("the log level {problem}"))
            .with_context("value", format!("{:?}", config.level))
            .with_context("variable", "LOG_LEVEL")
    })?;
    // Where the whole log shows as much already, a directive of our own could only show less.
    let mut words = config.level.split(',').map(|word| word.trim().to_ascii_lowercase());
    let shows_debug = words.any(|word| matches!(word.as_str(), "debug" | "trace"));
    if config.debug && !shows_debug {
        filter = filter.add_directive(own_targets()?);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // Where a line cannot be written, on a full disk or after the reader of the log has gone, it is lost. To say
        // so on standard error would fail as well, with a panic, in whichever thread had something to tell.
        .log_internal_errors(false);
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic before").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn config(level: &str, json: bool, debug: bool) -> LogConfig {
        LogConfig { level: level.to_owned(), json, debug }
    }

    /// What is logged, one line each.
    fn logged(config: &LogConfig, work: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(config, false, move || writer.clone()).expect("a sound level");
        tracing::subscriber::with_default(subscriber, work);
        let bytes = lines.0.lock().expect("no panic before").clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }

    fn events() {
        tracing::debug!(target: "storage_host::manager", "of the host");
        tracing::debug!(target: "storage_plugin", "of a plugin");
        tracing::debug!(target: "hyper", "of a library");
        tracing::info!(target: "hyper", "news of a library");
    }

    #[test]
    fn debug_opens_the_service_and_its_plugins_and_leaves_libraries_as_they_are() {
        assert_eq!(logged(&config("info", false, false), events).len(), 1);
        let lines = logged(&config("info", false, true), events);
        for (line, message) in lines.iter().zip(["of the host", "of a plugin", "news of a library"]) {
            assert!(line.ends_with(message), "{lines:#?}");
        }
        assert_eq!(lines.len(), 3, "{lines:#?}");
    }

    #[test]
    fn debug_never_shows_less_than_the_level_does() {
        let trace = || tracing::trace!(target: "storage_host", "fine");
        assert_eq!(logged(&config("TRACE", false, true), trace).len(), 1);
        assert_eq!(logged(&config("warn,storage_host=trace", false, true), trace).len(), 1);
    }

    #[test]
    fn every_line_of_a_request_carries_the_correlation_id() {
        let request = || {
            let _request = request_span("GET", "/v1/files", "r-1", "c-1").entered();
            let _inner = tracing::info_span!("call", backend = "hot").entered();
            tracing::info!(bytes = 3, "done");
        };
        let [json] = &logged(&config("info", true, false), request)[..] else { panic!("one line") };
        let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(json["spans"][0]["correlation_id"], "c-1");
        assert_eq!((&json["message"], &json["bytes"]), (&"done".into(), &3.into()));
        let [text] = &logged(&config("info", false, false), request)[..] else { panic!("one line") };
        assert!(text.contains(r#"correlation_id="c-1""#) && text.contains("done bytes=3"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours outside a terminal: {text}");
    }

    #[test]
    fn a_request_is_told_even_where_only_errors_are_logged() {
        let request = || {
            let _request = request_span("GET", "/", "r-1", "c-1").entered();
            tracing::error!("broken");
        };
        let lines = logged(&config("error", false, false), request);
        assert!(lines[0].contains("c-1"), "{lines:?}");
    }

    #[test]
    fn what_is_no_level_is_refused() {
        let error = init(&config("infos", false, false)).expect_err("no level");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(error.to_string().contains("infos") && error.to_string().contains("LOG_LEVEL"), "{error}");
    }

    #[test]
    fn an_earlier_subscriber_stays() {
        // Other tests of the process may have been first: what counts is that the second call yields.
        init(&config("off", false, false)).expect("a sound level");
        assert!(!init(&config("off", false, false)).expect("a sound level"));
    }
}
