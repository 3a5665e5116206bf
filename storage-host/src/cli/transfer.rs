//! Content on its way: a bar on standard error for what takes long, and a tidy end where it is interrupted.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, future, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use storage_core::{ByteStream, Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

use super::output::Output;

/// Transfers below this size are over before a bar could be read.
const SHOWN_FROM_BYTES: u64 = 8 * 1024 * 1024;

/// One transfer.
pub(super) struct Transfer {
    length_bytes: Option<u64>,
    bar: ProgressBar,
    interruption: CancellationToken,
}

impl Transfer {
    /// A transfer of this length, where it is known.
    ///
    /// Once `interruption` is cancelled, the content ends with an error, so that what takes it gives it up in order:
    /// nothing half-written stays, neither here nor in a backend.
    pub(super) fn new(
        output: Output,
        name: &str,
        length_bytes: Option<u64>,
        interruption: CancellationToken,
    ) -> Self {
        Self { length_bytes, bar: bar(output, name, length_bytes), interruption }
    }

    /// The content, which moves the bar as it passes.
    pub(super) fn watch(self, chunks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> ByteStream {
        let Self { length_bytes, bar, interruption } = self;
        let counted = chunks.inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                bar.inc(chunk.len() as u64);
            }
        });
        // The end of an interrupted content must not be taken for its true end.
        let end = interruption.clone();
        let end = stream::once(future::lazy(move |_| end.is_cancelled()))
            .filter_map(|is_cancelled| future::ready(is_cancelled.then(|| Err(cancelled()))));
        let stopped = counted.take_until(interruption.cancelled_owned()).chain(end);
        ByteStream::from_stream(stopped, length_bytes)
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "interrupted")
}

fn bar(output: Output, name: &str, length_bytes: Option<u64>) -> ProgressBar {
    if !output.progress || length_bytes.is_some_and(|length| length < SHOWN_FROM_BYTES) {
        return ProgressBar::with_draw_target(length_bytes, ProgressDrawTarget::hidden());
    }
    let template = match length_bytes {
        Some(_) => "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        None => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    let bar = ProgressBar::with_draw_target(length_bytes, ProgressDrawTarget::stderr());
    // A template that cannot be parsed leaves the plain bar.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
