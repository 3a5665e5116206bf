//! The records of uploads in parts: which there are, who completes one, and what became too old.
//!
//! A record is a small blob in the plugin's own folder. While one completes an upload it holds a lease on the
//! record; whoever else wants to end the upload waits for that.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use azure_core::{Method, base64};
use serde::{Deserialize, Serialize};
use storage_core::{
    Error, ErrorKind, ListUploadsOptions, ObjectKey, Result, Retry, SaveOptions, Tier, Upload, UploadId,
    UploadPage,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::client::{Call, Target};
use crate::multipart::upload_uuid;
use crate::name::OWN;
use crate::store::{Shared, Store};
use crate::token::{self, Place};
use crate::xml::Element;
use crate::{error, options};

/// The metadata of a record that tells its key, so that a listing tells it too.
const KEY: &str = "x1key";
/// How long a lease lasts unless it is renewed.
const LEASE: Duration = Duration::from_secs(60);
/// How long one waits for another who ends the same upload.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An upload in progress.
#[derive(Debug)]
pub(crate) struct Record {
    id: Uuid,
    content: Content,
}

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
}

fn record_name(id: Uuid) -> String {
    format!("{OWN}/{}", id.simple())
}

/// Records a new upload.
///
/// # Errors
///
/// What the service says.
pub(crate) async fn create(store: &Store, key: &ObjectKey, options: &SaveOptions) -> Result<UploadId> {
    let id = Uuid::now_v7();
    let content = Content {
        key: key.as_str().to_owned(),
        content_type: options.content_type.clone(),
        content_encoding: options.content_encoding.clone(),
        content_language: options.content_language.clone(),
        content_disposition: options.content_disposition.clone(),
        cache_control: options.cache_control.clone(),
        metadata: options.metadata.clone(),
        tags: options.tags.clone(),
        tier: options.tier.map(|tier| tier.name().to_owned()),
    };
    let text = serde_json::to_vec(&content).map_err(|error| {
        Error::new(ErrorKind::Internal, "the upload's record cannot be written").with_source(error)
    })?;
    let call = Call::blob(Method::Put, &record_name(id))
        .header("x-ms-blob-type", "BlockBlob")
        .header("x-ms-blob-content-type", "application/json")
        .header(format!("x-ms-meta-{KEY}"), base64::encode(key.as_str()))
        .header("if-none-match", "*")
        .body(text.into());
    store.client.send(&call).await?;
    Ok(UploadId::new(id.simple().to_string()))
}

impl Record {
    /// The record of an upload of this key.
    ///
    /// # Errors
    ///
    /// `NotFound`, also for an upload of another key.
    pub(crate) async fn load(store: &Store, key: &ObjectKey, upload: &UploadId) -> Result<Self> {
        let id = upload_uuid(upload)?;
        let reply = store.client.send(&Call::blob(Method::Get, &record_name(id))).await;
        let reply = reply.map_err(|error| match error.kind() {
            ErrorKind::NotFound => error::not_found("upload"),
            _ => error,
        })?;
        let content: Content = serde_json::from_slice(&reply.bytes().await?).map_err(|error| {
            Error::new(ErrorKind::Corrupted, "the upload's record is damaged").with_source(error)
        })?;
        if content.key != key.as_str() {
            return Err(error::not_found("upload"));
        }
        Ok(Self { id, content })
    }

    fn name(&self) -> String {
        record_name(self.id)
    }

    /// The blob whose blocks are the parts.
    pub(crate) fn parts_name(&self) -> String {
        format!("{}/parts", self.name())
    }

    /// The attributes of the object that the upload makes.
    ///
    /// # Errors
    ///
    /// `Corrupted` for a tier that is none.
    pub(crate) fn options(&self) -> Result<SaveOptions> {
        let content = &self.content;
        let tier = content.tier.as_deref().map(str::parse::<Tier>).transpose().map_err(|error| {
            Error::new(ErrorKind::Corrupted, "the upload's record is damaged").with_source(error)
        })?;
        Ok(SaveOptions {
            content_type: content.content_type.clone(),
            content_encoding: content.content_encoding.clone(),
            content_language: content.content_language.clone(),
            content_disposition: content.content_disposition.clone(),
            cache_control: content.cache_control.clone(),
            metadata: content.metadata.clone(),
            tags: content.tags.clone(),
            tier,
            ..SaveOptions::default()
        })
    }
}

