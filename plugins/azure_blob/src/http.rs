//! The HTTP client: one pool for the data, for tokens and for the SDK, and one place where requests are authorised.
//!
//! The SDK's own transport logs each request with its `Authorization` header. So the SDK is given a client that
//! authorises only after that: [`Authorized`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::error::{Error as AzureError, ErrorKind as AzureErrorKind};
use azure_core::headers::{HeaderName, HeaderValue, Headers};
use azure_core::{
    Body, ClientOptions, Context, HttpClient, Policy, PolicyResult, Request, Response, StatusCode,
};
use azure_storage::StorageCredentials;
use azure_storage::clients::{ServiceType, new_pipeline_from_options};
use futures_util::{Stream, TryStreamExt as _, stream};
use storage_core::{Error, ErrorKind, Result};

use crate::config::Connection;
use crate::error;

/// What must be sent or copied in a second, in bytes, lest a request is given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Sends requests as they are.
pub(crate) struct Http {
    client: reqwest_azure::Client,
    /// How long the service may be silent.
    patience: Duration,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    /// A client with this configuration's timeouts, proxy and certificate authorities.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for certificates or a proxy that cannot be used.
    pub(crate) fn new(connection: &Connection) -> Result<Self> {
        let invalid = |what: String| Error::new(ErrorKind::ConfigInvalid, what);
        let mut builder = reqwest_azure::Client::builder()
            .connect_timeout(connection.connect_timeout)
            // No `read_timeout`: it bounds the sending of a body as well. See `Http::send`.
            .pool_idle_timeout(connection.keep_alive)
            .tcp_keepalive(Duration::from_secs(30))
            // An answer that leads elsewhere is none of the blob service's: the signature must not follow it.
            .redirect(reqwest_azure::redirect::Policy::none())
            .user_agent(concat!("storage-backend-azure-blob/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &connection.ca_file {
            let shown = file.display();
            let text = std::fs::read(file).map_err(|error| {
                invalid(format!("the certificates of ca_file (AZURE_CA_FILE), {shown}, cannot be read"))
                    .with_source(error)
            })?;
            let certificates = reqwest_azure::Certificate::from_pem_bundle(&text);
            let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
            let certificates = certificates.ok_or_else(|| {
                invalid(format!("the file of ca_file (AZURE_CA_FILE), {shown}, holds no certificate in PEM"))
            })?;
            builder =
                certificates.into_iter().fold(builder, |builder, one| builder.add_root_certificate(one));
        }
        if let Some(proxy) = &connection.proxy {
            // The error would repeat the URL, which may hold a password.
            let proxy = reqwest_azure::Proxy::all(proxy)
                .map_err(|_| invalid("proxy_url (AZURE_PROXY_URL) is not the URL of a proxy".to_owned()))?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|error| {
            invalid("the HTTP client cannot be made".to_owned()).with_source(error.without_url())
        })?;
        Ok(Self { client, patience: connection.idle_timeout })
    }

    /// Sends a request upon which the service itself moves so many bytes. It gets time for them, and for its body: on
    /// a slow line many bytes take longer than the service may be silent.
    async fn send(&self, request: &Request, moved_bytes: u64) -> Result<Response> {
        let method = request.method().as_ref();
        let method = reqwest_azure::Method::from_bytes(method.as_bytes())
            .map_err(|error| Error::new(ErrorKind::Internal, "no HTTP method").with_source(error))?;
        let mut call = self.client.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            call = call.header(name.as_str(), value.as_str());
        }
        let call = match request.body() {
            Body::Bytes(bytes) => call.body(bytes.clone()),
            Body::SeekableStream(stream) => call.body(reqwest_azure::Body::wrap_stream(stream.clone())),
        };
        let bytes = request.body().len() as u64 + moved_bytes;
        let limit = self.patience.saturating_add(Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND));
        let answer = tokio::time::timeout(limit, call.send()).await;
        let answer = answer.map_err(|_| error::timed_out())?.map_err(error::from_transport)?;
        let status = StatusCode::try_from(answer.status().as_u16())
            .map_err(|_| Error::new(ErrorKind::Unavailable, "the service answered a status that is none"))?;
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            // A header that is no text is none of those that are read.
            if let Ok(value) = value.to_str() {
                headers
                    .insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()));
            }
        }
        let body = answer.bytes_stream().map_err(|error| wrap(error::from_transport(error)));
        Ok(Response::new(status, headers, Box::pin(impatient(body, self.patience))))
    }
}

/// Bounds the wait for each chunk of an answer. The time that the reader takes between them is its own.
fn impatient<T>(
    body: impl Stream<Item = azure_core::Result<T>> + Unpin,
    patience: Duration,
) -> impl Stream<Item = azure_core::Result<T>> {
    stream::try_unfold(body, move |mut body| async move {
        let chunk = tokio::time::timeout(patience, body.try_next()).await;
        let chunk = chunk.map_err(|_| wrap(error::timed_out()))??;
        Ok(chunk.map(|chunk| (chunk, body)))
    })
}

