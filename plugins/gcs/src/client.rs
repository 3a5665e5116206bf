//! [`Client`]: sends requests to the JSON API and hands out answers that succeeded.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Request, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage_core::{Error, ErrorKind, Result};

use crate::auth::Auth;
use crate::config::Config;
use crate::error::{Failure, bad_answer, from_answer, from_transport, silent};
use crate::resource::Object;

/// What stands for itself in a part of a URL.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The most of an error's body that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Idle connections that are kept: as many as the parts of a few transfers use at once.
const IDLE_CONNECTIONS: usize = 64;

/// What must be sent in a second, in bytes, lest a request is given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Sends requests for one bucket. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    auth: Auth,
    endpoint: String,
    bucket: String,
    user_project: Option<String>,
    /// How long the service may stay silent.
    silence: Duration,
}

/// Writes a text as a part of a URL.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

impl Client {
    /// A client with a pool of connections of its own.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for authorities or a proxy that cannot be used.
    pub(crate) fn new(config: &Config, auth: Auth) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("storage-service/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // One connection per transfer: over a single one of HTTP/2 all parts would share one window.
            .http1_only()
            .connect_timeout(config.connect_timeout)
            .tcp_keepalive(Duration::from_secs(60))
            .pool_max_idle_per_host(IDLE_CONNECTIONS);
        if let Some(path) = &config.ca_file {
            let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
                Error::new(ErrorKind::ConfigInvalid, "the file of authorities (GCS_CA_FILE) cannot be used")
                    .with_context("path", path.display())
                    .with_source(error)
            };
            let pem = std::fs::read(path).map_err(|error| unusable(error.into()))?;
            let authorities =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.into()))?;
            if authorities.is_empty() {
                return Err(unusable("it holds no certificate".into()));
            }
            builder = builder.tls_certs_merge(authorities);
        }
        if let Some(proxy) = &config.proxy {
            // The URL may hold a password, which the parser's words could quote.
            let proxy = reqwest::Proxy::all(&proxy.0).map_err(|_| {
                Error::new(ErrorKind::ConfigInvalid, "the URL of the proxy (GCS_PROXY_URL) cannot be used")
            })?;
            builder = builder.proxy(proxy);
        }
        let http = builder.build().map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, "no HTTP client can be made").with_source(error)
        })?;
        Ok(Self {
            http,
            auth,
            endpoint: config.endpoint.clone(),
            bucket: config.bucket.clone(),
            user_project: config.user_project.clone(),
            silence: config.read_timeout,
        })
    }

    /// For requests that begin with another URL.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Who asks.
    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Where buckets are created.
    pub(crate) fn buckets_url(&self) -> String {
        format!("{}/storage/v1/b", self.endpoint)
    }

    /// The bucket.
    pub(crate) fn bucket_url(&self) -> String {
        format!("{}/storage/v1/b/{}", self.endpoint, encode(&self.bucket))
    }

    /// The bucket's objects.
    pub(crate) fn objects_url(&self) -> String {
        format!("{}/o", self.bucket_url())
    }

    /// An object.
    pub(crate) fn object_url(&self, name: &str) -> String {
        format!("{}/{}", self.objects_url(), encode(name))
    }

    /// Where new objects are sent to.
    pub(crate) fn upload_url(&self) -> String {
        format!("{}/upload/storage/v1/b/{}/o", self.endpoint, encode(&self.bucket))
    }

    /// The path of a copy from one object to another.
    pub(crate) fn rewrite_url(&self, from: &str, to: &str) -> String {
        format!("{}/rewriteTo/b/{}/o/{}", self.object_url(from), encode(&self.bucket), encode(to))
    }

    /// Sends a request and hands out an answer that succeeded, or that a resumable upload goes on.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let mut request = request.headers(self.auth.headers().await?);
        if let Some(project) = &self.user_project {
            request = request.header("x-goog-user-project", project);
        }
        let request = request.build().map_err(from_transport)?;
        // The service has nothing to say while it still gets bytes.
        let patience = self.silence + Duration::from_secs(sent_bytes(&request) / SLOWEST_BYTES_PER_SECOND);
        let answered = tokio::time::timeout(patience, self.http.execute(request)).await;
        let answer = answered.map_err(|_| silent(patience))?.map_err(from_transport)?;
        let status = answer.status();
        if status.is_success() || status == reqwest::StatusCode::PERMANENT_REDIRECT {
            return Ok(answer);
        }
        let headers = answer.headers().clone();
        let body = start_of(self.chunks(answer)).await;
        Err(from_answer(status, &headers, &body, &self.bucket))
    }

    /// Reads the JSON of an answer.
    ///
    /// # Errors
    ///
    /// `Internal` for one of another form, `Timeout` where it falls silent, `Unavailable` where the connection breaks.
    pub(crate) async fn json<T: DeserializeOwned>(&self, answer: Response) -> Result<T> {
        let chunks: Vec<Bytes> = self.chunks(answer).try_collect().await?;
        let body = chunks.concat();
        serde_json::from_slice(&body).map_err(|error| bad_answer("JSON of another form").with_source(error))
    }

    /// The bytes of an answer as they come. One that falls silent ends with an error.
    pub(crate) fn chunks(&self, answer: Response) -> BoxStream<'static, Result<Bytes>> {
        let silence = self.silence;
        let chunks = stream::try_unfold(answer, move |mut answer| async move {
            let next = tokio::time::timeout(silence, answer.chunk()).await;
            let chunk = next.map_err(|_| silent(silence))?.map_err(from_transport)?;
            Ok::<_, Error>(chunk.map(|chunk| (chunk, answer)))
        });
        chunks.boxed()
    }

    /// Gets JSON from a URL.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let answer = self.send(self.http.get(with_query(url, query))).await?;
        Ok(self.json(answer).await?)
    }

    /// Describes an object, or a generation of it.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn object(&self, name: &str, generation: Option<u64>) -> Result<Object, Failure> {
        let query: Vec<_> =
            generation.iter().map(|generation| ("generation", generation.to_string())).collect();
        self.get(&self.object_url(name), &query).await
    }

    /// Changes the description of an object or a bucket.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        url: &str,
        query: &[(&str, String)],
        change: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        let answer = self.send(self.http.patch(with_query(url, query)).json(change)).await?;
        Ok(self.json(answer).await?)
    }

    /// Posts JSON and reads JSON.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        query: &[(&str, String)],
        body: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        let answer = self.send(self.http.post(with_query(url, query)).json(body)).await?;
        Ok(self.json(answer).await?)
    }

    /// Removes an object, or a generation of it for good. Whether it was there is answered.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn remove(&self, name: &str, query: &[(&str, String)]) -> Result<bool, Failure> {
        match self.send(self.http.delete(with_query(&self.object_url(name), query))).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_missing() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Opens the bytes of one generation of an object, from the first number up to, not including, the second.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn open(
        &self,
        name: &str,
        generation: u64,
        range: std::ops::Range<u64>,
    ) -> Result<Response, Failure> {
        self.download(name, Some(generation), &range_header(&range)).await
    }

    /// Opens bytes of an object, or of a generation of it. `range` is what the header of that name says.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn download(
        &self,
        name: &str,
        generation: Option<u64>,
        range: &str,
    ) -> Result<Response, Failure> {
        let generation = generation.map(|generation| ("generation", generation.to_string()));
        let query: Vec<_> = [("alt", "media".to_owned())].into_iter().chain(generation).collect();
        let request = self
            .http
            .get(with_query(&self.object_url(name), &query))
            // Without it Google unpacks what is stored packed, and the length is another.
            .header("accept-encoding", "gzip")
            .header("range", range);
        self.send(request).await
    }
}

/// A range, which is not empty, as a header says it.
pub(crate) fn range_header(range: &std::ops::Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

/// A URL with a query.
pub(crate) fn with_query(url: &str, query: &[(&str, String)]) -> String {
    let mut url = url.to_owned();
    for (at, (name, value)) in query.iter().enumerate() {
        url.push(if at == 0 { '?' } else { '&' });
        url.push_str(name);
        url.push('=');
        url.push_str(&encode(value));
    }
    url
}

/// The length of what a request sends: a stream's is told in its header.
fn sent_bytes(request: &Request) -> u64 {
    let told = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let held = request.body().and_then(|body| body.as_bytes()).map(|bytes| bytes.len() as u64);
    told.or(held).unwrap_or_default()
}

/// The start of an error's body; what cannot be read is not missed.
async fn start_of(mut chunks: BoxStream<'static, Result<Bytes>>) -> Bytes {
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    body.into()
}
