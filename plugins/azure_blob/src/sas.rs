//! Shared access signatures for one blob, made by the account's key or by a key that Entra ID's identity may ask for.
//!
//! The SDK's own signature cannot set what is answered, nor name a version.

use std::fmt;
use std::time::{Duration, SystemTime};

use azure_core::auth::Secret;
use azure_core::{Method, Url};
use azure_storage::shared_access_signature::service_sas::UserDeligationKey;
use storage_core::{Error, ErrorKind, Result};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::{Call, Target};
use crate::credential::Identity;
use crate::error;
use crate::store::Store;

/// The version of signatures, which is one thing with the form of the text that is signed.
const SAS_VERSION: &str = "2022-11-02";
/// The longest validity: that of a key of Entra ID's. One of the account's key could be longer, and is not.
pub(crate) const MAX_VALIDITY: Duration = Duration::from_secs(7 * 24 * 3600);
/// Signatures are valid from so long ago, since clocks differ.
const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// A key to sign with that the service gave to the identity.
#[derive(Clone, Debug)]
pub(crate) struct Delegation(UserDeligationKey);

/// Which content of a blob is meant, where it is not the current one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment<'a> {
    Version(&'a str),
    Snapshot(&'a str),
}

impl Moment<'_> {
    /// The parameter of a query that names it, the kind of resource that it is, and its name.
    fn parts(&self) -> (&'static str, &'static str, &str) {
        match self {
            Moment::Version(name) => ("versionid", "bv", name),
            Moment::Snapshot(name) => ("snapshot", "bs", name),
        }
    }
}

/// What a signature allows.
pub(crate) struct Grant<'a> {
    /// Letters of Azure's, in its order.
    pub(crate) permissions: &'static str,
    pub(crate) blob: &'a str,
    pub(crate) moment: Option<Moment<'a>>,
    pub(crate) expires_at: SystemTime,
    /// `Content-Type` and `Content-Disposition` to answer.
    pub(crate) content_type: Option<&'a str>,
    pub(crate) content_disposition: Option<&'a str>,
}

/// Signs the address of a blob.
///
/// # Errors
///
/// `Unsupported` where the backend itself has nothing but a signature; what fetching a key gives.
pub(crate) async fn sign(store: &Store, grant: &Grant<'_>) -> Result<Url> {
    let (key, delegation) = match &store.config.identity {
        Identity::Key(key) => (key.clone(), None),
        Identity::Sas(_) => return Err(unsupported()),
        _ => {
            let delegation = delegation(store, grant.expires_at).await?;
            (delegation.0.value.clone(), Some(delegation.0))
        }
    };
    let protocol = if store.config.account.primary.scheme() == "https" { "https" } else { "https,http" };
    let query = token(
        grant,
        &store.config.account.name,
        store.client.container(),
        protocol,
        &key,
        delegation.as_ref(),
    )?;
    let mut url = store.client.blob_url(grant.blob);
    if let Some(moment) = &grant.moment {
        add_moment(&mut url, moment);
    }
    url.query_pairs_mut().extend_pairs(query);
    Ok(url)
}

/// Names a content in the query of a URL.
pub(crate) fn add_moment(url: &mut Url, moment: &Moment<'_>) {
    let (parameter, _, name) = moment.parts();
    url.query_pairs_mut().append_pair(parameter, name);
}

/// The backend cannot sign.
pub(crate) fn unsupported() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a signature (AZURE_SAS_TOKEN) cannot make others: sign in by key or Entra ID for URLs",
    )
}

/// The query of a signed address.
fn token(
    grant: &Grant<'_>,
    account: &str,
    container: &str,
    protocol: &str,
    key: &Secret,
    delegation: Option<&UserDeligationKey>,
) -> Result<Vec<(&'static str, String)>> {
    let expiry = iso(grant.expires_at.into())?;
    let start = iso((SystemTime::now() - LEEWAY).into())?;
    let (resource, time) = grant.moment.as_ref().map_or(("b", ""), |moment| {
        let (_, resource, name) = moment.parts();
        (resource, name)
    });
    let canonical = format!("/blob/{account}/{container}/{}", grant.blob);
    let (disposition, kind) =
        (grant.content_disposition.unwrap_or_default(), grant.content_type.unwrap_or_default());
    let owner = match delegation {
        // The name of a stored policy, which there is not.
        None => vec![String::new()],
        Some(key) => vec![
            key.signed_oid.to_string(),
            key.signed_tid.to_string(),
            iso(key.signed_start)?,
            iso(key.signed_expiry)?,
            key.signed_service.clone(),
            key.signed_version.clone(),
            // Nobody else is named, nor anything to correlate by.
            String::new(),
            String::new(),
            String::new(),
        ],
    };
    let head = [grant.permissions, &start, &expiry, &canonical].map(str::to_owned);
    // Address, protocol, version, resource, its time, encryption scope, and the five headers to answer.
    let tail =
        ["", protocol, SAS_VERSION, resource, time, "", "", disposition, "", "", kind].map(str::to_owned);
    let lines: Vec<_> = head.into_iter().chain(owner.clone()).chain(tail).collect();
    let signature = azure_core::hmac::hmac_sha256(&lines.join("\n"), key).map_err(error::from_sdk)?;
    let mut query = vec![
        ("sv", SAS_VERSION.to_owned()),
        ("sp", grant.permissions.to_owned()),
        ("sr", resource.to_owned()),
        ("st", start),
        ("se", expiry),
        ("spr", protocol.to_owned()),
    ];
    if delegation.is_some() {
        query.extend(["skoid", "sktid", "skt", "ske", "sks", "skv"].into_iter().zip(owner));
    }
    query.extend((!disposition.is_empty()).then(|| ("rscd", disposition.to_owned())));
    query.extend((!kind.is_empty()).then(|| ("rsct", kind.to_owned())));
    query.push(("sig", signature));
    Ok(query)
}

/// A key of the identity that is valid until then. It is kept: nothing is asked of the service for most URLs.
async fn delegation(store: &Store, until: SystemTime) -> Result<Delegation> {
    let until = OffsetDateTime::from(until);
    let mut kept = store.delegation.lock().await;
    if let Some(delegation) = kept.as_ref().filter(|kept| kept.0.signed_expiry >= until) {
        return Ok(delegation.clone());
    }
    let now = OffsetDateTime::now_utc();
    // Half a minute less than the longest: the service's clock is another.
    let expiry = (now + MAX_VALIDITY - Duration::from_secs(30)).max(until);
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><KeyInfo><Start>{}</Start><Expiry>{}</Expiry></KeyInfo>",
        iso(now - LEEWAY)?,
        iso(expiry)?
    );
    let call = Call::new(Method::Post, Target::Service)
        .query("restype", "service")
        .query("comp", "userdelegationkey")
        .body(body.into());
    // The SDK's own request reads headers that not every server sends; its reading of the key is the same.
    let text = store.client.send(&call).await?.text().await?;
    let key = azure_core::xml::read_xml_str(&text).map_err(|_| error::malformed("key"))?;
    let delegation = Delegation(key);
    *kept = Some(delegation.clone());
    Ok(delegation)
}

/// A moment without fractions of a second, which signatures do not have.
fn whole(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_nanosecond(0).unwrap_or(moment)
}

fn iso(moment: OffsetDateTime) -> Result<String> {
    whole(moment).format(&Rfc3339).map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, "the time of expiry is none").with_source(error)
    })
}

impl fmt::Debug for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("permissions", &self.permissions)
            .field("blob", &self.blob)
            .finish_non_exhaustive()
    }
}
