//! [`Auth`]: who asks, by Google's own crate, which gets tokens and renews them before they expire; and [`Signer`]:
//! who signs URLs.

use std::fmt;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use google_cloud_auth::credentials::{self, CacheableResource, Credentials};
use google_cloud_auth::errors::CredentialsError;
use google_cloud_auth::signer;
use http::Extensions;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, Result, Retry};

use crate::client::Client;
use crate::config::Config;
use crate::error::bad_answer;

/// What a token may be used for. Buckets are created and changed with the wider one alone.
const SCOPES: [&str; 1] = ["https://www.googleapis.com/auth/cloud-platform"];

/// Who asks. What is known of them is a secret and not printed.
#[derive(Clone)]
pub(crate) struct Auth {
    credentials: Option<Credentials>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("is_anonymous", &self.is_anonymous()).finish_non_exhaustive()
    }
}

/// The longest validity that Google accepts.
const MAX_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a signature of IAM is good for: the keys that it signs with change, and only so much is promised.
const MAX_EXPIRY_OF_IAM: Duration = Duration::from_secs(12 * 3600);

/// Who signs URLs.
#[derive(Clone)]
pub(crate) enum Signer {
    /// A key at hand.
    Key(signer::Signer),
    /// An account that Google's crate finds, and for which it asks IAM.
    Own(signer::Signer),
    /// A named account, for which IAM signs.
    Iam {
        /// The account.
        email: String,
        /// Where IAM answers.
        endpoint: String,
    },
}

/// Finds out who asks and who signs.
///
/// # Errors
///
/// `ConfigInvalid` for credentials that cannot be read.
pub(crate) fn find(config: &Config) -> Result<(Auth, Option<Signer>)> {
    let json = read_json(config)?;
    let signer = find_signer(config, json.as_ref())?;
    if config.anonymous {
        return Ok((Auth { credentials: None }, signer));
    }
    let mut found = build(config, json)?;
    if let Some(email) = &config.impersonate {
        found = credentials::impersonated::Builder::from_source_credentials(found)
            .with_target_principal(email)
            .with_scopes(SCOPES)
            .build()
            .map_err(|error| unusable(config, error))?;
    }
    Ok((Auth { credentials: Some(found) }, signer))
}

fn read_json(config: &Config) -> Result<Option<Value>> {
    let text = match (&config.credentials_json, &config.credentials_file) {
        (Some(text), _) => text.0.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|error| {
            Error::new(
                ErrorKind::ConfigInvalid,
                "the file of credentials (GOOGLE_APPLICATION_CREDENTIALS) cannot be read",
            )
            .with_context("path", path.display())
            .with_source(error)
        })?,
        (None, None) => return Ok(None),
    };
    // The parser's words could quote the file, which is a secret: only the place is told.
    let json = serde_json::from_str(&text).map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, format!("{} are not JSON", source_name(config)))
            .with_context("line", error.line())
            .with_context("column", error.column())
    })?;
    Ok(Some(json))
}

fn source_name(config: &Config) -> &'static str {
    if config.credentials_json.is_some() {
        "the credentials (GCS_CREDENTIALS_JSON)"
    } else if config.credentials_file.is_some() {
        "the credentials (GOOGLE_APPLICATION_CREDENTIALS)"
    } else {
        "the application-default credentials"
    }
}

fn unusable(config: &Config, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("{} cannot be used", source_name(config))).with_source(error)
}

/// Builds credentials of whichever kind the JSON is, or the application-default ones.
fn build(config: &Config, json: Option<Value>) -> Result<Credentials> {
    let Some(json) = json else {
        let found = credentials::Builder::default().with_scopes(SCOPES).build();
        return found.map_err(|error| unusable(config, error));
    };
    let built = match json["type"].as_str() {
        Some("service_account") => credentials::service_account::Builder::new(json)
            .with_access_specifier(credentials::service_account::AccessSpecifier::from_scopes(SCOPES))
            .build(),
        Some("authorized_user") => credentials::user_account::Builder::new(json).with_scopes(SCOPES).build(),
        Some("external_account") => {
            credentials::external_account::Builder::new(json).with_scopes(SCOPES).build()
        }
        Some("impersonated_service_account") => {
            credentials::impersonated::Builder::new(json).with_scopes(SCOPES).build()
        }
        other => {
            let kind = other.map_or_else(|| "none".to_owned(), |kind| format!("{kind:?}"));
            return Err(Error::new(
                ErrorKind::ConfigInvalid,
                format!(
                    "{} are of an unknown type ({kind}): known are service_account, external_account, \
                     authorized_user and impersonated_service_account",
                    source_name(config)
                ),
            ));
        }
    };
    built.map_err(|error| unusable(config, error))
}

