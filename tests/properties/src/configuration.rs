//! Configuration: whatever stands in `.env`, `storage.toml`, the environment and `BACKENDS_CONFIG`, it is read or
//! refused with faults for people; no secret is told; what is accepted keeps the promises that the rest of the host
//! builds on; and a value that is written down properly arrives as it was.
//!
//! The input is `.env`, and after a line `=== storage.toml` or `=== environment` one of the others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::LazyLock;

use secrecy::ExposeSecret as _;
use storage_core::config::{parse_duration, parse_size};
use storage_core::{ConfigField, ConfigKind, ConfigReader, ConfigSchema};
use storage_host::config::{Config, LoadOptions, Loaded, check_backend_name};

use crate::scratch;

/// The schema of a backend type that has a setting of every form.
static VAULT: LazyLock<ConfigSchema> = LazyLock::new(|| {
    let field = |key: &str, kind| {
        ConfigField::new(key, &format!("VAULT_{}", key.to_ascii_uppercase()), kind, "A setting")
    };
    ConfigSchema {
        fields: vec![
            field("secret_key", ConfigKind::Text).required().secret(),
            field("pin", ConfigKind::Integer).secret(),
            field("size", ConfigKind::Size).default("1MiB"),
            field("wait", ConfigKind::Duration).default("30s"),
            field("count", ConfigKind::Integer),
            field("flag", ConfigKind::Bool),
            field("path", ConfigKind::Path),
            field("url", ConfigKind::Url),
            field("mode", ConfigKind::Choice(vec!["fast".to_owned(), "safe".to_owned()])),
        ],
    }
});

/// Secrets in each of the sources. No fault and no description may tell one.
const SECRETS: [&str; 3] = [
    "correct-horse-battery-staple-0001",
    "correct-horse-battery-staple-0002",
    "correct-horse-battery-staple-0003",
];

/// The variable of the third.
const HS256_SECRET: &str = "AUTH_JWT_HS256_SECRET";

/// What `.env` begins with.
const ENV_HEAD: &str = "VAULT_SECRET_KEY='correct-horse-battery-staple-0001'\n";
/// What `storage.toml` begins with: the input goes on in the section.
const TOML_HEAD: &str = "[backends.safe]\ntype = \"vault\"\npin = \"correct-horse-battery-staple-0002\"\n";

/// Checks a configuration.
pub fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Another file of this machine is no part of the input.
    if text.contains("STORAGE_CONFIG") {
        return;
    }
    let sources = Sources::of(&text);
    match Config::load(sources.options(data)) {
        Ok(loaded) => keeps_its_promises(&loaded),
        Err(error) => is_told(&error.report()),
    }
    keeps_secrets(&sources);
    for value in
        [sources.dotenv.trim(), sources.toml.trim(), sources.dotenv.lines().next().unwrap_or_default()]
    {
        arrives(value);
        is_read_alike(value);
    }
}

/// The text of each source.
struct Sources {
    dotenv: String,
    toml: String,
    environment: BTreeMap<String, OsString>,
}

impl Sources {
    fn of(text: &str) -> Self {
        let (mut dotenv, mut toml, mut variables) = (String::new(), String::new(), String::new());
        let mut section = &mut dotenv;
        for line in text.split_inclusive('\n') {
            match line.trim_end() {
                "=== .env" => section = &mut dotenv,
                "=== storage.toml" => section = &mut toml,
                "=== environment" => section = &mut variables,
                _ => section.push_str(line),
            }
        }
        // The system lets no variable hold a zero, and none without a name.
        let variables = variables.lines().filter(|line| !line.contains('\0'));
        let environment = variables
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name.to_owned(), OsString::from(value)))
            .collect();
        Self { dotenv, toml, environment }
    }

    /// Writes the files. An input that is no UTF-8 goes into `.env` as it is.
    fn options(&self, data: &[u8]) -> LoadOptions {
        let is_text = std::str::from_utf8(data).is_ok();
        let dotenv = if is_text { self.dotenv.as_bytes() } else { data };
        options(dotenv, &self.toml, self.environment.clone())
    }
}

fn options(dotenv: &[u8], toml: &str, environment: BTreeMap<String, OsString>) -> LoadOptions {
    scratch::put(".env", Some(dotenv));
    scratch::put("storage.toml", (!toml.is_empty()).then_some(toml.as_bytes()));
    LoadOptions { directory: scratch::folder(), environment, ..LoadOptions::default() }
}

