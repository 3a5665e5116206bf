//! The configuration: what may be set, and what was.

use std::fmt;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use storage_core::{ConfigField, ConfigKind, ConfigReader, ConfigSchema, OpenRequest, Result};

use crate::endpoint;

/// The smallest part of an upload that S3 takes, in bytes; only the last part may be smaller.
pub(crate) const MIN_PART_BYTES: u64 = 5 << 20;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A text that is never printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Which server, with which credentials, and how it is used.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `scheme://host[:port]`.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret,
    pub(crate) session_token: Option<Secret>,
    pub(crate) bucket: String,
    /// Whether and how the bucket is made where it does not exist.
    pub(crate) create: Option<NewBucket>,
    /// Whether the bucket must keep versions.
    pub(crate) versioning: bool,
    /// The certificates to trust besides the system's, in PEM.
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) proxy: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) part_bytes: u64,
    /// How much one transfer holds in memory.
    pub(crate) memory_bytes: u64,
    /// How old an upload in progress gets; zero for ever.
    pub(crate) abort_uploads_after: Duration,
    pub(crate) probe: bool,
}

/// How a bucket is made.
#[derive(Clone, Debug)]
pub(crate) struct NewBucket {
    /// Whether objects can be locked, which cannot be changed later.
    pub(crate) object_lock: bool,
    /// The mode and the days for which every new version is locked.
    pub(crate) default_retention: Option<(LockMode, i32)>,
    /// Objects are deleted after so many days.
    pub(crate) expire_days: Option<i32>,
    /// Old versions are deleted after so many days.
    pub(crate) expire_old_versions_days: Option<i32>,
}

/// Who may shorten a retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockMode {
    /// Whoever has the permission to bypass it.
    Governance,
    /// Nobody.
    Compliance,
}

impl LockMode {
    /// The mode's name in S3.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        }
    }
}

/// What may be set.
pub(crate) fn schema() -> ConfigSchema {
    let field = ConfigField::new;
    let mut fields = server_fields();
    fields.extend(bucket_fields());
    fields.extend([
        field("part_size", "MINIO_PART_SIZE", ConfigKind::Size,
            "Files up to this size go up in one request, larger ones in parts of at least this size; 5 MiB or more.")
            .default("8MiB"),
        field("transfer_memory", "MINIO_TRANSFER_MEMORY", ConfigKind::Size,
            "How much one upload or download holds in memory: parts under way together. The largest file is 10,000 \
             times this.")
            .default("64MiB"),
        field("abort_uploads_after", "MINIO_ABORT_UPLOADS_AFTER", ConfigKind::Duration,
            "Uploads in parts that are older than this are taken for forgotten and aborted, when the backend opens \
             and once a day; 0s leaves them.")
            .default("7days"),
        field("connect_timeout", "MINIO_CONNECT_TIMEOUT", ConfigKind::Duration,
            "How long a connection may take to be made.")
            .default("5s"),
        field("read_timeout", "MINIO_READ_TIMEOUT", ConfigKind::Duration,
            "How long the server may be silent: before it answers, and between two pieces of a body. A request that sends \
             bytes, or lets the server copy some, gets a second more for each 64 KiB.")
            .default("60s"),
        field("proxy_url", "MINIO_PROXY_URL", ConfigKind::Url,
            "The HTTP proxy that requests go through; http://user:password@host:port where it asks for them.")
            .secret(),
        field("probe", "MINIO_PROBE", ConfigKind::Bool,
            "Whether the backend finds out when it opens what the server can do, with an object that it writes and \
             removes. Without it conditional writes, tags and digests are not used.")
            .default(true),
    ]);
    ConfigSchema { fields }
}

fn server_fields() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field("endpoint_url", "MINIO_ENDPOINT_URL", ConfigKind::Text,
            "Where the server answers: http://host:9000 or https://host; without a scheme MINIO_SECURE decides.")
            .required(),
        field("access_key", "MINIO_ACCESS_KEY", ConfigKind::Text, "The name of the access key.").required(),
        field("secret_key", "MINIO_SECRET_KEY", ConfigKind::Text, "The access key's secret.").required().secret(),
        field("session_token", "MINIO_SESSION_TOKEN", ConfigKind::Text,
            "The token that belongs to temporary credentials (STS).")
            .secret(),
        field("bucket_name", "MINIO_BUCKET_NAME", ConfigKind::Text, "The bucket that holds the objects.").required(),
        field("secure", "MINIO_SECURE", ConfigKind::Bool,
            "Whether to use TLS where the endpoint has no scheme; true where neither is given."),
        field("region", "MINIO_REGION", ConfigKind::Text,
            "The region that requests are signed for; servers without regions take the default.")
            .default("us-east-1"),
        field("ca_file", "MINIO_CA_FILE", ConfigKind::Path,
            "Certificates in PEM that are trusted besides the system's, for servers with a certificate of one's own."),
    ]
}

