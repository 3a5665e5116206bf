//! [`Store`]: what every operation needs to know of the opened backend.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use storage_core::{Error, ErrorKind, ObjectKey, Result};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::TaskTracker;

use crate::client::ServerHeader;
use crate::config::Config;
use crate::error::not_found;
use crate::sent::SentParts;
use crate::server::Product;

/// What the server that answered can do, as it showed when the backend opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Saves and completions honour `If-None-Match: *`.
    pub(crate) write_if_absent: bool,
    /// Saves and completions honour `If-Match`.
    pub(crate) write_if_match: bool,
    /// Deletes honour `If-Match`.
    pub(crate) delete_if_match: bool,
    /// Copies honour both conditions as well.
    pub(crate) copy_conditions: bool,
    /// CRC-64/NVME headers are compared with the bytes that arrive, and kept.
    pub(crate) crc64nvme: bool,
    /// Tags are kept.
    pub(crate) tags: bool,
    /// Answers to `HEAD` tell how many tags there are.
    pub(crate) counts_tags: bool,
    /// The bucket keeps versions.
    pub(crate) versions: bool,
    /// The bucket takes lifecycle rules.
    pub(crate) lifecycle: bool,
    /// Objects of the bucket can be locked.
    pub(crate) object_lock: bool,
}

/// An opened backend.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) client: Client,
    /// Reads objects: asks for their digests as well, where the server checks them.
    pub(crate) reads: Client,
    pub(crate) config: Config,
    pub(crate) server: ServerHeader,
    pub(crate) product: Product,
    pub(crate) features: Features,
    /// The bucket locks every new version, so that no probe could be removed.
    pub(crate) locked_by_default: bool,
    /// What goes on after its call was dropped: aborts of uploads, the daily sweep.
    pub(crate) background: TaskTracker,
    /// The tags of parts that were sent, for servers that keep former ones.
    pub(crate) sent: SentParts,
    /// Keep completions of one upload apart: a server may take a second one for a success.
    locks: [Mutex<()>; 32],
    /// Keep conditional writes of one key apart; apart from the former, since one may be held within the other.
    key_locks: [Mutex<()>; 32],
    hasher: RandomState,
}

impl Store {
    /// A store of which nothing was asked yet.
    pub(crate) fn new(client: Client, config: Config, server: ServerHeader) -> Self {
        Self {
            reads: client.clone(),
            client,
            config,
            server,
            product: Product::default(),
            features: Features::default(),
            locked_by_default: false,
            background: TaskTracker::new(),
            sent: SentParts::default(),
            locks: std::array::from_fn(|_| Mutex::new(())),
            key_locks: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
        }
    }

    /// The bucket's name.
    pub(crate) fn bucket(&self) -> &str {
        &self.config.bucket
    }

    /// The lock that whoever completes this upload, or writes to this key, holds.
    pub(crate) async fn alone(&self, name: &str) -> MutexGuard<'_, ()> {
        let index = self.hasher.hash_one(name) as usize % self.locks.len();
        self.locks[index].lock().await
    }

    /// The lock of a key whose condition this server decides too early; nothing where it need not be held.
    pub(crate) async fn alone_with_condition(
        &self,
        key: &ObjectKey,
        is_conditional: bool,
    ) -> Option<MutexGuard<'_, ()>> {
        if !is_conditional || !self.product.decides_conditions_early() {
            return None;
        }
        let index = self.hasher.hash_one(key) as usize % self.key_locks.len();
        Some(self.key_locks[index].lock().await)
    }

    /// Refuses to write under a key that the server would take for another.
    ///
    /// # Errors
    ///
    /// `InvalidKey`.
    pub(crate) fn check_writable(&self, key: &ObjectKey) -> Result<()> {
        match self.product.key_fault(key.as_str()) {
            None => Ok(()),
            Some(fault) => Err(Error::new(ErrorKind::InvalidKey, fault)),
        }
    }

    /// Finds nothing under a key that the server would take for another.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub(crate) fn check_readable(&self, key: &ObjectKey) -> Result<()> {
        match self.product.key_fault(key.as_str()) {
            None => Ok(()),
            Some(fault) => Err(not_found("object").with_context("reason", fault)),
        }
    }

    /// How long the server may be silent within a body.
    pub(crate) fn patience(&self) -> Duration {
        self.config.read_timeout
    }

    /// Runs work that must come to its end although its caller may go.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(work);
    }

    /// Refuses what this server, with this bucket, does not have.
    ///
    /// # Errors
    ///
    /// `Unsupported`, with what would have it.
    pub(crate) fn require(&self, has: bool, what: &'static str, advice: &'static str) -> Result<()> {
        if has {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, format!("this server does not support {what}; {advice}"))
            .with_context("server", self.product_name()))
    }

    /// What to call the server.
    pub(crate) fn product_name(&self) -> String {
        self.product.describe(self.server.get())
    }
}

/// The header that names the source of a copy.
pub(crate) fn copy_source(bucket: &str, key: &ObjectKey, version: Option<&str>) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    let path = utf8_percent_encode(key.as_str(), KEPT);
    match version {
        None => format!("{bucket}/{path}"),
        Some(version) => format!("{bucket}/{path}?versionId={}", utf8_percent_encode(version, KEPT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_copy_is_escaped() {
        let key = ObjectKey::new("a b/é%2F+&?#.pdf").expect("legal");
        assert_eq!(copy_source("files", &key, None), "files/a%20b/%C3%A9%252F%2B%26%3F%23.pdf");
        assert_eq!(
            copy_source("files", &key, Some("v/1")),
            "files/a%20b/%C3%A9%252F%2B%26%3F%23.pdf?versionId=v/1"
        );
    }
}
