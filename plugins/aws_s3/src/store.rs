//! [`Store`]: the opened bucket that every operation works on.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use storage_core::{Capabilities, Error, Result};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::bucket::{self, Kind};
use crate::config::{Config, Encryption};
use crate::directory::Walks;
use crate::error::unsupported;
use crate::metrics::Metrics;
use crate::presign;

/// A bucket, and what was learnt of it when it opened.
pub(crate) struct Store {
    /// The name of the backend in the configuration of the host, for messages.
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) s3: Client,
    /// For requests to other services.
    pub(crate) sdk: SdkConfig,
    pub(crate) capabilities: Capabilities,
    pub(crate) metrics: Metrics,
    /// For requests that the SDK does not make.
    pub(crate) plain: aws_smithy_runtime_api::client::http::SharedHttpConnector,
    /// Listings of a directory bucket that are under way.
    pub(crate) walks: Walks,
    /// The temporary credentials that URLs are signed with.
    pub(crate) url_credentials: presign::Kept,
    pub(crate) background: Background,
}

impl Store {
    /// Whether the bucket keeps versions.
    pub(crate) fn is_versioned(&self) -> bool {
        self.capabilities.has(Capabilities::VERSIONS)
    }

    /// Refuses what this server does not have.
    ///
    /// # Errors
    ///
    /// `Unsupported`.
    pub(crate) fn require(&self, capability: Capabilities, what: &'static str) -> Result<()> {
        if self.capabilities.has(capability) { Ok(()) } else { Err(Error::unsupported(what)) }
    }

    /// Refuses a wish for one version where there are none.
    ///
    /// # Errors
    ///
    /// `Unsupported`.
    pub(crate) fn require_versions(&self) -> Result<()> {
        if self.is_versioned() {
            return Ok(());
        }
        let kind = self.config.kind();
        if !kind.may_keep_versions() {
            return Err(unsupported(format!("{} keeps no versions that could be told apart", kind.name())));
        }
        Err(unsupported(
            "the bucket keeps no versions: set versioning (AWS_S3_VERSIONING) to true, or turn it on in the bucket",
        ))
    }

    /// The key that goes along with every request under SSE-C.
    pub(crate) fn customer_key(&self) -> CustomerKey<'_> {
        match &self.config.encryption {
            Encryption::Customer { key, key_md5 } => CustomerKey(Some((key.reveal(), key_md5))),
            Encryption::Bucket | Encryption::S3 | Encryption::Kms { .. } => CustomerKey(None),
        }
    }

    /// Which region the bucket is in.
    pub(crate) fn region(&self) -> &str {
        self.sdk.region().map_or("us-east-1", |region| region.as_ref())
    }

    /// The command that creates the bucket.
    pub(crate) fn how_to_create(&self) -> String {
        how_to_create(&self.config, self.region())
    }
}

/// The command that creates a bucket. Access points are not created here.
pub(crate) fn how_to_create(config: &Config, region: &str) -> String {
    if !matches!(config.kind(), Kind::General | Kind::Directory) {
        return format!("check AWS_S3_BUCKET_NAME: there is no {:?}", config.bucket);
    }
    let endpoint =
        config.endpoints.s3.as_ref().map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
    let place = bucket::option(&config.bucket, region);
    format!(
        "create it with: aws s3api create-bucket --bucket {} --region {region}{place}{endpoint} or set \
         AWS_S3_CREATE_BUCKET=true",
        config.bucket
    )
}

/// The headers of SSE-C, or none.
#[derive(Clone, Copy)]
pub(crate) struct CustomerKey<'a>(Option<(&'a str, &'a str)>);

impl CustomerKey<'_> {
    pub(crate) fn algorithm(self) -> Option<String> {
        self.0.map(|_| "AES256".to_owned())
    }

    pub(crate) fn key(self) -> Option<String> {
        self.0.map(|(key, _)| key.to_owned())
    }

    pub(crate) fn md5(self) -> Option<String> {
        self.0.map(|(_, md5)| md5.to_owned())
    }
}

/// Sets the headers of SSE-C on a request that reads or adds to an object.
macro_rules! with_customer_key {
    ($request:expr, $store:expr) => {{
        let key = $store.customer_key();
        $request
            .set_sse_customer_algorithm(key.algorithm())
            .set_sse_customer_key(key.key())
            .set_sse_customer_key_md5(key.md5())
    }};
}
pub(crate) use with_customer_key;

/// Sets how a new object is encrypted.
macro_rules! with_encryption {
    ($request:expr, $store:expr) => {{
        let headers = crate::store::EncryptionHeaders::of(&$store.config.encryption);
        let request = $request
            .set_server_side_encryption(headers.algorithm)
            .set_ssekms_key_id(headers.key_id)
            .set_bucket_key_enabled(headers.bucket_key);
        crate::store::with_customer_key!(request, $store)
    }};
}
pub(crate) use with_encryption;

/// The headers of SSE-S3 and SSE-KMS.
pub(crate) struct EncryptionHeaders {
    pub(crate) algorithm: Option<aws_sdk_s3::types::ServerSideEncryption>,
    pub(crate) key_id: Option<String>,
    pub(crate) bucket_key: Option<bool>,
}

impl EncryptionHeaders {
    pub(crate) fn of(encryption: &Encryption) -> Self {
        use aws_sdk_s3::types::ServerSideEncryption as Algorithm;
        let (algorithm, key_id, bucket_key) = match encryption {
            Encryption::Bucket | Encryption::Customer { .. } => (None, None, None),
            Encryption::S3 => (Some(Algorithm::Aes256), None, None),
            Encryption::Kms { key_id, bucket_key, two_layers } => {
                let algorithm = if *two_layers { Algorithm::AwsKmsDsse } else { Algorithm::AwsKms };
                (Some(algorithm), key_id.clone(), *bucket_key)
            }
        };
        Self { algorithm, key_id, bucket_key }
    }
}

/// Work that outlives the call that began it: aborting uploads, sweeping, publishing metrics.
pub(crate) struct Background {
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
    /// Work without an end, which closing cuts short.
    endless: Mutex<JoinSet<()>>,
}

impl Background {
    /// Work on this runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { runtime, tasks: Mutex::default(), endless: Mutex::default() }
    }

    /// Does something that ends.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended is let go of, so that the set does not grow.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(work, &self.runtime);
    }

    /// Does something without an end.
    pub(crate) fn spawn_endless(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.endless.lock().unwrap_or_else(PoisonError::into_inner).spawn_on(work, &self.runtime);
    }

    /// Ends the endless work.
    pub(crate) fn stop(&self) {
        self.endless.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Ends the endless work and waits for the other, for a while. False if that was not long enough.
    pub(crate) async fn finish(&self, patience: Duration) -> bool {
        self.stop();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        tokio::time::timeout(patience, all).await.is_ok()
    }
}
