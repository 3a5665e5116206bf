//! The configuration of a bucket: what may be set, and what was.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_s3::types::StorageClass;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use storage_core::{ConfigReader, OpenRequest, Result};

use crate::bucket::{Kind, has_zone};
use crate::class::Tiers;
use crate::schema::schema;

/// The smallest part of an upload but the last: S3's limit.
pub(crate) const MIN_PART_BYTES: u64 = 5 << 20;
/// The largest part of an upload, and the largest object that one request stores or copies: S3's limit.
pub(crate) const MAX_PART_BYTES: u64 = 5 << 30;
/// The most parts of an upload: S3's limit.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for the provider's eyes alone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How this bucket is reached and used.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// A bucket's name, or the ARN or name of an access point.
    pub(crate) bucket: String,
    /// Absent: the profile's, or that of the machine.
    pub(crate) region: Option<String>,
    pub(crate) credentials: CredentialSource,
    pub(crate) assume_role: Option<AssumeRole>,
    pub(crate) storage_class: StorageClass,
    pub(crate) tiers: Tiers,
    pub(crate) restore_days: i32,
    pub(crate) encryption: Encryption,
    pub(crate) create_bucket: bool,
    /// What to make of the bucket's versioning; absent: it is left as it is.
    pub(crate) versioning: Option<bool>,
    pub(crate) object_lock: bool,
    pub(crate) endpoints: Endpoints,
    pub(crate) part_bytes: u64,
    pub(crate) concurrency: usize,
    /// Objects larger than this are copied in parts of this size.
    pub(crate) copy_part_bytes: u64,
    /// When an upload that nobody completed is aborted; absent: never.
    pub(crate) abort_uploads_after: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) proxy: Proxy,
    /// Where operation metrics go, and how often.
    pub(crate) metrics: Option<(String, Duration)>,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(crate) enum CredentialSource {
    /// They are in the configuration.
    Keys { id: String, secret: Secret, session_token: Option<Secret> },
    /// A file holds a token that is exchanged for them (Kubernetes).
    WebIdentity { role_arn: String, token_file: PathBuf },
    /// Wherever the AWS tools look: environment, profile, SSO, web identity, container, instance.
    Chain { profile: Option<String> },
}

/// A role that is taken on with the credentials.
#[derive(Clone, Debug)]
pub(crate) struct AssumeRole {
    pub(crate) arn: String,
    pub(crate) external_id: Option<String>,
}

/// Other hosts than Amazon's usual ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    pub(crate) s3: Option<String>,
    pub(crate) sts: Option<String>,
    pub(crate) cloudwatch: Option<String>,
    pub(crate) path_style: bool,
    pub(crate) accelerate: bool,
    pub(crate) dual_stack: bool,
    pub(crate) fips: bool,
}

/// How objects are encrypted where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// As the bucket has it.
    Bucket,
    /// SSE-S3.
    S3,
    /// SSE-KMS, with one layer or two.
    Kms { key_id: Option<String>, bucket_key: Option<bool>, two_layers: bool },
    /// SSE-C: the key goes along with every request and S3 does not keep it.
    Customer { key: Secret, key_md5: String },
}

