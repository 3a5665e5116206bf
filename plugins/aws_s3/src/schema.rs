//! The keys of the configuration, with their variables, defaults and meanings.

use storage_core::{ConfigField, ConfigKind, ConfigSchema};

use crate::class::{CONFIGURABLE, EXPRESS};

/// What may be set.
pub(crate) fn schema() -> ConfigSchema {
    let mut fields = place();
    fields.extend(credentials());
    fields.extend(classes());
    fields.extend(encryption());
    fields.extend(hosts());
    fields.extend(transfer());
    fields.extend(metrics());
    ConfigSchema { fields }
}

/// The classes that new objects can have, that of directory buckets among them.
fn every_class() -> ConfigKind {
    ConfigKind::Choice(CONFIGURABLE.into_iter().chain([EXPRESS]).map(str::to_owned).collect())
}

fn classes_choice() -> ConfigKind {
    ConfigKind::Choice(CONFIGURABLE.map(str::to_owned).to_vec())
}

fn place() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field(
            "bucket_name",
            "AWS_S3_BUCKET_NAME",
            ConfigKind::Text,
            "The bucket, also a directory bucket (`NAME--ZONE--x-s3`), or the ARN of an access point, also of several regions.",
        )
        .required(),
        field(
            "region",
            "AWS_REGION",
            ConfigKind::Text,
            "The bucket's region (`eu-central-1`). Where it is absent it is that of the profile or the machine.",
        ),
        field(
            "create_bucket",
            "AWS_S3_CREATE_BUCKET",
            ConfigKind::Bool,
            "Whether the bucket is created where it does not exist.",
        )
        .default(false),
        field(
            "versioning",
            "AWS_S3_VERSIONING",
            ConfigKind::Bool,
            "Turns the bucket's versioning on or suspends it when the backend opens. Absent: it stays as it is.",
        ),
        field(
            "object_lock",
            "AWS_S3_OBJECT_LOCK",
            ConfigKind::Bool,
            "Whether a bucket that is created can hold locked objects (retention, legal hold). Brings versions.",
        )
        .default(false),
    ]
}

fn credentials() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field(
            "access_key_id",
            "AWS_ACCESS_KEY_ID",
            ConfigKind::Text,
            "The key's name. Without keys the usual places are searched: profile, SSO, web identity, container, \
             instance.",
        ),
        field("secret_access_key", "AWS_SECRET_ACCESS_KEY", ConfigKind::Text, "The key itself.").secret(),
        field(
            "session_token",
            "AWS_SESSION_TOKEN",
            ConfigKind::Text,
            "The token of temporary keys. They are not renewed: give a profile or a role instead where they expire.",
        )
        .secret(),
        field(
            "profile",
            "AWS_PROFILE",
            ConfigKind::Text,
            "The profile of `~/.aws/config`, for keys, SSO, roles, processes and the region.",
        ),
        field(
            "role_arn",
            "AWS_ROLE_ARN",
            ConfigKind::Text,
            "The role that a web identity token is exchanged for.",
        ),
        field(
            "web_identity_token_file",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            ConfigKind::Path,
            "The file with a web identity token, as Kubernetes mounts it. It is read anew for each renewal.",
        ),
        field(
            "assume_role_arn",
            "AWS_S3_ASSUME_ROLE_ARN",
            ConfigKind::Text,
            "A role that is taken on with these credentials, and renewed.",
        ),
        field(
            "assume_role_external_id",
            "AWS_S3_ASSUME_ROLE_EXTERNAL_ID",
            ConfigKind::Text,
            "The external id that the role's owner demands.",
        ),
    ]
}

fn classes() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field(
            "storage_class",
            "AWS_S3_STORAGE_CLASS",
            every_class(),
            "The class of objects that are saved without a tier. A directory bucket has `EXPRESS_ONEZONE` alone.",
        )
        .default("STANDARD"),
        field("tier_hot", "AWS_S3_TIER_HOT", classes_choice(), "The class of the tier hot.")
            .default("STANDARD"),
        field("tier_warm", "AWS_S3_TIER_WARM", classes_choice(), "The class of the tier warm.")
            .default("STANDARD_IA"),
        field("tier_cold", "AWS_S3_TIER_COLD", classes_choice(), "The class of the tier cold.")
            .default("GLACIER_IR"),
        field("tier_glacier", "AWS_S3_TIER_GLACIER", classes_choice(), "The class of the tier glacier.")
            .default("GLACIER"),
        field(
            "restore_days",
            "AWS_S3_RESTORE_DAYS",
            ConfigKind::Integer,
            "For how many days a restored object can be read where the caller does not say.",
        )
        .default(7),
    ]
}

