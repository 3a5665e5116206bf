//! [`Client`]: one account's container, as requests and answers.
//!
//! The typed API of `azure_storage_blobs` is used where it has what is needed ([`Client::service`]). It speaks an
//! older service version and cannot name CRC-64s, versions, priorities, headers of conditions and much else that
//! the rest of this crate needs: those requests are made here, and go the same way through the same client.

use std::sync::Arc;

use azure_core::headers::{HeaderName, HeaderValue, Headers};
use azure_core::{
    ClientOptions, HttpClient, Method, Request, ResponseBody, RetryOptions, TransportOptions, Url,
};
use azure_storage::{CloudLocation, StorageCredentials};
use azure_storage_blobs::prelude::{BlobServiceClient, ClientBuilder};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use storage_core::{Error, ErrorKind, Result};
use time::OffsetDateTime;

use crate::config::Config;
use crate::error;
use crate::http::{Authorized, Http};
use crate::name;

/// The most of an answer that is read where no content of an object is expected, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Sends requests to one container of one account.
#[derive(Debug)]
pub(crate) struct Client {
    http: Authorized,
    service: BlobServiceClient,
    primary: Url,
    /// Where reads go while the primary does not answer.
    secondary: Url,
    read_secondary: bool,
    container: String,
    version: String,
}

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Service,
    Container,
    /// The blob of this name.
    Blob(String),
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    target: Target,
    query: Vec<(&'static str, String)>,
    headers: Vec<(String, String)>,
    body: Bytes,
    /// How many bytes the service itself moves for it.
    moved_bytes: u64,
}

/// An answer of success.
pub(crate) struct Reply {
    pub(crate) headers: Headers,
    pub(crate) body: ResponseBody,
    /// Whether the secondary gave it.
    pub(crate) from_secondary: bool,
}

impl Call {
    pub(crate) fn new(method: Method, target: Target) -> Self {
        Self { method, target, query: Vec::new(), headers: Vec::new(), body: Bytes::new(), moved_bytes: 0 }
    }

    /// A request about the blob of this name.
    pub(crate) fn blob(method: Method, name: &str) -> Self {
        Self::new(method, Target::Blob(name.to_owned()))
    }

    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds what there may be.
    #[must_use]
    pub(crate) fn headers(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Gives it time for so many bytes, which the service itself moves.
    #[must_use]
    pub(crate) fn moving(mut self, bytes: u64) -> Self {
        self.moved_bytes = bytes;
        self
    }
}

impl Reply {
    /// A header of the answer.
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get_optional_str(&HeaderName::from_static(name))
    }

    /// The whole body of an answer that is no object's content.
    ///
    /// # Errors
    ///
    /// `Unavailable` where the connection breaks.
    pub(crate) async fn bytes(self) -> Result<Bytes> {
        collect(self.body).await
    }

    /// The whole body as text.
    ///
    /// # Errors
    ///
    /// As [`Reply::bytes`]; an answer that is no UTF-8.
    pub(crate) async fn text(self) -> Result<String> {
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|_| error::malformed("text"))
    }
}

async fn collect(mut body: ResponseBody) -> Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        whole.extend_from_slice(&chunk.map_err(error::from_sdk)?);
        if whole.len() > MAX_ANSWER_BYTES {
            return Err(error::malformed("length"));
        }
    }
    Ok(whole.freeze())
}

