//! `apply_lifecycle`, and the rules of a new bucket.
//!
//! Rules that were applied bear a mark in their names, so that those that others made stay; those with which a
//! new bucket begins are among these.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule as Rule, LifecycleRuleFilter, NoncurrentVersionExpiration,
};
use storage_core::{Error, ErrorKind, LifecycleReport, LifecycleRule, Result};

use crate::config::{NewBucket, whole_days};
use crate::error::{convert, fault, invalid};
use crate::server::Product;
use crate::store::Store;

/// How the names of rules begin that were applied.
const MARK: &str = "storage-service:";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Puts these rules in the place of those that an earlier call set.
///
/// # Errors
///
/// As [`storage_core::Backend::apply_lifecycle`].
pub(crate) async fn apply(store: &Store, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
    store.require(store.features.lifecycle, "lifecycle rules", "let the host apply them")?;
    let mut names = BTreeSet::new();
    let mut notes = Vec::new();
    let mut wanted = Vec::new();
    for rule in &rules {
        if !names.insert(rule.id.as_str()) {
            return Err(
                invalid("two lifecycle rules have one name").with_context("rule", rule.id.escape_debug())
            );
        }
        wanted.extend(to_s3(rule, store.product, &mut notes)?);
    }
    let theirs =
        current(store).await?.into_iter().filter(|rule| !rule.id().is_some_and(|id| id.starts_with(MARK)));
    let all: Vec<_> = theirs.chain(wanted).collect();
    put(store, all).await?;
    Ok(LifecycleReport { applied: true, document: None, notes })
}

/// The rules that the bucket has.
///
/// # Errors
///
/// `Unsupported` where the server has none.
pub(crate) async fn current(store: &Store) -> Result<Vec<Rule>> {
    let answer = store.client.get_bucket_lifecycle_configuration().bucket(store.bucket()).send().await;
    match answer {
        Ok(answer) => Ok(answer.rules.unwrap_or_default()),
        Err(error) => match convert("read the lifecycle rules", error) {
            // There is none yet.
            error if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            error => Err(error),
        },
    }
}

