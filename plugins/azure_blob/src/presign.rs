//! `presign`: signed addresses to read or write one object.

use std::time::SystemTime;

use storage_core::{Error, ErrorKind, PresignMethod, PresignRequest, PresignedUrl, Result};

use crate::sas::{self, Grant, MAX_VALIDITY, Moment};
use crate::store::Shared;
use crate::{name, options};

/// Signs the address of an object.
///
/// # Errors
///
/// `InvalidArgument` for an expiry of zero or beyond the limit; `Unsupported` for what a signature of Azure's cannot
/// bind: what a writer sends.
pub(crate) async fn presign(store: Shared, request: PresignRequest) -> Result<PresignedUrl> {
    options::check_extra(&request.extra)?;
    if request.expires_in.is_zero() || request.expires_in > MAX_VALIDITY {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "the URL's validity is nothing or more than 7 days",
        )
        .with_context("expires_in_seconds", request.expires_in.as_secs()));
    }
    let version = options::version(&store, request.version.as_ref())?;
    let blob = name::of_key(&request.key)?;
    let (permissions, headers) = match request.method {
        PresignMethod::Get => ("r", Vec::new()),
        PresignMethod::Put => {
            check_put(&request)?;
            ("cw", vec![("x-ms-blob-type".to_owned(), "BlockBlob".to_owned())])
        }
    };
    let expires_at = SystemTime::now() + request.expires_in;
    let grant = Grant {
        permissions,
        blob: &blob,
        moment: version.map(Moment::Version),
        expires_at,
        content_type: request.content_type.as_deref(),
        content_disposition: request.content_disposition.as_deref(),
    };
    let url = sas::sign(&store, &grant).await?;
    Ok(PresignedUrl { url: url.into(), headers, expires_at })
}

/// A signature says what may be done with a blob, but nothing of what is sent: neither headers nor a length.
fn check_put(request: &PresignRequest) -> Result<()> {
    if request.version.is_some() {
        return Err(Error::new(ErrorKind::InvalidArgument, "a version cannot be written"));
    }
    let unbound = [
        ("content_type", request.content_type.is_some()),
        ("content_disposition", request.content_disposition.is_some()),
        ("content_length_bytes", request.content_length_bytes.is_some()),
        ("checksums", !request.checksums.is_empty()),
    ];
    match unbound.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(Error::new(
            ErrorKind::Unsupported,
            "Azure's signatures cannot bind what a writer sends: let the writer go through the service instead",
        )
        .with_context("option", option)),
    }
}