impl Client {
    /// A client for the container of this configuration. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for certificates, a proxy or a signature that cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let http = Arc::new(Http::new(&config.connection)?);
        let credentials = config
            .identity
            .credentials(&config.account.name, &http)
            // The SDK's words repeat the token.
            .map_err(|_| {
                Error::new(ErrorKind::ConfigInvalid, "sas_token (AZURE_SAS_TOKEN) is no query string")
            })?;
        let authorized = Authorized::new(Arc::clone(&http), credentials.clone());
        let transport = Arc::new(Authorized::new(http, credentials)) as Arc<dyn HttpClient>;
        let location = CloudLocation::Custom {
            account: config.account.name.clone(),
            uri: config.account.primary.as_str().trim_end_matches('/').to_owned(),
        };
        // Anonymous, since the transport authorises; without retries, which are the host's.
        let service = ClientBuilder::with_location(location, StorageCredentials::anonymous())
            .client_options(ClientOptions::new(TransportOptions::new(transport)))
            .retry(RetryOptions::none())
            .blob_service_client();
        Ok(Self {
            http: authorized,
            service,
            primary: config.account.primary.clone(),
            secondary: config.account.secondary.clone(),
            read_secondary: config.read_secondary,
            container: config.container.clone(),
            version: config.service_version.clone(),
        })
    }

    /// The typed API of the SDK, on the same connections.
    pub(crate) fn service(&self) -> &BlobServiceClient {
        &self.service
    }

    /// The container's name.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// The address of a blob at the primary.
    pub(crate) fn blob_url(&self, name: &str) -> Url {
        self.url(&self.primary, &Target::Blob(name.to_owned()))
    }

    /// Sends a request to the primary.
    ///
    /// # Errors
    ///
    /// Why it failed, or what the answer says if it is not one of success.
    pub(crate) async fn send(&self, call: &Call) -> Result<Reply> {
        self.send_to(&self.primary, call, false).await
    }

    /// Sends a request to the secondary alone.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub(crate) async fn send_to_secondary(&self, call: &Call) -> Result<Reply> {
        self.send_to(&self.secondary, call, true).await
    }

    /// Sends a request that changes nothing: to the secondary too, where the primary does not answer and the
    /// configuration allows it.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; of two, that of the primary.
    pub(crate) async fn read(&self, call: &Call) -> Result<Reply> {
        let error = match self.send(call).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let gone = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
        if !(self.read_secondary && gone) {
            return Err(error);
        }
        tracing::warn!(error = %error, "the primary does not answer: reading from the secondary");
        match self.send_to_secondary(call).await {
            Ok(reply) => Ok(reply),
            // What the secondary lacks, the primary may have.
            Err(second) => Err(error.with_context("secondary", second)),
        }
    }

    fn url(&self, endpoint: &Url, target: &Target) -> Url {
        let mut url = endpoint.clone();
        let base = endpoint.path().trim_end_matches('/');
        match target {
            Target::Service => url.set_path(&format!("{base}/")),
            Target::Container => url.set_path(&format!("{base}/{}", self.container)),
            Target::Blob(name) => url.set_path(&format!("{base}/{}/{}", self.container, name::to_path(name))),
        }
        url
    }

    async fn send_to(&self, endpoint: &Url, call: &Call, from_secondary: bool) -> Result<Reply> {
        let mut url = self.url(endpoint, &call.target);
        if !call.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(call.query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let mut request = Request::new(url, call.method);
        for (name, value) in &call.headers {
            request.insert_header(HeaderName::from(name.clone()), HeaderValue::from(value.clone()));
        }
        request.insert_header("x-ms-date", azure_core::date::to_rfc1123(&OffsetDateTime::now_utc()));
        request.insert_header("x-ms-version", self.version.clone());
        if !matches!(call.method, Method::Get | Method::Head) {
            request.insert_header("content-length", call.body.len().to_string());
        }
        request.set_body(call.body.clone());
        let reply = self.http.send(&request, call.moved_bytes).await.map_err(error::from_sdk)?;
        let (status, headers, body) = reply.deconstruct();
        if status.is_success() {
            return Ok(Reply { headers, body, from_secondary });
        }
        // Why it failed is told in the body, but that it failed is known without it.
        let body = collect(body).await.unwrap_or_default();
        Err(self.explain(error::from_answer(status as u16, &headers, &body)))
    }

    /// Adds what only the configuration tells.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::ConfigInvalid
            && error.context().any(|fact| fact.1 == "ContainerNotFound")
        {
            let (account, container) = (self.service.account(), &self.container);
            return Error::new(
                ErrorKind::ConfigInvalid,
                format!(
                    "the container {container} does not exist: create it with `az storage container create \
                     --account-name {account} --name {container} --auth-mode login`, or set AZURE_CREATE_CONTAINER=true"
                ),
            );
        }
        error
    }
}
