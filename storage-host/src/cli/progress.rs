//! A bar on standard error for what takes long; nothing for what is over at once.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use storage_core::{ByteStream, Result};

use super::output::Output;

/// Transfers below this size are over before a bar could be read.
const SHOWN_FROM_BYTES: u64 = 8 * 1024 * 1024;

/// A bar for a transfer of this length, where it is known.
pub(super) fn transfer(output: Output, name: &str, length_bytes: Option<u64>) -> ProgressBar {
    if output.quiet || length_bytes.is_some_and(|length| length < SHOWN_FROM_BYTES) {
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

/// Moves the bar as the chunks pass.
pub(super) fn watched(
    chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    length_bytes: Option<u64>,
    bar: ProgressBar,
) -> ByteStream {
    let counted = chunks.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            bar.inc(chunk.len() as u64);
        }
    });
    ByteStream::from_stream(counted, length_bytes)
}
