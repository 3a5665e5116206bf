//! The host's own settings: from checked text to values that the rest of the host uses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use storage_core::ConfigReader;

use super::backends::Backends;
use super::log_filter::log_filter;
use super::{
    AuthConfig, CallConfig, Config, DefaultQuota, HttpConfig, LinkConfig, LinkMode, LoadOptions, LogConfig,
};

/// The shortest secret that HS256 may be used with, in bytes: as long as its digest (RFC 7518, 3.2).
const MIN_HS256_SECRET_BYTES: usize = 32;

/// Reads the settings. Faults are left in the reader.
pub(super) fn read(reader: &mut ConfigReader<'_>, backends: &Backends, options: &LoadOptions) -> Config {
    Config {
        primary_backend: reader.string("primary_backend"),
        backends: backends.configs(),
        plugin_dirs: plugin_dirs(reader, options),
        catalog_url: catalog_url(reader),
        http: HttpConfig {
            bind: bind(reader),
            public_url: reader.optional_string("http.public_url"),
            max_upload_bytes: reader.size_bytes("http.max_upload"),
            header_timeout: timeout(reader, "http.header_timeout"),
            idle_timeout: timeout(reader, "http.idle_timeout"),
            drain_timeout: reader.duration("http.drain_timeout"),
        },
        auth: AuthConfig {
            jwt_hs256_secret: hs256_secret(reader),
            jwks_url: reader.optional_string("auth.jwks_url"),
            jwt_issuer: reader.optional_string("auth.jwt_issuer"),
            jwt_audience: reader.optional_string("auth.jwt_audience"),
            jwt_user_claim: reader.string("auth.jwt_user_claim"),
        },
        admin_key: reader.optional_string("admin_key").map(SecretString::from),
        links: links(reader),
        default_quota: DefaultQuota {
            max_bytes: reader.optional_size_bytes("quota.bytes"),
            max_files: reader.optional_integer("quota.files"),
        },
        calls: CallConfig {
            call_timeout: timeout(reader, "calls.timeout"),
            chunk_timeout: timeout(reader, "calls.chunk_timeout"),
            max_retries: small(reader, "calls.retries", 0),
            max_concurrency: small(reader, "calls.max_concurrency", 1),
        },
        log: log(reader),
    }
}

fn plugin_dirs(reader: &mut ConfigReader<'_>, options: &LoadOptions) -> Vec<PathBuf> {
    let named = reader.optional_string("plugin_dir").unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
    let beside = options.program_directory.iter().map(|directory| directory.join("plugins"));
    let mut directories: Vec<PathBuf> = Vec::new();
    for directory in named.chain(beside).chain([PathBuf::from("plugins")]) {
        let directory = options.directory.join(directory);
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories
}

fn catalog_url(reader: &mut ConfigReader<'_>) -> String {
    let url = reader.string("catalog_url");
    if url.strip_prefix("sqlite:").is_none_or(str::is_empty) {
        // The address of a database server may hold a password: it is not repeated.
        reader.fault("catalog_url", "is not sqlite: and a path, such as sqlite:./storage-catalog.db");
    }
    url
}

fn bind(reader: &mut ConfigReader<'_>) -> SocketAddr {
    let text = reader.string("http.bind");
    text.parse().unwrap_or_else(|_| {
        let problem =
            format!("{text:?} is not an address and port such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080");
        reader.fault("http.bind", problem);
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

fn hs256_secret(reader: &mut ConfigReader<'_>) -> Option<SecretString> {
    let secret = reader.optional_string("auth.jwt_hs256_secret")?;
    if secret.len() < MIN_HS256_SECRET_BYTES {
        let problem = format!(
            "the secret is shorter than {MIN_HS256_SECRET_BYTES} bytes, which makes tokens forgeable"
        );
        reader.fault("auth.jwt_hs256_secret", problem);
    }
    Some(SecretString::from(secret))
}

fn links(reader: &mut ConfigReader<'_>) -> LinkConfig {
    let mode = match reader.string("links.mode").as_str() {
        "host" => LinkMode::Host,
        "backend" => LinkMode::Backend,
        _ => LinkMode::Auto,
    };
    let default_expiry = timeout(reader, "links.expiry");
    let max_expiry = timeout(reader, "links.max_expiry");
    if default_expiry > max_expiry {
        reader.fault("links.expiry", "is longer than links.max_expiry (STORAGE_LINK_MAX_EXPIRY) allows");
    }
    LinkConfig { mode, default_expiry, max_expiry }
}

fn log(reader: &mut ConfigReader<'_>) -> LogConfig {
    let level = reader.string("log.level");
    if let Err(problem) = log_filter(&level) {
        reader.fault("log.level", format!("{level:?} {problem}"));
    }
    LogConfig { level, json: reader.string("log.format") == "json", debug: reader.bool("log.debug") }
}

/// A span of time in which something must be able to happen.
fn timeout(reader: &mut ConfigReader<'_>, key: &str) -> Duration {
    let duration = reader.optional_duration(key);
    if duration.is_some_and(|duration| duration.is_zero()) {
        reader.fault(key, "must be longer than nothing");
    }
    duration.unwrap_or_default()
}

/// A number of things, of which there cannot be billions.
fn small(reader: &mut ConfigReader<'_>, key: &str, least: u32) -> u32 {
    let number = reader.integer(key);
    let Ok(small) = u32::try_from(number) else {
        reader.fault(key, format!("{number} is more than {}", u32::MAX));
        return least;
    };
    // A text that is no number was told already.
    if small < least && reader.optional_integer(key).is_some() {
        reader.fault(key, format!("must be at least {least}"));
    }
    small
}