/// Through what requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// What `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    Environment,
    /// Nothing.
    None,
    /// This one.
    Url(Secret),
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
        let config = Self {
            bucket: bucket(&mut reader),
            region: text(&mut reader, "region"),
            credentials: credentials(&mut reader),
            assume_role: assume_role(&mut reader),
            storage_class: StorageClass::from(reader.string("storage_class").as_str()),
            tiers: tiers(&mut reader),
            restore_days: bounded(&mut reader, "restore_days", 1, 3650) as i32,
            encryption: encryption(&mut reader),
            create_bucket: reader.bool("create_bucket"),
            versioning: text(&mut reader, "versioning").map(|_| reader.bool("versioning")),
            object_lock: reader.bool("object_lock"),
            endpoints: endpoints(&mut reader),
            part_bytes: part_bytes(&mut reader),
            copy_part_bytes: copy_part_bytes(&mut reader),
            concurrency: bounded(&mut reader, "concurrency", 1, 64) as usize,
            abort_uploads_after: Some(reader.duration("abort_uploads_after")).filter(|age| !age.is_zero()),
            connect_timeout: positive(&mut reader, "connect_timeout"),
            read_timeout: positive(&mut reader, "read_timeout"),
            ca_file: reader.optional_path("ca_file"),
            proxy: proxy(&mut reader),
            metrics: text(&mut reader, "cloudwatch_namespace")
                .map(|namespace| (namespace, positive(&mut reader, "cloudwatch_interval"))),
        };
        if config.object_lock && config.versioning == Some(false) {
            reader.fault("versioning", "is false, but object_lock needs versions");
        }
        match config.kind() {
            Kind::General | Kind::AccessPoint => config.check_general(&mut reader),
            Kind::MultiRegion => config.check_multi_region(&mut reader),
            Kind::Directory | Kind::DirectoryAccessPoint => config.check_directory(&mut reader),
        }
        reader.finish(&format!("backend {}", request.name))?;
        Ok(config)
    }

    /// What sort of bucket it is.
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(&self.bucket)
    }

    /// Refuses what only directory buckets have.
    fn check_general(&self, reader: &mut ConfigReader<'_>) {
        if self.storage_class == StorageClass::ExpressOnezone {
            reader.fault(
                "storage_class",
                "EXPRESS_ONEZONE is the class of directory buckets alone, whose names end in --ZONE--x-s3 \
                 (resumes--use1-az4--x-s3)",
            );
        }
    }

    /// Refuses what cannot be done through an access point of several regions.
    fn check_multi_region(&self, reader: &mut ConfigReader<'_>) {
        self.check_general(reader);
        if !self.bucket.ends_with(".mrap") {
            reader.fault(
                "bucket_name",
                "names no region and so must be a multi-region access point by its alias: \
                 arn:aws:s3::ACCOUNT:accesspoint/ALIAS.mrap",
            );
        }
        if self.endpoints.s3.is_some() {
            reader.fault("endpoint_url", "cannot be set: a multi-region access point has a host of its own");
        }
        for (key, is_set) in [
            ("accelerate", self.endpoints.accelerate),
            ("dual_stack", self.endpoints.dual_stack),
            ("fips", self.endpoints.fips),
        ] {
            if is_set {
                reader.fault(key, "has no host for multi-region access points");
            }
        }
        if self.versioning == Some(true) {
            reader.fault(
                "versioning",
                "cannot be set through a multi-region access point: set it in its buckets",
            );
        }
    }

    /// Refuses what directory buckets do not have.
    fn check_directory(&self, reader: &mut ConfigReader<'_>) {
        if !has_zone(&self.bucket) {
            reader.fault(
                "bucket_name",
                "is that of a directory bucket without its zone: NAME--ZONE--x-s3, as in resumes--use1-az4--x-s3",
            );
        }
        if ![StorageClass::Standard, StorageClass::ExpressOnezone].contains(&self.storage_class) {
            reader.fault(
                "storage_class",
                "cannot be chosen: a directory bucket has one class, EXPRESS_ONEZONE",
            );
        }
        if self.create_bucket && self.kind() == Kind::DirectoryAccessPoint {
            reader.fault("create_bucket", "a bucket cannot be created through an access point");
        }
        for (key, is_set) in [
            ("versioning", self.versioning == Some(true)),
            ("object_lock", self.object_lock),
            ("accelerate", self.endpoints.accelerate),
            ("path_style", self.endpoints.path_style && self.endpoints.s3.is_none()),
        ] {
            if is_set {
                reader.fault(key, "is not to be had with a directory bucket");
            }
        }
        match &self.encryption {
            Encryption::Bucket | Encryption::S3 => {}
            Encryption::Customer { .. } | Encryption::Kms { two_layers: true, .. } => {
                reader.fault("encryption", "of a directory bucket is none, AES256 or aws:kms");
            }
            Encryption::Kms { key_id, bucket_key, .. } => {
                if bucket_key.is_some() {
                    reader.fault("kms_bucket_key", "cannot be chosen: a directory bucket always has one");
                }
                if key_id.as_ref().is_some_and(|id| id.starts_with("alias/") || id.contains(":alias/")) {
                    reader
                        .fault("kms_key_id", "of a directory bucket is an id or the ARN of a key, no alias");
                }
            }
        }
    }

    /// Where the objects are, for people.
    pub(crate) fn location(&self) -> String {
        match &self.endpoints.s3 {
            Some(endpoint) => format!("{}/{}", endpoint.trim_end_matches('/'), self.bucket),
            None => format!("s3://{}", self.bucket),
        }
    }
}

