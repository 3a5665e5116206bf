//! Signed URLs, and following them.
//!
//! A URL is `memory://name/grant/signature`: the grant, in hexadecimal JSON, says what is allowed, and the
//! signature is this instance's own. Nothing but [`MemoryBackend::follow_get`] and
//! [`MemoryBackend::follow_put`], or the extension `follow_url`, understands it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::capability::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::MemoryBackend;
use crate::object::{Checksums, VersionId};
use crate::request::{
    PresignMethod, PresignRequest, PresignedUrl, RetrieveOptions, Retrieved, SaveOptions, SaveResult,
};
use crate::stream::ByteStream;

/// What a URL allows.
#[derive(Debug, Serialize, Deserialize)]
struct Grant {
    put: bool,
    key: String,
    version: Option<String>,
    expires_at_ms: u64,
    content_type: Option<String>,
    content_disposition: Option<String>,
    /// The headers that a writer must send.
    headers: Vec<(String, String)>,
}

impl MemoryBackend {
    pub(super) fn sign(&self, request: &PresignRequest) -> Result<PresignedUrl> {
        let put = request.method == PresignMethod::Put;
        match request.method {
            PresignMethod::Get => self.require(Capabilities::PRESIGN_GET, "presign for reads")?,
            PresignMethod::Put => self.require(Capabilities::PRESIGN_PUT, "presign for writes")?,
        }
        self.refuse_extra(&request.extra)?;
        self.require_version(request.version.as_ref())?;
        self.require_checksums(&request.checksums)?;
        let invalid = |message: &str| Err(Error::new(ErrorKind::InvalidArgument, message));
        if request.expires_in.is_zero() {
            return invalid("a URL is valid for longer than no time");
        }
        if self.info.limits.max_presign_expiry.is_some_and(|limit| request.expires_in > limit) {
            return invalid("a URL cannot be valid for so long");
        }
        if put && request.version.is_some() {
            return invalid("a version cannot be written");
        }
        if !put && (request.content_length_bytes.is_some() || !request.checksums.is_empty()) {
            return invalid("a length and digests bind a writer, not a reader");
        }
        let expires_at = self.state().now() + request.expires_in;
        let headers = if put { required_headers(request) } else { Vec::new() };
        let grant = Grant {
            put,
            key: request.key.to_string(),
            version: request.version.as_ref().map(ToString::to_string),
            expires_at_ms: millis(expires_at),
            content_type: request.content_type.clone(),
            content_disposition: request.content_disposition.clone(),
            headers: headers.clone(),
        };
        let grant = serde_json::to_vec(&grant)
            .map_err(|error| Error::new(ErrorKind::Internal, "the grant is no JSON").with_source(error))?;
        let grant = hex::encode(grant);
        let url = format!("memory://{}/{grant}/{}", self.name, self.signature("url", &grant));
        Ok(PresignedUrl { url, headers, expires_at })
    }

    /// Reads what a URL allows to read, as a provider would for an HTTP client.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for a URL that is forged, expired or for writing; else as [`Backend::retrieve`].
    pub async fn follow_get(&self, url: &str) -> Result<Retrieved> {
        let grant = self.grant(url, false)?;
        let version = grant.version.map(VersionId::new);
        let options = RetrieveOptions { version, ..RetrieveOptions::default() };
        let mut found = self.retrieve(&ObjectKey::new(grant.key)?, options).await?;
        found.meta.content_type = grant.content_type.or(found.meta.content_type);
        found.meta.content_disposition = grant.content_disposition.or(found.meta.content_disposition);
        Ok(found)
    }

    /// Writes what a URL allows to write, as a provider would for an HTTP client that sends these headers.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for a URL that is forged, expired or for reading, and for a header that is bound
    /// and absent or another; else as [`Backend::save`].
    pub async fn follow_put(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: ByteStream,
    ) -> Result<SaveResult> {
        let grant = self.grant(url, true)?;
        if let Some((name, _)) = grant.headers.iter().find(|bound| !headers.contains(bound)) {
            return Err(
                denied("a header that the URL binds is absent or another").with_context("header", name)
            );
        }
        let header = |name: &str| {
            let found = headers.iter().find(|(header, _)| header == name);
            found.map(|(_, value)| value.clone())
        };
        let declared = header("content-length").and_then(|text| text.parse::<u64>().ok());
        if declared.is_some() && declared != body.length_bytes() {
            return Err(Error::new(ErrorKind::LengthMismatch, "the body has not the length of the header"));
        }
        let options = SaveOptions {
            content_type: header("content-type"),
            content_disposition: header("content-disposition"),
            checksums: bound_checksums(&header),
            ..SaveOptions::default()
        };
        self.save(&ObjectKey::new(grant.key)?, body, options).await
    }

    fn grant(&self, url: &str, put: bool) -> Result<Grant> {
        let prefix = format!("memory://{}/", self.name);
        let signed = url.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'));
        let grant = signed.filter(|(grant, signature)| self.is_signed("url", grant, signature));
        let grant = grant.and_then(|(grant, _)| hex::decode(grant).ok());
        let grant: Option<Grant> = grant.and_then(|grant| serde_json::from_slice(&grant).ok());
        let grant = grant.ok_or_else(|| denied("the URL was not signed by this backend"))?;
        if grant.put != put {
            return Err(denied("the URL allows the other method"));
        }
        if grant.expires_at_ms <= millis(self.state().now()) {
            return Err(denied("the URL has expired"));
        }
        Ok(grant)
    }
}

fn denied(message: &str) -> Error {
    Error::new(ErrorKind::PermissionDenied, message)
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

fn required_headers(request: &PresignRequest) -> Vec<(String, String)> {
    let sums = &request.checksums;
    let headers = [
        ("content-type", request.content_type.clone()),
        ("content-disposition", request.content_disposition.clone()),
        ("content-length", request.content_length_bytes.map(|length| length.to_string())),
        ("x-sha256", sums.sha256.map(hex::encode)),
        ("x-md5", sums.md5.map(hex::encode)),
        ("x-crc32c", sums.crc32c.map(|sum| format!("{sum:08x}"))),
        ("x-crc64nvme", sums.crc64nvme.map(|sum| format!("{sum:016x}"))),
    ];
    headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn bound_checksums(header: &impl Fn(&str) -> Option<String>) -> Checksums {
    Checksums {
        sha256: header("x-sha256").and_then(|text| hex::decode(text).ok()?.try_into().ok()),
        md5: header("x-md5").and_then(|text| hex::decode(text).ok()?.try_into().ok()),
        crc32c: header("x-crc32c").and_then(|text| u32::from_str_radix(&text, 16).ok()),
        crc64nvme: header("x-crc64nvme").and_then(|text| u64::from_str_radix(&text, 16).ok()),
    }
}
