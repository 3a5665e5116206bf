//! SIGINT (Ctrl-C) and SIGTERM: the first asks for a tidy end, the second ends the process. SIGHUP asks for the
//! configuration to be read again.

use storage_core::{Error, ErrorKind, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit;

fn handler(kind: SignalKind) -> Result<Signal> {
    signal(kind)
        .map_err(|error| Error::new(ErrorKind::Internal, "signals cannot be handled").with_source(error))
}

/// From here on SIGHUP no longer kills the process: it asks for the configuration to be read again.
///
/// # Errors
///
/// `Internal` where the system takes no handler for the signal.
pub(super) fn of_reload() -> Result<Signal> {
    handler(SignalKind::hangup())
}

/// From here on the signals no longer kill the process; the first one cancels the token.
///
/// # Errors
///
/// `Internal` where the system takes no handler for the signals.
pub(super) fn on_first() -> Result<CancellationToken> {
    let (interrupt, terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    tokio::spawn(watch(interrupt, terminate, stop.clone()));
    Ok(stop)
}

async fn watch(mut interrupt: Signal, mut terminate: Signal, stop: CancellationToken) {
    for is_second in [false, true] {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal = name, is_second, "told to stop");
        if is_second {
            std::process::exit(i32::from(exit::code_of(ErrorKind::Cancelled)));
        }
        stop.cancel();
    }
}
