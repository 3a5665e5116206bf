//! [`Checked`]: the backend under test, a prefix of its own, and what the cases ask again and again.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::json;
use storage_core::{
    Backend, Capabilities, CompleteOptions, DeleteOptions, ErrorKind, ListOptions, ListPage,
    ListUploadsOptions, ListVersionsOptions, MetadataOptions, ObjectKey, ObjectMeta, ObjectVersion, Part,
    PartOptions, Result, RetrieveOptions, Retry, SaveOptions, SaveResult, Upload, UploadId, VersionId,
};

use crate::fixture::{Chunking, Content};
use crate::target::Instance;

pub(super) const ADVANCE_CLOCK: &str = "advance_clock";
pub(super) const FOLLOW_URL: &str = "follow_url";

/// A backend that a case checks.
#[derive(Clone)]
pub struct Checked {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// What every key of the case starts with; it ends with a slash.
    pub prefix: String,
    instance: Arc<Instance>,
}

impl Checked {
    pub(super) fn new(instance: Arc<Instance>, prefix: String) -> Self {
        Self { backend: Arc::clone(&instance.backend), prefix, instance }
    }

    /// The same case on an instance that no other case uses: its clock is the case's own.
    pub(super) async fn alone(&self) -> Self {
        let instance = self.instance.target().open().await.expect("a second instance opens");
        Self::new(Arc::new(instance), self.prefix.clone())
    }

    /// The same case as a restarted host sees it.
    pub(super) async fn reopened(&self) -> Self {
        let backend = self.instance.reopen().await.expect("the content opens again");
        Self { backend, ..self.clone() }
    }

    pub(super) fn has(&self, capability: Capabilities) -> bool {
        self.backend.info().capabilities.has(capability)
    }

    /// A key of the case.
    pub(super) fn key(&self, rest: &str) -> ObjectKey {
        ObjectKey::new(format!("{}{rest}", self.prefix)).expect("a legal key")
    }

