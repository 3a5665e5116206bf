//! Small reads without a hop to another thread, where the system has everything in its memory.
//!
//! A hop costs more than reading a few kilobytes that are in the page cache. So a read is first tried in a way
//! that never waits for the disk. Whatever is out of the ordinary, a condition that does not hold included, is
//! left to the ordinary way, which tells what it is.

use std::fs::File;
use std::ops::Range;

use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, ObjectKey, RetrieveOptions, Retrieved};

use crate::chunks;
use crate::document::system_time;
use crate::read::find;
use crate::store::Store;

/// Documents shorter than this are read in one go; few are longer.
const USUAL_DOCUMENT_BYTES: usize = 2 * 1024;

/// Documents up to this length are read here: those of many versions take long to parse.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// Contents up to this length are read here: it takes some microseconds to copy them.
const MAX_CONTENT_BYTES: u64 = 64 * 1024;

/// Reads an object, or a range of it, if that takes no wait.
pub(crate) fn retrieve(store: &Store, key: &ObjectKey, wanted: &RetrieveOptions) -> Option<Retrieved> {
    let place = store.names.place(key);
    let path = place.path(&place.document());
    let text = read_document(&store.objects.open_cached(&path)?)?;
    let document = Store::parse(key, &path, &text).ok()?;
    let version = find(Some(document), wanted.version.as_ref()).ok()?;
    wanted.condition.check(Some(&version.etag()), system_time(version.stored_at)).ok()?;
    let range = match wanted.range {
        Some(range) => range.resolve(version.size_bytes).ok()?,
        None => 0..version.size_bytes,
    };
    let length = range.end.saturating_sub(range.start);
    let is_long = length > CHUNK_BYTES as u64;
    if !is_long && length > MAX_CONTENT_BYTES {
        return None;
    }
    let content = store.objects.open_cached(&place.path(&place.content(&version.version)))?;
    let body = if is_long {
        has_size(&content, version.size_bytes)?;
        chunks::stream(content, range.clone())
    } else {
        ByteStream::from_bytes(read_content(&content, &range, version.size_bytes)?)
    };
    let meta = version.into_meta(key.clone(), store.is_versioned());
    Some(Retrieved { meta, range, body })
}

fn read_document(file: &File) -> Option<Vec<u8>> {
    let mut text = vec![0; USUAL_DOCUMENT_BYTES];
    let mut read = read_at(file, &mut text, 0).ok()?;
    // A file gives less than was asked for at its end only.
    if read == text.len() {
        text.resize(MAX_DOCUMENT_BYTES + 1, 0);
        read += read_at(file, &mut text[read..], read as u64).ok()?;
    }
    text.truncate(read);
    (read <= MAX_DOCUMENT_BYTES).then_some(text)
}

/// Reads a range of a file that must have so many bytes.
fn read_content(file: &File, range: &Range<u64>, file_bytes: u64) -> Option<Vec<u8>> {
    let length = range.end.checked_sub(range.start).filter(|length| *length <= MAX_CONTENT_BYTES)?;
    let length = usize::try_from(length).ok()?;
    // What is read to its end is asked for one byte more: that there is none tells the length without another call.
    let to_its_end = range.end == file_bytes;
    if !to_its_end {
        has_size(file, file_bytes)?;
    }
    let mut bytes = vec![0; length + usize::from(to_its_end)];
    let read = read_at(file, &mut bytes, range.start).ok()?;
    bytes.truncate(read);
    (read == length).then_some(bytes)
}

fn has_size(file: &File, size_bytes: u64) -> Option<()> {
    (u64::try_from(rustix::fs::fstat(file).ok()?.st_size) == Ok(size_bytes)).then_some(())
}

/// Reads what is in the system's memory, which may be less than there is room for.
///
/// # Errors
///
/// `AGAIN` where nothing of it is; `OPNOTSUPP`, or one of its like, where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn read_at(file: &File, buffer: &mut [u8], start: u64) -> rustix::io::Result<usize> {
    use rustix::io::{IoSliceMut, ReadWriteFlags};

    rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], start, ReadWriteFlags::NOWAIT)
}

/// Other systems do not tell what they have in memory.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_at(_: &File, _: &mut [u8], _: u64) -> rustix::io::Result<usize> {
    Err(rustix::io::Errno::OPNOTSUPP)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, content).expect("a file");
        let file = File::open(path).expect("it opens");
        (folder, file)
    }

    #[test]
    fn content_that_has_another_length_than_its_document_tells_is_left_to_the_ordinary_way() {
        let (_folder, file) = file(b"0123456789");
        assert_eq!(read_content(&file, &(0..10), 10).as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(read_content(&file, &(4..10), 10).as_deref(), Some(&b"456789"[..]));
        assert_eq!(read_content(&file, &(2..4), 10).as_deref(), Some(&b"23"[..]));
        for told in [9, 11] {
            assert_eq!(read_content(&file, &(0..told), told), None, "{told}");
            assert_eq!(read_content(&file, &(2..4), told), None, "{told}");
        }
        let (_folder, empty) = self::file(b"");
        assert_eq!(read_content(&empty, &(0..0), 0).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_document_is_read_whole_up_to_a_limit() {
        for length in [0, 1, USUAL_DOCUMENT_BYTES - 1, USUAL_DOCUMENT_BYTES, 5_000, MAX_DOCUMENT_BYTES] {
            let text = vec![b'a'; length];
            let (_folder, file) = file(&text);
            assert_eq!(read_document(&file), Some(text), "{length}");
        }
        let (_folder, file) = file(&vec![b'a'; MAX_DOCUMENT_BYTES + 1]);
        assert_eq!(read_document(&file), None);
    }
}