fn bucket_fields() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field("create_bucket", "MINIO_CREATE_BUCKET", ConfigKind::Bool,
            "Whether the bucket is made where it does not exist.")
            .default(false),
        field("versioning", "MINIO_VERSIONING", ConfigKind::Bool,
            "Whether what is overwritten or deleted must be kept as an old version. A new bucket is made so; one \
             that is there and keeps no versions is refused.")
            .default(false),
        field("object_lock", "MINIO_OBJECT_LOCK", ConfigKind::Bool,
            "Whether a new bucket lets objects be locked (retention, legal hold); it keeps versions then.")
            .default(false),
        field("lock_mode", "MINIO_LOCK_MODE",
            ConfigKind::Choice(vec!["governance".to_owned(), "compliance".to_owned()]),
            "How a new bucket locks every version by default: governance may be lifted by those who are allowed to, \
             compliance by nobody. Together with MINIO_LOCK_FOR."),
        field("lock_for", "MINIO_LOCK_FOR", ConfigKind::Duration,
            "For how long a new bucket locks every version by default, in whole days."),
        field("expire_after", "MINIO_EXPIRE_AFTER", ConfigKind::Duration,
            "A new bucket deletes objects of this age, in whole days."),
        field("expire_old_versions_after", "MINIO_EXPIRE_OLD_VERSIONS_AFTER", ConfigKind::Duration,
            "A new bucket deletes old versions of this age, in whole days."),
    ]
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
        let secure = request.config.get("secure").is_some().then(|| reader.bool("secure"));
        let text = reader.string("endpoint_url");
        let endpoint = match endpoint::address(&text, secure) {
            Ok(endpoint) => endpoint,
            Err(_) if text.is_empty() => String::new(),
            Err(fault) => {
                reader.fault("endpoint_url", fault);
                String::new()
            }
        };
        let bucket = reader.string("bucket_name");
        if let Some(fault) = bucket_fault(&bucket) {
            reader.fault("bucket_name", fault);
        }
        let ca_pem = read_certificates(&mut reader, &endpoint);
        let part_bytes = reader.size_bytes("part_size");
        if !(MIN_PART_BYTES..=5 << 30).contains(&part_bytes) {
            reader.fault("part_size", "is not 5 MiB to 5 GiB, which is what S3 takes as a part");
        }
        let memory_bytes = reader.size_bytes("transfer_memory");
        if memory_bytes < part_bytes || memory_bytes > 5 << 30 {
            reader.fault("transfer_memory", "is not at least part_size (MINIO_PART_SIZE) and at most 5 GiB");
        }
        for key in ["connect_timeout", "read_timeout"] {
            if reader.duration(key).is_zero() {
                reader.fault(key, "is no time at all");
            }
        }
        let new_bucket = NewBucket::read(&mut reader);
        let create = reader.bool("create_bucket").then_some(new_bucket);
        let config = Self {
            endpoint,
            region: reader.string("region"),
            access_key: reader.string("access_key"),
            secret_key: Secret(reader.string("secret_key")),
            session_token: reader.optional_string("session_token").map(Secret),
            bucket,
            create,
            versioning: reader.bool("versioning") || reader.bool("object_lock"),
            ca_pem,
            proxy: reader.optional_string("proxy_url"),
            connect_timeout: reader.duration("connect_timeout"),
            read_timeout: reader.duration("read_timeout"),
            part_bytes,
            memory_bytes,
            abort_uploads_after: reader.duration("abort_uploads_after"),
            probe: reader.bool("probe"),
        };
        reader.finish(&format!("backend {}", request.name))?;
        Ok(config)
    }

    /// Whether requests go over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }
}

impl NewBucket {
    fn read(reader: &mut ConfigReader<'_>) -> Self {
        let mode = match reader.optional_string("lock_mode").as_deref() {
            Some("governance") => Some(LockMode::Governance),
            Some("compliance") => Some(LockMode::Compliance),
            _ => None,
        };
        let default_retention = match (mode, days(reader, "lock_for")) {
            (Some(mode), Some(days)) => Some((mode, days)),
            (None, None) => None,
            _ => {
                reader.fault(
                    "lock_mode",
                    "lock_mode (MINIO_LOCK_MODE) and lock_for (MINIO_LOCK_FOR) go together",
                );
                None
            }
        };
        let object_lock = reader.bool("object_lock");
        if default_retention.is_some() && !object_lock {
            reader
                .fault("object_lock", "a default retention needs object_lock (MINIO_OBJECT_LOCK) to be true");
        }
        Self {
            object_lock,
            default_retention,
            expire_days: days(reader, "expire_after"),
            expire_old_versions_days: days(reader, "expire_old_versions_after"),
        }
    }
}

