//! [`Walk`]: the keys of the store in byte order, without reading more of the tree than they need.
//!
//! The order of names in directories is not the order of keys: `a-b` < `a/b` < `a0`, though `a` is a directory
//! and the others are not, and a segment that is too long for one name continues in a directory. So the walk
//! keeps what it has not visited in one heap, ordered by the text with which the keys below begin, and always
//! takes the least. A directory is opened only when it is the least; until then it costs its name. Of a huge
//! directory only the least names are kept, and it is read again when they are used up.
//!
//! Links and whatever else the store did not put there are passed over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustix::io::Errno;
use storage_core::{ObjectKey, Result};

use crate::document::Document;
use crate::error::fault;
use crate::path::{Entry, Names, join};
use crate::store::Store;

/// So many names of one directory are kept at once.
const WINDOW: usize = 4096;

/// A walk over the documents whose keys begin with a text.
pub(crate) struct Walk<'a> {
    store: &'a Store,
    prefix: String,
    /// Where it starts.
    bound: Bound,
    heap: BinaryHeap<Reverse<Node>>,
    window: usize,
}

/// Where a walk starts in the order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// At the first key.
    First,
    /// At this key.
    At(String),
    /// After this text, the keys that go on from it included.
    After(String),
    /// After every key that starts with this text.
    Beyond(String),
}

impl Bound {
    /// Whether a key lies before the bound.
    fn excludes(&self, key: &str) -> bool {
        match self {
            Bound::First => false,
            Bound::At(text) => key < text.as_str(),
            Bound::After(text) => key <= text.as_str(),
            Bound::Beyond(text) => key < text.as_str() || key.starts_with(text.as_str()),
        }
    }

    /// Whether every key that starts with `text` lies before the bound.
    fn excludes_below(&self, text: &str) -> bool {
        match self {
            Bound::First => false,
            // A text that is less and not the bound's beginning parts from it at a lesser byte.
            Bound::At(bound) | Bound::After(bound) => text < bound.as_str() && !bound.starts_with(text),
            Bound::Beyond(bound) => {
                (text < bound.as_str() && !bound.starts_with(text)) || text.starts_with(bound.as_str())
            }
        }
    }
}

/// Something that was seen and not yet visited. The order is that of the fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    /// A key, or the text with which all keys below begin.
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Document,
    Directory {
        path: String,
    },
    /// The rest of a directory below which all keys begin with `text`: what comes after the node `last`.
    More {
        path: String,
        text: String,
        last: Box<Node>,
    },
}

impl<'a> Walk<'a> {
    /// A walk over the keys that start with `prefix` and do not lie before `bound`.
    pub(crate) fn new(store: &'a Store, prefix: &str, bound: Bound) -> Self {
        // The whole segments of the prefix lead to the directory that holds all the keys.
        let (text, path) = match prefix.rsplit_once('/') {
            Some((parents, _)) if !parents.split('/').any(str::is_empty) => {
                (format!("{parents}/"), store.names.directory(&parents.split('/').collect::<Vec<_>>()))
            }
            // No key begins so; the walk finds none.
            Some(_) | None => (String::new(), String::new()),
        };
        let root = Node { text, kind: Kind::Directory { path } };
        Self {
            store,
            prefix: prefix.to_owned(),
            bound,
            heap: BinaryHeap::from([Reverse(root)]),
            window: WINDOW,
        }
    }

    /// The next key with its document.
    ///
    /// # Errors
    ///
    /// Those of the file system; `Corrupted` for a damaged document.
    pub(crate) fn next(&mut self) -> Result<Option<(ObjectKey, Document)>> {
        while let Some(key) = self.next_key()? {
            // It may be gone since its name was read.
            if let Some(document) = self.store.load(&key, &self.store.names.place(&key))? {
                return Ok(Some((key, document)));
            }
        }
        Ok(None)
    }

    /// Passes over every key that starts with this text.
    pub(crate) fn skip(&mut self, text: &str) {
        self.bound = Bound::Beyond(text.to_owned());
    }

