//! URLs that carry their own permission.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::{self, Config};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::types::SessionMode;
use storage_core::{
    Checksums, Error, ErrorKind, PresignMethod, PresignRequest, PresignedUrl, Result, SaveOptions,
};

use crate::bucket::Kind;
use crate::call::call;
use crate::config::CredentialSource;
use crate::digest;
use crate::error::{from_sdk, invalid, not_found, timed_out, unsupported, without_credentials};
use crate::meta::is_version_name;
use crate::options::{only, wishes};
use crate::read::get;
use crate::store::{Store, with_encryption};

/// The longest validity: S3's limit.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a session of a directory bucket lasts, with which its URLs are signed.
const SESSION: Duration = Duration::from_secs(5 * 60);
/// Temporary credentials that end sooner sign no URL where others can be had.
const LITTLE: Duration = Duration::from_secs(5 * 60);
/// For so long none that would last longer are fetched: a URL for days would fetch some each time.
const RECENT: Duration = Duration::from_secs(5 * 60);
/// What is tried when credentials are fetched.
const FETCH: &str = "fetch the credentials of a URL";

/// Temporary credentials that sign one URL after another. Those of the client itself may have seconds left, and do
/// not tell.
#[derive(Default)]
pub(crate) struct Kept(tokio::sync::Mutex<Option<Fetched>>);

struct Fetched {
    credentials: Credentials,
    at: SystemTime,
}

impl Fetched {
    /// Whether these sign a URL that is wanted until then, and not new ones.
    fn serve(&self, wanted: SystemTime, now: SystemTime) -> bool {
        let are_recent = now.duration_since(self.at).is_ok_and(|age| age < RECENT);
        match self.credentials.expiry() {
            // Keys of a file, which somebody may replace.
            None => are_recent,
            Some(expiry) => expiry > now + LITTLE && (expiry >= wanted || are_recent),
        }
    }
}

/// The longest validity in a bucket of this sort.
pub(crate) fn longest(kind: Kind) -> Duration {
    if kind.is_directory() { SESSION } else { LONGEST }
}

/// Signs a URL.
///
/// # Errors
///
/// As [`storage_core::Backend::presign`].
pub(crate) async fn presign(store: &Store, request: PresignRequest) -> Result<PresignedUrl> {
    only(&request.extra, &[])?;
    // S3 counts whole seconds; what is less would be none.
    let kind = store.config.kind();
    if request.expires_in < Duration::from_secs(1) || request.expires_in > longest(kind) {
        let most = if kind.is_directory() { "5 minutes, as a session is" } else { "7 days" };
        return Err(invalid(format!("a URL of {} is valid for 1 second to {most}", kind.name()))
            .with_context("expires_in", format!("{:?}", request.expires_in)));
    }
    let now = SystemTime::now();
    let config = PresigningConfig::builder().start_time(now).expires_in(request.expires_in).build();
    let config = config.map_err(|error| invalid("the expiry cannot be signed").with_source(error))?;
    let wanted = now + request.expires_in;
    let credentials = if kind.is_directory() {
        Some(open_session(store, request.method).await?)
    } else {
        temporary_credentials(store, wanted).await?
    };
    // A URL that temporary credentials signed ends with them, whatever it says itself.
    let ends = credentials.as_ref().and_then(Credentials::expiry);
    let expires_at = ends.map_or(wanted, |ends| ends.min(wanted));
    let signer = credentials.map(|credentials| match kind.is_directory() {
        true => Config::builder().express_credentials_provider(credentials),
        false => Config::builder().credentials_provider(credentials),
    });
    let signed = match request.method {
        PresignMethod::Get => sign_get(store, request, config, signer).await?,
        PresignMethod::Put => sign_put(store, request, config, signer).await?,
    };
    // Every client sends the host by itself.
    let headers = signed.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(PresignedUrl { url: signed.uri().to_owned(), headers, expires_at })
}

