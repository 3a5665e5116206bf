//! The ways to prove who we are: key, signature, Entra ID secret, managed and workload identity.
//!
//! Tokens are fetched when they are needed and anew before they expire, through the backend's own HTTP client.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azure_core::auth::{AccessToken, Secret, TokenCredential};
use azure_core::error::{Error as AzureError, ErrorKind as AzureErrorKind};
use azure_core::{HttpClient, Method, Request, Url};
use azure_identity::{ClientSecretCredential, WorkloadIdentityCredential};
use azure_storage::StorageCredentials;
use serde::Deserialize;
use storage_core::{ConfigField, ConfigKind, ConfigReader};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::account::{Account, Named};
use crate::config::endpoint;
use crate::http::{Authority, Http};

const METHODS: [&str; 6] =
    ["auto", "account_key", "sas_token", "client_secret", "workload_identity", "managed_identity"];
const LOGIN: &str = "https://login.microsoftonline.com";
/// The address at which every virtual machine of Azure finds its identity.
const MACHINE_IDENTITY: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// A token is fetched anew so long before it expires.
const MARGIN: Duration = Duration::from_secs(120);

/// Who the backend is. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    Key(Secret),
    Sas(Secret),
    Secret { authority: Url, tenant: String, client: String, secret: Secret },
    Workload { authority: Url, tenant: String, client: String, token_file: PathBuf },
    Managed { endpoint: Url, header: Option<Secret>, client: Option<String> },
}

/// The fields that belong to Entra ID.
pub(crate) fn fields() -> Vec<ConfigField> {
    let field = ConfigField::new;
    let methods = ConfigKind::Choice(METHODS.iter().map(|word| (*word).to_owned()).collect());
    vec![
        field(
            "auth",
            "AZURE_AUTH",
            methods,
            "How to sign in. auto takes what is configured, in this order: key, signature, client secret, workload \
             identity, managed identity where the platform offers one.",
        )
        .default("auto"),
        field("tenant_id", "AZURE_TENANT_ID", ConfigKind::Text, "The Entra ID tenant."),
        field(
            "client_id",
            "AZURE_CLIENT_ID",
            ConfigKind::Text,
            "The application of Entra ID, or the managed identity that is assigned by a user.",
        ),
        field("client_secret", "AZURE_CLIENT_SECRET", ConfigKind::Text, "The application's secret.").secret(),
        field(
            "federated_token_file",
            "AZURE_FEDERATED_TOKEN_FILE",
            ConfigKind::Path,
            "The token of a workload identity, which the platform (Kubernetes) renews in place.",
        ),
        field("authority_host", "AZURE_AUTHORITY_HOST", ConfigKind::Url, "Where Entra ID answers.").default(LOGIN),
        field(
            "identity_endpoint",
            "IDENTITY_ENDPOINT",
            ConfigKind::Url,
            "Where App Service and Functions offer the managed identity; set by the platform.",
        ),
        field("identity_header", "IDENTITY_HEADER", ConfigKind::Text, "What that endpoint asks for.").secret(),
    ]
}

