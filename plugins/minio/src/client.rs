//! The S3 client: one pool of HTTP/1.1 connections for each backend, TLS by rustls, no retries of its own.
//!
//! HTTP/2 would put all transfers onto one connection, whose window then bounds them together; S3 servers are made
//! for many connections. The host repeats whole calls and the plugin repeats parts of transfers ([`crate::piece`]),
//! so that retries of the SDK as well would multiply.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::BoxError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use storage_core::{Error, ErrorKind, Result};

use crate::config::Config;

/// What must be sent or copied in a second, in bytes, lest a request is given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// How long a connection waits for its next use. Servers close idle ones after a minute or more.
const KEEP_ALIVE: Duration = Duration::from_secs(50);

/// Takes down the `Server` header of the first answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerHeader(Arc<OnceLock<String>>);

impl ServerHeader {
    /// What the server calls itself, if it answered and does.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl Intercept for ServerHeader {
    fn name(&self) -> &'static str {
        "ServerHeader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(name) = context.response().headers().get("server") {
            self.0.get_or_init(|| name.to_owned());
        }
        Ok(())
    }
}

/// Gives a request more time than `read_timeout`, by the bytes that it moves: on a slow line, or with a slow disk,
/// many of them take longer than that although nothing is amiss.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeToMove {
    /// Those of the request's body.
    Body,
    /// So many, which the server moves.
    AtServer(u64),
}

impl Intercept for TimeToMove {
    fn name(&self) -> &'static str {
        "TimeToMove"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let moved_bytes = match self {
            Self::Body => context.request().body().content_length().unwrap_or_default(),
            Self::AtServer(bytes) => *bytes,
        };
        let longer = bag.load::<TimeoutConfig>().and_then(|timeouts| {
            let more = Duration::from_secs(moved_bytes / SLOWEST_BYTES_PER_SECOND);
            let limit = timeouts.operation_attempt_timeout()?.saturating_add(more);
            Some(timeouts.to_builder().operation_attempt_timeout(limit).build())
        });
        if let Some(longer) = longer {
            bag.interceptor_state().store_put(longer);
        }
        Ok(())
    }
}

/// Asks for the digest of the object along with its bytes.
///
/// As a header and not as the request's option, with which the SDK would check the body itself, besides us, and never
/// the bodies of ranges. It belongs to a client, since what is added to a single request makes the SDK put together
/// its whole configuration anew.
#[derive(Debug)]
struct AskForDigest;

impl Intercept for AskForDigest {
    fn name(&self) -> &'static str {
        "AskForDigest"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert("x-amz-checksum-mode", "ENABLED");
        Ok(())
    }
}

/// The client that reads objects from a server that keeps their digests, over the connections of this one.
pub(crate) fn asking_for_digests(client: &aws_sdk_s3::Client) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(client.config().to_builder().interceptor(AskForDigest).build())
}

/// Makes the client. Nothing is sent.
///
/// # Errors
///
/// `ConfigInvalid` for certificates or a proxy that cannot be used.
pub(crate) fn connect(config: &Config, server: ServerHeader) -> Result<aws_sdk_s3::Client> {
    let credentials = Credentials::new(
        config.access_key.clone(),
        config.secret_key.0.clone(),
        config.session_token.as_ref().map(|token| token.0.clone()),
        None,
        "configuration",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout)
        // Not the SDK's `read_timeout`, which bounds the sending of a body as well: see `TimeToMove`.
        .operation_attempt_timeout(config.read_timeout)
        .build();
    let mut builder = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(Region::new(config.region.clone()))
        .endpoint_url(&config.endpoint)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // Digests are computed ahead and sent as headers: trailers of a streamed body are refused by old servers.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // A reader who takes a pause must not lose the body; what the server leaves out is noticed by `read_timeout`.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(server)
        .interceptor(TimeToMove::Body)
        .http_client(http_client(config)?);
    builder.set_app_name(AppName::new("storage-service").ok());
    Ok(aws_sdk_s3::Client::from_conf(builder.build()))
}

fn http_client(config: &Config) -> Result<SharedHttpClient> {
    let proxy = match &config.proxy {
        None => ProxyConfig::disabled(),
        Some(url) => ProxyConfig::all(url.as_str()).map_err(|_| {
            // The error repeats the URL, which may hold a password.
            Error::new(ErrorKind::ConfigInvalid, "the proxy's URL (MINIO_PROXY_URL) cannot be used")
        })?,
    };
    if !config.is_tls() {
        return Ok(Builder::new().pool_idle_timeout(KEEP_ALIVE).build_with_connector_fn(
            move |settings, components| {
                let mut builder =
                    Connector::builder().proxy_config(proxy.clone()).pool_idle_timeout(KEEP_ALIVE);
                builder.set_connector_settings(settings.cloned());
                builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
                builder.build_http()
            },
        ));
    }
    let context = trust(config)?;
    Ok(Builder::new().pool_idle_timeout(KEEP_ALIVE).build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder()
            .proxy_config(proxy.clone())
            .pool_idle_timeout(KEEP_ALIVE)
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build()
    }))
}

fn trust(config: &Config) -> Result<TlsContext> {
    let mut store = TrustStore::default();
    if let Some(pem) = &config.ca_pem {
        store.add_pem_certificate(pem.clone());
    }
    TlsContext::builder().with_trust_store(store).build().map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, "the certificates (MINIO_CA_FILE) cannot be used")
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use storage_core::{ByteStream, CopyOptions, SaveOptions};

    use super::*;
    use crate::testing::{Answer, key, store};
    use crate::{copy, read, save};

    /// Longer than the server may be silent.
    const LATE: Duration = Duration::from_millis(800);

    fn late(head: &'static str, body: &str) -> Answer {
        Answer::GivesAfter(LATE, head, body.to_owned())
    }

    #[tokio::test]
    async fn a_body_has_the_time_that_it_takes_on_a_slow_line() {
        let (store, _requests) = store(vec![late("200 OK\r\netag: \"a\"", "")]);
        let body = ByteStream::from_bytes(vec![7; 2 * SLOWEST_BYTES_PER_SECOND as usize]);
        let saved = save::save(&store, &key(), body, SaveOptions::default()).await.expect("in time");
        assert_eq!(saved.size_bytes, 2 * SLOWEST_BYTES_PER_SECOND);
    }

    #[tokio::test]
    async fn a_copy_has_the_time_that_it_takes_the_server() {
        let head = Answer::Gives("200 OK\r\netag: \"a\"\r\ncontent-length: 1048576", String::new());
        let copied = "<CopyObjectResult><ETag>&quot;b&quot;</ETag></CopyObjectResult>";
        let (store, _requests) = store(vec![head, late("200 OK", copied)]);
        let to = storage_core::ObjectKey::new("c").expect("legal");
        let copied = copy::copy(&store, &key(), &to, CopyOptions::default()).await.expect("in time");
        assert_eq!(copied.size_bytes, 1 << 20);
    }

    #[tokio::test]
    async fn a_server_that_is_silent_is_not_waited_for() {
        let (store, _requests) = store(vec![late("200 OK", "")]);
        let error = read::head(&store, &key(), None).await.expect_err("silent");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{}", error.report());
    }
}
