//! The configuration of a bucket: what may be set, and what was.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use storage_core::{ConfigField, ConfigKind, ConfigReader, ConfigSchema, OpenRequest, Result};

/// Where Google's own service answers.
pub(crate) const GOOGLE: &str = "https://storage.googleapis.com";

/// The classes that an object may be saved in.
pub(crate) const CLASSES: [&str; 4] = ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"];

/// The least memory that a transfer can work with: two parts.
const MIN_TRANSFER_BYTES: u64 = 16 << 20;

/// How the bucket is reached and used.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) bucket: String,
    pub(crate) project: Option<String>,
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) credentials_json: Option<Secret>,
    pub(crate) anonymous: bool,
    pub(crate) impersonate: Option<String>,
    pub(crate) signer: Option<String>,
    pub(crate) user_project: Option<String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) location: String,
    pub(crate) create_bucket: bool,
    pub(crate) versioning: bool,
    pub(crate) autoclass: bool,
    pub(crate) soft_delete: Option<Duration>,
    pub(crate) retention: Option<Duration>,
    pub(crate) kms_key: Option<String>,
    pub(crate) composite_threshold_bytes: u64,
    pub(crate) transfer_memory_bytes: u64,
    pub(crate) endpoint: String,
    pub(crate) iam_endpoint: String,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) proxy: Option<Secret>,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) cdn: Option<Cdn>,
}