/// A text that is there and not empty.
fn text(reader: &mut ConfigReader<'_>, key: &str) -> Option<String> {
    reader.optional_string(key).filter(|text| !text.is_empty())
}

fn secret(reader: &mut ConfigReader<'_>, key: &str) -> Option<Secret> {
    text(reader, key).map(Secret)
}

fn bounded(reader: &mut ConfigReader<'_>, key: &str, least: u64, most: u64) -> u64 {
    let value = reader.optional_integer(key);
    if value.is_some_and(|value| !(least..=most).contains(&value)) {
        reader.fault(key, format!("is not {least} to {most}"));
    }
    value.unwrap_or(least).clamp(least, most)
}

fn positive(reader: &mut ConfigReader<'_>, key: &str) -> Duration {
    let value = reader.optional_duration(key);
    if value.is_some_and(|value| value.is_zero()) {
        reader.fault(key, "is zero");
    }
    value.unwrap_or_default()
}

fn bucket(reader: &mut ConfigReader<'_>) -> String {
    let bucket = reader.string("bucket_name");
    let is_arn = bucket.starts_with("arn:");
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if is_arn && !bucket.contains(":accesspoint") {
        reader
            .fault("bucket_name", "is an ARN, but not that of an access point: give the bucket's name alone");
    } else if is_arn && bucket.split(':').nth(2) == Some("s3express") {
        reader.fault(
            "bucket_name",
            "is the ARN of an access point of a directory bucket: give its name, which ends in --xa-s3",
        );
    } else if !is_arn && !bucket.is_empty() && !bucket.chars().all(legal) {
        reader.fault(
            "bucket_name",
            format!(
                "{bucket:?} is no bucket's name: letters, digits, dots and hyphens, no s3:// and no path"
            ),
        );
    }
    if is_arn && reader.bool("create_bucket") {
        reader.fault("create_bucket", "a bucket cannot be created through an access point");
    }
    bucket
}

fn credentials(reader: &mut ConfigReader<'_>) -> CredentialSource {
    let id = text(reader, "access_key_id");
    let key = secret(reader, "secret_access_key");
    let session_token = secret(reader, "session_token");
    let role_arn = text(reader, "role_arn");
    let token_file = reader.optional_path("web_identity_token_file");
    match (id, key) {
        (Some(id), Some(secret)) => return CredentialSource::Keys { id, secret, session_token },
        (Some(_), None) => {
            reader.fault("secret_access_key", "is missing, but access_key_id (AWS_ACCESS_KEY_ID) is set");
        }
        (None, Some(_)) => {
            reader.fault("access_key_id", "is missing, but secret_access_key (AWS_SECRET_ACCESS_KEY) is set");
        }
        (None, None) if session_token.is_some() => {
            reader.fault("session_token", "is set without the keys that it belongs to");
        }
        (None, None) => {}
    }
    match (role_arn, token_file) {
        (Some(role_arn), Some(token_file)) => CredentialSource::WebIdentity { role_arn, token_file },
        (None, Some(_)) => {
            reader.fault("role_arn", "is missing, but web_identity_token_file is set");
            CredentialSource::Chain { profile: None }
        }
        // A role without a token file is the profile's business: the chain reads it.
        (_, None) => CredentialSource::Chain { profile: text(reader, "profile") },
    }
}

fn assume_role(reader: &mut ConfigReader<'_>) -> Option<AssumeRole> {
    let external_id = text(reader, "assume_role_external_id");
    let arn = text(reader, "assume_role_arn");
    if arn.is_none() && external_id.is_some() {
        reader.fault("assume_role_external_id", "is set without assume_role_arn");
    }
    Some(AssumeRole { arn: arn?, external_id })
}

fn tiers(reader: &mut ConfigReader<'_>) -> Tiers {
    const KEYS: [&str; 4] = ["tier_hot", "tier_warm", "tier_cold", "tier_glacier"];
    let names = KEYS.map(|key| reader.string(key));
    for (at, name) in names.iter().enumerate() {
        if let Some(other) = names[..at].iter().position(|earlier| earlier == name) {
            reader.fault(KEYS[at], format!("{name} is the class of {} already", KEYS[other]));
        }
    }
    Tiers::new(names.map(|name| StorageClass::from(name.as_str())))
}

