//! The HTTP client: one pool for the data, for tokens and for the SDK, and one place where requests are authorised.
//!
//! The SDK's own transport logs each request with its `Authorization` header. So the SDK is given a client that
//! authorises only after that: [`Authorized`].

use std::fmt;
use std::sync::Arc;

use azure_core::error::{Error as AzureError, ErrorKind as AzureErrorKind};
use azure_core::headers::{HeaderName, HeaderValue, Headers};
use azure_core::{
    Body, ClientOptions, Context, HttpClient, Policy, PolicyResult, Request, Response, StatusCode,
};
use azure_storage::StorageCredentials;
use azure_storage::clients::{ServiceType, new_pipeline_from_options};
use futures_util::TryStreamExt as _;
use storage_core::{Error, ErrorKind, Result};

use crate::config::Connection;
use crate::error;

/// Sends requests as they are.
pub(crate) struct Http {
    client: reqwest_azure::Client,
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
            .read_timeout(connection.idle_timeout)
            .pool_idle_timeout(connection.keep_alive)
            .tcp_keepalive(std::time::Duration::from_secs(30))
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
        Ok(Self { client })
    }

    async fn send(&self, request: &Request) -> Result<Response> {
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
        let answer = call.send().await.map_err(error::from_transport)?;
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
        Ok(Response::new(status, headers, Box::pin(body)))
    }
}

/// Our error on its way through the SDK.
fn wrap(error: Error) -> AzureError {
    AzureError::new(AzureErrorKind::Io, error)
}

#[async_trait::async_trait]
impl HttpClient for Http {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        self.send(request).await.map_err(wrap)
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
}

#[async_trait::async_trait]
impl HttpClient for Authorized {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let mut request = request.clone();
        let mut context = Context::new();
        context.insert(ServiceType::Blob);
        let transport: Arc<dyn Policy> = Arc::new(Last(Arc::clone(&self.http)));
        self.policy.send(&context, &mut request, &[transport]).await
    }
}

/// The end of the way of a request.
#[derive(Debug)]
struct Last(Arc<Http>);

#[async_trait::async_trait]
impl Policy for Last {
    async fn send(
        &self,
        _context: &Context,
        request: &mut Request,
        _next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        self.0.send(request).await.map_err(wrap)
    }
}
