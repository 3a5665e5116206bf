//! Lines for the audit log: who did what to whose file, and what came of it.

use std::time::SystemTime;

use storage_core::{Error, correlation};

use super::SimpleStorageService;
use crate::catalog::{AuditEntry, FileId, FileVersionId, UserId};

/// The outcome of what went well.
const OK: &str = "ok";

/// What is done to which file; becomes a line with its outcome.
#[derive(Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) action: &'static str,
    pub(super) user: &'a UserId,
    pub(super) file: Option<FileId>,
    pub(super) version: Option<FileVersionId>,
}

impl<'a> Act<'a> {
    /// An act on a file.
    pub(super) fn on(action: &'static str, user: &'a UserId, file: FileId) -> Self {
        Self { action, user, file: Some(file), version: None }
    }

    /// An act on one version of a file.
    pub(super) fn version(self, version: FileVersionId) -> Self {
        Self { version: Some(version), ..self }
    }
}

impl SimpleStorageService {
    /// The line for an act that goes well, for the transaction that makes it so.
    pub(super) fn success(&self, act: Act<'_>) -> AuditEntry {
        self.entry(act, OK)
    }

    /// Notes an act that changes nothing, or one that failed. A log that cannot be written does not undo what was
    /// done: it is reported where operators look.
    pub(super) async fn note(&self, act: Act<'_>, outcome: Result<(), &Error>) {
        let outcome = outcome.map_or_else(|error| error.kind().name(), |()| OK);
        if let Err(error) = self.inner.catalog.audit(self.entry(act, outcome)).await {
            tracing::error!(error = %error.report(), action = act.action, "an audit line could not be written");
        }
    }

    /// Notes an act if it failed, and hands its result on.
    pub(super) async fn noting_failure<T>(
        &self,
        act: Act<'_>,
        result: storage_core::Result<T>,
    ) -> storage_core::Result<T> {
        if let Err(error) = &result {
            self.note(act, Err(error)).await;
        }
        result
    }

    pub(super) fn entry(&self, act: Act<'_>, outcome: &str) -> AuditEntry {
        AuditEntry {
            at: SystemTime::now(),
            actor: self.actor.name.clone(),
            user: act.user.clone(),
            action: act.action.to_owned(),
            file: act.file,
            version: act.version,
            outcome: outcome.to_owned(),
            correlation_id: correlation::current().map(|id| id.to_string()),
            remote: self.actor.remote.clone(),
        }
    }
}
