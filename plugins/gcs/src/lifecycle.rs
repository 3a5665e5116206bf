//! Lifecycle rules of the bucket.
//!
//! Google's rules have no names, so that the plugin keeps a record of those that it set, in an object of its own:
//! all others are somebody else's and stay. A rule that deletes everything by age deletes the record as well, since
//! Google's rules cannot spare a name: then it must be clear otherwise whose the rules are.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, LifecycleReport, LifecycleRule, Result, WriteCondition};

use crate::layout;
use crate::open::Store;
use crate::options::Conditional;
use crate::resource::{Bucket, NewObject, class};
use crate::single::{Chunks, upload_if};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Google's rules, and what the reader should know of them.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    /// The rules.
    pub(crate) rules: Vec<Value>,
    /// What is not as it was asked for to the letter.
    pub(crate) notes: Vec<String>,
}

/// Puts rules in the place of those that an earlier call set.
///
/// # Errors
///
/// As [`storage_core::Backend::apply_lifecycle`].
pub(crate) async fn apply(store: &Store, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
    if !store.allows_temporary {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the record of lifecycle rules is overwritten with each change, which a bucket with retention or default \
             holds does not allow",
        ));
    }
    let translated = translate(&rules, store.has_tiers)?;
    let client = &store.client;
    let bucket: Bucket = client.get(&client.bucket_url(), &[]).await?;
    let earlier = match recorded(store).await? {
        Some(earlier) => earlier,
        None => taken_up(&bucket.lifecycle.rule, &translated.rules)?,
    };
    let others = bucket.lifecycle.rule.into_iter().filter(|rule| !earlier.contains(rule));
    let all: Vec<_> = others.chain(translated.rules.iter().cloned()).collect();
    // Both sets are recorded before the change and the new one after it: whenever this is interrupted, the record
    // names all that is the plugin's.
    let both: Vec<_> = earlier.iter().chain(&translated.rules).cloned().collect();
    record(store, &both).await?;
    // Somebody else's change between the two requests must not be lost.
    let condition: Vec<_> = Some(bucket.metageneration)
        .filter(|number| !number.is_empty())
        .map(|number| ("ifMetagenerationMatch", number))
        .into_iter()
        .collect();
    let change = json!({ "lifecycle": { "rule": all } });
    let changed = client.patch::<Value>(&client.bucket_url(), &condition, &change).await;
    changed.map_err(|failure| match failure.error.kind() {
        ErrorKind::PreconditionFailed => {
            Error::new(ErrorKind::Conflict, "somebody else changed the bucket at the same time")
                .with_retry(storage_core::Retry::May)
                .with_source(failure.error)
        }
        _ => failure.error,
    })?;
    record(store, &translated.rules).await?;
    Ok(LifecycleReport { applied: true, document: None, notes: translated.notes })
}

/// The rules that an earlier call set; none where there is no record of them.
async fn recorded(store: &Store) -> Result<Option<Vec<Value>>> {
    let client = &store.client;
    let object = match client.object(layout::LIFECYCLE, None).await {
        Ok(object) => object,
        Err(failure) if failure.is_missing() => return Ok(None),
        Err(failure) => return Err(failure.error),
    };
    let answer = client.open(&object.name, object.generation()?, 0..object.size_bytes()?).await?;
    Ok(Some(client.json(answer).await?))
}

/// The rules of the bucket that are the plugin's where there is no record. Usually it never set any. Where the record
/// may have been deleted by a rule of its own, those that are wanted again are its own, and no other may be.
///
/// # Errors
///
/// `Conflict` where it cannot be known whose a rule is: one that stays by mistake might delete files.
fn taken_up(present: &[Value], wanted: &[Value]) -> Result<Vec<Value>> {
    if !present.iter().any(deletes_record) {
        return Ok(Vec::new());
    }
    match present.iter().find(|rule| may_be_own(rule) && !wanted.contains(rule)) {
        None => Ok(wanted.to_vec()),
        Some(rule) => Err(Error::new(
            ErrorKind::Conflict,
            "the record of the rules that were set before is gone, as a rule that deletes everything by age deletes \
             it as well, and a rule of the bucket may be one of them: set the former rules once more and then these, \
             or take that rule out with `gcloud storage buckets update --lifecycle-file`",
        )
        .with_context("rule", rule)),
    }
}

/// Whether a rule is one of [`translate`] that deletes everything by age, the record included.
fn deletes_record(rule: &Value) -> bool {
    rule["action"]["type"] == "Delete"
        && rule["condition"]["isLive"] == true
        && has_only(rule, &["age", "isLive"])
}