/// What to sign a URL with that is wanted until then. None: the client's own keys, which are fixed.
async fn temporary_credentials(store: &Store, wanted: SystemTime) -> Result<Option<Credentials>> {
    let has_keys = matches!(store.config.credentials, CredentialSource::Keys { .. });
    if has_keys && store.config.assume_role.is_none() {
        return Ok(None);
    }
    let Some(provider) = store.sdk.credentials_provider() else { return Ok(None) };
    // Whoever comes meanwhile waits and signs with what was fetched.
    let mut kept = store.url_credentials.0.lock().await;
    let now = SystemTime::now();
    if let Some(fetched) = kept.as_ref().filter(|fetched| fetched.serve(wanted, now)) {
        return Ok(Some(fetched.credentials.clone()));
    }
    match (fetch(store, &provider).await, kept.as_ref()) {
        (Ok(credentials), _) => {
            *kept = Some(Fetched { credentials: credentials.clone(), at: now });
            Ok(Some(credentials))
        }
        // Those that are kept are better than none.
        (Err(error), Some(fetched)) if fetched.credentials.expiry().is_some_and(|expiry| expiry > now) => {
            tracing::warn!(error = %error.report(), "a URL is signed with credentials that end soon");
            Ok(Some(fetched.credentials.clone()))
        }
        (Err(error), _) => Err(error),
    }
}

async fn fetch(store: &Store, provider: &SharedCredentialsProvider) -> Result<Credentials> {
    let patience = store.config.read_timeout;
    match tokio::time::timeout(patience, provider.provide_credentials()).await {
        Ok(fetched) => fetched.map_err(|error| without_credentials(FETCH, error)),
        Err(_) => Err(timed_out(FETCH, patience)),
    }
}

/// Opens a session for one URL. The one that requests share may be about to end, and with it the URL would.
async fn open_session(store: &Store, method: PresignMethod) -> Result<Credentials> {
    let mode = match method {
        PresignMethod::Get => SessionMode::ReadOnly,
        PresignMethod::Put => SessionMode::ReadWrite,
    };
    let request = store.s3.create_session().bucket(&store.config.bucket).session_mode(mode);
    let answer = call(store, "open a session", 0, request.send()).await?;
    let session = answer
        .credentials()
        .ok_or_else(|| Error::new(ErrorKind::Internal, "S3 opened a session without credentials"))?;
    Ok(Credentials::new(
        session.access_key_id(),
        session.secret_access_key(),
        Some(session.session_token().to_owned()),
        SystemTime::try_from(*session.expiration()).ok(),
        "session",
    ))
}

async fn sign_get(
    store: &Store,
    request: PresignRequest,
    config: PresigningConfig,
    signer: Option<config::Builder>,
) -> Result<PresignedRequest> {
    if request.content_length_bytes.is_some() || !request.checksums.is_empty() {
        return Err(invalid("a length or digest is bound to a URL that writes, not to one that reads"));
    }
    if let Some(version) = &request.version {
        store.require_versions()?;
        if !is_version_name(version) {
            return Err(not_found("version"));
        }
    }
    let mut get = get(store, &request.key, request.version.as_ref())
        .set_response_content_type(request.content_type)
        .set_response_content_disposition(request.content_disposition)
        .customize();
    if let Some(signer) = signer {
        get = get.config_override(signer);
    }
    let signed = get.presigned(config).await;
    signed.map_err(|error| from_sdk("sign a URL", error))
}