/// Reads who the backend is, and adds a fault where that cannot be told.
pub(crate) fn read(reader: &mut ConfigReader<'_>, account: &Account, named: Named) -> Identity {
    let text = |reader: &mut ConfigReader<'_>, key: &str| {
        reader.optional_string(key).filter(|text| !text.is_empty())
    };
    let (tenant, client) = (text(reader, "tenant_id"), text(reader, "client_id"));
    let secret = text(reader, "client_secret").map(Secret::new);
    let token_file = reader.optional_path("federated_token_file");
    let offered = text(reader, "identity_endpoint").as_deref().and_then(endpoint);
    let header = text(reader, "identity_header").map(Secret::new);
    let authority = endpoint(&reader.string("authority_host"));
    if authority.is_none() {
        reader.fault("authority_host", format!("is not a URL such as {LOGIN}"));
    }
    let authority = authority.unwrap_or_else(|| account.primary.clone());
    let asked = reader.string("auth");
    let method = match asked.as_str() {
        "auto" if named.key.is_some() => "account_key",
        "auto" if named.sas.is_some() => "sas_token",
        "auto" if secret.is_some() => "client_secret",
        "auto" if token_file.is_some() => "workload_identity",
        "auto" if offered.is_some() => "managed_identity",
        other => other,
    };
    let mut need = |value: Option<String>, key: &str| {
        if value.is_none() {
            reader.fault(key, format!("is required to sign in by {method}"));
        }
        value.unwrap_or_default()
    };
    match method {
        "account_key" => match named.key {
            Some(key) => Identity::Key(key),
            None => Identity::Key(Secret::new(need(None, "account_key"))),
        },
        "sas_token" => match named.sas {
            Some(sas) => Identity::Sas(sas),
            None => Identity::Sas(Secret::new(need(None, "sas_token"))),
        },
        "client_secret" => Identity::Secret {
            authority,
            tenant: need(tenant, "tenant_id"),
            client: need(client, "client_id"),
            secret: match secret {
                Some(secret) => secret,
                None => Secret::new(need(None, "client_secret")),
            },
        },
        "workload_identity" => Identity::Workload {
            authority,
            tenant: need(tenant, "tenant_id"),
            client: need(client, "client_id"),
            token_file: match token_file {
                Some(file) => file,
                None => PathBuf::from(need(None, "federated_token_file")),
            },
        },
        "managed_identity" => {
            let machine = || Url::parse(MACHINE_IDENTITY).unwrap_or_else(|_| account.primary.clone());
            Identity::Managed { endpoint: offered.unwrap_or_else(machine), header, client }
        }
        _ => {
            reader.fault(
                "account_key",
                "nothing says how to sign in: set AZURE_ACCOUNT_KEY, AZURE_SAS_TOKEN, AZURE_CONNECTION_STRING, or \
                 AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or AZURE_AUTH=managed_identity",
            );
            Identity::Key(Secret::new(""))
        }
    }
}

impl Identity {
    /// What requests are authorised with. Tokens are fetched through this client.
    ///
    /// # Errors
    ///
    /// A signature that is no query string.
    pub(crate) fn credentials(
        &self,
        account: &str,
        http: &Arc<Http>,
    ) -> azure_core::Result<StorageCredentials> {
        let authority_http: Arc<dyn HttpClient> = Arc::new(Authority(Arc::clone(http)));
        let token: Arc<dyn TokenCredential> = match self.clone() {
            Identity::Key(key) => return Ok(StorageCredentials::access_key(account, key)),
            Identity::Sas(token) => return StorageCredentials::sas_token(token.secret()),
            Identity::Secret { authority, tenant, client, secret } => Arc::new(ClientSecretCredential::new(
                authority_http,
                without_final_slash(authority),
                tenant,
                client,
                secret.secret().to_owned(),
            )),
            Identity::Workload { authority, tenant, client, token_file } => Arc::new(Workload {
                http: authority_http,
                authority: without_final_slash(authority),
                tenant,
                client,
                token_file,
                token: Mutex::default(),
            }),
            Identity::Managed { endpoint, header, client } => {
                let http = Arc::clone(http) as Arc<dyn HttpClient>;
                Arc::new(Managed { http, endpoint, header, client, token: Mutex::default() })
            }
        };
        Ok(StorageCredentials::token_credential(token))
    }
}

/// The SDK joins its path to the authority's, where a final slash would make an empty segment.
fn without_final_slash(mut url: Url) -> Url {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
    }
    url
}

/// A token that is kept until shortly before it expires.
type Kept = Mutex<Option<AccessToken>>;

async fn kept(
    kept: &Kept,
    fetch: impl Future<Output = azure_core::Result<AccessToken>>,
) -> azure_core::Result<AccessToken> {
    let mut kept = kept.lock().await;
    if let Some(token) = kept.as_ref().filter(|token| token.expires_on > OffsetDateTime::now_utc() + MARGIN) {
        return Ok(token.clone());
    }
    let token = fetch.await?;
    *kept = Some(token.clone());
    Ok(token)
}

