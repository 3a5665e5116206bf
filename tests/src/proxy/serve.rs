//! Takes requests, forwards them, and carries out what the rules say.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::body::{AnyBody, BoxError, Passing, Truncated};
use super::record::{Entry, Journal, Request};
use super::rule::{Answer, End, Fault};
use super::wire::{Handle, Wire};

/// The server to which all goes, and how far away it seems.
pub(super) struct Upstream {
    pub(super) server: String,
    pub(super) latency: Duration,
    pub(super) journal: Arc<Journal>,
}

/// One client's connection, and the one to the server that belongs to it.
struct Pair {
    upstream: Arc<Upstream>,
    client: Handle,
    server: Mutex<Option<Connection>>,
}

/// A connection to the server, and how to end it.
type Connection = (SendRequest<AnyBody>, Handle);

impl Upstream {
    /// Serves until it is aborted, and its connections with it.
    pub(super) async fn serve(self, listener: TcpListener) {
        let upstream = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // What fails is the connection of a client that has gone already.
                    let Ok((stream, _)) = accepted else { continue };
                    upstream.journal.connected();
                    connections.spawn(Arc::clone(&upstream).connection(stream));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        tokio::time::sleep(self.latency * 2).await;
        let (wire, client) = Wire::new(stream);
        let pair = Arc::new(Pair { upstream: self, client, server: Mutex::default() });
        let service = service_fn(|request| {
            let pair = Arc::clone(&pair);
            async move { pair.exchange(request).await }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .preserve_header_case(true)
            .auto_date_header(false)
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(wire), service)
            .await;
        // It fails when a rule ends it, or when the client goes away: both are what a test is about.
        drop(served);
    }
}

impl Pair {
    /// # Errors
    ///
    /// The connection is to end without an answer.
    async fn exchange(&self, request: http::Request<Incoming>) -> Result<Response<AnyBody>> {
        let (head, body) = request.into_parts();
        let (entry, fault) = self.upstream.journal.begin(Request::new(&head));
        let entry = Arc::new(entry);
        tokio::time::sleep(self.upstream.latency + fault.delay).await;
        if let Some(end) = fault.at_once {
            return self.end(end);
        }
        let response = if let Some(Answer { status, body: answer }) = &fault.answer {
            drain(Passing::request(body, fault.request, self.client.clone(), Arc::clone(&entry))).await?;
            let mut response = Response::new(full(answer));
            *response.status_mut() = *status;
            response
        } else {
            match self.forward(http::Request::from_parts(head, body), &fault, &entry).await {
                Ok(response) => response,
                Err(_) if let Some((_, end)) = fault.request.cut => return self.end(end),
                Err(error) => bad_gateway(&error),
            }
        };
        let mut response = self.spoil(response, &fault).await?;
        tokio::time::sleep(self.upstream.latency).await;
        change_headers(response.headers_mut(), &fault);
        entry.answered(response.status(), response.headers());
        Ok(response.map(|body| Passing::response(body, fault.response, self.client.clone(), entry)))
    }

    async fn forward(
        &self,
        request: http::Request<Incoming>,
        fault: &Fault,
        entry: &Arc<Entry>,
    ) -> Result<Response<AnyBody>> {
        let mut server = self.server.lock().await;
        let (mut sender, handle) = match Self::idle(server.take()).await {
            Some(connection) => connection,
            None => self.upstream.connect().await?,
        };
        let request =
            request.map(|body| Passing::request(body, fault.request, handle.clone(), Arc::clone(entry)));
        let response = sender.send_request(request).await.context("the server gave no answer")?;
        *server = Some((sender, handle));
        Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    /// The connection of the last request, unless the server has closed it since.
    async fn idle(last: Option<Connection>) -> Option<Connection> {
        let (mut sender, handle) = last?;
        sender.ready().await.ok()?;
        Some((sender, handle))
    }

    /// What a rule does to an answer once it is there.
    async fn spoil(&self, response: Response<AnyBody>, fault: &Fault) -> Result<Response<AnyBody>> {
        let (mut head, mut body) = response.into_parts();
        if let Some(end) = fault.lose_answer {
            drain(body).await?;
            return self.end(end);
        }
        if let Some(Answer { status, body: replacement }) = &fault.replace {
            drain(body).await?;
            head.status = *status;
            for name in [CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING] {
                head.headers.remove(name);
            }
            body = full(replacement);
        }
        if let Some(to_bytes) = fault.truncate {
            let length = body.size_hint().exact();
            if let Some(length) = length {
                head.headers.insert(CONTENT_LENGTH, length.min(to_bytes).into());
            }
            body = Truncated::boxed(body, to_bytes);
        }
        Ok(Response::from_parts(head, body))
    }

    fn end<T>(&self, end: End) -> Result<T> {
        self.client.end_now(end);
        bail!("a rule ends the connection")
    }
}

impl Upstream {
    async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.server)
            .await
            .with_context(|| format!("connecting to {}", self.server))?;
        let (wire, handle) = Wire::new(stream);
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(wire))
            .await
            .context("the connection to the server")?;
        // It ends with its sender; what goes wrong with it, the sender is told.
        tokio::spawn(connection);
        Ok((sender, handle))
    }
}

fn change_headers(headers: &mut HeaderMap, fault: &Fault) {
    for (name, value) in &fault.headers {
        match value {
            Some(value) => headers.insert(name, value.clone()),
            None => headers.remove(name),
        };
    }
}

/// What clients of a real proxy get, too.
fn bad_gateway(error: &anyhow::Error) -> Response<AnyBody> {
    let mut response = Response::new(full(&format!("the proxy of the test: {error:#}\n").into()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

fn full(body: &bytes::Bytes) -> AnyBody {
    Full::new(body.clone()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

async fn drain(body: AnyBody) -> Result<()> {
    let mut body = body;
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(())
}
