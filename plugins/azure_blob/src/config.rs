//! The configuration of a container: what may be set, and what was.

use std::path::PathBuf;
use std::time::Duration;

use azure_core::Url;
use storage_core::{ConfigField, ConfigKind, ConfigReader, ConfigSchema, OpenRequest, Result};

use crate::account::{self, Account};
use crate::credential::{self, Identity};

/// The service version that requests name where none is configured.
pub(crate) const SERVICE_VERSION: &str = "2026-04-06";

/// The access tiers, in Azure's words.
const TIERS: [&str; 4] = ["Hot", "Cool", "Cold", "Archive"];

/// How this container is reached and used. `Debug` prints no secret: those who hold one do not print it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) account: Account,
    pub(crate) identity: Identity,
    pub(crate) container: String,
    pub(crate) create_container: bool,
    /// The access tier of new blobs; the account's own where absent.
    pub(crate) tier: Option<String>,
    /// The access tier that archived blobs are brought back to.
    pub(crate) rehydrate_tier: String,
    pub(crate) versioning: bool,
    pub(crate) read_secondary: bool,
    pub(crate) service_version: String,
    pub(crate) upload_expiry: Duration,
    pub(crate) transfer: Transfer,
    pub(crate) connection: Connection,
}

/// How content is cut and moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// Up to this size a save is one request, and a read one response.
    pub(crate) single_bytes: u64,
    /// The size of the blocks of larger contents, which grows where there would be too many.
    pub(crate) block_bytes: u64,
    /// The most blocks in flight for one content.
    pub(crate) concurrency: usize,
}

/// How the HTTP client connects.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) proxy: Option<String>,
}

