//! [`Passing`]: a body on its way through a proxy, recorded, slowed down, altered or cut.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::record::Entry;
use super::rule::BodyFault;
use super::wire::Handle;

/// Whatever can go wrong with a body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Any body.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// The most that passes at once where the speed is limited.
const THROTTLED_CHUNK_BYTES: usize = 16 << 10;

/// A body with what is done to it.
pub(super) struct Passing {
    inner: AnyBody,
    fault: BodyFault,
    /// Where it goes to, for it to be ended after a cut.
    sink: Handle,
    /// The entry of its request: its bytes are recorded there if `recorded`, and it is under way until they
    /// have all passed.
    entry: Arc<Entry>,
    recorded: bool,
    /// What has passed already.
    position: u64,
    /// What came from `inner` and has not passed yet.
    rest: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
}

impl Passing {
    /// A request's body on its way to the server.
    pub(super) fn request(
        inner: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        fault: BodyFault,
        sink: Handle,
        entry: Arc<Entry>,
    ) -> AnyBody {
        Self::boxed(inner, fault, sink, entry, true)
    }

    /// A response's body on its way to the client.
    pub(super) fn response(
        inner: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        fault: BodyFault,
        sink: Handle,
        entry: Arc<Entry>,
    ) -> AnyBody {
        Self::boxed(inner, fault, sink, entry, false)
    }

    fn boxed(
        inner: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        fault: BodyFault,
        sink: Handle,
        entry: Arc<Entry>,
        recorded: bool,
    ) -> AnyBody {
        let inner = inner.map_err(Into::into).boxed_unsync();
        let (rest, pause) = (Bytes::new(), None);
        Self { inner, fault, sink, entry, recorded, position: 0, rest, pause, has_ended: false }
            .boxed_unsync()
    }

    /// Takes from `rest` what may pass now.
    fn next_piece(&mut self) -> Bytes {
        let mut length = self.rest.len();
        if let Some(speed) = self.fault.bytes_per_second {
            length = length.min(THROTTLED_CHUNK_BYTES);
            let nanos = (length as u64).saturating_mul(1_000_000_000) / speed.max(1);
            self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_nanos(nanos))));
        }
        if let Some((at, _)) = self.fault.cut {
            length = length.min(usize::try_from(at - self.position).unwrap_or(length));
        }
        let mut piece = self.rest.split_to(length);
        if let Some(offset) = self.fault.alter.and_then(|at| at.checked_sub(self.position))
            && let Ok(offset) = usize::try_from(offset)
            && offset < length
        {
            let mut altered = BytesMut::from(piece);
            altered[offset] ^= 1;
            piece = altered.freeze();
        }
        self.position += length as u64;
        piece
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        if let Some((at, end)) = this.fault.cut
            && this.position == at
        {
            // What has passed goes out first; then the connection ends, and this body with it.
            this.sink.end_at_flush(end);
            return Poll::Pending;
        }
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if this.recorded {
                            this.entry.body(&data);
                        }
                        this.rest = data;
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => {
                    this.has_ended = true;
                    return Poll::Ready(end);
                }
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.next_piece()))))
    }

    fn is_end_stream(&self) -> bool {
        let is_cut_later = self.fault.cut.is_some_and(|(at, _)| at == self.position);
        !is_cut_later && self.rest.is_empty() && (self.has_ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.size_hint();
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A body of which only the beginning is let through.
pub(super) struct Truncated {
    inner: AnyBody,
    remaining: u64,
}

impl Truncated {
    pub(super) fn boxed(inner: AnyBody, to_bytes: u64) -> AnyBody {
        Self { inner, remaining: to_bytes }.boxed_unsync()
    }
}

impl Body for Truncated {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let remaining = self.remaining;
        let frame = frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|mut data| {
                    data.truncate(usize::try_from(remaining).unwrap_or(data.len()));
                    data
                })
            })
        });
        if let Some(Ok(frame)) = &frame {
            self.remaining -= frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }
}
