//! Makes the client: hosts, credentials, TLS, the pool of connections.
//!
//! There is one pool for each backend. S3 speaks HTTP/1.1 alone, so that parallel parts are parallel connections.
//! The SDK retries nothing: the host repeats whole calls and [`crate::retry`] the requests of a large file, and a third
//! retry beneath would multiply theirs.

use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use storage_core::{Error, ErrorKind, Result};

use crate::config::{Config, CredentialSource, Proxy};
use crate::server::NoteServer;

/// How long an idle connection is kept: less than S3 keeps it, so that none is used that S3 just closed.
const KEEP_IDLE: Duration = Duration::from_secs(15);

/// What requests are made with.
pub(crate) struct Connection {
    pub(crate) s3: Client,
    /// The SDK's configuration, for requests to other services.
    pub(crate) sdk: SdkConfig,
    /// For requests that the SDK does not make.
    pub(crate) plain: SharedHttpConnector,
    pub(crate) server: NoteServer,
}

/// Makes the client that the configuration describes. Nothing is asked of S3.
///
/// # Errors
///
/// `ConfigInvalid` where no region is known, or where a file or URL of the configuration is of no use.
pub(crate) async fn connect(config: &Config) -> Result<Connection> {
    let connections = Connections::read(config)?;
    let settings = HttpConnectorSettings::builder().connect_timeout(config.connect_timeout).build();
    let plain = connections.connector(Some(settings), Some(SharedAsyncSleep::new(TokioSleep::new())));
    let sdk = sdk_config(config, connections.client()).await?;
    let server = NoteServer::default();
    let mut builder = aws_sdk_s3::config::Builder::from(&sdk)
        .force_path_style(config.endpoints.path_style)
        .use_arn_region(true)
        // A profile or a variable could turn them off, and an explicit name would then not be understood.
        .disable_multi_region_access_points(false)
        .disable_s3_express_session_auth(false)
        .interceptor(server.clone())
        // Digests are set by hand: one for each request, over bytes that are in memory.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    // Set only where it is wanted: a profile may turn it on too.
    if config.endpoints.accelerate {
        builder = builder.accelerate(true);
    }
    if let Some(url) = &config.endpoints.s3 {
        builder = builder.endpoint_url(url);
    }
    Ok(Connection {
        s3: Client::from_conf(builder.build()),
        sdk,
        plain: SharedHttpConnector::new(plain),
        server,
    })
}

/// Signs a request with the keys of the account and not with those of a session: the requests about a directory bucket
/// itself. The SDK knows that of Amazon's hosts alone.
pub(crate) fn with_keys_of_the_account() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder().disable_s3_express_session_auth(true)
}

async fn sdk_config(config: &Config, http: SharedHttpClient) -> Result<SdkConfig> {
    let timeouts = TimeoutConfig::builder().connect_timeout(config.connect_timeout).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        // Silence is bounded where bodies are read (see [`crate::call`]).
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    // Set only where they are wanted, so that a profile may set them too.
    if config.endpoints.dual_stack {
        loader = loader.use_dual_stack(true);
    }
    if config.endpoints.fips {
        loader = loader.use_fips(true);
    }
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    match &config.credentials {
        CredentialSource::Keys { id, secret, session_token } => {
            let token = session_token.as_ref().map(|token| token.reveal().to_owned());
            let keys = Credentials::new(id, secret.reveal(), token, None, "configuration");
            loader = loader.credentials_provider(keys);
        }
        CredentialSource::Chain { profile: Some(profile) } => loader = loader.profile_name(profile),
        CredentialSource::Chain { profile: None } | CredentialSource::WebIdentity { .. } => {}
    }
    let mut sdk = loader.load().await;
    if sdk.region().is_none() {
        return Err(Error::new(
            ErrorKind::ConfigInvalid,
            "the bucket's region is not known: set region (AWS_REGION)",
        ));
    }
    if let CredentialSource::WebIdentity { role_arn, token_file } = &config.credentials {
        let provider = web_identity(config, &sdk, role_arn, token_file);
        sdk = sdk.into_builder().credentials_provider(provider).build();
    }
    if let Some(role) = &config.assume_role {
        let mut builder = AssumeRoleProvider::builder(&role.arn)
            .session_name("storage-service")
            .configure(&with_sts_host(&sdk, config));
        if let Some(id) = &role.external_id {
            builder = builder.external_id(id);
        }
        let base = sdk.credentials_provider().ok_or_else(|| {
            Error::new(ErrorKind::ConfigInvalid, "there are no credentials to take on the role with")
        })?;
        let provider = SharedCredentialsProvider::new(builder.build_from_provider(base).await);
        sdk = sdk.into_builder().credentials_provider(provider).build();
    }
    Ok(sdk)
}

