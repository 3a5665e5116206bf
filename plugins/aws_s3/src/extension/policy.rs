//! The least policy of IAM that this configuration needs.

use serde_json::{Value, json};
use storage_core::Extension;

use crate::bucket::Kind;
use crate::config::{Config, Encryption};
use crate::store::Store;

pub(super) const NAME: &str = "policy";

pub(super) fn extension() -> Extension {
    super::extension(NAME, false, "Prints the least policy of IAM that this configuration needs.", vec![])
}

/// The policy.
pub(super) fn document(store: &Store) -> Value {
    policy(&store.config, store.region(), store.is_versioned())
}

/// The bucket, or its access point, as policies name it.
pub(crate) fn bucket_arn(store: &Store) -> String {
    arn(&store.config, store.region())
}

fn arn(config: &Config, region: &str) -> String {
    let (bucket, partition) = (&config.bucket, partition(region));
    match config.kind() {
        Kind::General => format!("arn:{partition}:s3:::{bucket}"),
        Kind::AccessPoint | Kind::MultiRegion => bucket.clone(),
        // The number of the account is not known here, and a name is that of one bucket.
        Kind::Directory => format!("arn:{partition}:s3express:{region}:*:bucket/{bucket}"),
        Kind::DirectoryAccessPoint => format!("arn:{partition}:s3express:{region}:*:accesspoint/{bucket}"),
    }
}

/// Which of Amazon's separate clouds a region is in.
pub(crate) fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

fn policy(config: &Config, region: &str, is_versioned: bool) -> Value {
    let bucket = arn(config, region);
    let kind = config.kind();
    let mut statements = if kind.is_directory() {
        of_directory(config, &bucket)
    } else {
        of_bucket_and_objects(config, &bucket, is_versioned)
    };
    if let Encryption::Kms { key_id, .. } = &config.encryption {
        statements.push(kms(key_id.as_deref(), region, kind));
    }
    if let Some((namespace, _)) = &config.metrics {
        let mut publish = statement("Metrics", &["cloudwatch:PutMetricData"], "*");
        publish["Condition"] = json!({ "StringEquals": { "cloudwatch:namespace": namespace } });
        statements.push(publish);
    }
    if let Some(role) = &config.assume_role {
        statements.push(statement("Role", &["sts:AssumeRole"], &role.arn));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// A directory bucket asks for one right to work with its objects: that to open a session.
fn of_directory(config: &Config, bucket: &str) -> Vec<Value> {
    let mut statements = vec![statement("Objects", &["s3express:CreateSession"], bucket)];
    if config.kind() == Kind::Directory {
        let rules = ["s3express:GetLifecycleConfiguration", "s3express:PutLifecycleConfiguration"];
        statements.push(statement("Lifecycle", &rules, bucket));
    }
    if config.create_bucket {
        statements.push(statement("Bucket", &["s3express:CreateBucket"], bucket));
    }
    statements
}

fn of_bucket_and_objects(config: &Config, bucket: &str, is_versioned: bool) -> Vec<Value> {
    let kind = config.kind();
    let objects = if kind == Kind::General { format!("{bucket}/*") } else { format!("{bucket}/object/*") };
    let mut of_bucket = vec!["s3:ListBucket", "s3:ListBucketMultipartUploads"];
    if kind.may_keep_versions() {
        of_bucket.push("s3:GetBucketVersioning");
    }
    let mut of_objects = vec![
        "s3:GetObject",
        "s3:GetObjectTagging",
        "s3:PutObject",
        "s3:PutObjectTagging",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:RestoreObject",
    ];
    if is_versioned || config.versioning == Some(true) {
        of_bucket.push("s3:ListBucketVersions");
        of_objects.extend(["s3:GetObjectVersion", "s3:GetObjectVersionTagging", "s3:DeleteObjectVersion"]);
    }
    if config.versioning.is_some() {
        of_bucket.push("s3:PutBucketVersioning");
    }
    if config.create_bucket {
        of_bucket.push("s3:CreateBucket");
    }
    if config.object_lock {
        of_bucket.extend(["s3:GetBucketObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration"]);
        of_objects.extend([
            "s3:GetObjectRetention",
            "s3:PutObjectRetention",
            "s3:GetObjectLegalHold",
            "s3:PutObjectLegalHold",
        ]);
    }
    let mut statements =
        vec![statement("Bucket", &of_bucket, bucket), statement("Objects", &of_objects, &objects)];
    if kind == Kind::General {
        let rules = ["s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"];
        statements.push(statement("Lifecycle", &rules, bucket));
    }
    statements
}

fn statement(sid: &str, actions: &[&str], resource: &str) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource })
}

/// The right to use the key through S3 alone. A key that is named by its id or alias has no ARN here, since that
/// holds the number of the account.
fn kms(key_id: Option<&str>, region: &str, kind: Kind) -> Value {
    let partition = partition(region);
    // Through a multi-region access point it is S3 of any region that uses the key, or its replica there.
    let is_multi_region = kind == Kind::MultiRegion;
    let region = if is_multi_region { "*" } else { region };
    let resource = match key_id {
        Some(arn) if arn.starts_with("arn:") => arn.to_owned(),
        Some(alias) if alias.starts_with("alias/") => format!("arn:{partition}:kms:{region}:*:key/*"),
        Some(id) => format!("arn:{partition}:kms:{region}:*:key/{id}"),
        None => format!("arn:{partition}:kms:{region}:*:key/*"),
    };
    let mut statement = statement("Key", &["kms:GenerateDataKey", "kms:Decrypt"], &resource);
    if kind.is_directory() {
        // The key is used when a session is opened.
        return statement;
    }
    let compare = if is_multi_region { "StringLike" } else { "StringEquals" };
    let mut condition = json!({ compare: { "kms:ViaService": format!("s3.{region}.amazonaws.com") } });
    if let Some(alias) = key_id.filter(|id| id.starts_with("alias/")) {
        condition["ForAnyValue:StringEquals"] = json!({ "kms:ResourceAliases": alias });
    }
    statement["Condition"] = condition;
    statement
}