/// Our error on its way through the SDK.
fn wrap(error: Error) -> AzureError {
    AzureError::new(AzureErrorKind::Io, error)
}

#[async_trait::async_trait]
impl HttpClient for Http {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        self.send(request, 0).await.map_err(wrap)
    }
}

/// Asks Entra ID for tokens. What the SDK tells of a refusal is that there was one; here it is told why.
#[derive(Debug)]
pub(crate) struct Authority(pub(crate) Arc<Http>);

#[async_trait::async_trait]
impl HttpClient for Authority {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let (status, headers, body) = self.0.execute_request(request).await?.deconstruct();
        if status.is_success() {
            return Ok(Response::new(status, headers, Box::pin(body)));
        }
        let body = body.collect().await?;
        Err(wrap(error::from_authority(status as u16, &body)))
    }
}

/// Sends requests with the account's authorisation.
#[derive(Debug)]
pub(crate) struct Authorized {
    http: Arc<Http>,
    policy: Arc<dyn Policy>,
}

impl Authorized {
    /// Authorises with these credentials.
    pub(crate) fn new(http: Arc<Http>, credentials: StorageCredentials) -> Self {
        let pipeline = new_pipeline_from_options(ClientOptions::default(), credentials);
        // The last policy is the transport, and the one before it authorises, as the SDK's documentation has it.
        let policies = pipeline.policies();
        let policy = Arc::clone(&policies[policies.len() - 2]);
        Self { http, policy }
    }

    /// Sends a request upon which the service itself moves so many bytes.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(crate) async fn send(&self, request: &Request, moved_bytes: u64) -> azure_core::Result<Response> {
        let mut request = request.clone();
        let mut context = Context::new();
        context.insert(ServiceType::Blob);
        let transport: Arc<dyn Policy> = Arc::new(Last { http: Arc::clone(&self.http), moved_bytes });
        self.policy.send(&context, &mut request, &[transport]).await
    }
}

#[async_trait::async_trait]
impl HttpClient for Authorized {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        self.send(request, 0).await
    }
}

/// The end of the way of a request.
#[derive(Debug)]
struct Last {
    http: Arc<Http>,
    moved_bytes: u64,
}

#[async_trait::async_trait]
impl Policy for Last {
    async fn send(
        &self,
        _context: &Context,
        request: &mut Request,
        _next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        self.http.send(request, self.moved_bytes).await.map_err(wrap)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use azure_core::{Method, Url};
    use bytes::Bytes;

    use super::*;

    /// Longer than the service may be silent.
    const LATE: Duration = Duration::from_millis(800);

    fn http() -> Arc<Http> {
        Arc::new(Http { client: reqwest_azure::Client::new(), patience: Duration::from_millis(300) })
    }

    /// A service that gives an answer's parts, each after a pause, once a request of so many bytes has arrived.
    fn late(body_bytes: usize, parts: &'static [&'static str]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut received, mut buffer) = (Vec::new(), [0; 16 << 10]);
            let is_whole = |received: &[u8]| {
                let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                end.is_some_and(|end| received.len() >= end + 4 + body_bytes)
            };
            while !is_whole(&received) {
                let count = stream.read(&mut buffer).expect("a request");
                received.extend_from_slice(&buffer[..count]);
            }
            for part in parts {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the pause is what is tested, on a thread of its own"
                )]
                std::thread::sleep(LATE);
                // Whoever waited in vain is gone.
                let _ = stream.write_all(part.as_bytes());
            }
        });
        Url::parse(&url).expect("a URL")
    }

    fn request(url: Url, body_bytes: usize) -> Request {
        let mut request = Request::new(url, Method::Put);
        request.set_body(Bytes::from(vec![7; body_bytes]));
        request
    }

    #[tokio::test]
    async fn bytes_have_the_time_that_they_take_on_a_slow_line() {
        const BYTES: usize = 2 * SLOWEST_BYTES_PER_SECOND as usize;
        let answer = &["HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"];
        for (sent, moved) in [(BYTES, 0), (0, BYTES as u64)] {
            let reply = http().send(&request(late(sent, answer), sent), moved).await.expect("in time");
            assert_eq!(reply.status(), StatusCode::Created);
        }
        let error = http().send(&request(late(0, answer), 0), 0).await.expect_err("silent");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, storage_core::Retry::May));
    }

    #[tokio::test]
    async fn an_answer_that_falls_silent_is_not_waited_for() {
        let answer = &["", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na", "b"];
        let sent = 2 * SLOWEST_BYTES_PER_SECOND as usize;
        let reply = http().send(&request(late(sent, answer), sent), 0).await.expect("a head");
        let error = error::from_sdk(reply.into_body().collect().await.expect_err("silent"));
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, storage_core::Retry::May));
    }
}