async fn put(store: &Store, rules: Vec<Rule>) -> Result<()> {
    if rules.is_empty() {
        let answer = store.client.delete_bucket_lifecycle().bucket(store.bucket()).send().await;
        return match answer.map_err(fault("remove the lifecycle rules")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().map_err(internal)?;
    let request = store.client.put_bucket_lifecycle_configuration().bucket(store.bucket());
    let request = request.lifecycle_configuration(all);
    request.send().await.map(drop).map_err(fault("set the lifecycle rules"))
}

fn internal(error: aws_sdk_s3::error::BuildError) -> Error {
    Error::new(ErrorKind::Internal, "the lifecycle rules cannot be written down").with_source(error)
}

/// The rule as S3 has it; nothing where all that it asks for is done otherwise.
fn to_s3(rule: &LifecycleRule, product: Product, notes: &mut Vec<String>) -> Result<Option<Rule>> {
    let named = |error: Error| error.with_context("rule", rule.id.escape_debug());
    if let Some((_, tier)) = rule.transitions.first() {
        let message = "this backend has no tiers that a rule could move objects to";
        return Err(named(Error::new(ErrorKind::Unsupported, message)).with_context("tier", tier));
    }
    if rule.id.is_empty() || rule.id.len() > 200 {
        return Err(named(invalid("the name of a lifecycle rule has 1 to 200 bytes")));
    }
    let mut days = |after: Option<Duration>, what: &str| -> Result<Option<i32>> {
        let Some(after) = after else { return Ok(None) };
        if after.is_zero() {
            return Err(named(invalid(format!("a lifecycle rule has no time after which it {what}"))));
        }
        if let Some(days) = whole_days(after) {
            return Ok(Some(days));
        }
        let days = i32::try_from(after.as_secs() / DAY.as_secs() + 1).unwrap_or(i32::MAX);
        notes.push(format!("rule {}: S3 counts whole days; it {what} after {days} days", rule.id));
        Ok(Some(days))
    };
    let expire = days(rule.expire_after, "deletes objects")?;
    let expire_old = days(rule.expire_old_versions_after, "deletes old versions")?;
    let mut abort = days(rule.abort_uploads_after, "aborts uploads")?;
    if expire.is_none() && expire_old.is_none() && abort.is_none() {
        return Err(named(invalid("a lifecycle rule does nothing")));
    }
    if abort.is_some() && product == Product::Minio {
        notes.push(format!(
            "rule {}: MinIO has no rule for uploads in progress; it removes those of a day by itself \
             (api stale_uploads_expiry), and this backend those of abort_uploads_after (MINIO_ABORT_UPLOADS_AFTER)",
            rule.id
        ));
        abort = None;
        if expire.is_none() && expire_old.is_none() {
            return Ok(None);
        }
    }
    build(&format!("{MARK}{}", rule.id), &rule.prefix, rule.enabled, expire, expire_old, abort).map(Some)
}

fn build(
    id: &str,
    prefix: &str,
    enabled: bool,
    expire: Option<i32>,
    expire_old: Option<i32>,
    abort: Option<i32>,
) -> Result<Rule> {
    let status = if enabled { ExpirationStatus::Enabled } else { ExpirationStatus::Disabled };
    Rule::builder()
        .id(id)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .status(status)
        .set_expiration(expire.map(|days| LifecycleExpiration::builder().days(days).build()))
        .set_noncurrent_version_expiration(
            expire_old.map(|days| NoncurrentVersionExpiration::builder().noncurrent_days(days).build()),
        )
        .set_abort_incomplete_multipart_upload(
            abort.map(|days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build()),
        )
        .build()
        .map_err(internal)
}

/// Sets the rules with which a new bucket begins.
///
/// # Errors
///
/// The server's.
pub(crate) async fn set_first_rules(store: &Store, new: &NewBucket) -> Result<()> {
    if new.expire_days.is_none() && new.expire_old_versions_days.is_none() {
        return Ok(());
    }
    put(store, vec![build("bucket", "", true, new.expire_days, new.expire_old_versions_days, None)?]).await
}

#[cfg(test)]
mod tests {
    use storage_core::Tier;

    use super::*;

    fn rule() -> LifecycleRule {
        LifecycleRule {
            id: "tidy".to_owned(),
            prefix: "tmp/".to_owned(),
            enabled: true,
            transitions: Vec::new(),
            expire_after: Some(30 * DAY),
            expire_old_versions_after: None,
            abort_uploads_after: None,
        }
    }

    fn translate(rule: &LifecycleRule, product: Product) -> (Result<Option<Rule>>, Vec<String>) {
        let mut notes = Vec::new();
        (to_s3(rule, product, &mut notes), notes)
    }

    #[test]
    fn days_are_rounded_up_and_told() {
        let (made, notes) = translate(&rule(), Product::Other);
        let made = made.expect("sound").expect("a rule");
        assert_eq!(made.expiration().and_then(|one| one.days()), Some(30));
        assert!(made.id().is_some_and(|id| id == "storage-service:tidy") && notes.is_empty());
        let odd = LifecycleRule { expire_after: Some(36 * DAY / 24), ..rule() };
        let (made, notes) = translate(&odd, Product::Other);
        let days = made.expect("sound").and_then(|made| made.expiration().and_then(|one| one.days()));
        assert!(days == Some(2) && notes[0].contains("tidy"), "{notes:?}");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let tiers = LifecycleRule { transitions: vec![(30 * DAY, Tier::Cold)], ..rule() };
        let nothing = LifecycleRule { expire_after: None, ..rule() };
        for (rule, kind) in [(tiers, ErrorKind::Unsupported), (nothing, ErrorKind::InvalidArgument)] {
            let error = translate(&rule, Product::Other).0.expect_err("refused");
            assert!(error.kind() == kind && error.to_string().contains("tidy"), "{error}");
        }
    }

    #[test]
    fn minio_aborts_uploads_by_itself() {
        let only = LifecycleRule { expire_after: None, abort_uploads_after: Some(DAY), ..rule() };
        let (made, notes) = translate(&only, Product::Minio);
        assert!(made.expect("sound").is_none() && notes[0].contains("stale_uploads_expiry"));
        assert!(translate(&only, Product::Ceph).0.expect("sound").is_some());
    }
}