#[cfg(test)]
mod tests {
    use storage_core::{ConfigValues, OpenRequest};

    use super::*;

    fn policy_of(pairs: &[(&str, &str)]) -> (Value, String) {
        let mut config = ConfigValues::new();
        config.set("bucket_name", "resumes", "test");
        for (key, text) in pairs {
            config.set(*key, *text, "test");
        }
        let config = Config::read(&OpenRequest { config, ..OpenRequest::default() }).expect("sound");
        let document = policy(&config, "eu-central-1", false);
        let text = document.to_string();
        (document, text)
    }

    #[test]
    fn what_is_not_configured_is_not_asked_for() {
        let (document, text) = policy_of(&[]);
        assert_eq!(document["Statement"][0]["Resource"], "arn:aws:s3:::resumes");
        assert_eq!(document["Statement"][1]["Resource"], "arn:aws:s3:::resumes/*");
        for absent in ["CreateBucket", "Version\"", "kms", "Retention", "cloudwatch", "sts", "s3:*"] {
            let absent = absent.replace("Version\"", "ObjectVersion");
            assert!(!text.contains(&absent), "{absent} in {text}");
        }
    }

    #[test]
    fn each_setting_brings_its_permissions_and_no_others() {
        for (pairs, wanted) in [
            (&[("create_bucket", "true")][..], "s3:CreateBucket"),
            (&[("versioning", "true")], "s3:DeleteObjectVersion"),
            (&[("object_lock", "true")], "s3:PutObjectRetention"),
            (&[("cloudwatch_namespace", "Resumes")], "\"cloudwatch:namespace\":\"Resumes\""),
            (&[("assume_role_arn", "arn:aws:iam::1:role/r")], "arn:aws:iam::1:role/r"),
            (
                &[("encryption", "aws:kms"), ("kms_key_id", "alias/app")],
                "\"kms:ResourceAliases\":\"alias/app\"",
            ),
            (&[("encryption", "aws:kms"), ("kms_key_id", "1234")], "arn:aws:kms:eu-central-1:*:key/1234"),
            (&[("encryption", "aws:kms:dsse")], "s3.eu-central-1.amazonaws.com"),
        ] {
            let (_, text) = policy_of(pairs);
            assert!(text.contains(wanted), "{wanted} is not in {text}");
        }
    }

    #[test]
    fn an_access_point_is_named_by_its_arn() {
        let arn = "arn:aws:s3:eu-central-1:1:accesspoint/x";
        let (document, _) = policy_of(&[("bucket_name", arn)]);
        assert_eq!(document["Statement"][1]["Resource"], format!("{arn}/object/*"));
        assert_eq!(partition("cn-north-1"), "aws-cn");
        let arn = "arn:aws:s3::1:accesspoint/x.mrap";
        let (document, text) = policy_of(&[("bucket_name", arn)]);
        assert_eq!(document["Statement"][1]["Resource"], format!("{arn}/object/*"));
        assert!(!text.contains("GetBucketVersioning") && !text.contains("Lifecycle"), "{text}");
        let encrypted = [("bucket_name", arn), ("encryption", "aws:kms"), ("kms_key_id", "mrk-1")];
        let (_, text) = policy_of(&encrypted);
        let wanted =
            ["arn:aws:kms:*:*:key/mrk-1", "\"StringLike\":{\"kms:ViaService\":\"s3.*.amazonaws.com\"}"];
        assert!(wanted.iter().all(|wanted| text.contains(wanted)), "{text}");
    }

    #[test]
    fn a_directory_bucket_needs_sessions_alone() {
        let bucket = ("bucket_name", "resumes--use1-az4--x-s3");
        let (document, text) = policy_of(&[bucket, ("encryption", "aws:kms"), ("kms_key_id", "1234")]);
        let resource = "arn:aws:s3express:eu-central-1:*:bucket/resumes--use1-az4--x-s3";
        assert_eq!(document["Statement"][0]["Action"], json!(["s3express:CreateSession"]));
        assert_eq!(document["Statement"][0]["Resource"], resource);
        assert!(
            !text.contains("\"s3:") && text.contains(":key/1234") && !text.contains("CreateBucket"),
            "{text}"
        );
        let (_, text) = policy_of(&[bucket, ("create_bucket", "true")]);
        assert!(text.contains("s3express:CreateBucket"), "{text}");
        let (document, text) = policy_of(&[("bucket_name", "readers--use1-az4--xa-s3")]);
        let resource = "arn:aws:s3express:eu-central-1:*:accesspoint/readers--use1-az4--xa-s3";
        assert_eq!(document["Statement"][0]["Resource"], resource);
        assert!(!text.contains("Lifecycle"), "{text}");
    }
}
