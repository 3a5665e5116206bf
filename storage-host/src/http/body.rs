//! Bodies on their way in and out, without copies: frames become chunks and chunks become frames.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use hyper::body::{Frame, SizeHint};
use storage_core::{ByteStream, Error, ErrorKind, correlation};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use super::error::{Code, Problem};

/// A request body that fails when nothing arrives for some time while somebody waits for it.
pub(super) struct PacedBody {
    inner: Body,
    idle_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    is_waiting: bool,
}

/// The client sent nothing for too long.
#[derive(Debug)]
struct Idle(Duration);

impl PacedBody {
    pub(super) fn new(inner: Body, idle_timeout: Duration) -> Self {
        let deadline = Box::pin(tokio::time::sleep(idle_timeout));
        Self { inner, idle_timeout, deadline, is_waiting: false }
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.is_waiting = false;
            return Poll::Ready(frame);
        }
        if !this.is_waiting {
            // Time counts from when the body is waited for: a slow backend is not the client's fault.
            this.is_waiting = true;
            this.deadline.as_mut().reset(Instant::now() + this.idle_timeout);
        }
        ready!(this.deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(Idle(this.idle_timeout)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing of the body arrived for {} seconds", self.0.as_secs_f32())
    }
}

impl StdError for Idle {}

/// What a failure to read a request's body means for its client.
pub(super) fn read_problem(error: &(dyn StdError + 'static)) -> Problem {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(idle) = cause.downcast_ref::<Idle>() {
            return Problem::new(Code::RequestTimeout).detail(idle.to_string());
        }
        next = cause.source();
    }
    Problem::new(Code::LengthMismatch).detail("the body broke off before its end")
}

/// What was wrong with a request's body, beside the error that the service made of it.
///
/// The stream's error reaches the handler only after the service, and perhaps a plugin, has handled it;
/// this keeps what the client is to be told.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyFault(Arc<OnceLock<Problem>>);

impl BodyFault {
    /// Keeps the first problem, and gives the error that ends the stream.
    pub(super) fn set(&self, problem: Problem, kind: ErrorKind) -> Error {
        let error = Error::new(kind, problem.report().unwrap_or_else(|| problem.code().title().to_owned()));
        // A later problem follows from the first.
        let _ = self.0.set(problem);
        error
    }

    /// The first problem, where there was one.
    pub(super) fn get(&self) -> Option<Problem> {
        self.0.get().cloned()
    }

    /// The problem to answer where the service failed with this error.
    pub(super) fn or(&self, error: Error) -> Problem {
        self.get().unwrap_or_else(|| error.into())
    }
}

/// The chunks of a request's body, at most so many bytes of them.
pub(super) fn chunks(
    body: Body,
    limit_bytes: u64,
    fault: BodyFault,
) -> impl Stream<Item = storage_core::Result<Bytes>> + Send + 'static {
    let mut seen_bytes = 0;
    body.into_data_stream().map(move |chunk| match chunk {
        Ok(chunk) => {
            seen_bytes += chunk.len() as u64;
            if seen_bytes > limit_bytes {
                return Err(fault.set(too_large(limit_bytes), ErrorKind::TooLarge));
            }
            Ok(chunk)
        }
        Err(error) => Err(fault.set(read_problem(&error), ErrorKind::Cancelled)),
    })
}

/// A request's body of which, once nobody wants more, the rest is read and thrown away for a while.
///
/// Over HTTP/1 a connection that is closed while the client still sends is reset, and with it goes the answer that the
/// client has not read yet: one who sends a file to a disk that is full would see a broken connection in place of 507.
///
/// Dropped on a thread of a plugin's, it still finds the host's runtime.
pub(super) struct DrainedBody {
    inner: Option<Body>,
    runtime: Handle,
}

impl DrainedBody {
    /// So much is still taken of a body that nobody wants.
    const MOST_BYTES: usize = 16 * 1024 * 1024;

    /// For so long.
    const LONGEST: Duration = Duration::from_secs(5);

    /// Must be called within the host's runtime.
    pub(super) fn new(body: Body) -> Self {
        Self { inner: Some(body), runtime: Handle::current() }
    }

    async fn drain(body: Body) {
        let mut chunks = body.into_data_stream();
        let mut left_bytes = Self::MOST_BYTES;
        let drained = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                match left_bytes.checked_sub(chunk.len()) {
                    Some(left) => left_bytes = left,
                    None => break,
                }
            }
        };
        // A client that is too slow, or sends too much, is cut off after all.
        let _ = tokio::time::timeout(Self::LONGEST, drained).await;
    }
}

impl HttpBody for DrainedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            // It ended, or broke off.
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for DrainedBody {
    fn drop(&mut self) {
        if let Some(body) = self.inner.take()
            && !body.is_end_stream()
            && body.size_hint().lower() <= Self::MOST_BYTES as u64
        {
            self.runtime.spawn(Self::drain(body));
        }
    }
}

/// Files are stored as they are sent, so that a body must be what it is to be stored as.
///
/// # Errors
///
/// 415 for one with a `Content-Encoding`.
pub(super) fn refuse_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::new(Code::UnsupportedMediaType)
            .detail("a body with a Content-Encoding is not taken: send the file as it is"));
    }
    Ok(())
}