/// The right to end an upload. Dropped, it is given back.
pub(crate) struct Held {
    store: Shared,
    record: String,
    lease: String,
    renewal: JoinHandle<()>,
    ended: bool,
}

/// Takes the right to complete an upload, or waits for whoever has it.
///
/// # Errors
///
/// `NotFound` where the upload was ended meanwhile; `Conflict` where that takes very long.
pub(crate) async fn hold(store: &Shared, record: &Record) -> Result<Held> {
    let lease = Uuid::new_v4().to_string();
    let name = record.name();
    let call = Call::blob(Method::Put, &name)
        .query("comp", "lease")
        .header("x-ms-lease-action", "acquire")
        .header("x-ms-lease-duration", LEASE.as_secs().to_string())
        .header("x-ms-proposed-lease-id", &lease);
    let taken = wait_while_held(|| async { store.client.send(&call).await.map(drop) }).await;
    taken.map_err(|error| match error.kind() {
        ErrorKind::NotFound => error::not_found("upload"),
        _ => error,
    })?;
    let renewal = tokio::spawn(renew(Shared::clone(store), name.clone(), lease.clone()));
    Ok(Held { store: Shared::clone(store), record: name, lease, renewal, ended: false })
}

/// Repeats a call while another holds the upload.
async fn wait_while_held<F: Future<Output = Result<()>>>(mut call: impl FnMut() -> F) -> Result<()> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let error = match call().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let held = error.context().any(|fact| matches!(fact.1, "LeaseAlreadyPresent" | "LeaseIdMissing"));
        if !held {
            return Err(error);
        }
        if tokio::time::Instant::now() > patience {
            return Err(Error::new(ErrorKind::Conflict, "another call is completing the same upload")
                .with_retry(Retry::May));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn renew(store: Shared, record: String, lease: String) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        if let Err(error) = store.client.send(&lease_call(&record, "renew", &lease)).await {
            tracing::warn!(error = %error, "the hold on an upload could not be renewed");
        }
    }
}

fn lease_call(record: &str, action: &str, lease: &str) -> Call {
    Call::blob(Method::Put, record)
        .query("comp", "lease")
        .header("x-ms-lease-action", action)
        .header("x-ms-lease-id", lease)
}