/// A workload identity. The SDK's own reads the file once, though the platform replaces it every hour.
struct Workload {
    http: Arc<dyn HttpClient>,
    authority: Url,
    tenant: String,
    client: String,
    token_file: PathBuf,
    token: Kept,
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload").field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

impl Workload {
    async fn fetch(&self, scopes: &[&str]) -> azure_core::Result<AccessToken> {
        // A file of a few KiB in memory: not worth a thread of its own.
        let assertion = std::fs::read_to_string(&self.token_file).map_err(|error| {
            let message =
                format!("the token of the workload identity cannot be read ({})", self.token_file.display());
            AzureError::full(AzureErrorKind::Credential, error, message)
        })?;
        let credential = WorkloadIdentityCredential::new(
            Arc::clone(&self.http),
            self.authority.clone(),
            self.tenant.clone(),
            self.client.clone(),
            assertion.trim().to_owned(),
        );
        TokenCredential::get_token(&credential, scopes).await
    }
}

#[async_trait::async_trait]
impl TokenCredential for Workload {
    async fn get_token(&self, scopes: &[&str]) -> azure_core::Result<AccessToken> {
        kept(&self.token, self.fetch(scopes)).await
    }

    async fn clear_cache(&self) -> azure_core::Result<()> {
        self.token.lock().await.take();
        Ok(())
    }
}

/// A managed identity of App Service or of a virtual machine. The SDK's own knows only the one that the
/// platform assigned, and none that a user did.
struct Managed {
    http: Arc<dyn HttpClient>,
    endpoint: Url,
    header: Option<Secret>,
    client: Option<String>,
    token: Kept,
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

/// What the endpoint answers.
#[derive(Deserialize)]
struct ManagedToken {
    access_token: Secret,
    /// Seconds since 1970; a text with some platforms, a number with others.
    expires_on: serde_json::Value,
}

impl Managed {
    async fn fetch(&self, scopes: &[&str]) -> azure_core::Result<AccessToken> {
        let refused = |message: String| AzureError::message(AzureErrorKind::Credential, message);
        let scope = scopes.first().copied().unwrap_or_default();
        let mut url = without_final_slash(self.endpoint.clone());
        url.query_pairs_mut()
            .append_pair("api-version", "2019-08-01")
            .append_pair("resource", scope.strip_suffix("/.default").unwrap_or(scope))
            .extend_pairs(self.client.as_ref().map(|client| ("client_id", client)));
        let mut request = Request::new(url, Method::Get);
        request.insert_header("metadata", "true");
        if let Some(header) = &self.header {
            request.insert_header("x-identity-header", header.secret().to_owned());
        }
        let (status, _, body) = self.http.execute_request(&request).await?.deconstruct();
        let body = body.collect().await?;
        if !status.is_success() {
            // What it says is about the identity, not a secret.
            let words: String = String::from_utf8_lossy(&body).chars().take(500).collect();
            return Err(refused(format!(
                "the managed identity's endpoint answered {}: {words}",
                status as u16
            )));
        }
        let token: ManagedToken = serde_json::from_slice(&body)
            .map_err(|_| refused("the managed identity's endpoint answered no token".to_owned()))?;
        let expires = match &token.expires_on {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        let expires_on = expires.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let expires_on = expires_on
            .ok_or_else(|| refused("the managed identity's token has no time of expiry".to_owned()))?;
        Ok(AccessToken::new(token.access_token, expires_on))
    }
}

#[async_trait::async_trait]
impl TokenCredential for Managed {
    async fn get_token(&self, scopes: &[&str]) -> azure_core::Result<AccessToken> {
        kept(&self.token, self.fetch(scopes)).await
    }

    async fn clear_cache(&self) -> azure_core::Result<()> {
        self.token.lock().await.take();
        Ok(())
    }
}