/// What may be set.
pub(crate) fn schema() -> ConfigSchema {
    let field = ConfigField::new;
    let choice = |words: &[&str]| ConfigKind::Choice(words.iter().map(|word| (*word).to_owned()).collect());
    let mut fields = vec![
        field("account_name", "AZURE_ACCOUNT_NAME", ConfigKind::Text, "The storage account."),
        field("account_key", "AZURE_ACCOUNT_KEY", ConfigKind::Text, "One of the account's two access keys.")
            .secret(),
        field("container_name", "AZURE_CONTAINER_NAME", ConfigKind::Text, "The container that holds the objects.")
            .required(),
        field(
            "blob_tier",
            "AZURE_BLOB_TIER",
            choice(&TIERS),
            "The access tier of new objects; the account's default tier where absent.",
        ),
        field(
            "sas_token",
            "AZURE_SAS_TOKEN",
            ConfigKind::Text,
            "A shared access signature for the account or the container, instead of a key.",
        )
        .secret(),
        field(
            "connection_string",
            "AZURE_CONNECTION_STRING",
            ConfigKind::Text,
            "A connection string as the portal shows it: account, key or signature, and endpoints in one.",
        )
        .secret(),
        field(
            "endpoint_url",
            "AZURE_ENDPOINT_URL",
            ConfigKind::Url,
            "The blob service of the account; https://ACCOUNT.blob.core.windows.net where absent. For an emulator or \
             Azure Stack with the account as path: http://127.0.0.1:10000/devstoreaccount1.",
        ),
        field(
            "secondary_url",
            "AZURE_SECONDARY_URL",
            ConfigKind::Url,
            "The read-only secondary of a geo-redundant account; ACCOUNT-secondary at the same host where absent.",
        ),
        field(
            "read_secondary",
            "AZURE_READ_SECONDARY",
            ConfigKind::Bool,
            "Whether reads go to the secondary of a geo-redundant (RA-GRS) account while the primary does not answer. \
             The secondary lags behind.",
        )
        .default(false),
        field(
            "create_container",
            "AZURE_CREATE_CONTAINER",
            ConfigKind::Bool,
            "Whether the container is created where it does not exist.",
        )
        .default(false),
        field(
            "versioning",
            "AZURE_VERSIONING",
            ConfigKind::Bool,
            "Whether the account keeps versions of blobs, which is set in the portal, not here.",
        )
        .default(false),
        field(
            "rehydrate_tier",
            "AZURE_REHYDRATE_TIER",
            choice(&TIERS[..3]),
            "The access tier that archived objects are brought back to.",
        )
        .default("Hot"),
    ];
    fields.extend(credential::fields());
    fields.extend([
        field(
            "single_size",
            "AZURE_SINGLE_SIZE",
            ConfigKind::Size,
            "Up to this size a file goes up and down in one request, 1MiB to 64MiB.",
        )
        .default("8MiB"),
        field(
            "block_size",
            "AZURE_BLOCK_SIZE",
            ConfigKind::Size,
            "The size of the blocks of larger files, 1MiB to 64MiB.",
        )
        .default("8MiB"),
        field(
            "concurrency",
            "AZURE_CONCURRENCY",
            ConfigKind::Integer,
            "The most blocks of one file in flight, 1 to 64. They hold 64MiB of memory at most.",
        )
        .default(8),
        field(
            "upload_expiry",
            "AZURE_UPLOAD_EXPIRY",
            ConfigKind::Duration,
            "Uploads in parts that were not completed in this time are dropped, at most 7days: then Azure forgets \
             their blocks.",
        )
        .default("7days"),
        field("connect_timeout", "AZURE_CONNECT_TIMEOUT", ConfigKind::Duration, "How long a connection may take.")
            .default("10s"),
        field(
            "idle_timeout",
            "AZURE_IDLE_TIMEOUT",
            ConfigKind::Duration,
            "How long the service may be silent: before it answers, and in the middle of an answer. A request that sends \
             bytes, or lets the service copy some, gets a second more for each 64 KiB.",
        )
        .default("60s"),
        field(
            "keep_alive",
            "AZURE_KEEP_ALIVE",
            ConfigKind::Duration,
            "How long a connection is kept for the next request; less than the server keeps it, which of Azurite is 5s.",
        )
        .default("30s"),
        field(
            "ca_file",
            "AZURE_CA_FILE",
            ConfigKind::Path,
            "Certificates (PEM) of authorities to trust besides those of the system.",
        ),
        field(
            "proxy_url",
            "AZURE_PROXY_URL",
            ConfigKind::Url,
            "The HTTP proxy; that of the environment (HTTPS_PROXY, NO_PROXY) where absent.",
        )
        .secret(),
        field(
            "api_version",
            "AZURE_API_VERSION",
            ConfigKind::Text,
            "The service version (x-ms-version) of requests, for Azure Stack and old emulators.",
        )
        .default(SERVICE_VERSION),
    ]);
    ConfigSchema { fields }
}

impl Config {
    /// Reads the configuration of a request to open.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid`, with every fault.
    pub(crate) fn read(request: &OpenRequest) -> Result<Self> {
        let schema = schema();
        let mut reader = ConfigReader::new(&schema, &request.config);
        let (account, named) = account::read(&mut reader);
        let identity = credential::read(&mut reader, &account, named);
        let container = reader.string("container_name");
        if !container.is_empty() && !is_container_name(&container) {
            reader.fault(
                "container_name",
                format!(
                    "{container:?} is no container name: 3 to 63 of a-z, 0-9 and single dashes between them"
                ),
            );
        }
        const MIB: u64 = 1 << 20;
        let mut size = |key: &str| {
            let size_bytes = reader.size_bytes(key);
            if !(MIB..=64 * MIB).contains(&size_bytes) {
                reader.fault(key, "is not 1MiB to 64MiB");
            }
            size_bytes
        };
        let (single_bytes, block_bytes) = (size("single_size"), size("block_size"));
        let concurrency = reader.integer("concurrency");
        if !(1..=64).contains(&concurrency) {
            reader.fault("concurrency", "is not 1 to 64");
        }
        let upload_expiry = reader.duration("upload_expiry");
        if upload_expiry.is_zero() || upload_expiry > Duration::from_secs(7 * 24 * 3600) {
            reader.fault("upload_expiry", "is not more than nothing and at most 7days");
        }
        let service_version = reader.string("api_version");
        if service_version.parse::<jiff::civil::Date>().is_err() {
            reader.fault("api_version", format!("is not a date such as {SERVICE_VERSION}"));
        }
        let config = Self {
            account,
            identity,
            container,
            create_container: reader.bool("create_container"),
            tier: reader.optional_string("blob_tier"),
            rehydrate_tier: reader.string("rehydrate_tier"),
            versioning: reader.bool("versioning"),
            read_secondary: reader.bool("read_secondary"),
            service_version,
            upload_expiry,
            transfer: Transfer { single_bytes, block_bytes, concurrency: concurrency as usize },
            connection: Connection {
                connect_timeout: reader.duration("connect_timeout"),
                idle_timeout: reader.duration("idle_timeout"),
                keep_alive: reader.duration("keep_alive"),
                ca_file: reader.optional_path("ca_file"),
                proxy: reader.optional_string("proxy_url"),
            },
        };
        reader.finish(&format!("backend {}", request.name))?;
        Ok(config)
    }

