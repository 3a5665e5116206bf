//! Download links: the backend's own presigned URL where it has one, else a token of the host's.
//!
//! A token is a JWT (RFC 7519) signed with HMAC-SHA-256 by one of the catalog's link keys, whose id is in its header.
//! It names one version of one file, the method, the expiry and the disposition, and nothing else: no user, and
//! nothing that could write.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use storage_core::{Capabilities, Error, ErrorKind, PresignMethod, PresignRequest, Result};

use super::audit::Act;
use super::types::{Actor, DownloadLink, FileContent, LinkOptions, RetrieveFileOptions};
use super::{SimpleStorageService, naming};
use crate::catalog::{FileId, FileVersionId, LinkKeyRecord, UserId, VersionRecord};
use crate::config::LinkMode;

/// Where the HTTP service answers to tokens, below its public URL.
pub const LINK_PATH: &str = "/v1/links/";

/// The audience of link tokens, so that no other token passes for one.
const AUDIENCE: &str = "storage-link";

/// The one method that a link allows (`HEAD` is a `GET` without a body).
const METHOD: &str = "GET";

/// The claims of a link.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    aud: String,
    /// The file.
    pub(super) file: FileId,
    /// The version.
    pub(super) ver: FileVersionId,
    /// The method.
    mth: String,
    /// When the link stops working, in seconds since 1970.
    pub(super) exp: u64,
    /// Whether a browser shows the file instead of saving it.
    pub(super) inl: bool,
}

impl Claims {
    /// What a link to this version says until it expires.
    pub(super) fn new(file: FileId, ver: FileVersionId, exp: u64, inl: bool) -> Self {
        Self { aud: AUDIENCE.to_owned(), file, ver, mth: METHOD.to_owned(), exp, inl }
    }
}

impl SimpleStorageService {
    /// Makes a link with which anybody may download the file's current version for a while.
    ///
    /// # Errors
    ///
    /// As [`SimpleStorageService::get_download_url_with`].
    pub async fn get_download_url(
        &self,
        file: FileId,
        user: &UserId,
        expires_in: Option<Duration>,
    ) -> Result<DownloadLink> {
        self.get_download_url_with(file, user, LinkOptions { expires_in, ..LinkOptions::default() }).await
    }

    /// Makes a link with which anybody may download one version of a file for a while.
    ///
    /// # Errors
    ///
    /// * `NotFound`: the user has no such file or version; the same for a file of somebody else
    /// * `InvalidArgument`: the expiry is zero or longer than allowed
    /// * `Unsupported`: the configuration wants the backend's own links, and it has none
    pub async fn get_download_url_with(
        &self,
        file: FileId,
        user: &UserId,
        options: LinkOptions,
    ) -> Result<DownloadLink> {
        let act = Act { version: options.version, ..Act::on("link", user, file) };
        let result = self.make_link(file, user, options).await;
        self.note(act, result.as_ref().map(|_| ())).await;
        result
    }

