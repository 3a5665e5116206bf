//! Every setting of the host, declared once: reading, checking, showing and documentation go by this table.
//!
//! A key `http.bind` is `bind` in the section `[http]` of `storage.toml`.

use std::sync::LazyLock;

use storage_core::{ConfigField, ConfigKind, ConfigSchema};

/// Keys that only a variable can set, since they say where or how the rest is found.
pub(super) const VARIABLE_ONLY: &[&str] = &["config", "backends_config"];

/// The section of `storage.toml` that holds the backends, each in a section of its own.
pub(super) const BACKENDS: &str = "backends";

/// The primary backend where none is named.
pub(super) const DEFAULT_PRIMARY: &str = "local";

/// Every setting of the host, in the order in which documentation lists them.
pub fn host_schema() -> &'static ConfigSchema {
    static SCHEMA: LazyLock<ConfigSchema> = LazyLock::new(|| ConfigSchema { fields: fields() });
    &SCHEMA
}

fn fields() -> Vec<ConfigField> {
    use ConfigKind::{Bool, Duration, Integer, Size, Text, Url};
    let field = ConfigField::new;
    let choice = |words: &[&str]| ConfigKind::Choice(words.iter().map(|word| (*word).to_owned()).collect());
    vec![
        field(
            "primary_backend",
            "PRIMARY_BACKEND",
            Text,
            "The backend that new files go to: the name of one or, where none has the name, a backend \
             type.",
        )
        .default(DEFAULT_PRIMARY),
        field(
            "backends_config",
            "BACKENDS_CONFIG",
            Text,
            "Named backends as a JSON object: name to settings, `type` among them.",
        )
        .secret(),
        field(
            "config",
            "STORAGE_CONFIG",
            ConfigKind::Path,
            "The configuration file; `./storage.toml` where there is one.",
        ),
        field(
            "plugin_dir",
            "PLUGIN_DIR",
            Text,
            "Directories of plugins, separated as in PATH; `plugins/` beside the program and \
             `./plugins` follow.",
        ),
        field("catalog_url", "CATALOG_URL", Text, "Where the catalog is: `sqlite:` and a path.")
            .default("sqlite:./storage-catalog.db"),
        field(
            "env_foreign",
            "STORAGE_ENV_FOREIGN",
            Text,
            "Variables that belong to other programs: names, separated by commas, each of which may \
             end in `*`.",
        ),
        field("http.bind", "STORAGE_BIND", Text, "The address and port that the service listens on.")
            .default("127.0.0.1:8080"),
        field(
            "http.public_url",
            "STORAGE_PUBLIC_URL",
            Url,
            "How clients reach the service; its links begin with it.",
        ),
        field("http.max_upload", "STORAGE_MAX_UPLOAD", Size, "The largest upload.").default("10GiB"),
        field(
            "http.header_timeout",
            "STORAGE_HEADER_TIMEOUT",
            Duration,
            "How long a client may take to send a request's headers.",
        )
        .default("30s"),
        field(
            "http.idle_timeout",
            "STORAGE_IDLE_TIMEOUT",
            Duration,
            "How long a request's or an answer's body may make no progress.",
        )
        .default("60s"),
        field(
            "http.drain_timeout",
            "STORAGE_DRAIN_TIMEOUT",
            Duration,
            "How long requests under way may go on after the service is told to stop.",
        )
        .default("30s"),
        field(
            "auth.jwt_hs256_secret",
            "AUTH_JWT_HS256_SECRET",
            Text,
            "The secret that signs end users' tokens (HS256); at least 32 bytes.",
        )
        .secret(),
        field(
            "auth.jwks_url",
            "AUTH_JWKS_URL",
            Url,
            "Where the public keys are that sign end users' tokens (RS256, ES256, EdDSA).",
        ),
        field("auth.jwt_issuer", "AUTH_JWT_ISSUER", Text, "The issuer that a token must name."),
        field("auth.jwt_audience", "AUTH_JWT_AUDIENCE", Text, "The audience that a token must name."),
        field("auth.jwt_user_claim", "AUTH_JWT_USER_CLAIM", Text, "The claim that holds the user's id.")
            .default("sub"),
        field(
            "admin_key",
            "STORAGE_ADMIN_KEY",
            Text,
            "The service key (scope `admin`) with which commands such as `storage reload` reach the running \
             service.",
        )
        .secret(),
        field(
            "links.mode",
            "STORAGE_LINKS",
            choice(&["auto", "host", "backend"]),
            "Who signs download links: the backend where it can and else the host, always the host, \
             or always the backend.",
        )
        .default("auto"),
        field(
            "links.expiry",
            "STORAGE_LINK_EXPIRY",
            Duration,
            "How long a download link works where the caller does not say.",
        )
        .default("15min"),
        field("links.max_expiry", "STORAGE_LINK_MAX_EXPIRY", Duration, "How long a download link may work.")
            .default("7days"),
        field(
            "quota.bytes",
            "STORAGE_QUOTA_BYTES",
            Size,
            "How much a user may store who has no quota of his own; without it, any amount.",
        ),
        field(
            "quota.files",
            "STORAGE_QUOTA_FILES",
            Integer,
            "How many files a user may store who has no quota of his own; without it, any number.",
        ),
        field(
            "calls.timeout",
            "STORAGE_CALL_TIMEOUT",
            Duration,
            "How long a backend may take for a call that moves no content.",
        )
        .default("30s"),
        field(
            "calls.chunk_timeout",
            "STORAGE_CHUNK_TIMEOUT",
            Duration,
            "How long a backend may make no progress with content.",
        )
        .default("60s"),
        field(
            "calls.retries",
            "STORAGE_RETRIES",
            Integer,
            "How often a call is repeated that may then succeed.",
        )
        .default(3),
        field(
            "calls.max_concurrency",
            "STORAGE_MAX_CONCURRENCY",
            Integer,
            "How many reads, and how many writes, one backend is given at once.",
        )
        .default(1024),
        field(
            "log.level",
            "LOG_LEVEL",
            Text,
            "What is logged: error, warn, info, debug, trace, off, or a filter by module such as \
             `info,storage_host::http=debug`.",
        )
        .default("info"),
        field("log.format", "LOG_FORMAT", choice(&["text", "json"]), "How log lines are written.")
            .default("text"),
        field(
            "log.debug",
            "STORAGE_DEBUG",
            Bool,
            "Logs everything about plugins and backends, and gives causes in error answers.",
        )
        .default(false),
    ]
}
