//! Signed URLs, version 4, as Google's documentation of "canonical requests" has them.

use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use storage_core::{Checksums, Error, ErrorKind, PresignMethod, PresignRequest, PresignedUrl, Result};

use crate::client::{ENCODED, encode};
use crate::open::Store;
use crate::options::{check_extra, version};
use crate::resource::crc32c_text;

/// What stands for itself in a path: slashes, too.
const PATH: &AsciiSet = &ENCODED.remove(b'/');

const ALGORITHM: &str = "GOOG4-RSA-SHA256";

/// A request that is to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Unsigned {
    method: &'static str,
    /// `https://storage.googleapis.com`.
    endpoint: String,
    path: String,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// `20260201T090000Z`
    moment: String,
}

/// A request ready to be signed, and to be made a URL.
#[derive(Clone, Debug)]
pub(crate) struct Canonical {
    url: String,
    /// What is signed; it holds the digest of the request in its one form.
    pub(crate) string_to_sign: String,
}

impl Unsigned {
    /// A request for an object.
    pub(crate) fn new(method: &'static str, endpoint: &str, bucket: &str, name: &str, at: Timestamp) -> Self {
        Self {
            method,
            endpoint: endpoint.to_owned(),
            path: format!("/{bucket}/{}", utf8_percent_encode(name, PATH)),
            headers: Vec::new(),
            query: Vec::new(),
            moment: at.strftime("%Y%m%dT%H%M%SZ").to_string(),
        }
    }

    /// Binds a header.
    pub(crate) fn header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// Binds a parameter.
    pub(crate) fn query(&mut self, name: &str, value: impl Into<String>) {
        self.query.push((name.to_owned(), value.into()));
    }

    /// Puts it into the one form that is signed.
    pub(crate) fn canonical(mut self, email: &str, expires_in: Duration) -> Canonical {
        let (scheme, authority) = self.endpoint.split_once("://").unwrap_or(("https", &self.endpoint));
        let (host, base_path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        let (scheme, host, base_path) = (scheme.to_owned(), host.to_owned(), base_path.to_owned());
        let mut headers = self.headers.clone();
        // Google signs the host without a port.
        let name = host.split_once(':').map_or(host.as_str(), |(name, _)| name);
        headers.push(("host".to_owned(), name.to_owned()));
        headers.iter_mut().for_each(|(name, value)| {
            *name = name.to_ascii_lowercase();
            *value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        });
        headers.sort();
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let scope = format!("{}/auto/storage/goog4_request", &self.moment[..8]);
        for (name, value) in [
            ("X-Goog-Algorithm", ALGORITHM.to_owned()),
            ("X-Goog-Credential", format!("{email}/{scope}")),
            ("X-Goog-Date", self.moment.clone()),
            ("X-Goog-Expires", expires_in.as_secs().to_string()),
            ("X-Goog-SignedHeaders", names.join(";")),
        ] {
            self.query(name, value);
        }
        let mut query: Vec<_> =
            self.query.iter().map(|(name, value)| (encode(name), encode(value))).collect();
        query.sort();
        let query: Vec<_> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = query.join("&");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let path = format!("{base_path}{}", self.path);
        let request =
            format!("{}\n{path}\n{query}\n{lines}\n{}\nUNSIGNED-PAYLOAD", self.method, names.join(";"));
        let digest = hex::encode(Sha256::digest(request.as_bytes()));
        let string_to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{digest}", self.moment);
        Canonical { url: format!("{scheme}://{host}{path}?{query}"), string_to_sign }
    }
}

impl Canonical {
    /// The URL with its signature.
    pub(crate) fn signed(self, signature: &[u8]) -> String {
        format!("{}&X-Goog-Signature={}", self.url, hex::encode(signature))
    }
}

/// Signs a URL.
///
/// # Errors
///
/// As [`storage_core::Backend::presign`].
pub(crate) async fn presign(store: &Store, request: PresignRequest) -> Result<PresignedUrl> {
    let Some(signer) = &store.signer else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "nobody signs URLs: set GCS_SIGNER_EMAIL to a service account, or GOOGLE_APPLICATION_CREDENTIALS to the \
             key of one",
        )
        .with_operation("presign"));
    };
    check_extra(&request.extra)?;
    let most = signer.max_expiry();
    if request.expires_in < Duration::from_secs(1) || request.expires_in > most {
        let hours = most.as_secs() / 3600;
        let message = format!("a URL of this signer is valid for 1 second to {hours} hours");
        return Err(Error::new(ErrorKind::InvalidArgument, message)
            .with_context("expires_in_seconds", request.expires_in.as_secs()));
    }
    let now = Timestamp::now();
    let (unsigned, headers) = match request.method {
        PresignMethod::Get => (bind_read(store, &request, now)?, Vec::new()),
        PresignMethod::Put => bind_write(store, &request, now)?,
    };
    let canonical = unsigned.canonical(&signer.email().await?, request.expires_in);
    let signature = signer.sign(&store.client, &canonical.string_to_sign).await?;
    let signed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_second().unsigned_abs());
    let whole_seconds = Duration::from_secs(request.expires_in.as_secs());
    Ok(PresignedUrl { url: canonical.signed(&signature), headers, expires_at: signed_at + whole_seconds })
}

