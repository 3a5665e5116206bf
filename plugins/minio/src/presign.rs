//! `presign`: URLs with a signature of version 4 in their query.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use storage_core::{Error, ErrorKind, PresignMethod, PresignRequest, PresignedUrl, Result};

use crate::digest::{self, crc64_header};
use crate::error::{convert, invalid};
use crate::store::Store;
use crate::{options, read};

/// The longest validity of a signature of version 4.
pub(crate) const MAX_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Signs a URL. Nothing is asked of the server.
///
/// # Errors
///
/// As [`storage_core::Backend::presign`].
pub(crate) async fn presign(store: &Store, request: PresignRequest) -> Result<PresignedUrl> {
    options::check_extra(&request.extra)?;
    if request.expires_in.as_secs() == 0 {
        return Err(invalid("a URL is valid for one second at least"));
    }
    if request.expires_in > MAX_EXPIRY {
        return Err(invalid("a URL is valid for seven days at most"));
    }
    // The signature counts whole seconds from a moment that it names.
    let lifetime = Duration::from_secs(request.expires_in.as_secs());
    let start = SystemTime::now();
    let config =
        PresigningConfig::builder().start_time(start).expires_in(lifetime).build().map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, "a URL cannot be valid for so long").with_source(error)
        })?;
    let expires_at = start + lifetime;
    let signed = match request.method {
        PresignMethod::Get => get(store, &request, config).await?,
        PresignMethod::Put => put(store, &request, config).await?,
    };
    let headers = signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(PresignedUrl { url: signed.uri().to_owned(), headers, expires_at })
}

async fn get(store: &Store, request: &PresignRequest, config: PresigningConfig) -> Result<PresignedRequest> {
    if request.content_length_bytes.is_some() || !request.checksums.is_empty() {
        return Err(invalid("a length and digests bind a writer, not a reader"));
    }
    let version = read::named_version(store, request.version.as_ref())?;
    let get = store.client.get_object().bucket(store.bucket()).key(request.key.as_str());
    let get = get
        .set_version_id(version)
        .set_response_content_type(request.content_type.clone())
        .set_response_content_disposition(request.content_disposition.clone());
    get.presigned(config).await.map_err(|error| convert("sign the URL", error))
}

async fn put(store: &Store, request: &PresignRequest, config: PresigningConfig) -> Result<PresignedRequest> {
    if request.version.is_some() {
        return Err(invalid("a version cannot be written"));
    }
    store.check_writable(&request.key)?;
    let sums = &request.checksums;
    if sums.sha256.is_some() || sums.crc32c.is_some() || sums.crc64nvme.is_some() {
        store.require(store.features.crc64nvme, "digests in headers", "bind the MD5 instead")?;
    }
    let length = request.content_length_bytes.map(i64::try_from).transpose();
    let length = length.map_err(|_| invalid("no object is as long as that"))?;
    let put = store.client.put_object().bucket(store.bucket()).key(request.key.as_str());
    let put = put
        .set_content_type(request.content_type.clone())
        .set_content_disposition(request.content_disposition.clone())
        .set_content_length(length)
        .set_content_md5(sums.md5.map(|md5| digest::header(&md5)))
        .set_checksum_sha256(sums.sha256.map(|sha256| digest::header(&sha256)))
        .set_checksum_crc32_c(sums.crc32c.map(|crc| digest::header(&crc.to_be_bytes())))
        .set_checksum_crc64_nvme(sums.crc64nvme.map(crc64_header));
    put.presigned(config).await.map_err(|error| convert("sign the URL", error))
}