fn encryption(reader: &mut ConfigReader<'_>) -> Encryption {
    let kind = reader.string("encryption");
    let key_id = text(reader, "kms_key_id");
    let bucket_key = text(reader, "kms_bucket_key").map(|_| reader.bool("kms_bucket_key"));
    let customer_key = secret(reader, "customer_key");
    if !kind.starts_with("aws:kms") && (key_id.is_some() || bucket_key.is_some()) {
        let key = if key_id.is_some() { "kms_key_id" } else { "kms_bucket_key" };
        reader.fault(key, "is set, but encryption (AWS_S3_ENCRYPTION) is neither aws:kms nor aws:kms:dsse");
    }
    if kind != "customer" && customer_key.is_some() {
        reader.fault("customer_key", "is set, but encryption (AWS_S3_ENCRYPTION) is not customer");
    }
    match kind.as_str() {
        "AES256" => Encryption::S3,
        "aws:kms" => Encryption::Kms { key_id, bucket_key, two_layers: false },
        "aws:kms:dsse" => {
            if bucket_key == Some(true) {
                reader.fault("kms_bucket_key", "is true, but two layers (aws:kms:dsse) have no bucket key");
            }
            Encryption::Kms { key_id, bucket_key: None, two_layers: true }
        }
        "customer" => {
            let raw = customer_key.as_ref().and_then(|key| BASE64.decode(key.reveal()).ok());
            let Some(raw) = raw.filter(|raw| raw.len() == 32) else {
                reader.fault(
                    "customer_key",
                    "is not the base64 of 32 bytes: make one with openssl rand -base64 32",
                );
                return Encryption::Bucket;
            };
            let key_md5 = BASE64.encode(crate::digest::md5(&raw));
            customer_key.map_or(Encryption::Bucket, |key| Encryption::Customer { key, key_md5 })
        }
        _ => Encryption::Bucket,
    }
}

fn endpoints(reader: &mut ConfigReader<'_>) -> Endpoints {
    let s3 = text(reader, "endpoint_url");
    let accelerate = reader.bool("accelerate");
    let dual_stack = reader.bool("dual_stack");
    let fips = reader.bool("fips");
    let bucket = reader.string("bucket_name");
    if s3.is_some() {
        for (key, is_set) in [("accelerate", accelerate), ("dual_stack", dual_stack), ("fips", fips)] {
            if is_set {
                reader.fault(key, "chooses one of Amazon's hosts, but endpoint_url names another");
            }
        }
    }
    if accelerate && (bucket.contains('.') || bucket.starts_with("arn:")) {
        reader.fault("accelerate", "takes neither buckets with dots in their names nor access points");
    }
    if accelerate && fips {
        reader.fault("accelerate", "has no FIPS hosts");
    }
    let path_style = text(reader, "path_style").map(|_| reader.bool("path_style"));
    Endpoints {
        sts: text(reader, "sts_endpoint_url"),
        cloudwatch: text(reader, "cloudwatch_endpoint_url"),
        // A host of one's own rarely has a name for each bucket.
        path_style: path_style.unwrap_or(s3.is_some() && Kind::of(&bucket) == Kind::General),
        s3,
        accelerate,
        dual_stack,
        fips,
    }
}

fn part_bytes(reader: &mut ConfigReader<'_>) -> u64 {
    let bytes = reader.optional_size_bytes("part_size");
    if bytes.is_some_and(|bytes| !(MIN_PART_BYTES..=1 << 30).contains(&bytes)) {
        reader.fault("part_size", "is not 5MiB to 1GiB");
    }
    bytes.unwrap_or(MIN_PART_BYTES).clamp(MIN_PART_BYTES, 1 << 30)
}

fn copy_part_bytes(reader: &mut ConfigReader<'_>) -> u64 {
    let bytes = reader.optional_size_bytes("copy_part_size");
    if bytes.is_some_and(|bytes| !(MIN_PART_BYTES..=MAX_PART_BYTES).contains(&bytes)) {
        reader.fault("copy_part_size", "is not 5MiB to 5GiB");
    }
    bytes.unwrap_or(MAX_PART_BYTES).clamp(MIN_PART_BYTES, MAX_PART_BYTES)
}

