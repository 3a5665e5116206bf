//! Small reads without a hop to another thread, where the system has everything in its memory.
//!
//! A hop costs more than reading a few kilobytes that are in the page cache. So a read is first tried in a way
//! that never waits for the disk. Whatever is out of the ordinary, a condition that does not hold included, is
//! left to the ordinary way, which tells what it is.

use storage_core::{ByteStream, ObjectKey, RetrieveOptions, Retrieved};

use crate::document::system_time;
use crate::read::find;
use crate::store::Store;

/// Documents up to this length are read here: those of many versions take long to parse.
const MAX_DOCUMENT_BYTES: u64 = 16 * 1024;

/// Contents up to this length are read here: it takes some microseconds to copy them.
const MAX_CONTENT_BYTES: u64 = 64 * 1024;

/// Reads an object, or a range of it, if that takes no wait.
pub(crate) fn retrieve(store: &Store, key: &ObjectKey, wanted: &RetrieveOptions) -> Option<Retrieved> {
    let place = store.names.place(key);
    let path = place.path(&place.document());
    let text = store.objects.read_cached(&path, None, MAX_DOCUMENT_BYTES)?.bytes;
    let document = Store::parse(key, &path, &text).ok()?;
    let version = find(Some(&document), wanted.version.as_ref()).ok()?;
    wanted.condition.check(Some(&version.etag()), system_time(version.stored_at)).ok()?;
    let range = match wanted.range {
        Some(range) => range.resolve(version.size_bytes).ok()?,
        None => 0..version.size_bytes,
    };
    let path = place.path(&place.content(&version.version));
    let read = store.objects.read_cached(&path, Some(range.clone()), MAX_CONTENT_BYTES)?;
    if read.file_bytes != version.size_bytes {
        return None;
    }
    let meta = version.to_meta(key.clone(), store.is_versioned());
    Some(Retrieved { meta, range, body: ByteStream::from_bytes(read.bytes) })
}
