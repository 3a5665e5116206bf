//! [`Chunks`]: the chunks of a content that is longer than one.
//!
//! What the system has in its memory is copied by whoever polls: that takes some ten microseconds, as much as a hop
//! to another thread. What it has not is read on a thread for work that blocks, and the system is told to fetch what
//! follows. So a consumer that stands still holds no thread and, beside the chunk that it was given, no memory.

use std::fs::File;
use std::future::Future;
use std::num::NonZeroU64;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use rustix::fs::Advice;
use rustix::io::Errno;
use storage_core::stream::CHUNK_BYTES;
use storage_core::{ByteStream, Result};
use tokio::task::JoinHandle;

use crate::error::{corrupted, fault};
use crate::pace::Pace;
use crate::{blocking, cached};

/// The size of the first chunk and of those of a slow consumer: a thousand of them hold a thousand times this.
/// Those of a fast one have up to [`CHUNK_BYTES`].
const SLOW_CHUNK_BYTES: usize = 64 * 1024;

/// So much is the system told to fetch behind a chunk that it had not in its memory.
const FETCH_BYTES: u64 = 4 * 1024 * 1024;

/// After so many chunks without a wait a consumer that asks for more at once has to let others have its thread.
const CHUNKS_IN_A_ROW: u32 = 16;

/// Gives the bytes of a range of a file, which must have them.
pub(crate) fn stream(file: File, range: Range<u64>) -> ByteStream {
    let length_bytes = range.end - range.start;
    ByteStream::from_stream(Chunks::new(file, range), Some(length_bytes))
}

/// A content that is being read.
struct Chunks {
    file: Arc<File>,
    next: u64,
    end: u64,
    pace: Pace,
    /// When the consumer got the last chunk.
    given: Option<Instant>,
    in_a_row: u32,
    spare: Arc<Spare>,
    reading: Option<JoinHandle<Result<Buffer>>>,
    /// Whether the system does not tell what it has in its memory, so that every chunk takes a hop. Then the next
    /// one is read while the consumer has the last.
    reads_ahead: bool,
}

impl Chunks {
    fn new(file: File, range: Range<u64>) -> Self {
        Self {
            file: Arc::new(file),
            next: range.start,
            end: range.end,
            pace: Pace::new(SLOW_CHUNK_BYTES, CHUNK_BYTES),
            given: None,
            in_a_row: 0,
            spare: Arc::default(),
            reading: None,
            reads_ahead: false,
        }
    }

    /// A buffer for the next chunk; none at the end.
    fn next_buffer(&mut self) -> Option<Buffer> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        (left > 0).then(|| Buffer::take(&self.spare, self.pace.bytes(), left))
    }

    /// Reads what the system has in its memory, if that is enough to be worth a chunk.
    fn read_cached(&mut self, buffer: &mut Buffer) -> bool {
        match cached::read_at(&self.file, buffer.empty(), self.next) {
            Ok(read) => buffer.filled = read,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.reads_ahead = true,
            // The other way waits for what is missing, and tells what is wrong.
            Err(_) => {}
        }
        buffer.filled >= buffer.wanted.min(SLOW_CHUNK_BYTES)
    }

    /// Reads the rest of a chunk on another thread.
    fn read_elsewhere(&mut self, mut buffer: Buffer) {
        let (file, start) = (Arc::clone(&self.file), self.next);
        self.reading = Some(tokio::task::spawn_blocking(move || {
            buffer.fill(&file, start)?;
            Ok(buffer)
        }));
    }

    fn give(&mut self, buffer: Buffer) -> Bytes {
        self.next += buffer.filled as u64;
        self.given = Some(Instant::now());
        buffer.into_bytes()
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(given) = this.given.take() {
            this.pace.took(given.elapsed());
        }
        if this.reading.is_none() {
            if this.in_a_row == CHUNKS_IN_A_ROW {
                this.in_a_row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(mut buffer) = this.next_buffer() else {
                return Poll::Ready(None);
            };
            if this.read_cached(&mut buffer) {
                this.in_a_row += 1;
                return Poll::Ready(Some(Ok(this.give(buffer))));
            }
            this.read_elsewhere(buffer);
        }
        let Some(reading) = &mut this.reading else {
            return Poll::Ready(None);
        };
        let read = blocking::outcome(ready!(Pin::new(reading).poll(cx)));
        this.reading = None;
        this.in_a_row = 0;
        let chunk = read.map(|buffer| this.give(buffer));
        if this.reads_ahead
            && chunk.is_ok()
            && let Some(buffer) = this.next_buffer()
        {
            this.read_elsewhere(buffer);
        }
        Poll::Ready(Some(chunk))
    }
}

