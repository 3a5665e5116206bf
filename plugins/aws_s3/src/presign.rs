//! URLs that carry their own permission.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::config::{self, Config};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::types::SessionMode;
use storage_core::{
    Checksums, Error, ErrorKind, PresignMethod, PresignRequest, PresignedUrl, Result, SaveOptions,
};

use crate::bucket::Kind;
use crate::call::call;
use crate::digest;
use crate::error::{from_sdk, invalid, not_found, unsupported};
use crate::meta::is_version_name;
use crate::options::{only, wishes};
use crate::read::get;
use crate::store::{Store, with_encryption};

/// The longest validity: S3's limit.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a session of a directory bucket lasts, with which its URLs are signed.
const SESSION: Duration = Duration::from_secs(5 * 60);

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
    let (signer, expires_at) = if kind.is_directory() {
        let session = open_session(store, request.method).await?;
        let expires_at = session.expiry().map_or(wanted, |expiry| expiry.min(wanted));
        (Some(Config::builder().express_credentials_provider(session)), expires_at)
    } else {
        (None, ends_with_credentials(store, wanted).await)
    };
    let signed = match request.method {
        PresignMethod::Get => sign_get(store, request, config, signer).await?,
        PresignMethod::Put => sign_put(store, request, config, signer).await?,
    };
    // Every client sends the host by itself.
    let headers = signed.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(PresignedUrl { url: signed.uri().to_owned(), headers, expires_at })
}

/// A URL that temporary credentials signed ends with them, whatever it says itself.
async fn ends_with_credentials(store: &Store, wanted: SystemTime) -> SystemTime {
    if matches!(store.config.credentials, crate::config::CredentialSource::Keys { .. })
        && store.config.assume_role.is_none()
    {
        return wanted;
    }
    let Some(provider) = store.sdk.credentials_provider() else { return wanted };
    // Where there are none the signing itself says so.
    let expiry = provider.provide_credentials().await.ok().and_then(|credentials| credentials.expiry());
    expiry.map_or(wanted, |expiry| expiry.min(wanted))
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
