//! [`Store`]: what holds the objects. It stands for the provider: put the calls of its client in its place.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use storage_core::{ETag, Error, ErrorKind, ObjectKey, ObjectMeta, Result, SaveOptions};

/// One object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) meta: ObjectMeta,
    pub(crate) content: Bytes,
}

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the first key.
    Start,
    /// After this text.
    After(String),
    /// After all keys that begin with this text, which ends with a slash.
    Beyond(String),
}

/// All objects, behind one lock that is held for single steps only: that makes every write atomic.
#[derive(Debug)]
pub(crate) struct Store {
    /// Tells tags and page tokens of this store from those of another one, such as one before a restart.
    id: String,
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Arc<Object>>,
    used_bytes: u64,
    saves: u64,
}

impl Store {
    /// An empty store that holds so much.
    pub(crate) fn new(max_bytes: u64) -> Self {
        // The hasher's keys are the randomness of the standard library.
        let id = format!("{:016x}", RandomState::new().hash_one(0));
        Self { id, max_bytes, state: Mutex::default() }
    }

    /// The state, which is sound even where a thread panicked: no step leaves it half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much it still holds.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.max_bytes - self.state().used_bytes
    }

    /// Refuses a content that would not fit even into an empty store.
    ///
    /// # Errors
    ///
    /// `NoSpace`.
    pub(crate) fn check_room(&self, size_bytes: u64) -> Result<()> {
        if size_bytes > self.max_bytes { Err(self.full()) } else { Ok(()) }
    }

    fn full(&self) -> Error {
        Error::new(ErrorKind::NoSpace, "the store is full; raise max_bytes ({{VARIABLE}}_MAX_BYTES)")
            .with_context("max_bytes", self.max_bytes)
    }

    /// Puts an object under its key, in place of what was there.
    ///
    /// # Errors
    ///
    /// `NoSpace`; what was there stays.
    pub(crate) fn put(&self, key: &ObjectKey, content: Bytes, options: SaveOptions) -> Result<ObjectMeta> {
        let mut meta = ObjectMeta::new(key.clone(), content.len() as u64, SystemTime::now());
        meta.content_type = options.content_type;
        meta.content_encoding = options.content_encoding;
        meta.content_language = options.content_language;
        meta.content_disposition = options.content_disposition;
        meta.cache_control = options.cache_control;
        meta.metadata = options.metadata;

        let mut state = self.state();
        let replaced_bytes = state.objects.get(key.as_str()).map_or(0, |old| old.meta.size_bytes);
        let used_bytes = state.used_bytes - replaced_bytes + meta.size_bytes;
        if used_bytes > self.max_bytes {
            return Err(self.full());
        }
        state.used_bytes = used_bytes;
        state.saves += 1;
        meta.etag = Some(ETag::new(format!("{}-{}", self.id, state.saves)));
        let object = Arc::new(Object { meta: meta.clone(), content });
        state.objects.insert(key.as_str().to_owned(), object);
        Ok(meta)
    }

    /// An object.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub(crate) fn get(&self, key: &ObjectKey) -> Result<Arc<Object>> {
        let found = self.state().objects.get(key.as_str()).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such object"))
    }

    /// Removes an object, and says whether it was there.
    pub(crate) fn remove(&self, key: &ObjectKey) -> bool {
        let mut state = self.state();
        let removed = state.objects.remove(key.as_str());
        state.used_bytes -= removed.as_ref().map_or(0, |object| object.meta.size_bytes);
        removed.is_some()
    }

    /// The first object beyond a place whose key begins with the prefix.
    pub(crate) fn next(&self, prefix: &str, place: &Place) -> Option<ObjectMeta> {
        let from = match place {
            Place::Start => Bound::Included(prefix.to_owned()),
            Place::After(text) => Bound::Excluded(text.clone()),
            // `0` follows the slash in byte order, so that this is where the keys of the group end.
            Place::Beyond(group) => Bound::Included(format!("{}0", group.trim_end_matches('/'))),
        };
        let from = match from {
            Bound::Excluded(text) if text.as_str() < prefix => Bound::Included(prefix.to_owned()),
            from => from,
        };
        let state = self.state();
        let mut following = state.objects.range((from, Bound::Unbounded));
        following.next().filter(|(key, _)| key.starts_with(prefix)).map(|(_, object)| object.meta.clone())
    }

    /// A place as a page token.
    pub(crate) fn write_token(&self, place: &Place) -> String {
        match place {
            Place::Start => format!("{}.", self.id),
            Place::After(text) => format!("{}.a{text}", self.id),
            Place::Beyond(group) => format!("{}.b{group}", self.id),
        }
    }

    /// The place that a page token names.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a token that this store did not give.
    pub(crate) fn read_token(&self, token: &str) -> Result<Place> {
        let place = token.strip_prefix(self.id.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let place = place.and_then(|place| match place.split_at_checked(1) {
            Some(("a", text)) => Some(Place::After(text.to_owned())),
            Some(("b", group)) => Some(Place::Beyond(group.to_owned())),
            _ => None,
        });
        place.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "the page token is none of this listing"))
    }
}
