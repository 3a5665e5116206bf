//! A connection that is cut when its client is too slow where HTTP has no limit of its own: with its first bytes,
//! before the protocol is known, and with taking what is sent to it. And one that takes no more memory to read from
//! than its client's pace is worth (see [`super::read_size`]).

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::time::{Instant, Sleep};

use super::read_size::ReadSize;

/// What HTTP/2 begins with. While a client sends a part of it, nobody knows yet what it speaks.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream with deadlines.
pub(super) struct GuardedStream<S> {
    /// Its limit is that of the next read alone, and never reached as an end.
    inner: Take<S>,
    read_size: ReadSize,
    write_timeout: Duration,
    /// Until when the protocol must be known; `None` once it is.
    opening: Option<Pin<Box<Sleep>>>,
    preface_bytes: usize,
    /// Until when the client must take something; only counts while a write waits.
    writing: Pin<Box<Sleep>>,
    is_write_waiting: bool,
}

impl<S: AsyncRead + Unpin> GuardedStream<S> {
    /// Guards a stream that was just accepted.
    pub(super) fn new(inner: S, opening_timeout: Duration, write_timeout: Duration) -> Self {
        Self {
            inner: inner.take(0),
            read_size: ReadSize::default(),
            write_timeout,
            opening: Some(Box::pin(tokio::time::sleep(opening_timeout))),
            preface_bytes: 0,
            writing: Box::pin(tokio::time::sleep(write_timeout)),
            is_write_waiting: false,
        }
    }
}

impl<S> GuardedStream<S> {
    /// Ends the opening once the bytes cannot be a part of the preface any more, or are all of it.
    fn observe(&mut self, bytes: &[u8]) {
        let expected = &PREFACE[self.preface_bytes..];
        let compared = bytes.len().min(expected.len());
        self.preface_bytes += compared;
        let is_preface_so_far = bytes[..compared] == expected[..compared];
        if !is_preface_so_far || bytes.is_empty() || self.preface_bytes == PREFACE.len() {
            self.opening = None;
        }
    }

    fn guard_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.is_write_waiting = false;
            return result;
        }
        if !self.is_write_waiting {
            self.is_write_waiting = true;
            self.writing.as_mut().reset(Instant::now() + self.write_timeout);
        }
        match self.writing.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the client does not take what is sent to it"))),
        }
    }
}

fn timed_out(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, message)
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (filled, room) = (buffer.filled().len(), buffer.remaining());
        this.inner.set_limit(this.read_size.most_bytes());
        let result = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if result.is_ready() {
            this.read_size.record(buffer.filled().len() - filled, room);
        }
        if let Some(opening) = &mut this.opening {
            match &result {
                Poll::Ready(Ok(())) => this.observe(&buffer.filled()[filled..]),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => {
                    if opening.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Err(timed_out("the client sent no request")));
                    }
                }
            }
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(self.inner.get_mut()).poll_write(cx, bytes);
        self.guard_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(self.inner.get_mut()).poll_write_vectored(cx, buffers);
        self.guard_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(self.inner.get_mut()).poll_flush(cx);
        self.guard_write(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(self.inner.get_mut()).poll_shutdown(cx);
        self.guard_write(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, duplex};

    const OPENING: Duration = Duration::from_secs(10);
    const WRITE: Duration = Duration::from_secs(30);

    async fn read_after(sent: &[u8]) -> (io::Result<usize>, Duration) {
        let (mut client, server) = duplex(64);
        let mut server = GuardedStream::new(server, OPENING, WRITE);
        client.write_all(sent).await.expect("sent");
        let mut buffer = vec![0; sent.len()];
        server.read_exact(&mut buffer).await.expect("received");
        let started = Instant::now();
        let next = tokio::time::timeout(Duration::from_secs(3_600), server.read(&mut [0; 8])).await;
        let next = next.unwrap_or(Ok(0));
        drop(client);
        (next, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_begin_is_cut_off() {
        for sent in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
            let (result, after) = read_after(sent).await;
            assert_eq!(result.expect_err("cut off").kind(), io::ErrorKind::TimedOut);
            assert_eq!(after.as_secs(), OPENING.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_protocol_is_known_its_own_limits_hold() {
        for sent in [&b"G"[..], b"POST /", PREFACE] {
            let (result, after) = read_after(sent).await;
            assert!(result.is_ok());
            assert_eq!(after.as_secs(), 3_600);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_and_one_that_is_slow_is_not() {
        let (mut client, server) = duplex(8);
        let mut server = GuardedStream::new(server, OPENING, WRITE);
        let sender = tokio::spawn(async move { server.write_all(&[1; 24]).await });
        for _ in 0..2 {
            tokio::time::sleep(WRITE - Duration::from_secs(1)).await;
            client.read_exact(&mut [0; 8]).await.expect("taken");
        }
        assert!(sender.await.expect("no panic").is_ok());

        let (_client, server) = duplex(8);
        let mut server = GuardedStream::new(server, OPENING, WRITE);
        let started = Instant::now();
        let error = server.write_all(&[1; 24]).await.expect_err("cut off");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), WRITE.as_secs());
    }

    #[tokio::test]
    async fn a_burst_is_taken_in_steps_and_what_goes_on_and_on_is_not() {
        const SENT: usize = 3 * 1024 * 1024;
        const ROOM: usize = 48 * 1024;
        let (mut client, server) = duplex(SENT);
        let mut server = GuardedStream::new(server, OPENING, WRITE);
        client.write_all(&vec![7; SENT]).await.expect("there is room");
        drop(client);
        let mut room = vec![0; ROOM];
        let mut reads = Vec::new();
        loop {
            match server.read(&mut room).await.expect("sent") {
                0 => break,
                bytes => reads.push(bytes),
            }
        }
        assert_eq!(reads.iter().sum::<usize>(), SENT, "a step is no end");
        let fast_from = reads.iter().position(|&bytes| bytes == ROOM).expect("a fast client");
        let (burst, rest) = reads.split_at(fast_from);
        assert!(burst.iter().sum::<usize>() >= 1024 * 1024 && burst.iter().all(|&bytes| bytes < ROOM / 3));
        assert!(rest[..rest.len() - 1].iter().all(|&bytes| bytes == ROOM));
    }
}