/// A request's body as the content of a file.
///
/// # Errors
///
/// 413 where it declares more than the limit: before a byte is read, so that the client need not send it.
pub(super) fn upload(body: Body, limit_bytes: u64, fault: &BodyFault) -> Result<ByteStream, Problem> {
    let length_bytes = body.size_hint().exact();
    if length_bytes.is_some_and(|length| length > limit_bytes) {
        return Err(too_large(limit_bytes));
    }
    Ok(ByteStream::from_stream(chunks(body, limit_bytes, fault.clone()), length_bytes))
}

/// More than the largest upload.
pub(super) fn too_large(limit_bytes: u64) -> Problem {
    Problem::new(Code::TooLarge).detail(format!("an upload is at most {limit_bytes} bytes long"))
}

/// The content of a file as the body of an answer.
///
/// An error in the middle breaks the connection, so that the client sees an answer that is too short and does
/// not take it for the file. It is logged here, since no status can tell it any more.
pub(super) struct ContentBody {
    content: ByteStream,
    left_bytes: u64,
    correlation_id: Option<Arc<str>>,
}

impl ContentBody {
    /// A body of exactly so many bytes. It carries the correlation id of the request that makes it.
    pub(super) fn new(content: ByteStream, length_bytes: u64) -> Self {
        Self { content, left_bytes: length_bytes, correlation_id: correlation::current() }
    }
}

impl HttpBody for ContentBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let next = match &this.correlation_id {
            Some(id) => {
                let polled = std::future::poll_fn(|cx| Pin::new(&mut this.content).poll_next(cx));
                let scoped = std::pin::pin!(correlation::scope(Arc::clone(id), polled));
                ready!(scoped.poll(cx))
            }
            None => ready!(Pin::new(&mut this.content).poll_next(cx)),
        };
        Poll::Ready(match next {
            Some(Ok(chunk)) => {
                this.left_bytes = this.left_bytes.saturating_sub(chunk.len() as u64);
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(error)) => {
                tracing::error!(
                    error = %error.report(),
                    correlation_id = this.correlation_id.as_deref(),
                    "an answer broke off"
                );
                Some(Err(error))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        // The end itself may be an error: the digest of the whole is known only there.
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn slow_body() -> Body {
        let first = stream::iter([Ok::<_, axum::Error>(Bytes::from_static(b"ab"))]);
        Body::from_stream(first.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_sending_is_cut_off() {
        let fault = BodyFault::default();
        let body = Body::new(PacedBody::new(slow_body(), Duration::from_secs(30)));
        let mut content = upload(body, 100, &fault).expect("small");
        assert_eq!(content.next().await.expect("a chunk").expect("sound"), "ab");
        let started = Instant::now();
        let error = content.next().await.expect("an error").expect_err("idle");
        assert_eq!(started.elapsed().as_secs(), 30);
        assert_eq!(fault.or(error).code(), Code::RequestTimeout);
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_service_takes_is_not_the_clients() {
        let body = PacedBody::new(slow_body(), Duration::from_secs(30));
        let mut content = Body::new(body).into_data_stream();
        assert!(content.next().await.expect("a chunk").is_ok());
        tokio::time::sleep(Duration::from_secs(300)).await;
        let started = Instant::now();
        assert!(content.next().await.expect("an error").is_err());
        assert_eq!(started.elapsed().as_secs(), 30);
    }

    #[tokio::test]
    async fn an_upload_is_limited_by_what_it_declares_and_by_what_it_sends() {
        let fault = BodyFault::default();
        let declared = upload(Body::from("abcd"), 3, &fault).expect_err("declared");
        assert_eq!(declared.code(), Code::TooLarge);
        let chunks = stream::iter(["ab", "cd"].map(|chunk| Ok::<_, axum::Error>(Bytes::from(chunk))));
        let content = upload(Body::from_stream(chunks), 3, &fault).expect("nothing declared");
        let error = content.collect(100).await.expect_err("too much");
        assert_eq!(fault.or(error).code(), Code::TooLarge);
    }

    #[tokio::test]
    async fn a_body_is_handed_on_without_a_copy() {
        let bytes = Bytes::from(vec![1; 1000]);
        let mut content = upload(Body::from(bytes.clone()), 1000, &BodyFault::default()).expect("small");
        assert_eq!(content.length_bytes(), Some(1000));
        let chunk = content.next().await.expect("a chunk").expect("sound");
        assert_eq!(chunk.as_ptr(), bytes.as_ptr());
        let mut answer = Body::new(ContentBody::new(ByteStream::from_bytes(bytes.clone()), 1000));
        assert_eq!(answer.size_hint().exact(), Some(1000));
        let frame = http_body_util::BodyExt::frame(&mut answer).await.expect("a frame").expect("sound");
        assert_eq!(frame.into_data().expect("data").as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn a_body_carries_the_correlation_id_of_its_request() {
        let seen = Arc::new(OnceLock::new());
        let seen_there = Arc::clone(&seen);
        let content = stream::once(async move {
            seen_there.set(correlation::current()).expect("once");
            Ok(Bytes::from_static(b"a"))
        });
        let content = ByteStream::from_stream(content, None);
        let body = correlation::scope("r1", async { ContentBody::new(content, 1) }).await;
        axum::body::to_bytes(Body::new(body), 9).await.expect("sound");
        assert_eq!(seen.get().expect("polled").as_deref(), Some("r1"));
    }
}
