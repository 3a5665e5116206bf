//! Makes the clients of each kind for one server, alike in what they may do.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use object_store::ClientOptions;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use opendal::{Operator, services};
use serde::Deserialize;

use crate::environment::Environment;
use crate::plugins;
use crate::stores::Store;
use crate::weed::BUCKET;

const REGION: &str = "us-east-1";
const ACCESS_KEY: &str = "access-key";
const SECRET_KEY: &str = "secret-key-of-a-bench";

/// Settings of a backend, by their names.
pub(crate) type Settings<'a> = Vec<(&'static str, &'a str)>;

/// What a plugin whose provider speaks S3 is told of a server at this endpoint.
pub(crate) fn s3_settings<'a>(backend_type: &str, endpoint: &'a str) -> Settings<'a> {
    let mut settings = vec![("endpoint_url", endpoint), ("bucket_name", BUCKET)];
    settings.extend_from_slice(match backend_type {
        "minio" => &[("access_key", ACCESS_KEY), ("secret_key", SECRET_KEY)],
        _ => &[
            ("path_style", "true"),
            ("access_key_id", ACCESS_KEY),
            ("secret_access_key", SECRET_KEY),
            ("region", REGION),
        ],
    });
    settings
}

/// The plugin of a type whose provider speaks S3, on a server at this endpoint.
///
/// # Errors
///
/// It was not built, or does not open.
pub(crate) async fn s3_plugin(
    environment: &Environment,
    backend_type: &str,
    endpoint: &str,
) -> Result<Store> {
    let settings = s3_settings(backend_type, endpoint);
    Ok(Store::Ours(plugins::open(environment, backend_type, &settings).await?))
}

/// The provider's own SDK.
pub(crate) fn s3_sdk(endpoint: &str) -> Store {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "bench"))
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Store::Sdk { client: aws_sdk_s3::Client::from_conf(config), bucket: BUCKET.to_owned() }
}

/// opendal's S3.
///
/// # Errors
///
/// It refuses its settings.
pub(crate) fn s3_opendal(endpoint: &str) -> Result<Store> {
    let service = services::S3::default()
        .endpoint(endpoint)
        .region(REGION)
        .bucket(BUCKET)
        .access_key_id(ACCESS_KEY)
        .secret_access_key(SECRET_KEY);
    opendal(service, true)
}

/// object_store's S3.
///
/// # Errors
///
/// It refuses its settings.
pub(crate) fn s3_object_store(endpoint: &str) -> Result<Store> {
    let store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_region(REGION)
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_client_options(plain_http())
        .build()?;
    Ok(Store::Arrow(Arc::new(store)))
}

/// A server that `cargo xtask servers` started.
#[derive(Debug, Deserialize)]
pub(crate) struct Server {
    pub(crate) endpoint: String,
    #[serde(default)]
    pub(crate) settings: std::collections::BTreeMap<String, String>,
}

impl Server {
    /// The server of this name.
    ///
    /// # Errors
    ///
    /// It was not started.
    pub(crate) fn find(environment: &Environment, name: &str) -> Result<Self> {
        let file = environment.server_description(name);
        let text = std::fs::read(&file).with_context(|| {
            format!("{name} does not run (`cargo xtask bench` starts it): {}", file.display())
        })?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))
    }

    fn setting(&self, name: &str) -> Result<&str> {
        self.settings
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("{} has no {name}", self.endpoint))
    }
}

/// What the plugin for Azure is told of a server. `endpoint` is that of the account: an emulator has the account in its
/// paths, not in its name.
///
/// # Errors
///
/// The server does not tell its account.
pub(crate) fn azure_settings<'a>(server: &'a Server, endpoint: &'a str) -> Result<Settings<'a>> {
    Ok(vec![
        ("endpoint_url", endpoint),
        ("account_name", server.setting("account_name")?),
        ("account_key", server.setting("account_key")?),
        ("container_name", BUCKET),
        ("create_container", "true"),
    ])
}

/// The endpoint of the account of a server that speaks Azure's language.
///
/// # Errors
///
/// The server does not tell its account.
pub(crate) fn azure_endpoint(server: &Server) -> Result<String> {
    Ok(format!("{}/{}", server.endpoint, server.setting("account_name")?))
}

/// The plugin for Azure and object_store's, on a server that speaks it.
///
/// # Errors
///
/// The plugin was not built or does not open; object_store refuses its settings.
pub(crate) async fn azure(environment: &Environment, server: &Server) -> Result<[Store; 2]> {
    let endpoint = azure_endpoint(server)?;
    let settings = azure_settings(server, &endpoint)?;
    let ours = Store::Ours(plugins::open(environment, "azure_blob", &settings).await?);
    let store = MicrosoftAzureBuilder::new()
        .with_endpoint(endpoint.clone())
        .with_account(server.setting("account_name")?)
        .with_access_key(server.setting("account_key")?)
        .with_container_name(BUCKET)
        .with_allow_http(true)
        .build()?;
    Ok([ours, Store::Arrow(Arc::new(store))])
}

/// What the plugin for Google's is told of a server.
pub(crate) fn gcs_settings(server: &Server) -> Settings<'_> {
    vec![
        ("endpoint_url", server.endpoint.as_str()),
        ("auth", "none"),
        ("bucket_name", BUCKET),
        ("project_id", BUCKET),
        ("create_bucket", "true"),
    ]
}

/// The plugin for Google's, opendal's and object_store's, on a server that speaks it and asks for no credentials.
///
/// # Errors
///
/// The plugin was not built or does not open; one of the others refuses its settings.
pub(crate) async fn gcs(environment: &Environment, server: &Server) -> Result<[Store; 3]> {
    let ours = Store::Ours(plugins::open(environment, "gcs", &gcs_settings(server)).await?);
    let service = services::Gcs::default().endpoint(&server.endpoint).bucket(BUCKET).skip_signature();
    // Its parts are uploaded with requests of the XML API, which the emulator does not know.
    let opendal = opendal(service, false)?;
    let account = serde_json::json!({
        "gcs_base_url": server.endpoint, "disable_oauth": true,
        "client_email": "", "private_key": "", "private_key_id": "",
    });
    let store = GoogleCloudStorageBuilder::new()
        .with_service_account_key(account.to_string())
        .with_bucket_name(BUCKET)
        .with_client_options(plain_http())
        .build()?;
    Ok([ours, opendal, Store::Arrow(Arc::new(store))])
}

fn opendal(service: impl opendal::Builder, in_parts: bool) -> Result<Store> {
    // It registers one by itself only together with its own choice of TLS. The first one stays.
    opendal_http_transport_reqwest::install_default();
    Ok(Store::OpenDal { operator: Operator::new(service)?, in_parts })
}

fn plain_http() -> ClientOptions {
    ClientOptions::new().with_allow_http(true)
}