    /// A key without the case's prefix.
    pub(super) fn bare<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(&self.prefix).expect("only keys of the case")
    }

    /// A size that every part of an upload may have.
    pub(super) fn part_bytes(&self) -> u64 {
        self.backend.info().limits.min_part_bytes.unwrap_or(0).max(64 << 10)
    }

    pub(super) async fn save(&self, key: &ObjectKey, content: Content) -> SaveResult {
        self.save_with(key, content, SaveOptions::default()).await
    }

    pub(super) async fn save_with(
        &self,
        key: &ObjectKey,
        content: Content,
        options: SaveOptions,
    ) -> SaveResult {
        let chunking = if content.size_bytes < 1 << 20 { Chunking::Buffer } else { Chunking::Even };
        self.backend.save(key, content.body(chunking), options).await.expect("the save succeeds")
    }

    /// Saves many small objects, several at once.
    pub(super) fn save_all(&self, names: impl IntoIterator<Item = String>) -> BoxFuture<'_, ()> {
        let one = |name: String| {
            let (checked, key) = (self.clone(), self.key(&name));
            async move { drop(checked.save(&key, Content::new(1, 10)).await) }
        };
        let saves: Vec<_> = names.into_iter().map(one).collect();
        Box::pin(stream::iter(saves).buffer_unordered(16).collect())
    }

    /// The key holds this content, whole.
    #[track_caller]
    pub(super) fn holds(&self, key: &ObjectKey, content: Content) -> impl Future<Output = ()> {
        self.version_holds(key, None, content)
    }

    /// The version holds this content, whole.
    #[track_caller]
    pub(super) fn version_holds(
        &self,
        key: &ObjectKey,
        version: Option<VersionId>,
        content: Content,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let options = RetrieveOptions { version, ..RetrieveOptions::default() };
            let found = match self.backend.retrieve(key, options).await {
                Ok(found) => found,
                Err(error) => panic!("{caller}: {} was expected, but: {}", show(content), error.report()),
            };
            assert_eq!(found.meta.size_bytes, content.size_bytes, "{caller}: the size of the object");
            assert_eq!(found.range, 0..content.size_bytes, "{caller}: the range of the whole");
            if let Err(difference) = content.compare(0..content.size_bytes, found.body).await {
                panic!("{caller}: {} was expected, but {difference}", show(content));
            }
        }
    }

    /// Nothing is under the key, whichever way one asks.
    pub(super) async fn is_missing(&self, key: &ObjectKey) {
        assert!(!self.backend.exists(key).await.expect("exists answers"), "{key} exists");
        refused(self.backend.retrieve(key, RetrieveOptions::default()).await, ErrorKind::NotFound);
        refused(self.describe(key).await, ErrorKind::NotFound);
    }

    pub(super) async fn describe(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.backend.get_metadata(key, MetadataOptions::default()).await
    }

    /// Every page of a listing of the case's keys, with so many entries a page.
    pub(super) async fn pages(&self, options: ListOptions) -> Vec<ListPage> {
        let mut options = ListOptions { prefix: format!("{}{}", self.prefix, options.prefix), ..options };
        let mut pages = Vec::new();
        loop {
            let page = self.backend.list_files(options.clone()).await.expect("the page is listed");
            let entries = page.objects.len() + page.common_prefixes.len();
            assert!(options.limit.is_none_or(|limit| entries <= limit as usize), "{entries} in a page");
            let next = page.next_page_token.clone();
            pages.push(page);
            if next.is_none() {
                return pages;
            }
            assert_ne!(next, options.page_token, "the listing does not go on");
            options.page_token = next;
            options.start_after = None;
        }
    }

    /// The case's keys, in the order of the listing, without the prefix.
    pub(super) async fn listed(&self) -> Vec<String> {
        self.names(&self.pages(ListOptions::default()).await)
    }

    /// The keys in some pages, without the prefix.
    pub(super) fn names(&self, pages: &[ListPage]) -> Vec<String> {
        let objects = pages.iter().flat_map(|page| &page.objects);
        objects.map(|object| self.bare(object.key.as_str()).to_owned()).collect()
    }

    /// The uploads in progress under the case's prefix.
    pub(super) async fn uploads(&self) -> Vec<Upload> {
        self.uploads_in_pages(None).await
    }

    /// The same with so many uploads a page.
    pub(super) async fn uploads_in_pages(&self, limit: Option<u32>) -> Vec<Upload> {
        let mut options = ListUploadsOptions { prefix: self.prefix.clone(), page_token: None, limit };
        let mut uploads = Vec::new();
        loop {
            let page = self.backend.list_uploads(options.clone()).await.expect("uploads are listed");
            assert!(limit.is_none_or(|limit| page.uploads.len() <= limit as usize), "a page too long");
            uploads.extend(page.uploads);
            if page.next_page_token.is_none() {
                return uploads;
            }
            assert_ne!(page.next_page_token, options.page_token, "the listing does not go on");
            options.page_token = page.next_page_token;
        }
    }

    /// All versions and delete markers of the case, in the order of the listing.
    pub(super) async fn versions(&self, limit: Option<u32>) -> Vec<ObjectVersion> {
        let prefix = self.prefix.clone();
        let mut options = ListVersionsOptions { prefix, limit, ..ListVersionsOptions::default() };
        let mut versions = Vec::new();
        loop {
            let page = self.backend.list_versions(options.clone()).await.expect("versions are listed");
            assert!(limit.is_none_or(|limit| page.versions.len() <= limit as usize), "a page too long");
            versions.extend(page.versions);
            if page.next_page_token.is_none() {
                return versions;
            }
            assert_ne!(page.next_page_token, options.page_token, "the listing does not go on");
            options.page_token = page.next_page_token;
        }
    }

    /// A failed or dropped write left nothing: these keys are listed, and no upload is in progress.
    /// What a provider must be told may take it a moment, so this is asked until it is so.
    pub(super) async fn nothing_but(&self, names: &[&str]) {
        let mut patience = 100;
        loop {
            let listed = self.listed().await;
            let uploads = if self.has(Capabilities::MULTIPART) { self.uploads().await } else { Vec::new() };
            if listed == names && uploads.is_empty() {
                return;
            }
            assert!(patience > 0, "left behind: keys {listed:?} instead of {names:?}, uploads {uploads:?}");
            patience -= 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes what the case left: objects, versions and uploads.
    pub(super) async fn remove_everything(&self) {
        let pages = self.pages(ListOptions::default()).await;
        let keys: Vec<_> = pages.into_iter().flat_map(|page| page.objects).map(|object| object.key).collect();
        if !keys.is_empty() {
            for deleted in self.backend.delete_many(keys).await.expect("the case's objects are deleted") {
                deleted.expect("each object of the case is deleted");
            }
        }
        if self.has(Capabilities::VERSIONS) {
            for version in self.versions(None).await {
                let options = DeleteOptions { version: version.meta.version, ..DeleteOptions::default() };
                let deleted = self.backend.delete(&version.meta.key, options).await;
                deleted.expect("each version of the case is deleted");
            }
        }
        if self.has(Capabilities::MULTIPART) {
            for upload in self.uploads().await {
                let aborted = self.backend.abort_multipart(&upload.key, &upload.id).await;
                aborted.expect("each upload of the case is aborted");
            }
        }
    }

    pub(super) async fn begin(&self, key: &ObjectKey) -> UploadId {
        self.backend.begin_multipart(key, SaveOptions::default()).await.expect("the upload begins")
    }

    pub(super) async fn part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        content: Content,
    ) -> Part {
        let body = content.body(Chunking::Even);
        let part = self.backend.upload_part(key, upload, number, body, PartOptions::default()).await;
        let part = part.expect("the part is taken");
        assert_eq!((part.number, part.size_bytes), (number, content.size_bytes), "the part's own words");
        part
    }

    pub(super) async fn complete(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<Part>,
    ) -> Result<SaveResult> {
        self.backend.complete_multipart(key, upload, parts, CompleteOptions::default()).await
    }

    /// Puts the backend's clock forward.
    pub(super) async fn advance(&self, by: Duration) {
        let arguments = json!({ "seconds": by.as_secs() });
        self.backend.invoke(ADVANCE_CLOCK, arguments).await.expect("the clock goes forward");
    }
}

fn show(content: Content) -> String {
    format!("{content:?}")
}

/// The call failed with this kind, which no retry can change.
#[track_caller]
pub(super) fn refused<T: Debug>(result: Result<T>, kind: ErrorKind) {
    match result {
        Ok(answer) => panic!("{kind} was expected, but the call answered {answer:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{}", error.report());
            assert_eq!(error.retry(), Retry::Never, "a retry cannot help: {}", error.report());
        }
    }
}

/// For options that no capability covers: the call did what it was asked, which is for the case to see,
/// or refused the option. True where it did.
#[track_caller]
pub(super) fn honoured<T: Debug>(result: &Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.report());
            false
        }
    }
}