/// What the rest of the host takes for granted.
fn keeps_its_promises(loaded: &Loaded) {
    let config = &loaded.config;
    assert!(config.backends.contains_key(&config.primary_backend), "{}", config.primary_backend);
    for (name, backend) in &config.backends {
        assert!(check_backend_name(name).is_ok(), "{name:?}");
        assert!(!backend.backend_type.is_empty());
    }
    let http = &config.http;
    assert!(!http.header_timeout.is_zero() && !http.idle_timeout.is_zero());
    assert!(!config.calls.call_timeout.is_zero() && !config.calls.chunk_timeout.is_zero());
    assert!(config.calls.max_concurrency > 0);
    assert!(!config.links.default_expiry.is_zero());
    assert!(config.links.default_expiry <= config.links.max_expiry);
    assert!(config.catalog_url.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty()));
    if let Some(secret) = &config.auth.jwt_hs256_secret {
        assert!(secret.expose_secret().len() >= 32);
    }
    let schemas = [("vault", &*VAULT)];
    if let Err(error) = loaded.check(&schemas, &["vault", "local"]) {
        is_told(&error.report());
    }
    for name in config.backends.keys() {
        let values = loaded.backend_values(name, &VAULT).expect("a configured backend");
        let sound = VAULT.check(&values).is_empty();
        let mut reader = ConfigReader::new(&VAULT, &values);
        let (size, wait) = (reader.optional_size_bytes("size"), reader.optional_duration("wait"));
        let (count, flag) = (reader.optional_integer("count"), reader.bool("flag"));
        assert_eq!(reader.finish(name).is_ok(), sound);
        if sound {
            assert!(size.is_some() && wait.is_some());
            assert_eq!(count.is_some(), values.get("count").is_some());
            assert!(!flag || values.get("flag").is_some());
        }
    }
    // Everything has a name, and what has a value has a place where it was found.
    for setting in loaded.describe(&schemas) {
        assert!(!setting.key.is_empty());
        let is_type = setting.key.ends_with(".type") && setting.variable.is_none();
        assert!(setting.value.is_none() || setting.origin.is_some() || is_type, "{setting:?}");
    }
}

/// A refusal names at least one fault.
fn is_told(report: &str) {
    assert!(report.contains("fault"), "{report}");
}

/// With a secret in each source, whatever else stands there: it is not told.
fn keeps_secrets(sources: &Sources) {
    // A reference would put the secret into a setting that is none.
    if ["VAULT_SECRET_KEY", HS256_SECRET].iter().any(|name| sources.dotenv.contains(name)) {
        return;
    }
    let mut environment = sources.environment.clone();
    environment.insert(HS256_SECRET.to_owned(), SECRETS[2].into());
    environment.entry("PRIMARY_BACKEND".to_owned()).or_insert_with(|| "safe".into());
    let (dotenv, toml) = (format!("{ENV_HEAD}{}", sources.dotenv), format!("{TOML_HEAD}{}", sources.toml));
    let schemas = [("vault", &*VAULT)];
    let mut told = Vec::new();
    match Config::load(options(dotenv.as_bytes(), &toml, environment)) {
        Ok(loaded) => {
            told.extend(loaded.check(&schemas, &["vault"]).err().map(|error| error.report()));
            told.push(format!("{:?}{:?}", loaded.describe(&schemas), loaded.describe(&[])));
            told.push(format!("{:?}", loaded.config));
        }
        Err(error) => told.push(format!("{}{error:?}", error.report())),
    }
    for told in told {
        for secret in SECRETS {
            assert!(!told.contains(secret), "a secret is told: {told}");
        }
    }
}

/// A value in single quotes in `.env`, as a TOML string, and as a JSON string arrives as it was.
fn arrives(value: &str) {
    // No variable holds a zero; an empty one means that none is set; single quotes hold no single quote; and two
    // noncharacters are refused in `.env`.
    if value.is_empty() || value.contains(['\0', '\'', '\u{FDD0}', '\u{FDD1}']) {
        return;
    }
    let toml = toml::Value::String(value.to_owned());
    let json = serde_json::json!({"safe": {"type": "vault", "secret_key": value}}).to_string();
    let dotenv = format!("PRIMARY_BACKEND=safe\nAUTH_JWT_AUDIENCE='{value}'\n");
    let toml = format!("[auth]\njwt_issuer = {toml}\n");
    let environment = BTreeMap::from([("BACKENDS_CONFIG".to_owned(), OsString::from(json))]);
    let loaded = Config::load(options(dotenv.as_bytes(), &toml, environment));
    let loaded = loaded.unwrap_or_else(|error| panic!("{value:?}: {}", error.report()));
    assert_eq!(loaded.config.auth.jwt_audience.as_deref(), Some(value), "in .env");
    assert_eq!(loaded.config.auth.jwt_issuer.as_deref(), Some(value), "in storage.toml");
    let values = loaded.backend_values("safe", &VAULT).expect("configured");
    assert_eq!(values.get("secret_key").map(|found| found.text.as_str()), Some(value), "in BACKENDS_CONFIG");
}

/// A size or a span of time that is understood means the same when it is written in full.
fn is_read_alike(text: &str) {
    if let Some(size_bytes) = parse_size(text) {
        assert_eq!(parse_size(&size_bytes.to_string()), Some(size_bytes), "{text:?}");
    }
    if let Some(span) = parse_duration(text) {
        let written = format!("{}s {}ns", span.as_secs(), span.subsec_nanos());
        assert_eq!(parse_duration(&written), Some(span), "{text:?}");
    }
}