fn web_identity(
    config: &Config,
    sdk: &SdkConfig,
    role_arn: &str,
    token_file: &Path,
) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(crate::web_identity::WebIdentity::new(
        &with_sts_host(sdk, config),
        role_arn.to_owned(),
        token_file.to_owned(),
    ))
}

fn with_sts_host(sdk: &SdkConfig, config: &Config) -> SdkConfig {
    // Credentials are fetched now and then, so that a retry here multiplies nothing.
    let mut builder = sdk.to_builder().retry_config(RetryConfig::standard());
    builder.set_endpoint_url(config.endpoints.sts.clone());
    builder.build()
}

/// What connections are made with.
#[derive(Clone)]
struct Connections {
    tls: TlsContext,
    proxy: ProxyConfig,
    keep: usize,
}

impl Connections {
    /// Reads what the configuration says of them.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for a file of certificates or a proxy that is of no use.
    fn read(config: &Config) -> Result<Self> {
        let mut trusted = TrustStore::empty().with_native_roots(true);
        if let Some(path) = &config.ca_file {
            trusted = trusted.with_pem_certificate(read_certificates(path)?);
        }
        let tls = TlsContext::builder().with_trust_store(trusted).build().map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, "the trusted certificates are of no use").with_source(error)
        })?;
        let proxy = match &config.proxy {
            Proxy::Environment => ProxyConfig::from_env(),
            Proxy::None => ProxyConfig::disabled(),
            Proxy::Url(url) => ProxyConfig::all(url.reveal()).map_err(|error| {
                Error::new(ErrorKind::ConfigInvalid, "the proxy (AWS_S3_PROXY) is no URL that can be used")
                    .with_source(error)
            })?,
        };
        // A connection for each part, and some for what else goes on.
        Ok(Self { tls, proxy, keep: config.concurrency.max(8) * 4 })
    }

    /// A pool of its own.
    fn connector(
        &self,
        settings: Option<HttpConnectorSettings>,
        sleep: Option<SharedAsyncSleep>,
    ) -> Connector {
        let mut builder = Connector::builder()
            .pool_idle_timeout(KEEP_IDLE)
            .pool_max_idle_per_host(self.keep)
            .enable_tcp_nodelay(true)
            .proxy_config(self.proxy.clone());
        builder.set_connector_settings(settings);
        builder.set_sleep_impl(sleep);
        builder.tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).tls_context(self.tls.clone()).build()
    }

    /// The client of the SDK, whose connections all its requests share.
    fn client(self) -> SharedHttpClient {
        Builder::new().build_with_connector_fn(move |settings, components| {
            self.connector(settings.cloned(), components.and_then(|components| components.sleep_impl()))
        })
    }
}

fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let refuse =
        |message: &str| Error::new(ErrorKind::ConfigInvalid, message).with_context("ca_file", path.display());
    let pem = std::fs::read(path).map_err(|error| {
        refuse("the file of certificates (AWS_S3_CA_FILE) cannot be read").with_source(error)
    })?;
    // What is no certificate would make the client panic later.
    let text = String::from_utf8_lossy(&pem);
    if !text.contains("-----BEGIN CERTIFICATE-----") || !text.contains("-----END CERTIFICATE-----") {
        return Err(refuse("the file of certificates (AWS_S3_CA_FILE) holds no certificate in PEM"));
    }
    Ok(pem)
}