/// Whether a rule is of a form that [`translate`] makes. Others may have made it all the same.
fn may_be_own(rule: &Value) -> bool {
    let condition = &rule["condition"];
    if rule["action"]["type"] == "SetStorageClass" {
        return has_only(rule, &["age", "matchesPrefix"]);
    }
    let is_of_uploads = condition["matchesPrefix"][0] == layout::UPLOADS;
    let is_of_files = condition["isLive"].is_boolean()
        && has_only(rule, &["age", "daysSinceNoncurrentTime", "isLive", "matchesPrefix"]);
    rule["action"]["type"] == "Delete" && (is_of_uploads || is_of_files)
}

/// Whether the condition of a rule has none but these parts.
fn has_only(rule: &Value, parts: &[&str]) -> bool {
    let condition = rule["condition"].as_object();
    condition.is_some_and(|condition| condition.keys().all(|part| parts.contains(&part.as_str())))
}

async fn record(store: &Store, rules: &[Value]) -> Result<()> {
    let text = serde_json::to_vec(rules)
        .map_err(|error| Error::new(ErrorKind::Internal, "rules are no JSON").with_source(error))?;
    let mut chunks = Chunks::default();
    chunks.push(text.into());
    let new = NewObject { name: layout::LIFECYCLE.to_owned(), ..store.temporary() };
    let always = Conditional::new(WriteCondition::Always)?;
    let crc32c = chunks.crc32c();
    upload_if(&store.client, new, &chunks, crc32c, &always, &store.key_query()).await?;
    Ok(())
}

/// Says in Google's words what the rules ask for.
///
/// # Errors
///
/// `InvalidArgument`, naming the rule.
pub(crate) fn translate(rules: &[LifecycleRule], has_tiers: bool) -> Result<Translated> {
    let (mut names, mut translated) = (BTreeSet::new(), Translated::default());
    for rule in rules {
        if !names.insert(&rule.id) {
            return Err(refused(rule, "there are two rules of this name"));
        }
        if !has_tiers && !rule.transitions.is_empty() {
            return Err(refused(rule, "the bucket has Autoclass, which alone moves files between classes"));
        }
        if rule.enabled {
            translate_one(rule, &mut translated)?;
        } else {
            translated.notes.push(format!("{}: is disabled, and therefore not in the bucket", rule.id));
        }
    }
    Ok(translated)
}

fn translate_one(rule: &LifecycleRule, translated: &mut Translated) -> Result<()> {
    let mut days = |age: Duration| {
        let days = age.as_secs().div_ceil(DAY.as_secs());
        if !age.as_secs().is_multiple_of(DAY.as_secs()) {
            translated.notes.push(format!("{}: an age was rounded up to {days} days", rule.id));
        }
        days
    };
    let of_prefix = |mut condition: Value| {
        if !rule.prefix.is_empty() {
            condition["matchesPrefix"] = json!([rule.prefix]);
        }
        condition
    };
    let mut made = Vec::new();
    for (age, tier) in &rule.transitions {
        let action = json!({ "type": "SetStorageClass", "storageClass": class(*tier) });
        made.push(json!({ "action": action, "condition": of_prefix(json!({ "age": days(*age) })) }));
    }
    if let Some(age) = rule.expire_after {
        // Of a bucket with versions only the current generation: it becomes an old one.
        let condition = of_prefix(json!({ "age": days(age), "isLive": true }));
        made.push(json!({ "action": { "type": "Delete" }, "condition": condition }));
    }
    if let Some(age) = rule.expire_old_versions_after {
        let condition = of_prefix(json!({ "daysSinceNoncurrentTime": days(age), "isLive": false }));
        made.push(json!({ "action": { "type": "Delete" }, "condition": condition }));
    }
    if let Some(age) = rule.abort_uploads_after {
        if !rule.prefix.is_empty() {
            let message =
                "uploads in parts can be aborted by age for the whole bucket alone: leave the prefix empty";
            return Err(refused(rule, message));
        }
        let prefixes = [layout::UPLOADS, layout::PARTS, layout::CLAIMS, layout::COMPONENTS];
        let condition = json!({ "age": days(age), "matchesPrefix": prefixes });
        made.push(json!({ "action": { "type": "Delete" }, "condition": condition }));
    }
    if made.is_empty() {
        return Err(refused(rule, "it asks for nothing"));
    }
    if rule.prefix.is_empty() && (rule.expire_after.is_some() || !rule.transitions.is_empty()) {
        let note = format!("{}: concerns the temporary parts of uploads as well, which are young", rule.id);
        translated.notes.push(note);
    }
    if rule.prefix.is_empty() && rule.expire_after.is_some() {
        let note = format!(
            "{}: deletes the plugin's record of its rules as well; from then on other rules can be set only after the \
             same ones were set once more",
            rule.id
        );
        translated.notes.push(note);
    }
    translated.rules.append(&mut made);
    Ok(())
}

fn refused(rule: &LifecycleRule, message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the rule {:?} cannot be applied: {message}", rule.id))
}

#[cfg(test)]
mod tests {
    use storage_core::Tier;