impl Held {
    /// The upload was completed: nothing of it stays.
    pub(crate) async fn finish(mut self, record: &Record) {
        self.ended = true;
        self.renewal.abort();
        let call = Call::blob(Method::Delete, &self.record).header("x-ms-lease-id", &self.lease);
        let removed = match self.store.client.send(&call).await {
            Ok(_) => {
                self.store.client.send(&Call::blob(Method::Delete, &record.parts_name())).await.map(drop)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            // The object is there; what is left of the upload goes when it is swept.
            tracing::warn!(error = %error, "what is left of a completed upload could not be removed yet");
        }
    }

    /// The upload goes on.
    pub(crate) async fn release(mut self) {
        self.ended = true;
        self.renewal.abort();
        release(&self.store, &self.record, &self.lease).await;
    }
}

async fn release(store: &Store, record: &str, lease: &str) {
    if let Err(error) = store.client.send(&lease_call(record, "release", lease)).await {
        tracing::warn!(error = %error, "the hold on an upload ends by itself in a minute");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
        if !self.ended {
            let (store, record, lease) =
                (Shared::clone(&self.store), self.record.clone(), self.lease.clone());
            tokio::spawn(async move { release(&store, &record, &lease).await });
        }
    }
}

/// Ends an upload. Says whether there was one.
///
/// # Errors
///
/// What the service says; `Conflict` where it is being completed for very long.
pub(crate) async fn remove(store: &Store, record: &Record) -> Result<bool> {
    let call = Call::blob(Method::Delete, &record.name());
    match wait_while_held(|| async { store.client.send(&call).await.map(drop) }).await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    // Blocks that were never listed go with a write of their blob, and then the blob goes.
    let parts = record.parts_name();
    let emptied = Call::blob(Method::Put, &parts).header("x-ms-blob-type", "BlockBlob");
    store.client.send(&emptied).await?;
    match store.client.send(&Call::blob(Method::Delete, &parts)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Lists uploads in progress. All are looked at for each page, since their records do not sort by key.
///
/// # Errors
///
/// `InvalidArgument` for a foreign page token and a limit of 0.
pub(crate) async fn list_uploads(store: Shared, options: ListUploadsOptions) -> Result<UploadPage> {
    let limit = options::page_size(options.limit)? as usize;
    let after = match options.page_token.as_deref().map(token::read).transpose()? {
        None => None,
        Some(Place::Upload { key, upload }) => Some((key, upload)),
        Some(_) => return Err(token::foreign()),
    };
    let mut uploads = all(&store).await?;
    uploads.retain(|upload| upload.key.as_str().starts_with(&options.prefix));
    // The names of uploads sort by when they began.
    uploads.sort_by(|one, other| (&one.key, &one.id).cmp(&(&other.key, &other.id)));
    let start = after.map_or(0, |(key, id)| {
        uploads.partition_point(|upload| {
            (upload.key.as_str(), upload.id.as_str()) <= (key.as_str(), id.as_str())
        })
    });
    let mut uploads = uploads.split_off(start);
    let more = uploads.len() > limit;
    uploads.truncate(limit);
    let last = uploads.last().filter(|_| more);
    let next_page_token = last.map(|upload| {
        token::write(&Place::Upload {
            key: upload.key.as_str().to_owned(),
            upload: upload.id.as_str().to_owned(),
        })
    });
    Ok(UploadPage { uploads, next_page_token })
}

async fn all(store: &Store) -> Result<Vec<Upload>> {
    let folder = format!("{OWN}/");
    let (mut uploads, mut marker) = (Vec::new(), None::<String>);
    loop {
        let mut call = Call::new(Method::Get, Target::Container)
            .query("restype", "container")
            .query("comp", "list")
            .query("include", "metadata")
            .query("delimiter", "/")
            .query("prefix", &folder);
        if let Some(marker) = &marker {
            call = call.query("marker", marker);
        }
        let root = Element::parse(&store.client.send(&call).await?.text().await?)?;
        let blobs = root.child("Blobs").into_iter().flat_map(Element::children);
        uploads.extend(blobs.filter_map(|blob| {
            let id = UploadId::new(blob.child("Name")?.name_text().strip_prefix(&folder)?);
            let (seconds, nanoseconds) = upload_uuid(&id).ok()?.get_timestamp()?.to_unix();
            let key = base64::decode(blob.child("Metadata")?.text_of(KEY)?).ok()?;
            let key = ObjectKey::new(String::from_utf8(key).ok()?).ok()?;
            let started_at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            Some(Upload { key, id, started_at })
        }));
        match root.text_of("NextMarker") {
            Some(next) => marker = Some(next.to_owned()),
            None => return Ok(uploads),
        }
    }
}

/// Drops uploads that began too long ago, now and every day.
pub(crate) async fn sweep_daily(store: Shared) {
    loop {
        if let Err(error) = sweep(&store).await {
            tracing::warn!(error = %error, "old uploads could not be swept; that is tried again tomorrow");
        }
        tokio::time::sleep(DAY).await;
    }
}

/// Drops uploads that began too long ago, and says how many.
///
/// # Errors
///
/// What the service says.
pub(crate) async fn sweep(store: &Store) -> Result<usize> {
    let oldest = SystemTime::now() - store.config.upload_expiry;
    let mut swept = 0;
    for upload in all(store).await?.into_iter().filter(|upload| upload.started_at < oldest) {
        match Record::load(store, &upload.key, &upload.id).await {
            Ok(record) => swept += usize::from(remove(store, &record).await?),
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if swept > 0 {
        tracing::info!(uploads = swept, "uploads that were never completed were dropped");
    }
    Ok(swept)
}

/// The name of a blob that shows whether blobs can be written.
pub(crate) fn probe_name() -> String {
    OWN.to_owned() + "/probe-" + &Uuid::new_v4().simple().to_string()
}