async fn sign_put(
    store: &Store,
    request: PresignRequest,
    config: PresigningConfig,
    signer: Option<config::Builder>,
) -> Result<PresignedRequest> {
    if request.version.is_some() {
        return Err(invalid("a version cannot be written: a write makes a new one"));
    }
    let options = SaveOptions {
        content_type: request.content_type,
        content_disposition: request.content_disposition,
        ..SaveOptions::default()
    };
    let wishes = wishes(store, &options)?;
    let Checksums { sha256, md5, crc32c, crc64nvme } = request.checksums;
    if [sha256.is_some(), crc32c.is_some(), crc64nvme.is_some()].into_iter().filter(|given| *given).count()
        > 1
    {
        return Err(unsupported("S3 binds one digest of SHA-256, CRC-32C and CRC-64/NVME, and MD5 besides"));
    }
    if md5.is_some() && store.config.kind().is_directory() {
        return Err(unsupported("a directory bucket knows no MD5: bind another digest"));
    }
    let length = request.content_length_bytes.map(i64::try_from).transpose();
    let length = length.map_err(|_| Error::new(ErrorKind::TooLarge, "no object has this length"))?;
    let put = store
        .s3
        .put_object()
        .bucket(&store.config.bucket)
        .key(request.key.as_str())
        .set_content_type(options.content_type)
        .set_content_disposition(options.content_disposition)
        .set_content_length(length)
        .set_storage_class(wishes.class)
        .set_content_md5(md5.map(digest::encode))
        .set_checksum_sha256(sha256.map(digest::encode))
        .set_checksum_crc32_c(crc32c.map(|crc| digest::encode(crc.to_be_bytes())))
        .set_checksum_crc64_nvme(crc64nvme.map(|crc| digest::encode(crc.to_be_bytes())));
    let mut put = with_encryption!(put, store).customize();
    if let Some(signer) = signer {
        put = put.config_override(signer);
    }
    put.presigned(config).await.map_err(|error| from_sdk("sign a URL", error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future;

    use super::*;
    use crate::testing::{key, store};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Gives others each time, which last so long; none at all from a number on.
    #[derive(Debug)]
    struct Sessions {
        given: Arc<AtomicU32>,
        lasts: Duration,
        end: u32,
    }

    impl ProvideCredentials for Sessions {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.given.fetch_add(1, Ordering::Relaxed);
            let expiry = SystemTime::now() + self.lasts * (number + 1);
            future::ProvideCredentials::ready(if number < self.end {
                Ok(Credentials::new(
                    format!("SESSION{number}"),
                    "s",
                    Some("t".to_owned()),
                    Some(expiry),
                    "test",
                ))
            } else {
                Err(CredentialsError::provider_error("STS is down"))
            })
        }
    }

    async fn with_sessions(lasts: Duration, end: u32) -> (Store, Arc<AtomicU32>) {
        let role = ("assume_role_arn", "arn:aws:iam::123456789012:role/r");
        let mut store = store(&[role]).await;
        let given = Arc::new(AtomicU32::new(0));
        let sessions = Sessions { given: Arc::clone(&given), lasts, end };
        store.sdk =
            store.sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(sessions)).build();
        (store, given)
    }

    async fn sign(store: &Store, expires_in: Duration) -> PresignedUrl {
        let request = PresignRequest::new(key("object"), PresignMethod::Get, expires_in);
        presign(store, request).await.expect("signed")
    }

    #[tokio::test]
    async fn a_url_is_signed_with_the_credentials_whose_end_it_tells() {
        let (store, given) = with_sessions(60 * MINUTE, 9).await;
        let before = SystemTime::now();
        for _ in 0..3 {
            let signed = sign(&store, 24 * 60 * MINUTE).await;
            assert!(signed.url.contains("Credential=SESSION0%2F"), "{}", signed.url);
            assert!(signed.expires_at >= before + 60 * MINUTE && signed.expires_at < before + 61 * MINUTE);
        }
        assert_eq!(given.load(Ordering::Relaxed), 1, "they are not fetched for each URL");
        let put = PresignRequest::new(key("object"), PresignMethod::Put, MINUTE);
        let put = presign(&store, put).await.expect("signed");
        assert!(put.url.contains("Credential=SESSION0%2F") && put.expires_at < before + 2 * MINUTE);
    }

    #[tokio::test]
    async fn credentials_that_end_soon_are_renewed_and_used_where_there_are_no_others() {
        let (store, given) = with_sessions(4 * MINUTE, 2).await;
        assert!(sign(&store, MINUTE).await.url.contains("Credential=SESSION0%2F"));
        assert!(sign(&store, MINUTE).await.url.contains("Credential=SESSION1%2F"));
        assert!(sign(&store, MINUTE).await.url.contains("Credential=SESSION1%2F"), "they last for 8 minutes");
        assert_eq!(given.load(Ordering::Relaxed), 2);
        let (store, _) = with_sessions(4 * MINUTE, 1).await;
        assert!(sign(&store, MINUTE).await.url.contains("Credential=SESSION0%2F"));
        assert!(sign(&store, MINUTE).await.url.contains("Credential=SESSION0%2F"), "there are no others");
        let (store, _) = with_sessions(4 * MINUTE, 0).await;
        let request = PresignRequest::new(key("object"), PresignMethod::Get, MINUTE);
        let error = presign(&store, request).await.expect_err("there are none");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}", error.report());
    }

    #[test]
    fn new_credentials_are_fetched_where_they_would_last_longer_but_not_all_the_time() {
        let now = SystemTime::now();
        let serve = |age: u32, left: Option<u32>, asked: u32| {
            let expiry = left.map(|left| now + left * MINUTE);
            let credentials = Credentials::new("id", "s", None, expiry, "test");
            Fetched { credentials, at: now - age * MINUTE }.serve(now + asked * MINUTE, now)
        };
        assert!(serve(0, Some(60), 10_000), "new ones would last no longer");
        assert!(!serve(6, Some(54), 10_000), "new ones would");
        assert!(serve(40, Some(20), 10), "they last longer than the URL");
        assert!(!serve(57, Some(3), 1) && !serve(0, Some(3), 1), "they are about to end");
        assert!(serve(1, None, 60) && !serve(6, None, 60), "a file may have changed");
    }
}