    use super::*;

    fn rule(id: &str, prefix: &str) -> LifecycleRule {
        LifecycleRule {
            id: id.to_owned(),
            prefix: prefix.to_owned(),
            enabled: true,
            transitions: Vec::new(),
            expire_after: None,
            expire_old_versions_after: None,
            abort_uploads_after: None,
        }
    }

    #[test]
    fn rules_are_said_in_googles_words() {
        let all = LifecycleRule {
            transitions: vec![(30 * DAY, Tier::Warm), (365 * DAY, Tier::Glacier)],
            expire_after: Some(700 * DAY + Duration::from_secs(1)),
            expire_old_versions_after: Some(7 * DAY),
            ..rule("all", "users/")
        };
        let translated = translate(&[all], true).expect("applicable");
        let prefix = ["users/"];
        let class = |class: &str| json!({ "type": "SetStorageClass", "storageClass": class });
        let delete = json!({ "type": "Delete" });
        let expected = [
            json!({ "action": class("NEARLINE"), "condition": { "age": 30, "matchesPrefix": prefix } }),
            json!({ "action": class("ARCHIVE"), "condition": { "age": 365, "matchesPrefix": prefix } }),
            json!({ "action": delete, "condition": { "age": 701, "isLive": true, "matchesPrefix": prefix } }),
            json!({ "action": delete, "condition":
                { "daysSinceNoncurrentTime": 7, "isLive": false, "matchesPrefix": prefix } }),
        ];
        assert_eq!(translated.rules, expected);
        assert_eq!(translated.notes, ["all: an age was rounded up to 701 days"]);
    }

    #[test]
    fn uploads_are_aborted_in_the_whole_bucket_or_not_at_all() {
        let forgotten =
            |prefix| LifecycleRule { abort_uploads_after: Some(7 * DAY), ..rule("forgotten", prefix) };
        let rules = translate(&[forgotten("")], true).expect("applicable").rules;
        assert_eq!(rules[0]["condition"]["matchesPrefix"][0], layout::UPLOADS);
        assert_eq!(rules[0]["condition"]["age"], 7);
        let error = translate(&[forgotten("a/")], true).expect_err("a prefix");
        assert!(
            error.kind() == ErrorKind::InvalidArgument && error.message().contains("forgotten"),
            "{error}"
        );
    }

    #[test]
    fn rules_whose_record_is_gone_are_taken_up_where_they_are_wanted_again_and_else_refused() {
        let made = |rule: LifecycleRule| translate(&[rule], true).expect("applicable").rules;
        let everything = made(LifecycleRule { expire_after: Some(30 * DAY), ..rule("all", "") });
        let moves = made(LifecycleRule { transitions: vec![(9 * DAY, Tier::Cold)], ..rule("moves", "a/") });
        let uploads = made(LifecycleRule { abort_uploads_after: Some(DAY), ..rule("uploads", "") });
        let old = made(LifecycleRule { expire_old_versions_after: Some(DAY), ..rule("old", "") });
        let others = vec![
            json!({ "action": { "type": "Delete" }, "condition": { "age": 9, "matchesPrefix": ["t/"] } }),
        ];
        let all = [everything.clone(), moves.clone(), uploads.clone(), old.clone(), others.clone()].concat();
        let own = [everything.clone(), moves.clone(), uploads.clone(), old.clone()].concat();
        assert_eq!(taken_up(&all, &own).expect("the same"), own, "they are not set twice");
        for without in [&everything, &moves, &uploads, &old] {
            let wanted: Vec<_> = own.iter().filter(|rule| !without.contains(rule)).cloned().collect();
            let error = taken_up(&all, &wanted).expect_err("it may be an earlier one");
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, storage_core::Retry::Never));
            assert!(error.to_string().contains(&without[0].to_string()), "{error}");
        }
        let first_time = [moves, uploads, old, others].concat();
        assert!(taken_up(&first_time, &own).expect("nothing deletes the record").is_empty());
    }

    #[test]
    fn what_cannot_be_applied_is_refused_by_name() {
        let moves = LifecycleRule { transitions: vec![(DAY, Tier::Cold)], ..rule("moves", "") };
        let expires = LifecycleRule { expire_after: Some(DAY), ..rule("expires", "") };
        for (rules, has_tiers, name) in [
            (vec![expires.clone(), expires.clone()], true, "expires"),
            (vec![moves], false, "moves"),
            (vec![rule("nothing", "a")], true, "nothing"),
        ] {
            let error = translate(&rules, has_tiers).expect_err(name);
            assert!(error.kind() == ErrorKind::InvalidArgument && error.message().contains(name), "{error}");
        }
        let off = LifecycleRule { enabled: false, ..expires };
        let translated = translate(&[off], true).expect("left out");
        assert!(translated.rules.is_empty() && translated.notes[0].contains("disabled"));
    }
}
