//! The host's configuration: what it is. How it is found is the business of the loader beside it.
//!
//! Precedence, lowest first: defaults, `storage.toml`, `.env`, the environment, what the command line or the
//! embedding program says. Checking has two phases: [`Config::load`] tells every fault in the host's own settings,
//! for those who load no plugins; [`Loaded::check`] tells, once plugins have declared theirs, every fault there is.

mod backends;
mod describe;
mod dotenv;
mod host;
mod keys;
mod load;
mod log_filter;
mod sources;
mod toml_file;
mod variables;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use storage_core::ConfigValues;

pub use self::backends::check_backend_name;
pub use self::describe::Setting;
pub use self::keys::host_schema;
pub use self::load::{LoadOptions, Loaded};
pub(crate) use self::log_filter::log_filter;

/// Everything that the host is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// `PRIMARY_BACKEND`: the backend that new files go to. The name of a backend or, where none has the name,
    /// of a backend type, which then is configured by its variables alone.
    pub primary_backend: String,
    /// Every backend, by name; the primary one included.
    pub backends: BTreeMap<String, BackendConfig>,
    /// `PLUGIN_DIR`: where plugins are looked for, in this order.
    pub plugin_dirs: Vec<PathBuf>,
    /// `CATALOG_URL`: `sqlite:PATH`.
    pub catalog_url: String,
    /// The HTTP service.
    pub http: HttpConfig,
    /// Who may call it.
    pub auth: AuthConfig,
    /// `STORAGE_ADMIN_KEY`: the key with which commands reach the running service.
    pub admin_key: Option<SecretString>,
    /// Download links.
    pub links: LinkConfig,
    /// What a user may use who has no quota of his own.
    pub default_quota: DefaultQuota,
    /// How backends are called.
    pub calls: CallConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// One backend.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// The type that a plugin registers.
    pub backend_type: String,
    /// The values that are set by its name, by key. [`Loaded::backend_values`] adds the variables of its type,
    /// which are known once the plugin's schema is.
    pub values: ConfigValues,
}

/// The HTTP service.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `STORAGE_BIND`: the address to listen on. Loopback by default.
    pub bind: SocketAddr,
    /// `STORAGE_PUBLIC_URL`: how clients reach the service; the base of its links.
    pub public_url: Option<String>,
    /// `STORAGE_MAX_UPLOAD`: the largest upload, in bytes.
    pub max_upload_bytes: u64,
    /// `STORAGE_HEADER_TIMEOUT`: how long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// `STORAGE_IDLE_TIMEOUT`: how long a body may make no progress, in either direction.
    pub idle_timeout: Duration,
    /// `STORAGE_DRAIN_TIMEOUT`: how long requests under way may go on after SIGTERM.
    pub drain_timeout: Duration,
}

/// Who may call the service, besides service keys, which the catalog keeps.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `AUTH_JWT_HS256_SECRET`: the secret that signs end users' tokens.
    pub jwt_hs256_secret: Option<SecretString>,
    /// `AUTH_JWKS_URL`: where the public keys are that sign end users' tokens (RS256, ES256, EdDSA).
    pub jwks_url: Option<String>,
    /// `AUTH_JWT_ISSUER`: the issuer that a token must name.
    pub jwt_issuer: Option<String>,
    /// `AUTH_JWT_AUDIENCE`: the audience that a token must name.
    pub jwt_audience: Option<String>,
    /// `AUTH_JWT_USER_CLAIM`: the claim that holds the user's id; `sub` by default.
    pub jwt_user_claim: String,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            jwt_hs256_secret: None,
            jwks_url: None,
            jwt_issuer: None,
            jwt_audience: None,
            jwt_user_claim: "sub".to_owned(),
        }
    }
}

/// Who signs download links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// The backend where it can, else the host.
    #[default]
    Auto,
    /// The host, so that every download passes it (audit, revocation by deleting the file).
    Host,
    /// The backend; a backend that cannot is an error.
    Backend,
}

/// Download links.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// `STORAGE_LINKS`: who signs.
    pub mode: LinkMode,
    /// `STORAGE_LINK_EXPIRY`: how long a link works where the caller does not say.
    pub default_expiry: Duration,
    /// `STORAGE_LINK_MAX_EXPIRY`: how long a link may work.
    pub max_expiry: Duration,
}

/// What a user may use who has no quota of his own. An absent limit is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultQuota {
    /// `STORAGE_QUOTA_BYTES`.
    pub max_bytes: Option<u64>,
    /// `STORAGE_QUOTA_FILES`.
    pub max_files: Option<u64>,
}

/// How backends are called.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// `STORAGE_CALL_TIMEOUT`: how long a call that moves no content may take.
    pub call_timeout: Duration,
    /// `STORAGE_CHUNK_TIMEOUT`: how long a body may make no progress.
    pub chunk_timeout: Duration,
    /// `STORAGE_RETRIES`: how often a call is repeated that may succeed then.
    pub max_retries: u32,
    /// `STORAGE_MAX_CONCURRENCY`: how many reads, and how many writes, one backend is given at once.
    pub max_concurrency: u32,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `LOG_LEVEL`: `error`, `warn`, `info`, `debug`, `trace`, or a filter by module.
    pub level: String,
    /// `LOG_FORMAT`: `text` or `json`.
    pub json: bool,
    /// `STORAGE_DEBUG`: everything about plugins and backends in the log, causes in error answers.
    pub debug: bool,
}