/// A key signs by itself. Else a named account is signed for by IAM, the one to act as among them.
fn find_signer(config: &Config, json: Option<&Value>) -> Result<Option<Signer>> {
    let email = config.signer.as_ref().or(config.impersonate.as_ref());
    if let Some(email) = email.filter(|_| !config.anonymous) {
        return Ok(Some(Signer::Iam { email: email.clone(), endpoint: config.iam_endpoint.clone() }));
    }
    let found = match json.map(|json| (json, json["type"].as_str())) {
        Some((json, Some("service_account"))) => {
            let built = credentials::service_account::Builder::new(json.clone()).build_signer();
            return Ok(Some(Signer::Key(built.map_err(|error| unusable(config, error))?)));
        }
        Some((json, Some("impersonated_service_account"))) if !config.anonymous => {
            let built = credentials::impersonated::Builder::new(json.clone()).build_signer();
            Some(built.map_err(|error| unusable(config, error))?)
        }
        // What an authorised user or an external account is called is no account that could sign.
        Some(_) => None,
        // On Google's machines the machine's account signs, through IAM; a user's login cannot.
        None if !config.anonymous => credentials::Builder::default().with_scopes(SCOPES).build_signer().ok(),
        None => None,
    };
    Ok(found.map(Signer::Own))
}

impl Auth {
    /// The headers that say who asks.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` where the credentials are not accepted, `Unavailable` where they cannot be asked about.
    pub(crate) async fn headers(&self) -> Result<HeaderMap> {
        let Some(credentials) = &self.credentials else { return Ok(HeaderMap::new()) };
        match credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            // Nothing is said to be known, so that this cannot be answered.
            Ok(CacheableResource::NotModified) => Err(bad_answer("credentials that were not asked for")),
            Err(error) => Err(token_fault(error)),
        }
    }

    /// Whether nobody asks: no credentials are sent.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.credentials.is_none()
    }
}

fn token_fault(error: CredentialsError) -> Error {
    if error.is_transient() {
        return Error::new(ErrorKind::Unavailable, "no token can be had for the credentials now")
            .with_retry(Retry::May)
            .with_source(error);
    }
    Error::new(
        ErrorKind::Unauthenticated,
        "no token can be had for the credentials: set GOOGLE_APPLICATION_CREDENTIALS to a file of credentials, run \
         `gcloud auth application-default login`, or set GCS_AUTH to none for a public bucket",
    )
    .with_source(error)
}

impl Signer {
    /// How long its URLs can be valid.
    pub(crate) fn max_expiry(&self) -> Duration {
        match self {
            Signer::Key(_) => MAX_EXPIRY,
            Signer::Own(_) | Signer::Iam { .. } => MAX_EXPIRY_OF_IAM,
        }
    }

    /// The account that signs.
    ///
    /// # Errors
    ///
    /// `Unavailable` where the machine's account cannot be found out.
    pub(crate) async fn email(&self) -> Result<String> {
        match self {
            Signer::Key(signer) | Signer::Own(signer) => signer.client_email().await.map_err(signing_fault),
            Signer::Iam { email, .. } => Ok(email.clone()),
        }
    }

    /// The signature of a text, RSA with SHA-256.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` where IAM does not sign for these credentials; `Unavailable`.
    pub(crate) async fn sign(&self, client: &Client, text: &str) -> Result<Vec<u8>> {
        let (email, endpoint) = match self {
            Signer::Key(signer) | Signer::Own(signer) => {
                return signer.sign(text.as_bytes()).await.map(|bytes| bytes.to_vec()).map_err(signing_fault);
            }
            Signer::Iam { email, endpoint } => (email, endpoint),
        };
        let url = format!("{endpoint}/v1/projects/-/serviceAccounts/{email}:signBlob");
        let body = json!({ "payload": BASE64_STANDARD.encode(text) });
        let answer = client.send(client.http().post(url).json(&body)).await.map_err(|failure| {
            let advice =
                "the credentials need roles/iam.serviceAccountTokenCreator on the account that signs";
            failure.error.with_context("signer_email", email).with_context("advice", advice)
        })?;
        let signed: SignedBlob = client.json(answer).await?;
        BASE64_STANDARD
            .decode(signed.signed_blob)
            .map_err(|error| bad_answer("a signature").with_source(error))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedBlob {
    signed_blob: String,
}

fn signing_fault(error: signer::SigningError) -> Error {
    let (kind, retry) = if error.is_transport() {
        (ErrorKind::Unavailable, Retry::May)
    } else {
        (ErrorKind::ConfigInvalid, Retry::Never)
    };
    Error::new(kind, "the URL cannot be signed").with_retry(retry).with_source(error)
}
