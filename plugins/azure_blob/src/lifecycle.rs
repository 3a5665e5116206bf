//! `apply_lifecycle`: Azure's rules belong to the account and are set by its management, which this backend is not.
//! It writes the document that an administrator must apply.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use storage_core::{Error, ErrorKind, LifecycleReport, LifecycleRule, Result, Tier};

use crate::name;
use crate::store::Shared;

const DAY: u64 = 24 * 3600;

/// Turns rules into Azure's document.
///
/// # Errors
///
/// `InvalidArgument`, naming the rule.
pub(crate) fn apply_lifecycle(store: &Shared, rules: &[LifecycleRule]) -> Result<LifecycleReport> {
    let (account, container) = (&store.config.account.name, store.client.container());
    let mut notes = vec![format!(
        "nothing was applied: Azure takes rules from its management alone; apply the document with `az storage account \
         management-policy create --account-name {account} --resource-group GROUP --policy @policy.json`"
    )];
    notes.push(
        "an account has one policy: put rules of other containers that it has into the document first"
            .to_owned(),
    );
    let mut names = BTreeSet::new();
    let mut written = Vec::new();
    for rule in rules {
        if !names.insert(&rule.id) {
            return Err(refused(rule, "there are two rules of this name"));
        }
        written.extend(write(rule, container, &mut notes)?);
    }
    let document = serde_json::to_string_pretty(&json!({ "rules": written })).map_err(|error| {
        Error::new(ErrorKind::Internal, "the document cannot be written").with_source(error)
    })?;
    Ok(LifecycleReport { applied: false, document: Some(document), notes })
}

fn refused(rule: &LifecycleRule, why: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the rule {:?} cannot be: {why}", rule.id))
}

/// One rule; nothing for one that only concerns uploads.
fn write(rule: &LifecycleRule, container: &str, notes: &mut Vec<String>) -> Result<Option<Value>> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = format!("{container}-{}", rule.id).replace('$', "");
    if rule.id.is_empty() || name.len() > 256 || !name.chars().all(legal) {
        return Err(refused(rule, "its name is not of letters, digits, - and _, 200 at most"));
    }
    let (mut base, mut version) = (serde_json::Map::new(), serde_json::Map::new());
    for (age, tier) in &rule.transitions {
        let action = match tier {
            Tier::Hot => {
                return Err(refused(rule, "Azure moves objects to colder tiers only, and hot is none"));
            }
            Tier::Warm => "tierToCool",
            Tier::Cold => "tierToCold",
            Tier::Glacier => "tierToArchive",
        };
        let days = json!({ "daysAfterModificationGreaterThan": days(*age, rule, notes) });
        if base.insert(action.to_owned(), days).is_some() {
            return Err(refused(rule, "it moves objects to one tier at two ages"));
        }
    }
    if let Some(age) = rule.expire_after {
        let days = json!({ "daysAfterModificationGreaterThan": days(age, rule, notes) });
        base.insert("delete".to_owned(), days);
    }
    if let Some(age) = rule.expire_old_versions_after {
        let days = json!({ "daysAfterCreationGreaterThan": days(age, rule, notes) });
        version.insert("delete".to_owned(), days);
        notes.push(format!(
            "rule {}: Azure counts a version's age from when it was written, not from when it was replaced",
            rule.id
        ));
    }
    if rule.abort_uploads_after.is_some() {
        notes.push(format!(
            "rule {}: uploads in parts are dropped by this backend itself, after upload_expiry (AZURE_UPLOAD_EXPIRY)",
            rule.id
        ));
    }
    if base.is_empty() && version.is_empty() {
        return Ok(None);
    }
    let mut actions = serde_json::Map::new();
    actions.extend((!base.is_empty()).then(|| ("baseBlob".to_owned(), Value::Object(base))));
    actions.extend((!version.is_empty()).then(|| ("version".to_owned(), Value::Object(version))));
    let prefix = format!("{container}/{}", name::of_prefix(&rule.prefix));
    Ok(Some(json!({
        "name": name,
        "enabled": rule.enabled,
        "type": "Lifecycle",
        "definition": {
            "actions": actions,
            "filters": { "blobTypes": ["blockBlob"], "prefixMatch": [prefix] },
        },
    })))
}

/// Whole days, of which Azure counts more than so many.
fn days(age: Duration, rule: &LifecycleRule, notes: &mut Vec<String>) -> u64 {
    let days = age.as_secs().div_ceil(DAY);
    if !age.as_secs().is_multiple_of(DAY) || age.subsec_nanos() != 0 {
        notes.push(format!("rule {}: an age is rounded up to {days} days", rule.id));
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str) -> LifecycleRule {
        LifecycleRule {
            id: id.to_owned(),
            prefix: "a./b".to_owned(),
            enabled: true,
            transitions: vec![
                (Duration::from_secs(30 * DAY), Tier::Warm),
                (Duration::from_secs(90 * DAY + 1), Tier::Glacier),
            ],
            expire_after: Some(Duration::from_secs(400 * DAY)),
            expire_old_versions_after: Some(Duration::from_secs(7 * DAY)),
            abort_uploads_after: Some(Duration::from_secs(DAY)),
        }
    }

    #[test]
    fn a_rule_is_written_in_azures_words() {
        let mut notes = Vec::new();
        let written = write(&rule("cool"), "box", &mut notes).expect("sound").expect("a rule");
        let base = &written["definition"]["actions"]["baseBlob"];
        assert_eq!(written["name"], "box-cool");
        assert_eq!(base["tierToCool"]["daysAfterModificationGreaterThan"], 30);
        assert_eq!(base["tierToArchive"]["daysAfterModificationGreaterThan"], 91);
        assert_eq!(base["delete"]["daysAfterModificationGreaterThan"], 400);
        let version = &written["definition"]["actions"]["version"];
        assert_eq!(version["delete"]["daysAfterCreationGreaterThan"], 7);
        let prefix = written["definition"]["filters"]["prefixMatch"][0].as_str().expect("a text");
        assert_eq!(prefix, format!("box/{}", name::of_prefix("a./b")));
        assert!(notes.iter().any(|note| note.contains("rounded up to 91")), "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("AZURE_UPLOAD_EXPIRY")), "{notes:?}");
    }

    #[test]
    fn rules_that_azure_does_not_have_are_refused_by_name() {
        let hot =
            LifecycleRule { transitions: vec![(Duration::from_secs(DAY), Tier::Hot)], ..rule("warmer") };
        let odd = rule("no spaces");
        for rule in [hot, odd] {
            let error = write(&rule, "box", &mut Vec::new()).expect_err("refused");
            assert!(
                error.kind() == ErrorKind::InvalidArgument && error.message().contains(&rule.id),
                "{error}"
            );
        }
    }
}