fn encryption() -> Vec<ConfigField> {
    let field = ConfigField::new;
    let kinds = ["none", "AES256", "aws:kms", "aws:kms:dsse", "customer"].map(str::to_owned).to_vec();
    vec![
        field(
            "encryption",
            "AWS_S3_ENCRYPTION",
            ConfigKind::Choice(kinds),
            "How objects are encrypted: `none` as the bucket has it (AES256 by default), `AES256` SSE-S3, `aws:kms` \
             SSE-KMS, `aws:kms:dsse` SSE-KMS in two layers, `customer` SSE-C.",
        )
        .default("none"),
        field(
            "kms_key_id",
            "AWS_S3_KMS_KEY_ID",
            ConfigKind::Text,
            "The key of KMS, by id, ARN or alias. Absent: AWS's own for S3.",
        ),
        field(
            "kms_bucket_key",
            "AWS_S3_KMS_BUCKET_KEY",
            ConfigKind::Bool,
            "Whether a key of the bucket spares requests to KMS. Absent: as the bucket has it.",
        ),
        field(
            "customer_key",
            "AWS_S3_CUSTOMER_KEY",
            ConfigKind::Text,
            "The key of SSE-C: the base64 of 32 bytes. Whoever loses it loses the objects.",
        )
        .secret(),
    ]
}

fn hosts() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field(
            "endpoint_url",
            "AWS_S3_ENDPOINT_URL",
            ConfigKind::Url,
            "Another host than Amazon's: an interface endpoint of a VPC, an emulator.",
        ),
        field(
            "path_style",
            "AWS_S3_PATH_STYLE",
            ConfigKind::Bool,
            "Whether the bucket stands in the path and not in the host's name. Absent: where endpoint_url is set.",
        ),
        field(
            "accelerate",
            "AWS_S3_ACCELERATE",
            ConfigKind::Bool,
            "Transfer acceleration, which the bucket must have turned on.",
        )
        .default(false),
        field("dual_stack", "AWS_S3_DUAL_STACK", ConfigKind::Bool, "The hosts that have IPv6 addresses too.")
            .default(false),
        field("fips", "AWS_S3_FIPS", ConfigKind::Bool, "The hosts with FIPS 140 cryptography.")
            .default(false),
        field(
            "sts_endpoint_url",
            "AWS_ENDPOINT_URL_STS",
            ConfigKind::Url,
            "Another host for roles and web identities.",
        ),
        field(
            "ca_file",
            "AWS_S3_CA_FILE",
            ConfigKind::Path,
            "Certificates (PEM) to trust besides those of the system.",
        ),
        field(
            "proxy",
            "AWS_S3_PROXY",
            ConfigKind::Text,
            "A proxy's URL, or `none`. Absent: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.",
        )
        .secret(),
    ]
}

fn transfer() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field(
            "part_size",
            "AWS_S3_PART_SIZE",
            ConfigKind::Size,
            "The size of the parts in which large files go, 5MiB to 1GiB. It grows where a file would have too many.",
        )
        .default("8MiB"),
        field(
            "concurrency",
            "AWS_S3_CONCURRENCY",
            ConfigKind::Integer,
            "The most parts of one file on their way at once, 1 to 64. Memory for a large file is at most this times \
             the size of a part.",
        )
        .default(8),
        field(
            "copy_part_size",
            "AWS_S3_COPY_PART_SIZE",
            ConfigKind::Size,
            "Objects larger than this are copied (and moved between tiers) in parts of this size, 5MiB to 5GiB.",
        )
        .default("256MiB"),
        field(
            "abort_uploads_after",
            "AWS_S3_ABORT_UPLOADS_AFTER",
            ConfigKind::Duration,
            "Uploads in the bucket that nobody completed for so long are aborted when the backend opens, and daily. \
             0s: never.",
        )
        .default("7days"),
        field(
            "connect_timeout",
            "AWS_S3_CONNECT_TIMEOUT",
            ConfigKind::Duration,
            "How long a connection may take.",
        )
        .default("5s"),
        field(
            "read_timeout",
            "AWS_S3_READ_TIMEOUT",
            ConfigKind::Duration,
            "How long S3 may be silent. A part that is sent gets more, by its size.",
        )
        .default("30s"),
    ]
}

fn metrics() -> Vec<ConfigField> {
    let field = ConfigField::new;
    vec![
        field(
            "cloudwatch_namespace",
            "AWS_S3_CLOUDWATCH_NAMESPACE",
            ConfigKind::Text,
            "Publishes what operations did (count, errors, bytes, time) to CloudWatch under this namespace. Absent: \
             nothing is published.",
        ),
        field(
            "cloudwatch_interval",
            "AWS_S3_CLOUDWATCH_INTERVAL",
            ConfigKind::Duration,
            "How often they are published.",
        )
        .default("60s"),
        field(
            "cloudwatch_endpoint_url",
            "AWS_ENDPOINT_URL_CLOUDWATCH",
            ConfigKind::Url,
            "Another host for CloudWatch.",
        ),
    ]
}