/// The memory of a chunk that the consumer is done with. In fresh memory the system would have to find and clear every
/// page, which takes longer than to copy the bytes.
type Spare = Mutex<Option<Box<[u8]>>>;

/// The memory of a chunk. It goes back to its stream when the consumer drops the chunk.
struct Buffer {
    memory: Box<[u8]>,
    wanted: usize,
    filled: usize,
    home: Weak<Spare>,
}

impl Buffer {
    /// Memory for a chunk, of which no more than so much is wanted.
    fn take(spare: &Arc<Spare>, chunk_bytes: usize, limit_bytes: usize) -> Self {
        let left = spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let fitting = left.filter(|memory| memory.len() == chunk_bytes);
        let memory = fitting.unwrap_or_else(|| vec![0; chunk_bytes].into_boxed_slice());
        Self { memory, wanted: chunk_bytes.min(limit_bytes), filled: 0, home: Arc::downgrade(spare) }
    }

    fn empty(&mut self) -> &mut [u8] {
        &mut self.memory[self.filled..self.wanted]
    }

    /// Waits until everything is read that is wanted of a file from there on, and has the system fetch what follows.
    ///
    /// # Errors
    ///
    /// Those of the file system; `Corrupted` where the file ends early.
    fn fill(&mut self, file: &File, start: u64) -> Result<()> {
        let position = start + self.filled as u64;
        rustix::fs::fadvise(file, position, NonZeroU64::new(FETCH_BYTES), Advice::WillNeed)
            .map_err(fault("prepare to read the content"))?;
        while self.filled < self.wanted {
            let position = start + self.filled as u64;
            match rustix::io::pread(file, self.empty(), position) {
                Ok(0) => {
                    return Err(corrupted("the content ended early: something else shortened the file"));
                }
                Ok(read) => self.filled += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fault("read the content")(errno)),
            }
        }
        Ok(())
    }

    fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            *home.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use futures_util::{StreamExt, TryStreamExt};
    use storage_core::ErrorKind;

    use super::*;

    const LENGTH: usize = 5 * 1024 * 1024 + 7;

    fn content() -> Vec<u8> {
        (0..LENGTH).map(|at| (at / 251 + at) as u8).collect()
    }

    /// A file that the system has not in its memory, if it forgets when it is asked to.
    fn forgotten_file() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, content()).expect("a file");
        let file = File::options().read(true).write(true).open(path).expect("it opens");
        file.sync_all().expect("on the disk");
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).expect("forgotten");
        (folder, file)
    }

    /// A file that the system has in its memory.
    fn cached_file() -> (tempfile::TempDir, File) {
        let (folder, file) = forgotten_file();
        std::fs::read(folder.path().join("file")).expect("read");
        (folder, file)
    }

    fn whole(file: File, reads_ahead: bool) -> Chunks {
        Chunks { reads_ahead, ..Chunks::new(file, 0..LENGTH as u64) }
    }

    #[tokio::test]
    async fn every_range_comes_whole_whatever_the_system_has_in_its_memory() {
        let content = content();
        let end = LENGTH as u64;
        for range in [0..end, 0..0, 7..8, 4096..end, 65_535..3_000_001, end - 1..end] {
            for (_folder, file) in [forgotten_file(), cached_file()] {
                for reads_ahead in [false, true] {
                    let file = file.try_clone().expect("a second descriptor");
                    let chunks = Chunks { reads_ahead, ..Chunks::new(file, range.clone()) };
                    let read: Vec<Bytes> = chunks.try_collect().await.expect("sound");
                    let wanted = range.start as usize..range.end as usize;
                    assert!(read.concat() == content[wanted], "{range:?}, reads ahead: {reads_ahead}");
                }
            }
        }
    }

    #[test]
    fn consumers_that_stand_still_hold_no_thread_and_nothing_but_their_chunk() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
        runtime.expect("a runtime").block_on(async {
            let mut standing = Vec::new();
            for (folder, file) in (0..8).map(|_| forgotten_file()) {
                let mut chunks = whole(file, false);
                let chunk = chunks.next().await.expect("a chunk").expect("sound");
                assert!(
                    chunks.reading.is_none() && chunks.next == chunk.len() as u64,
                    "nothing is read ahead"
                );
                assert!(chunks.spare.lock().expect("no panic").is_none());
                assert!(chunk.len() <= SLOW_CHUNK_BYTES);
                standing.push((folder, chunks, chunk));
            }
            // There is one thread for work that blocks, and it is free.
            tokio::task::spawn_blocking(|| ()).await.expect("no panic");
            // Where nothing is known of the system's memory, one chunk is read ahead, and that ends by itself.
            let (_folder, file) = cached_file();
            let mut chunks = whole(file, true);
            chunks.read_elsewhere(Buffer::take(&chunks.spare, SLOW_CHUNK_BYTES, LENGTH));
            let chunk = chunks.next().await.expect("a chunk").expect("sound");
            tokio::task::spawn_blocking(|| ()).await.expect("no panic");
            assert!(chunks.reading.as_ref().is_some_and(JoinHandle::is_finished));
            assert_eq!(chunks.next, chunk.len() as u64);
        });
    }

    #[tokio::test]
    async fn a_slow_consumer_is_given_small_chunks_even_where_they_are_read_ahead() {
        for reads_ahead in [false, true] {
            let (_folder, file) = cached_file();
            let mut chunks = whole(file, reads_ahead);
            if reads_ahead {
                // What is in memory would be given without.
                let buffer = chunks.next_buffer().expect("there is more");
                chunks.read_elsewhere(buffer);
            }
            for _ in 0..6 {
                let chunk = chunks.next().await.expect("a chunk").expect("sound");
                assert_eq!(chunk.len(), SLOW_CHUNK_BYTES, "reads ahead: {reads_ahead}");
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        }
    }

    #[tokio::test]
    async fn the_memory_of_a_chunk_serves_for_the_next_one() {
        let (_folder, file) = cached_file();
        let mut chunks = whole(file, false);
        let first = chunks.next().await.expect("a chunk").expect("sound");
        let memory = first.as_ptr();
        let slice = first.slice(1000..1001);
        drop(first);
        // Sizes depend on the time that passes.
        chunks.given = None;
        let second = chunks.next().await.expect("a chunk").expect("sound");
        assert_ne!(second.as_ptr(), memory, "a part of the first is still in use");
        assert_eq!(slice, content()[1000..1001]);
        drop(slice);
        let spare = chunks.spare.lock().expect("no panic").as_ref().map(|memory| memory.as_ptr());
        assert_eq!(spare, Some(memory));
        chunks.given = None;
        let third = chunks.next().await.expect("a chunk").expect("sound");
        assert_eq!(third.as_ptr(), memory);
        drop(chunks);
        let wanted = content();
        assert!(third == wanted[2 * SLOW_CHUNK_BYTES..3 * SLOW_CHUNK_BYTES], "it outlives its stream");
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_consumer_that_is_never_made_to_wait_lets_others_run() {
        let (_folder, file) = cached_file();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut chunks = whole(file, false);
        for _ in 0..CHUNKS_IN_A_ROW {
            chunks.given = None;
            assert!(chunks.poll_next_unpin(&mut Context::from_waker(&waker)).is_ready());
        }
        assert!(chunks.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "it is called again");
        assert!(chunks.poll_next_unpin(&mut Context::from_waker(&waker)).is_ready());
    }

    #[tokio::test]
    async fn a_file_that_is_cut_short_while_it_is_read_is_told() {
        for reads_ahead in [false, true] {
            let (_folder, file) = cached_file();
            let cut = file.try_clone().expect("a second descriptor");
            let mut body = ByteStream::from_stream(whole(file, reads_ahead), Some(LENGTH as u64));
            body.next().await.expect("a chunk").expect("sound");
            cut.set_len(LENGTH as u64 / 2).expect("cut");
            let error = body.collect(u64::MAX).await.expect_err("too short");
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
        }
    }
}
