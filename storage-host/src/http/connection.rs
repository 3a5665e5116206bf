//! A connection that tells what its client speaks, that is cut when its client does not take what is sent to it, and
//! that takes no more memory to read from than its client's pace is worth (see [`super::read_size`]).

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::time::{Instant, Sleep};

use super::read_size::ReadSize;

/// What HTTP/2 begins with (RFC 9113, section 3.4). While a client sends a part of it, nobody knows yet what it speaks.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream with a deadline for what is written to it.
pub(super) struct GuardedStream<S> {
    /// Its limit is that of the next read alone, and never reached as an end.
    inner: Take<S>,
    read_size: ReadSize,
    /// What was read to see what the client speaks, and is still to be given to whoever reads.
    first: [u8; PREFACE.len()],
    first_bytes: usize,
    write_timeout: Duration,
    /// Until when the client must take something; only counts while a write waits.
    writing: Pin<Box<Sleep>>,
    is_write_waiting: bool,
}

impl<S: AsyncRead + Unpin> GuardedStream<S> {
    /// Guards a stream that was just accepted.
    pub(super) fn new(inner: S, write_timeout: Duration) -> Self {
        Self {
            inner: inner.take(0),
            read_size: ReadSize::default(),
            first: [0; PREFACE.len()],
            first_bytes: 0,
            write_timeout,
            writing: Box::pin(tokio::time::sleep(write_timeout)),
            is_write_waiting: false,
        }
    }

    /// Waits for the bytes that tell what the client speaks. They are read once more afterwards.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    pub(super) async fn protocol(&mut self) -> io::Result<Protocol> {
        while PREFACE.starts_with(&self.first[..self.first_bytes]) {
            let room = &mut self.first[self.first_bytes..];
            if room.is_empty() {
                return Ok(Protocol::Http2);
            }
            self.inner.set_limit(room.len() as u64);
            match self.inner.read(room).await? {
                // One that leaves speaks neither; HTTP/1 sees that from the end of the stream.
                0 => break,
                bytes => self.first_bytes += bytes,
            }
        }
        Ok(Protocol::Http1)
    }
}

impl<S> GuardedStream<S> {
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

    /// Gives what was read to see what the client speaks, as far as there is room for it.
    fn give_first(&mut self, buffer: &mut ReadBuf<'_>) {
        let given = self.first_bytes.min(buffer.remaining());
        buffer.put_slice(&self.first[..given]);
        self.first.copy_within(given.., 0);
        self.first_bytes -= given;
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
        // What follows is given in the same read: a buffer in which only these few bytes came is taken for too small.
        this.give_first(buffer);
        let given = buffer.filled().len() - filled;
        this.inner.set_limit(this.read_size.most_bytes().saturating_sub(given as u64));
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Pending if given == 0 => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending | Poll::Ready(Ok(())) => {}
        }
        this.read_size.record(buffer.filled().len() - filled, room);
        Poll::Ready(Ok(()))
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

    const WRITE: Duration = Duration::from_secs(30);

    /// What a client is taken to speak that sends this piece by piece and waits then, and what is read afterwards.
    async fn spoken(sent: &[&[u8]]) -> (Option<Protocol>, Vec<u8>) {
        let (mut client, server) = duplex(64);
        let mut server = GuardedStream::new(server, WRITE);
        let sending = async {
            for piece in sent {
                client.write_all(piece).await.expect("sent");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let waiting = tokio::time::timeout(Duration::from_secs(3_600), server.protocol());
        let (protocol, ()) = tokio::join!(waiting, sending);
        drop(client);
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.expect("sent");
        (protocol.ok().map(|protocol| protocol.expect("sound")), read)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_speaks_is_told_as_soon_as_it_is_known_and_nothing_is_lost() {
        for (sent, expected) in [
            (&[][..], None),
            (&[&b"P"[..]][..], None),
            (&[b"PRI * HTTP/2.0\r\n"], None),
            (&[b"G"], Some(Protocol::Http1)),
            (&[b"P", b"OST / HTTP/1.1\r\n\r\n"], Some(Protocol::Http1)),
            (&[b"PRI * HTTP/1.1\r\n\r\nand more than a preface"], Some(Protocol::Http1)),
            (&[PREFACE], Some(Protocol::Http2)),
            (&[&PREFACE[..7], &PREFACE[7..], b"frames"], Some(Protocol::Http2)),
        ] {
            assert_eq!(spoken(sent).await, (expected, sent.concat()), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_left_to_http1() {
        let (mut client, server) = duplex(64);
        client.write_all(b"PR").await.expect("sent");
        drop(client);
        let protocol = GuardedStream::new(server, WRITE).protocol().await;
        assert_eq!(protocol.expect("an end is no error"), Protocol::Http1);
    }

    #[tokio::test]
    async fn what_told_the_protocol_is_given_with_what_follows_it_and_into_any_room() {
        let (mut client, server) = duplex(64);
        let mut server = GuardedStream::new(server, WRITE);
        client.write_all(b"GET / HTTP/1.1\r\nHost: files.example.org\r\n\r\n").await.expect("sent");
        assert_eq!(server.protocol().await.expect("sound"), Protocol::Http1);
        let mut room = [0; 48];
        assert_eq!(server.read(&mut room[..5]).await.expect("sent"), 5);
        assert_eq!(server.read(&mut room[5..]).await.expect("sent"), 38, "in one go");
        assert!(room.starts_with(b"GET / HTTP/1.1\r\nHost: files.example.org\r\n\r\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_and_one_that_is_slow_is_not() {
        let (mut client, server) = duplex(8);
        let mut server = GuardedStream::new(server, WRITE);
        let sender = tokio::spawn(async move { server.write_all(&[1; 24]).await });
        for _ in 0..2 {
            tokio::time::sleep(WRITE - Duration::from_secs(1)).await;
            client.read_exact(&mut [0; 8]).await.expect("taken");
        }
        assert!(sender.await.expect("no panic").is_ok());

        let (_client, server) = duplex(8);
        let mut server = GuardedStream::new(server, WRITE);
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
        let mut server = GuardedStream::new(server, WRITE);
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
