//! The server: accepts, speaks HTTP/1.1 and HTTP/2 (both in clear text: TLS ends at a proxy), and drains.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use storage_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::connection::{GuardedStream, Protocol};
use super::middleware::MAX_HEAD_BYTES;
use super::stall;
use super::state::{HttpState, Options};
use crate::config::HttpConfig;
use crate::service::SimpleStorageService;

/// The most headers of one request.
const MAX_HEADERS: usize = 100;
/// How much of a connection is read at once where it is fast. One that was fast once keeps a buffer of this size while
/// it is slow or idle, and there may be thousands; whoever wants larger pieces puts them together. The head of a
/// request must fit into it, or is refused without a word of why.
const READ_BUFFER_BYTES: usize = 48 * 1024;
const _: () =
    assert!(MAX_HEAD_BYTES < READ_BUFFER_BYTES, "what is too large for us must be seen to be told so");
/// What an HTTP/2 client may send ahead: for one request, and for all.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const MAX_FRAME_BYTES: u32 = 256 * 1024;
const MAX_CONCURRENT_STREAMS: u32 = 128;
const MAX_HTTP2_HEADER_BYTES: u32 = 64 * 1024;
/// How many connections may wait to be accepted; the system may allow less (`net.core.somaxconn`). With the usual
/// 1,024 a burst of a thousand clients saw some of them reset.
const BACKLOG: u32 = 4096;
/// The pause after a connection could not be accepted, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that is bound and not yet running.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: HttpState,
}

/// Binds, tells the address in the log, and serves until `shutdown` is ready and requests under way are done.
///
/// # Errors
///
/// Those of [`Server::bind`].
pub async fn serve(
    options: Options,
    service: SimpleStorageService,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    Server::bind(options, service).await?.run(shutdown).await;
    Ok(())
}

impl Server {
    /// Binds the configured address. With port 0 the system chooses one: see [`Server::local_addr`].
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for an address that cannot be bound and for settings of the authentication that cannot work.
    pub async fn bind(options: Options, service: SimpleStorageService) -> Result<Self> {
        let bind = options.http.bind;
        let state = HttpState::new(options, service)?;
        let cannot = |error: io::Error| {
            let next_step = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "stop the program that listens there, or set STORAGE_BIND to another port"
                }
                io::ErrorKind::PermissionDenied => "set STORAGE_BIND to a port from 1024 on",
                _ => "set STORAGE_BIND to an address of this machine",
            };
            Error::new(ErrorKind::ConfigInvalid, format!("cannot listen on {bind} (STORAGE_BIND)"))
                .with_context("next_step", next_step)
                .with_source(error)
        };
        let listener = listen(bind).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address, state })
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready. Then it accepts no more, finishes the requests under way, and after the
    /// configured time breaks off those that are left. Dropping the future breaks off everything.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, address, state } = self;
        tracing::info!(%address, "listening on http://{address}");
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "reachable from other machines, in clear text: let a proxy add TLS");
        }
        let http = state.options().http.clone();
        let connections = Connections::new(&http, super::router(state.clone()));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => connections.serve(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        state.drain();
        connections.drain(http.drain_timeout).await;
    }
}