    /// Where the objects are, for people.
    pub(crate) fn location(&self) -> String {
        format!("{}/{}", self.account.primary.as_str().trim_end_matches('/'), self.container)
    }
}

/// Whether a text has the form that Azure asks of a container's name.
fn is_container_name(text: &str) -> bool {
    let special = ["$root", "$web", "$logs"].contains(&text);
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let framed = !text.starts_with('-') && !text.ends_with('-') && !text.contains("--");
    special || ((3..=63).contains(&text.len()) && text.chars().all(legal) && framed)
}

/// An endpoint as it was given, with a final slash, so that paths can be joined to it.
pub(crate) fn endpoint(text: &str) -> Option<Url> {
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.query().is_none();
    usable.then_some(url)
}

#[cfg(test)]
mod tests {
    use storage_core::{ConfigValues, ErrorKind};

    use super::*;

    pub(crate) fn read(pairs: &[(&str, &str)]) -> Result<Config> {
        let mut config = ConfigValues::new();
        for (key, text) in pairs {
            config.set(*key, *text, "test");
        }
        Config::read(&OpenRequest { name: "blobs".to_owned(), config, ..OpenRequest::default() })
    }

    const SPECIFIED: [(&str, &str); 4] = [
        ("account_name", "myaccount"),
        ("account_key", "c2VjcmV0LWtleQ=="),
        ("container_name", "my-container"),
        ("blob_tier", "Hot"),
    ];

    #[test]
    fn the_specified_variables_are_enough() {
        let config = read(&SPECIFIED).expect("sound");
        assert_eq!(config.location(), "https://myaccount.blob.core.windows.net/my-container");
        assert_eq!(config.tier.as_deref(), Some("Hot"));
        assert!(!config.create_container && !config.versioning && !config.read_secondary);
        assert_eq!(config.account.secondary.as_str(), "https://myaccount-secondary.blob.core.windows.net/");
    }

    #[test]
    fn every_fault_is_told_at_once_and_no_secret_is() {
        let error = read(&[
            ("account_name", "x"),
            ("account_key", "hunter2 is not base64"),
            ("container_name", "My_Container"),
            ("blob_tier", "Warm"),
            ("block_size", "1KiB"),
            ("concurrency", "0"),
            ("upload_expiry", "30days"),
            ("api_version", "newest"),
            ("endpoint_url", "ftp://host"),
            ("acount_name", "y"),
        ])
        .expect_err("faulty");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        let text = error.to_string();
        for part in [
            "AZURE_ACCOUNT_KEY",
            "AZURE_CONTAINER_NAME",
            "AZURE_BLOB_TIER",
            "AZURE_BLOCK_SIZE",
            "AZURE_CONCURRENCY",
            "AZURE_UPLOAD_EXPIRY",
            "AZURE_API_VERSION",
            "AZURE_ENDPOINT_URL",
            "did you mean account_name?",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn containers_have_the_names_that_azure_allows() {
        for name in ["abc", "my-container-1", "$root", "0a1"] {
            assert!(is_container_name(name), "{name}");
        }
        for name in ["ab", "a--b", "-ab", "ab-", "Abc", "a_b", &"x".repeat(64)] {
            assert!(!is_container_name(name), "{name}");
        }
    }
}