fn proxy(reader: &mut ConfigReader<'_>) -> Proxy {
    match text(reader, "proxy") {
        None => Proxy::Environment,
        Some(word) if word == "none" => Proxy::None,
        Some(url) => {
            if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
                reader.fault("proxy", "is neither none nor a URL such as http://proxy.example.org:3128");
            }
            Proxy::Url(Secret(url))
        }
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{ConfigValues, ErrorKind, Tier};

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config> {
        let mut config = ConfigValues::new();
        config.set("bucket_name", "resumes", "test");
        for (key, text) in pairs {
            config.set(*key, *text, "test");
        }
        Config::read(&OpenRequest { name: "hot".to_owned(), config, ..OpenRequest::default() })
    }

    fn refused(pairs: &[(&str, &str)], parts: &[&str]) {
        let error = read(pairs).expect_err("faulty");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    const KEYS: [(&str, &str); 2] = [("access_key_id", "AKIA"), ("secret_access_key", "hunter2")];

    #[test]
    fn a_bucket_alone_is_a_configuration() {
        let config = read(&[]).expect("the defaults");
        assert!(matches!(config.credentials, CredentialSource::Chain { profile: None }));
        assert_eq!(config.storage_class, StorageClass::Standard);
        assert_eq!(config.tiers.class(Tier::Cold), &StorageClass::GlacierIr);
        assert_eq!((config.part_bytes, config.concurrency), (8 << 20, 8));
        assert_eq!(config.location(), "s3://resumes");
        assert!(!config.create_bucket && config.versioning.is_none() && config.metrics.is_none());
    }

    #[test]
    fn credentials_are_of_one_form_and_whole() {
        let config = read(&KEYS).expect("keys");
        assert!(matches!(config.credentials, CredentialSource::Keys { session_token: None, .. }));
        let identity = [("role_arn", "arn:aws:iam::1:role/r"), ("web_identity_token_file", "/token")];
        let config = read(&identity).expect("web identity");
        assert!(matches!(config.credentials, CredentialSource::WebIdentity { .. }));
        let config = read(&[("profile", "work")]).expect("a profile");
        assert!(
            matches!(config.credentials, CredentialSource::Chain { profile: Some(name) } if name == "work")
        );
        refused(&KEYS[..1], &["secret_access_key (AWS_SECRET_ACCESS_KEY): is missing"]);
        refused(&KEYS[1..], &["access_key_id (AWS_ACCESS_KEY_ID): is missing"]);
        refused(&[("session_token", "t")], &["AWS_SESSION_TOKEN", "without the keys"]);
        refused(&identity[1..], &["AWS_ROLE_ARN"]);
        refused(&[("assume_role_external_id", "x")], &["AWS_S3_ASSUME_ROLE_EXTERNAL_ID"]);
    }

    #[test]
    fn no_secret_is_printed() {
        let key = BASE64.encode([7; 32]);
        let config = read(&[
            KEYS[0],
            KEYS[1],
            ("session_token", "hunter3"),
            ("encryption", "customer"),
            ("customer_key", &key),
            ("proxy", "http://user:hunter4@proxy:1"),
        ]);
        let text = format!("{:?}", config.expect("sound"));
        assert!(!text.contains("hunter") && !text.contains(&key), "{text}");
    }

    #[test]
    fn encryption_goes_with_its_own_settings_alone() {
        let kms = [("encryption", "aws:kms"), ("kms_key_id", "alias/app"), ("kms_bucket_key", "true")];
        let expected = Encryption::Kms {
            key_id: Some("alias/app".to_owned()),
            bucket_key: Some(true),
            two_layers: false,
        };
        assert_eq!(read(&kms).expect("KMS").encryption, expected);
        refused(&kms[1..], &["AWS_S3_KMS_KEY_ID", "neither aws:kms"]);
        refused(&[("encryption", "aws:kms:dsse"), kms[2]], &["AWS_S3_KMS_BUCKET_KEY", "no bucket key"]);
        refused(&[("encryption", "customer"), ("customer_key", "short")], &["openssl rand", "CUSTOMER_KEY"]);
        refused(&[("encryption", "customer")], &["AWS_S3_CUSTOMER_KEY"]);
        refused(&[("encryption", "AES-256")], &["AWS_S3_ENCRYPTION", "one of none, AES256"]);
    }

    #[test]
    fn access_points_and_hosts_exclude_what_they_cannot_do() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/resumes";
        assert_eq!(read(&[("bucket_name", arn)]).expect("an access point").kind(), Kind::AccessPoint);
        refused(&[("bucket_name", arn), ("create_bucket", "true")], &["AWS_S3_CREATE_BUCKET"]);
        refused(&[("bucket_name", "arn:aws:s3:::resumes")], &["the bucket's name alone"]);
        refused(&[("bucket_name", "s3://resumes/a")], &["no s3://"]);
        refused(&[("accelerate", "true"), ("endpoint_url", "http://h:1")], &["AWS_S3_ACCELERATE"]);
        refused(&[("accelerate", "true"), ("bucket_name", "a.b")], &["dots"]);
        assert!(read(&[("endpoint_url", "http://h:1")]).expect("a host").endpoints.path_style);
    }

    #[test]
    fn a_multi_region_access_point_excludes_what_belongs_to_one_region() {
        let arn = ("bucket_name", "arn:aws:s3::1:accesspoint/x.mrap");
        assert_eq!(read(&[arn]).expect("sound").kind(), Kind::MultiRegion);
        refused(&[("bucket_name", "arn:aws:s3::1:accesspoint/x")], &["ALIAS.mrap"]);
        for (key, value, variable) in [
            ("endpoint_url", "http://h:1", "AWS_S3_ENDPOINT_URL"),
            ("accelerate", "true", "AWS_S3_ACCELERATE"),
            ("dual_stack", "true", "AWS_S3_DUAL_STACK"),
            ("fips", "true", "AWS_S3_FIPS"),
            ("versioning", "true", "AWS_S3_VERSIONING"),
            ("create_bucket", "true", "AWS_S3_CREATE_BUCKET"),
            ("storage_class", "EXPRESS_ONEZONE", "directory buckets alone"),
        ] {
            refused(&[arn, (key, value)], &[variable]);
        }
    }

    #[test]
    fn a_directory_bucket_excludes_what_it_does_not_have() {
        let bucket = ("bucket_name", "resumes--use1-az4--x-s3");
        let config = read(&[bucket, ("storage_class", "EXPRESS_ONEZONE"), ("encryption", "aws:kms")]);
        assert_eq!(config.expect("sound").kind(), Kind::Directory);
        refused(&[("bucket_name", "resumes--x-s3")], &["without its zone", "resumes--use1-az4--x-s3"]);
        refused(&[("storage_class", "EXPRESS_ONEZONE")], &["--ZONE--x-s3"]);
        let access_point = ("bucket_name", "readers--use1-az4--xa-s3");
        refused(&[access_point, ("create_bucket", "true")], &["through an access point"]);
        let arn = "arn:aws:s3express:us-east-1:1:accesspoint/readers--use1-az4--xa-s3";
        refused(&[("bucket_name", arn)], &["give its name", "--xa-s3"]);
        let key = BASE64.encode([7; 32]);
        for (pairs, wanted) in [
            (&[("storage_class", "GLACIER")][..], "one class"),
            (&[("versioning", "true")], "AWS_S3_VERSIONING"),
            (&[("object_lock", "true")], "AWS_S3_OBJECT_LOCK"),
            (&[("accelerate", "true")], "AWS_S3_ACCELERATE"),
            (&[("path_style", "true")], "AWS_S3_PATH_STYLE"),
            (&[("encryption", "customer"), ("customer_key", &key)], "none, AES256 or aws:kms"),
            (&[("encryption", "aws:kms:dsse")], "none, AES256 or aws:kms"),
            (&[("encryption", "aws:kms"), ("kms_bucket_key", "false")], "always has one"),
            (&[("encryption", "aws:kms"), ("kms_key_id", "alias/app")], "no alias"),
        ] {
            refused(&[&[bucket], pairs].concat(), &[wanted]);
        }
    }

    #[test]
    fn the_readme_has_every_key_with_its_variable() {
        let readme = include_str!("../README.md");
        for field in schema().fields {
            let row = format!("| `{}` | `{}` |", field.key, field.variable);
            assert!(readme.contains(&row), "{row} is missing");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        refused(
            &[
                ("storage_class", "COLD"),
                ("tier_warm", "STANDARD"),
                ("part_size", "1MiB"),
                ("concurrency", "0"),
                ("read_timeout", "0s"),
                ("bucket", "x"),
                ("proxy", "proxy:3128"),
            ],
            &[
                "7 faults",
                "AWS_S3_STORAGE_CLASS",
                "STANDARD is the class of tier_hot already",
                "AWS_S3_PART_SIZE",
                "AWS_S3_CONCURRENCY",
                "AWS_S3_READ_TIMEOUT",
                "there is no such key",
                "AWS_S3_PROXY",
            ],
        );
    }
}