/// A socket that listens, with the usual options of a server: a restarted one need not wait for old connections.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows the option would let another program take the port over.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The connections under way.
struct Connections {
    router: Router,
    http1: http1::Builder,
    http2: http2::Builder<Http2Tasks>,
    tasks: Tasks,
    /// Cancelled where no connection may begin another request.
    draining: CancellationToken,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Connections {
    fn new(http: &HttpConfig, router: Router) -> Self {
        let tasks = Tasks { tracker: TaskTracker::new(), stop: Arc::new(CancellationToken::new()) };
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(http.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(READ_BUFFER_BYTES);
        let mut http2 =
            http2::Builder::new(Http2Tasks { tasks: tasks.clone(), idle_timeout: http.idle_timeout });
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .max_header_list_size(MAX_HTTP2_HEADER_BYTES)
            .keep_alive_interval(http.idle_timeout)
            .keep_alive_timeout(http.idle_timeout);
        Self {
            router,
            http1,
            http2,
            tasks,
            draining: CancellationToken::new(),
            header_timeout: http.header_timeout,
            idle_timeout: http.idle_timeout,
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the peer left before it was served");
            return;
        }
        let router = self.router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request.map(axum::body::Body::new))
        });
        let mut stream = GuardedStream::new(stream, self.idle_timeout);
        let (http1, http2) = (self.http1.clone(), self.http2.clone());
        let (draining, header_timeout) = (self.draining.clone(), self.header_timeout);
        let connection = async move {
            let protocol = tokio::select! {
                protocol = tokio::time::timeout(header_timeout, stream.protocol()) => protocol??,
                () = draining.cancelled() => return Ok(()),
            };
            let stream = TokioIo::new(stream);
            // In boxes, since there may be thousands: each then takes no more room than what it speaks needs.
            match protocol {
                Protocol::Http1 => {
                    let connection = Box::pin(http1.serve_connection(stream, service));
                    until_drained(connection, &draining, http1::Connection::graceful_shutdown).await?;
                }
                Protocol::Http2 => {
                    let service = service_fn(move |request| service.call(request).map(stall::watched));
                    let connection = Box::pin(http2.serve_connection(stream, service));
                    until_drained(connection, &draining, http2::Connection::graceful_shutdown).await?;
                }
            }
            Ok(())
        };
        self.tasks.execute(async move {
            let ended: std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> = connection.await;
            if let Err(error) = ended {
                // A client that leaves, stalls or speaks no HTTP.
                tracing::debug!(%peer, error = &*error as &dyn std::error::Error, "a connection ended");
            }
        });
    }

    async fn drain(self, timeout: Duration) {
        self.tasks.tracker.close();
        tracing::info!(connections = self.tasks.tracker.len(), "shutting down");
        self.draining.cancel();
        if tokio::time::timeout(timeout, self.tasks.tracker.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.tasks.tracker.len(),
                "breaking off requests that did not end in time"
            );
            self.tasks.stop.cancel();
            self.tasks.tracker.wait().await;
        }
    }
}

/// Follows a connection to its end, which comes after the request under way once `draining` is cancelled.
async fn until_drained<C: Future>(
    mut connection: Pin<Box<C>>,
    draining: &CancellationToken,
    finish: impl FnOnce(Pin<&mut C>),
) -> C::Output {
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        () = draining.cancelled() => finish(connection.as_mut()),
    }
    connection.await
}

/// Where connections and requests run: they can be awaited and broken off together.
#[derive(Clone)]
struct Tasks {
    tracker: TaskTracker,
    stop: Arc<CancellationToken>,
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let stop = CancellationToken::clone(&self.stop);
        self.tracker.spawn(async move { stop.run_until_cancelled_owned(future).await });
    }
}

/// Where the requests of an HTTP/2 connection run. Each ends, too, where its client does not take the answer.
#[derive(Clone)]
struct Http2Tasks {
    tasks: Tasks,
    idle_timeout: Duration,
}

impl<F> Executor<F> for Http2Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        self.tasks.execute(stall::until_stalled(self.idle_timeout, request));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpStream;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    /// More than usually may wait.
    const BURST: u64 = 1_100;

    #[tokio::test]
    async fn a_burst_of_a_thousand_clients_waits_and_none_is_turned_away() {
        // How many files a process may open and how many clients may wait, the system decides in the end.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more files");
        let files = limit.maximum.unwrap_or(u64::MAX);
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("a setting of Linux");
        let allowed: u64 = allowed.trim().parse().expect("a number");
        let clients = BURST.min(allowed).min(files - 100);

        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("it listens");
        let address = listener.local_addr().expect("an address");
        // Nobody accepts. Who finds no place hears nothing, and tries again after a second.
        let connect = |client| {
            TcpStream::connect_timeout(&address, Duration::from_millis(900))
                .unwrap_or_else(|error| panic!("client {client} of {clients}: {error}"))
        };
        let waiting: Vec<_> = (0..clients).map(connect).collect();
        assert_eq!(waiting.len() as u64, clients);
    }
}