fn begin(store: &Store, method: &'static str, request: &PresignRequest, now: Timestamp) -> Unsigned {
    let (config, key) = (&store.config, request.key.as_str());
    let mut unsigned = Unsigned::new(method, &config.endpoint, &config.bucket, key, now);
    if let Some(project) = &config.user_project {
        unsigned.query("userProject", project);
    }
    unsigned
}

fn bind_read(store: &Store, request: &PresignRequest, now: Timestamp) -> Result<Unsigned> {
    if request.content_length_bytes.is_some() || !request.checksums.is_empty() {
        let message = "the length and digests of what is read cannot be bound: they are what they are";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let mut unsigned = begin(store, "GET", request, now);
    if let Some(generation) = version(store, request.version.as_ref())? {
        unsigned.query("generation", generation.to_string());
    }
    if let Some(content_type) = &request.content_type {
        unsigned.query("response-content-type", content_type);
    }
    if let Some(disposition) = &request.content_disposition {
        unsigned.query("response-content-disposition", disposition);
    }
    Ok(unsigned)
}

/// What a writer must send is signed, so that Google refuses everything else.
fn bind_write(
    store: &Store,
    request: &PresignRequest,
    now: Timestamp,
) -> Result<(Unsigned, Vec<(String, String)>)> {
    if request.version.is_some() {
        return Err(Error::new(ErrorKind::InvalidArgument, "a version cannot be written"));
    }
    let Checksums { sha256, crc64nvme, md5, crc32c } = request.checksums;
    if sha256.is_some() || crc64nvme.is_some() {
        let message = "a writer's md5 and crc32c can be bound; Google checks no other digest";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let exactly = |length: u64| format!("{length},{length}");
    let bound = [
        ("content-type", request.content_type.clone()),
        ("content-disposition", request.content_disposition.clone()),
        ("content-md5", md5.map(|md5| BASE64_STANDARD.encode(md5))),
        ("x-goog-hash", crc32c.map(|crc32c| format!("crc32c={}", crc32c_text(crc32c)))),
        ("x-goog-content-length-range", request.content_length_bytes.map(exactly)),
        ("x-goog-storage-class", store.config.storage_class.clone().filter(|_| store.has_tiers)),
        ("x-goog-encryption-kms-key-name", store.config.kms_key.clone()),
    ];
    let mut unsigned = begin(store, "PUT", request, now);
    let mut headers = Vec::new();
    for (name, value) in bound {
        if let Some(value) = value {
            unsigned.header(name, value.clone());
            headers.push((name.to_owned(), value));
        }
    }
    Ok((unsigned, headers))
}