    fn next_key(&mut self) -> Result<Option<ObjectKey>> {
        while let Some(Reverse(Node { text, kind })) = self.heap.pop() {
            match kind {
                Kind::Document => {
                    if !self.bound.excludes(&text)
                        && let Ok(key) = ObjectKey::new(&text)
                    {
                        return Ok(Some(key));
                    }
                }
                Kind::Directory { path } => {
                    if !self.bound.excludes_below(&text) {
                        self.expand(&path, &text, None)?;
                    }
                }
                Kind::More { path, text: below, last } => {
                    if !self.bound.excludes_below(&below) {
                        self.expand(&path, &below, Some(&last))?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads a directory below which all keys begin with `text`, from what comes after a node on.
    fn expand(&mut self, path: &str, text: &str, after: Option<&Node>) -> Result<()> {
        let mut least = BinaryHeap::new();
        let mut is_cut = false;
        let read = self.store.objects.for_each_name(path, |name| {
            let Some(node) = self.node(path, text, name) else {
                return;
            };
            if after.is_some_and(|after| node <= *after) {
                return;
            }
            least.push(node);
            if least.len() > self.window {
                least.pop();
                is_cut = true;
            }
        });
        match read {
            // Gone meanwhile, or nothing that the store put there.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            read => read.map_err(fault("list a folder"))?,
        }
        if is_cut && let Some(last) = least.peek() {
            let kind =
                Kind::More { path: path.to_owned(), text: text.to_owned(), last: Box::new(last.clone()) };
            self.heap.push(Reverse(Node { text: last.text.clone(), kind }));
        }
        self.heap.extend(least.into_iter().map(Reverse));
        Ok(())
    }

    /// What a name in a directory is, where it can hold keys that are wanted.
    fn node(&self, path: &str, text: &str, name: &str) -> Option<Node> {
        match Names::read(name) {
            Entry::Other => None,
            Entry::Document(part) => {
                let key = ObjectKey::new(format!("{text}{part}")).ok()?;
                let wanted = key.as_str().starts_with(&self.prefix) && !self.bound.excludes(key.as_str());
                let place = self.store.names.place(&key);
                // A name that the store would not have given it is somebody else's.
                let is_own = place.directory == path && place.document() == name;
                (wanted && is_own).then(|| Node { text: key.as_str().to_owned(), kind: Kind::Document })
            }
            Entry::Directory(part) => {
                let below = format!("{text}{part}");
                let wanted = below.starts_with(&self.prefix) || self.prefix.starts_with(&below);
                (wanted && !self.bound.excludes_below(&below))
                    .then(|| Node { text: below, kind: Kind::Directory { path: join(path, name) } })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{Backend, ConfigValues, OpenRequest, SaveOptions};

    use super::*;
    use crate::LocalBackend;
    use crate::config::Config;

    #[tokio::test]
    async fn a_folder_that_is_larger_than_the_window_is_read_again_and_again() {
        let home = tempfile::tempdir().expect("a folder");
        let mut config = ConfigValues::new();
        config.set("path", home.path().display().to_string(), "test");
        let request = OpenRequest { name: "disk".to_owned(), config, ..OpenRequest::default() };
        let piece = "p".repeat(200);
        let mut keys: Vec<String> =
            ["a", "a-b", "a/b", "a0", "b/1", "b/2", "b/3", "c"].map(str::to_owned).into();
        // A document and a folder with the same text are the narrowest place to cut.
        keys.extend([piece.clone(), format!("{piece}-x"), format!("{piece}/x"), format!("{piece}0")]);
        keys.sort();
        let backend = LocalBackend::open(request.clone()).await.expect("open");
        for key in &keys {
            let key = ObjectKey::new(key).expect("a legal key");
            backend.save(&key, "x".into(), SaveOptions::default()).await.expect("saved");
        }
        let store = crate::open::open(Config::read(&request).expect("a configuration")).expect("open");
        for window in 1..6 {
            let mut walk = Walk::new(&store, "", Bound::First);
            walk.window = window;
            let mut found = Vec::new();
            while let Some((key, _)) = walk.next().expect("a key") {
                found.push(key.to_string());
            }
            assert_eq!(found, keys, "windows of {window}");
        }
    }
}