/// What signs URLs of Cloud CDN.
#[derive(Clone, Debug)]
pub(crate) struct Cdn {
    pub(crate) url: String,
    pub(crate) key_name: String,
    pub(crate) key: Secret,
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What may be set.
pub(crate) fn schema() -> ConfigSchema {
    let mut fields = access();
    fields.extend(bucket());
    fields.extend(transport());
    ConfigSchema { fields }
}

fn field(key: &str, variable: &str, kind: ConfigKind, description: &str) -> ConfigField {
    ConfigField::new(key, variable, kind, description)
}

/// Who asks, and for which bucket.
fn access() -> Vec<ConfigField> {
    vec![
        field("bucket_name", "GCS_BUCKET_NAME", ConfigKind::Text, "The bucket that holds the files.")
            .required(),
        field(
            "project_id",
            "GCS_PROJECT_ID",
            ConfigKind::Text,
            "The project that a new bucket belongs to. Needed to create one, and for nothing else.",
        ),
        field(
            "credentials_file",
            "GOOGLE_APPLICATION_CREDENTIALS",
            ConfigKind::Path,
            "The JSON file with the credentials: a service account's key, an external account (workload identity \
             federation), an authorised user or an impersonation. Without it the application-default credentials \
             are used: those of `gcloud auth application-default login`, else those of the machine.",
        ),
        field(
            "credentials_json",
            "GCS_CREDENTIALS_JSON",
            ConfigKind::Text,
            "The content of such a file, in its place.",
        )
        .secret(),
        field(
            "auth",
            "GCS_AUTH",
            ConfigKind::Choice(vec!["default".to_owned(), "none".to_owned()]),
            "`none` sends no credentials: for public buckets and for emulators.",
        )
        .default("default"),
        field(
            "impersonate",
            "GCS_IMPERSONATE_SERVICE_ACCOUNT",
            ConfigKind::Text,
            "The e-mail of a service account to act as; the credentials need roles/iam.serviceAccountTokenCreator on it.",
        ),
        field(
            "signer_email",
            "GCS_SIGNER_EMAIL",
            ConfigKind::Text,
            "The service account that signs URLs through IAM, where the credentials have no key of their own; they \
             need roles/iam.serviceAccountTokenCreator on it.",
        ),
        field(
            "user_project",
            "GCS_USER_PROJECT",
            ConfigKind::Text,
            "The project that pays for requests to a requester-pays bucket.",
        ),
    ]
}

/// The bucket, and how files lie in it.
fn bucket() -> Vec<ConfigField> {
    let classes = CLASSES.map(str::to_owned).to_vec();
    vec![
        field(
            "storage_class",
            "GCS_STORAGE_CLASS",
            ConfigKind::Choice(classes),
            "The class of new files; the bucket's own default where it is not set. A new bucket gets it as its default.",
        ),
        field(
            "location",
            "GCS_LOCATION",
            ConfigKind::Text,
            "Where a new bucket lies: a region (EUROPE-WEST3), a dual-region (EUR4), a pair of regions \
             (EUROPE-WEST1+EUROPE-WEST4) or a multi-region (EU).",
        )
        .default("US"),
        field(
            "create_bucket",
            "GCS_CREATE_BUCKET",
            ConfigKind::Bool,
            "Whether the bucket is created where it does not exist, with uniform access and no public access.",
        )
        .default(false),
        field("versioning", "GCS_VERSIONING", ConfigKind::Bool, "Whether a new bucket keeps old versions.")
            .default(false),
        field(
            "autoclass",
            "GCS_AUTOCLASS",
            ConfigKind::Bool,
            "Whether Google moves the files of a new bucket between the classes, down to ARCHIVE.",
        )
        .default(false),
        field(
            "soft_delete",
            "GCS_SOFT_DELETE",
            ConfigKind::Duration,
            "How long a new bucket keeps what was deleted: 7days to 90days, or 0s for not at all. Google's default \
             is 7 days, during which temporary parts of large uploads are billed as well.",
        ),
        field(
            "retention",
            "GCS_RETENTION",
            ConfigKind::Duration,
            "How long no file of a new bucket can be overwritten or deleted. Uploads in parts need temporary \
             objects and are off in such a bucket.",
        ),
        field(
            "kms_key",
            "GCS_KMS_KEY_NAME",
            ConfigKind::Text,
            "The Cloud KMS key that new files are encrypted with: projects/…/locations/…/keyRings/…/cryptoKeys/….",
        ),
        field(
            "composite_threshold",
            "GCS_COMPOSITE_THRESHOLD",
            ConfigKind::Size,
            "Files of this length and more, and those of unknown length, are uploaded in parallel parts that the \
             bucket then joins, where their class is STANDARD or Autoclass chooses it. Such files have a CRC-32C and \
             no MD5. 0 turns it off.",
        )
        .default("32MiB"),
        field(
            "transfer_memory",
            "GCS_TRANSFER_MEMORY",
            ConfigKind::Size,
            "The most memory that one upload or download takes for its parts.",
        )
        .default("64MiB"),
        field("cdn_url", "GCS_CDN_URL", ConfigKind::Url, "Where Cloud CDN serves the bucket: https://cdn.example.org."),
        field("cdn_key_name", "GCS_CDN_KEY_NAME", ConfigKind::Text, "The name of the key that signs URLs of Cloud CDN."),
        field(
            "cdn_key",
            "GCS_CDN_KEY",
            ConfigKind::Text,
            "That key: 16 bytes in the URL-safe Base64 in which gcloud takes it.",
        )
        .secret(),
    ]
}

/// How requests travel.
fn transport() -> Vec<ConfigField> {
    vec![
        field(
            "endpoint_url",
            "GCS_ENDPOINT_URL",
            ConfigKind::Url,
            "Where the service answers: Google's, a private endpoint, or an emulator.",
        )
        .default(GOOGLE),
        field(
            "iam_endpoint_url",
            "GCS_IAM_ENDPOINT_URL",
            ConfigKind::Url,
            "Where IAM signs for `signer_email`.",
        )
        .default("https://iamcredentials.googleapis.com"),
        field(
            "ca_file",
            "GCS_CA_FILE",
            ConfigKind::Path,
            "A PEM file of further authorities to trust. Requests for tokens go through Google's crate, which \
             trusts those of the system and of SSL_CERT_FILE.",
        ),
        field(
            "proxy_url",
            "GCS_PROXY_URL",
            ConfigKind::Url,
            "The proxy to use. Without it HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment count.",
        )
        .secret(),
        field(
            "connect_timeout",
            "GCS_CONNECT_TIMEOUT",
            ConfigKind::Duration,
            "How long connecting may take.",
        )
        .default("10s"),
        field(
            "read_timeout",
            "GCS_READ_TIMEOUT",
            ConfigKind::Duration,
            "How long the service may stay silent within an answer or before one. Before an answer it has a second more \
             for each 64 KiB that the request sends.",
        )
        .default("60s"),
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
        check(&mut reader);
        let cdn = read_cdn(&mut reader);
        let config = Self {
            bucket: reader.string("bucket_name"),
            project: reader.optional_string("project_id"),
            credentials_file: reader.optional_path("credentials_file"),
            credentials_json: reader.optional_string("credentials_json").map(Secret),
            anonymous: reader.string("auth") == "none",
            impersonate: reader.optional_string("impersonate"),
            signer: reader.optional_string("signer_email"),
            user_project: reader.optional_string("user_project"),
            storage_class: reader.optional_string("storage_class"),
            location: reader.string("location"),
            create_bucket: reader.bool("create_bucket"),
            versioning: reader.bool("versioning"),
            autoclass: reader.bool("autoclass"),
            soft_delete: reader.optional_duration("soft_delete"),
            retention: reader.optional_duration("retention"),
            kms_key: reader.optional_string("kms_key"),
            composite_threshold_bytes: reader.size_bytes("composite_threshold"),
            transfer_memory_bytes: reader.size_bytes("transfer_memory"),
            endpoint: reader.string("endpoint_url").trim_end_matches('/').to_owned(),
            iam_endpoint: reader.string("iam_endpoint_url").trim_end_matches('/').to_owned(),
            ca_file: reader.optional_path("ca_file"),
            proxy: reader.optional_string("proxy_url").map(Secret),
            connect_timeout: reader.duration("connect_timeout"),
            read_timeout: reader.duration("read_timeout"),
            cdn,
        };
        reader.finish(&format!("backend {}", request.name))?;
        Ok(config)
    }

    /// The two regions of a bucket that lies in a pair of them.
    pub(crate) fn pair_of_regions(&self) -> Option<(&str, &str)> {
        self.location.split_once('+')
    }
}

/// What the schema cannot say.
fn check(reader: &mut ConfigReader<'_>) {
    let bucket = reader.string("bucket_name");
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let ends = edge(bucket.chars().next()) && edge(bucket.chars().next_back());
    let is_legal = ends && (3..=222).contains(&bucket.len()) && bucket.chars().all(legal);
    if !bucket.is_empty() && !is_legal {
        reader.fault(
            "bucket_name",
            format!(
                "{bucket:?} is not the name of a bucket: 3 to 222 of a-z, 0-9, '-', '_' and '.', with a letter or \
                 digit at both ends, without gs://"
            ),
        );
    }
    if reader.optional_path("credentials_file").is_some()
        && reader.optional_string("credentials_json").is_some()
    {
        reader.fault(
            "credentials_json",
            "is given together with a file of credentials: which of the two is meant?",
        );
    }
    if reader.bool("create_bucket") && reader.optional_string("project_id").is_none() {
        reader.fault("project_id", "is required to create a bucket: the project that it is to belong to");
    }
    if reader.bool("autoclass")
        && reader.optional_string("storage_class").is_some_and(|class| class != "STANDARD")
    {
        reader.fault(
            "storage_class",
            "cannot be chosen for a bucket with Autoclass, which begins with STANDARD",
        );
    }
    if reader.bool("versioning") && reader.optional_duration("retention").is_some() {
        reader.fault("retention", "cannot be had together with versioning, which Google does not allow");
    }
    let week = Duration::from_secs(7 * 24 * 3600);
    let soft_delete = reader.optional_duration("soft_delete").filter(|time| !time.is_zero());
    if soft_delete.is_some_and(|time| time < week || time > Duration::from_secs(90 * 24 * 3600)) {
        reader.fault("soft_delete", "is neither 7days to 90days nor 0s");
    }
    if reader.size_bytes("transfer_memory") < MIN_TRANSFER_BYTES {
        reader.fault("transfer_memory", "is below the 16MiB that two parts take");
    }
}

fn read_cdn(reader: &mut ConfigReader<'_>) -> Option<Cdn> {
    let url = reader.optional_string("cdn_url");
    let key_name = reader.optional_string("cdn_key_name");
    let key = reader.optional_string("cdn_key");
    match (url, key_name, key) {
        (Some(url), Some(key_name), Some(key)) => {
            if crate::cdn::decode_key(&key).is_none() {
                reader.fault("cdn_key", "the value is not 16 bytes in URL-safe Base64");
            }
            let url = url.trim_end_matches('/').to_owned();
            Some(Cdn { url, key_name, key: Secret(key) })
        }
        (None, None, None) => None,
        (url, key_name, key) => {
            let parts = [
                ("cdn_url", url.is_some()),
                ("cdn_key_name", key_name.is_some()),
                ("cdn_key", key.is_some()),
            ];
            for (name, _) in parts.iter().filter(|(_, given)| !given) {
                reader.fault(name, "is missing: URLs of Cloud CDN need its URL, a key and the key's name");
            }
            None
        }
    }
}
