//! Lifecycle rules: those of the service, beside those that others made.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule as Rule, LifecycleRuleFilter, NoncurrentVersionExpiration, StorageClass, Transition,
    TransitionStorageClass,
};
use storage_core::{Capabilities, Error, ErrorKind, LifecycleReport, LifecycleRule, Result};

use crate::call::call;
use crate::client::with_keys_of_the_account;
use crate::error::invalid;
use crate::store::Store;

/// What the names of the service's own rules begin with.
const OURS: &str = "storage-service:";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest name of a rule: S3's limit.
const MAX_ID: usize = 255;

/// Puts rules in the place of those that an earlier call set.
///
/// # Errors
///
/// As [`storage_core::Backend::apply_lifecycle`].
pub(crate) async fn apply(store: &Store, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
    store.require(Capabilities::LIFECYCLE, "apply_lifecycle")?;
    let mut notes = Vec::new();
    let mut names = BTreeSet::new();
    let mut made = Vec::with_capacity(rules.len());
    for rule in rules {
        if !names.insert(rule.id.clone()) {
            return Err(invalid("two rules have the same name").with_context("rule", rule.id.escape_debug()));
        }
        made.push(translate(store, &rule, &mut notes)?);
    }
    let present = present_rules(store).await?;
    let had_ours = present.iter().any(is_ours);
    let mut all: Vec<_> = present.into_iter().filter(|rule| !is_ours(rule)).collect();
    if made.is_empty() && !had_ours {
        return Ok(LifecycleReport { applied: true, document: None, notes });
    }
    all.extend(made);
    let bucket = &store.config.bucket;
    if all.is_empty() {
        let request = store.s3.delete_bucket_lifecycle().bucket(bucket).customize();
        let request = request.config_override(with_keys_of_the_account());
        call(store, "delete the lifecycle rules", 0, request.send()).await?;
    } else {
        let rules =
            BucketLifecycleConfiguration::builder().set_rules(Some(all)).build().map_err(incomplete)?;
        let request =
            store.s3.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(rules);
        let request = request.customize().config_override(with_keys_of_the_account());
        call(store, "set the lifecycle rules", 0, request.send()).await?;
    }
    Ok(LifecycleReport { applied: true, document: None, notes })
}

fn is_ours(rule: &Rule) -> bool {
    rule.id().is_some_and(|id| id.starts_with(OURS))
}

/// The rules that the bucket has.
async fn present_rules(store: &Store) -> Result<Vec<Rule>> {
    let request = store.s3.get_bucket_lifecycle_configuration().bucket(&store.config.bucket);
    let request = request.customize().config_override(with_keys_of_the_account());
    match call(store, "read the lifecycle rules", 0, request.send()).await {
        Ok(answer) => Ok(answer.rules().to_vec()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn translate(store: &Store, rule: &LifecycleRule, notes: &mut Vec<String>) -> Result<Rule> {
    let refuse = |message: String| Err(invalid(message).with_context("rule", rule.id.escape_debug()));
    let id = format!("{OURS}{}", rule.id);
    if rule.id.is_empty() || id.len() > MAX_ID {
        return refuse(format!("a rule's name has 1 to {} bytes", MAX_ID - OURS.len()));
    }
    let mut days = |what: &str, span: Duration| {
        let days = span.as_secs().div_ceil(DAY.as_secs());
        if Duration::from_secs(days * DAY.as_secs()) != span {
            notes.push(format!("rule {}: {what} is rounded up to {days} days", rule.id));
        }
        i32::try_from(days.max(1)).unwrap_or(i32::MAX)
    };
    if store.config.kind().is_directory()
        && (!rule.transitions.is_empty() || rule.expire_old_versions_after.is_some())
    {
        return refuse(
            "a directory bucket has one class and no versions: its rules delete and abort".to_owned(),
        );
    }
    let mut transitions = Vec::with_capacity(rule.transitions.len());
    let mut last = None;
    for (age, tier) in &rule.transitions {
        let class = store.config.tiers.class(*tier);
        if *class == StorageClass::Standard {
            return refuse(format!("S3 moves objects to colder classes alone, and {tier} is STANDARD"));
        }
        if last.is_some_and(|last| last >= *age) {
            return refuse("the ages of the transitions do not ascend".to_owned());
        }
        last = Some(*age);
        let days = days("a transition", *age);
        let needs_month = matches!(class, StorageClass::StandardIa | StorageClass::OnezoneIa);
        if needs_month && days < 30 {
            return refuse(format!("S3 moves objects to {} after 30 days at the earliest", class.as_str()));
        }
        let class = TransitionStorageClass::from(class.as_str());
        transitions.push(Transition::builder().days(days).storage_class(class).build());
    }
    if let (Some(last), Some(expire)) = (last, rule.expire_after)
        && expire <= last
    {
        return refuse("objects would be deleted before they are moved".to_owned());
    }
    let does_nothing = transitions.is_empty()
        && rule.expire_after.is_none()
        && rule.expire_old_versions_after.is_none()
        && rule.abort_uploads_after.is_none();
    if does_nothing {
        return refuse("the rule does nothing".to_owned());
    }
    let status = if rule.enabled { ExpirationStatus::Enabled } else { ExpirationStatus::Disabled };
    Rule::builder()
        .id(id)
        .status(status)
        .filter(LifecycleRuleFilter::builder().prefix(&rule.prefix).build())
        .set_transitions(Some(transitions).filter(|all| !all.is_empty()))
        .set_expiration(
            rule.expire_after.map(|age| LifecycleExpiration::builder().days(days("the expiry", age)).build()),
        )
        .set_noncurrent_version_expiration(rule.expire_old_versions_after.map(|age| {
            let days = days("the expiry of old versions", age);
            NoncurrentVersionExpiration::builder().noncurrent_days(days).build()
        }))
        .set_abort_incomplete_multipart_upload(rule.abort_uploads_after.map(|age| {
            let days = days("the abort of uploads", age);
            AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build()
        }))
        .build()
        .map_err(incomplete)
}

fn incomplete(error: aws_sdk_s3::error::BuildError) -> Error {
    Error::new(ErrorKind::Internal, "the request cannot be made").with_source(error)
}