/// A number of whole days, which is all that S3 knows.
fn days(reader: &mut ConfigReader<'_>, key: &str) -> Option<i32> {
    let duration = reader.optional_duration(key)?;
    match whole_days(duration) {
        Some(days) => Some(days),
        None => {
            reader.fault(key, "is not a number of whole days, one at least");
            None
        }
    }
}

/// The days of a span of time, where it is a number of them.
pub(crate) fn whole_days(duration: Duration) -> Option<i32> {
    let days = duration.as_secs() / DAY.as_secs();
    let whole = days > 0 && duration == DAY * u32::try_from(days).ok()?;
    whole.then(|| i32::try_from(days).ok()).flatten()
}

/// The rules that every server has in common.
fn bucket_fault(name: &str) -> Option<&'static str> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    // An empty one is a fault of the schema already.
    if name.is_empty() {
        None
    } else if !(3..=63).contains(&name.len()) || !name.chars().all(legal) {
        Some("is not 3 to 63 of a-z, 0-9, - and .")
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !name.ends_with(|c: char| c.is_ascii_alphanumeric())
        || name.contains("..")
    {
        Some("does not start and end with a letter or digit, or has two dots in a row")
    } else {
        None
    }
}

fn read_certificates(reader: &mut ConfigReader<'_>, endpoint: &str) -> Option<Vec<u8>> {
    let path = reader.optional_path("ca_file")?;
    let fault = match std::fs::read(&path) {
        Err(error) => format!("{} cannot be read: {error}", path.display()),
        Ok(_) if endpoint.starts_with("http://") => {
            "is given, but the endpoint is http://; use https:// or drop it".to_owned()
        }
        Ok(pem) => match certificates_fault(&pem) {
            Some(fault) => format!("{} {fault}", path.display()),
            None => return Some(pem),
        },
    };
    reader.fault("ca_file", fault);
    None
}

/// What keeps these certificates from being trusted. The TLS client would panic on it.
fn certificates_fault(pem: &[u8]) -> Option<String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.map_err(|error| error.to_string());
        if let Err(error) = added.and_then(|der| roots.add(der).map_err(|error| error.to_string())) {
            return Some(format!("holds a certificate that cannot be read: {error}"));
        }
    }
    roots.is_empty().then(|| "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned())
}

#[cfg(test)]
mod tests {
    use storage_core::{ConfigValues, ErrorKind};

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config> {
        let mut config = ConfigValues::new();
        let needed = [
            ("endpoint_url", "http://127.0.0.1:9000"),
            ("access_key", "key"),
            ("secret_key", "hunter2"),
            ("bucket_name", "files"),
        ];
        for (key, text) in needed.iter().chain(pairs) {
            config.set(*key, *text, "test");
        }
        Config::read(&OpenRequest { name: "minio".to_owned(), config, ..OpenRequest::default() })
    }

    #[test]
    fn four_values_are_enough() {
        let config = read(&[]).expect("enough");
        assert_eq!(
            (config.endpoint.as_str(), config.region.as_str()),
            ("http://127.0.0.1:9000", "us-east-1")
        );
        assert!(config.create.is_none() && !config.versioning && config.probe && !config.is_tls());
        assert_eq!((config.part_bytes, config.memory_bytes), (8 << 20, 64 << 20));
    }

    #[test]
    fn no_secret_is_printed() {
        let config = read(&[("session_token", "hunter3")]).expect("sound");
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let error = read(&[
            ("endpoint_url", "http://minio:9000/files"),
            ("secure", "perhaps"),
            ("bucket_name", "Files_"),
            ("part_size", "1MiB"),
            ("transfer_memory", "1KiB"),
            ("lock_mode", "governance"),
            ("expire_after", "36h"),
            ("read_timeout", "0s"),
            ("ca_file", "/no/such/file"),
            ("bucket", "files"),
        ])
        .expect_err("faulty");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        let text = error.to_string();
        for part in [
            "MINIO_ENDPOINT_URL",
            "MINIO_SECURE",
            "3 to 63 of a-z",
            "MINIO_PART_SIZE",
            "MINIO_TRANSFER_MEMORY",
            "go together",
            "whole days",
            "no time at all",
            "/no/such/file cannot be read",
            "there is no such key",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn a_new_bucket_is_made_as_it_is_described() {
        let config = read(&[
            ("create_bucket", "true"),
            ("object_lock", "true"),
            ("lock_mode", "compliance"),
            ("lock_for", "30days"),
            ("expire_old_versions_after", "90days"),
        ])
        .expect("sound");
        assert!(config.versioning, "objects can be locked only where versions are kept");
        let new = config.create.expect("to be made");
        assert_eq!(new.default_retention, Some((LockMode::Compliance, 30)));
        assert_eq!((new.expire_days, new.expire_old_versions_days), (None, Some(90)));
        let error = read(&[("lock_mode", "compliance"), ("lock_for", "1day")]).expect_err("no lock");
        assert!(error.to_string().contains("MINIO_OBJECT_LOCK"), "{error}");
    }
}
