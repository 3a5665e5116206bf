//! A connection that can be ended by order: at once, or when all that was written has gone out.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::rule::End;

/// A stream with a [`Handle`] for ending it.
pub(super) struct Wire {
    stream: TcpStream,
    handle: Handle,
}

/// Gives a [`Wire`] the order to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Handle(Arc<Mutex<Order>>);

#[derive(Clone, Copy, Debug, Default)]
enum Order {
    #[default]
    None,
    /// End when what was written has gone out.
    AtFlush(End),
    /// No more is read or written.
    Now(End),
}

impl Handle {
    pub(super) fn end_at_flush(&self, end: End) {
        self.set(Order::AtFlush(end));
    }

    /// Takes effect when the stream is next used or dropped.
    pub(super) fn end_now(&self, end: End) {
        self.set(Order::Now(end));
    }

    fn set(&self, order: Order) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = order;
    }

    fn order(&self) -> Order {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> io::Result<()> {
        match self.order() {
            Order::Now(_) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "ended by a rule")),
            Order::None | Order::AtFlush(_) => Ok(()),
        }
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> (Self, Handle) {
        // What is small is not held back to wait for more.
        stream.set_nodelay(true).ok();
        let handle = Handle::default();
        (Self { stream, handle: handle.clone() }, handle)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Order::AtFlush(End::Reset) | Order::Now(End::Reset) = self.handle.order() {
            // Fails only if the peer was quicker in ending the connection.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.handle.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.handle.check()?;
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.handle.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.check()?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let (Poll::Ready(Ok(())), Order::AtFlush(end)) = (&flushed, self.handle.order()) {
            self.handle.end_now(end);
            self.handle.check()?;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Order::AtFlush(End::Reset) | Order::Now(End::Reset) = self.handle.order() {
            // To shut down would tell the peer that all was said.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
