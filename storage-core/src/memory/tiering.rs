//! Tiers, restores and lifecycle rules.
//!
//! `glacier` is the archive: what lies in it is read only after a restore, which takes 5 minutes, 4 hours
//! or 12 hours of the backend's clock. Lifecycle rules act by the same clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::capability::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::MemoryBackend;
use crate::memory::state::{Restore, State, Version};
use crate::object::VersionId;
use crate::request::DeleteOptions;
use crate::tiering::{
    LifecycleReport, LifecycleRule, RestoreOptions, RestoreSpeed, RestoreStatus, SetTierOptions, Tier,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl MemoryBackend {
    pub(super) fn require_tier(&self, tier: Tier) -> Result<()> {
        self.require(Capabilities::TIERS, "tiers")?;
        if tier == Tier::Glacier {
            // Without a restore nothing would ever come out of the archive.
            self.require(Capabilities::RESTORE, "the glacier tier")?;
        }
        Ok(())
    }

    pub(super) fn change_tier(&self, key: &ObjectKey, tier: Tier, options: &SetTierOptions) -> Result<()> {
        self.require_tier(tier)?;
        self.refuse_extra(&options.extra)?;
        self.require_version(options.version.as_ref())?;
        if options.speed.is_some() {
            let message = "this backend does not bring objects back by set_tier: restore them first";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let mut state = self.state();
        let now = state.now();
        let version = state.find_mut(key, options.version.as_ref())?;
        if version.meta.tier != Some(tier) {
            version.must_be_readable(now)?;
            version.meta.tier = Some(tier);
            version.restore = None;
        }
        Ok(())
    }

    pub(super) fn begin_restore(&self, key: &ObjectKey, options: &RestoreOptions) -> Result<()> {
        self.require(Capabilities::RESTORE, "restore")?;
        self.refuse_extra(&options.extra)?;
        self.require_version(options.version.as_ref())?;
        let days = options.days.unwrap_or(1);
        if days == 0 {
            return Err(Error::new(ErrorKind::InvalidArgument, "an object is restored for at least one day"));
        }
        let takes = match options.speed {
            RestoreSpeed::Expedited => Duration::from_secs(5 * 60),
            RestoreSpeed::Standard => Duration::from_secs(4 * 3600),
            RestoreSpeed::Bulk => Duration::from_secs(12 * 3600),
        };
        let mut state = self.state();
        let now = state.now();
        let version = state.find_mut(key, options.version.as_ref())?;
        let ready_at = match version.restore_status(now) {
            RestoreStatus::NotArchived => {
                return Err(Error::new(ErrorKind::InvalidArgument, "the object is not archived"));
            }
            RestoreStatus::InProgress => return Ok(()),
            RestoreStatus::Restored { .. } => now,
            RestoreStatus::Archived => now + takes,
        };
        version.restore = Some(Restore { ready_at, until: ready_at + DAY * days });
        Ok(())
    }

    pub(super) fn status_of(&self, key: &ObjectKey, version: Option<&VersionId>) -> Result<RestoreStatus> {
        self.require(Capabilities::RESTORE, "restore_status")?;
        self.require_version(version)?;
        let state = self.state();
        Ok(state.find(key, version)?.restore_status(state.now()))
    }

    pub(super) fn set_rules(&self, rules: Vec<LifecycleRule>) -> Result<LifecycleReport> {
        self.require(Capabilities::LIFECYCLE, "apply_lifecycle")?;
        let mut names = BTreeSet::new();
        for rule in &rules {
            let invalid = |problem: &str| {
                Err(Error::new(ErrorKind::InvalidArgument, format!("a lifecycle rule {problem}"))
                    .with_context("rule", &rule.id))
            };
            if rule.id.is_empty() {
                return invalid("has no name");
            }
            if !names.insert(&rule.id) {
                return invalid("has the name of another");
            }
            let deletions = [rule.expire_after, rule.expire_old_versions_after, rule.abort_uploads_after];
            let ages: Vec<_> = rule.transitions.iter().map(|(age, _)| *age).collect();
            if deletions.iter().flatten().chain(&ages).any(Duration::is_zero) {
                return invalid("has an age of zero");
            }
            if ages.is_empty() && deletions.iter().all(Option::is_none) {
                return invalid("does nothing");
            }
            if rule.transitions.windows(2).any(|pair| pair[0].0 >= pair[1].0 || pair[0].1 >= pair[1].1) {
                return invalid("does not move objects to colder tiers with age");
            }
            rule.transitions.iter().try_for_each(|(_, tier)| self.require_tier(*tier))?;
            if rule.expire_old_versions_after.is_some() {
                self.require(Capabilities::VERSIONS, "the expiry of old versions")?;
            }
            if rule.abort_uploads_after.is_some() {
                self.require(Capabilities::MULTIPART, "the expiry of uploads")?;
            }
        }
        self.state().rules = rules;
        Ok(LifecycleReport { applied: true, ..LifecycleReport::default() })
    }
}

impl Version {
    pub(super) fn restore_status(&self, now: SystemTime) -> RestoreStatus {
        match self.restore {
            _ if self.meta.tier != Some(Tier::Glacier) => RestoreStatus::NotArchived,
            Some(restore) if now < restore.ready_at => RestoreStatus::InProgress,
            Some(restore) if now < restore.until => RestoreStatus::Restored { until: Some(restore.until) },
            _ => RestoreStatus::Archived,
        }
    }

    pub(super) fn must_be_readable(&self, now: SystemTime) -> Result<()> {
        match self.restore_status(now) {
            RestoreStatus::NotArchived | RestoreStatus::Restored { .. } => Ok(()),
            RestoreStatus::Archived => Err(Error::new(
                ErrorKind::ObjectArchived,
                "the object is archived: restore it, which takes from 5 minutes (expedited) to 12 hours (bulk)",
            )),
            RestoreStatus::InProgress => Err(Error::new(
                ErrorKind::ObjectArchived,
                "the object is archived and its restore is under way",
            )),
        }
    }
}

impl State {
    /// Does what the lifecycle rules say, by the backend's clock.
    pub(super) fn apply_rules(&mut self) {
        let rules = std::mem::take(&mut self.rules);
        let now = self.now();
        for rule in rules.iter().filter(|rule| rule.enabled) {
            self.apply_rule(rule, now);
        }
        self.rules = rules;
    }

    fn apply_rule(&mut self, rule: &LifecycleRule, now: SystemTime) {
        let aged = |since: SystemTime, age: Option<Duration>| age.is_some_and(|age| since + age <= now);
        self.uploads.retain(|(key, _), upload| {
            !(key.as_str().starts_with(&rule.prefix) && aged(upload.started_at, rule.abort_uploads_after))
        });
        let concerned: Vec<_> =
            self.objects.keys().filter(|key| key.as_str().starts_with(&rule.prefix)).cloned().collect();
        for key in concerned {
            if self.current(&key).is_some_and(|current| aged(current.meta.last_modified, rule.expire_after)) {
                // Without a condition a delete of what is there cannot fail.
                drop(self.delete(&key, &DeleteOptions::default()));
            }
            let Some(versions) = self.objects.get_mut(&key) else { continue };
            // A version was replaced when the next one came; the last one never was.
            let replaced_at: Vec<_> = versions.iter().skip(1).map(|newer| newer.meta.last_modified).collect();
            let mut replaced_at = replaced_at.into_iter();
            versions.retain(|_| {
                !replaced_at.next().is_some_and(|moment| aged(moment, rule.expire_old_versions_after))
            });
            for version in versions.iter_mut() {
                let due = rule.transitions.iter().rev();
                let due = due.map(|(age, tier)| (*tier, aged(version.meta.last_modified, Some(*age))));
                let due = due.filter(|(_, due)| *due).map(|(tier, _)| tier).next();
                if due > version.meta.tier && version.bytes.is_some() {
                    Arc::make_mut(version).meta.tier = due;
                }
            }
        }
    }
}