    async fn make_link(&self, file: FileId, user: &UserId, options: LinkOptions) -> Result<DownloadLink> {
        let links = &self.inner.links;
        let expires_in = options.expires_in.unwrap_or(links.default_expiry);
        if expires_in < Duration::from_secs(1) || expires_in > links.max_expiry {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a link works for one second at least, and no longer than allowed",
            )
            .with_context("expires_in_seconds", expires_in.as_secs())
            .with_context("max_seconds", links.max_expiry.as_secs()));
        }
        let (_, version) = self.find_version(file, user, options.version).await?;
        if links.mode != LinkMode::Host
            && let Some(link) = self.presign(&version, expires_in, options.inline).await?
        {
            return Ok(link);
        }
        self.sign(file, version.id, expires_in, options.inline).await
    }

    /// The backend's own link. `None` where it has none and the host may sign in its place.
    async fn presign(
        &self,
        version: &VersionRecord,
        expires_in: Duration,
        inline: bool,
    ) -> Result<Option<DownloadLink>> {
        let Some(placement) = version.placements.first() else { return Ok(None) };
        let named = self.inner.manager.backend(&placement.backend)?;
        let backend = &named.backend;
        let info = backend.info();
        let cannot = || match self.inner.links.mode {
            LinkMode::Backend => Err(Error::new(
                ErrorKind::Unsupported,
                "this backend cannot sign such a link; STORAGE_LINKS=auto lets the host sign it",
            )
            .with_backend(placement.backend.clone())),
            LinkMode::Auto | LinkMode::Host => Ok(None),
        };
        let too_long = info.limits.max_presign_expiry.is_some_and(|limit| expires_in > limit);
        if !info.capabilities.has(Capabilities::PRESIGN_GET) || too_long {
            return cannot();
        }
        let request = PresignRequest {
            content_type: Some(version.content_type.clone()),
            content_disposition: Some(naming::content_disposition(&version.filename, inline)),
            ..PresignRequest::new(placement.key.clone(), PresignMethod::Get, expires_in)
        };
        let signed = backend.presign(request).await?;
        // A browser cannot send headers along with a link: one that needs them is none.
        if !signed.headers.is_empty() {
            return cannot();
        }
        Ok(Some(DownloadLink { url: signed.url, expires_at: signed.expires_at }))
    }

    async fn sign(
        &self,
        file: FileId,
        version: FileVersionId,
        expires_in: Duration,
        inline: bool,
    ) -> Result<DownloadLink> {
        let keys = self.inner.catalog.link_keys().await?;
        let exp = unix_seconds(SystemTime::now()) + expires_in.as_secs();
        let token = write_token(&keys, &Claims::new(file, version, exp, inline))?;
        let base = self.inner.public_url.trim_end_matches('/');
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_secs(exp);
        Ok(DownloadLink { url: format!("{base}{LINK_PATH}{token}"), expires_at })
    }

    /// Reads what a link of the host's names. Answers the content, and whether it is to be shown inline.
    ///
    /// # Errors
    ///
    /// * `PermissionDenied` with the context `code`: `link_expired`, or `link_invalid` for a token that is altered,
    ///   made for something else, or signed by nobody we know
    /// * `NotFound`: the file or version was deleted
    /// * as [`SimpleStorageService::retrieve_with`]; a version in the options is replaced by the link's
    pub async fn open_link(&self, token: &str, options: RetrieveFileOptions) -> Result<(FileContent, bool)> {
        // What is no token of ours costs the catalog nothing.
        let key_id = key_id(token)?;
        let claims = read_token(&self.inner.catalog.link_keys().await?, &key_id, token)?;
        let user = self.inner.catalog.owner(claims.file).await?;
        let actor = Actor { name: format!("link:{key_id}"), remote: self.actor.remote.clone() };
        let options = RetrieveFileOptions { version: Some(claims.ver), ..options };
        let content = self.with_actor(actor).retrieve_with(claims.file, &user, options).await?;
        Ok((content, claims.inl))
    }
}

/// A token with these claims, signed with the newest key that is not retired.
///
/// # Errors
///
/// `Internal` where there is no such key.
pub(super) fn write_token(keys: &[LinkKeyRecord], claims: &Claims) -> Result<String> {
    let key = keys.iter().find(|key| key.retired_at.is_none()).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "the catalog has no key to sign links with; make one with 'storage keys rotate-links'",
        )
    })?;
    let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
    encode(&header, claims, &EncodingKey::from_secret(&key.secret))
        .map_err(|error| Error::new(ErrorKind::Internal, "a link could not be signed").with_source(error))
}

/// The id of the key that a token says has signed it.
///
/// # Errors
///
/// `PermissionDenied`, as [`SimpleStorageService::open_link`] has it.
pub(super) fn key_id(token: &str) -> Result<String> {
    let header = decode_header(token).map_err(|_| invalid())?;
    // No extension is known here, so that none can be insisted on (RFC 7515, section 4.1.11).
    header.kid.filter(|_| header.crit.is_none()).ok_or_else(invalid)
}

/// What a token says that was signed by the key of this id, which is one of these and not yet retired.
///
/// # Errors
///
/// `PermissionDenied`, as [`SimpleStorageService::open_link`] has it.
pub(super) fn read_token(keys: &[LinkKeyRecord], key_id: &str, token: &str) -> Result<Claims> {
    let now = SystemTime::now();
    let live = |retired_at: Option<SystemTime>| retired_at.is_none_or(|retired_at| retired_at > now);
    let key = keys.iter().find(|key| key.id == key_id && live(key.retired_at)).ok_or_else(invalid)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "aud"]);
    let claims = decode::<Claims>(token, &DecodingKey::from_secret(&key.secret), &validation)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
                denied("link_expired", "the link has expired")
            }
            _ => invalid(),
        })?
        .claims;
    if claims.mth != METHOD {
        return Err(invalid());
    }
    Ok(claims)
}

fn invalid() -> Error {
    denied("link_invalid", "the link is not valid: it was altered, or made for something else")
}

fn denied(code: &str, message: &str) -> Error {
    Error::new(ErrorKind::PermissionDenied, message).with_context("code", code)
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
