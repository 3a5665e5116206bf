//! Buffers and streams of bytes on their way over the boundary, in either direction.
//!
//! A payload is never copied: [`AbiBytes`] hands over the pointer together with its owner, and the other side
//! wraps both in [`Bytes`]. A stream is pulled a chunk at a time by whoever consumes it, so that it holds its
//! producer back; dropping it cancels the producer.

use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RResult};
use async_ffi::{ContextExt, FfiContext, FfiPoll};
use bytes::Bytes;
use futures_core::Stream;

use super::guard::{Guard, GuardedStream};
use super::value::{AbiError, Mirror, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::stream::ByteStream;

/// A buffer and the owner that keeps it alive.
#[repr(C)]
#[derive(StableAbi)]
pub(crate) struct AbiBytes {
    start: *const u8,
    length: usize,
    /// What `release` takes; null where nothing needs to be released.
    owner: *mut (),
    release: unsafe extern "C" fn(owner: *mut ()),
}

// SAFETY: the owner is a `Bytes` (or nothing), which is `Send` and `Sync`, and the bytes are never written to.
unsafe impl Send for AbiBytes {}
// SAFETY: as above.
unsafe impl Sync for AbiBytes {}

/// # Safety
///
/// `owner` is null or comes from `Box::<Bytes>::into_raw` of this same library, and is released once.
unsafe extern "C" fn release_bytes(owner: *mut ()) {
    if !owner.is_null() {
        // SAFETY: by the contract of the function.
        drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
    }
}

impl Mirror for Bytes {
    type Abi = AbiBytes;

    fn into_abi(self) -> AbiBytes {
        if self.is_empty() {
            let start = ptr::NonNull::dangling().as_ptr();
            return AbiBytes { start, length: 0, owner: ptr::null_mut(), release: release_bytes };
        }
        let (start, length) = (self.as_ptr(), self.len());
        AbiBytes { start, length, owner: Box::into_raw(Box::new(self)).cast(), release: release_bytes }
    }

    fn from_abi(abi: AbiBytes) -> Result<Self> {
        Ok(if abi.length == 0 { Bytes::new() } else { Bytes::from_owner(abi) })
    }
}

impl AsRef<[u8]> for AbiBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the owner keeps the bytes where they are, unchanged, until it is released, which only `drop` does.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for AbiBytes {
    fn drop(&mut self) {
        // SAFETY: owner and function were made together, and this runs once.
        unsafe { (self.release)(self.owner) }
    }
}

/// The next chunk, as it crosses.
type Item = ROption<Outcome<AbiBytes>>;

/// A stream of chunks that lives on the other side.
#[repr(C)]
#[derive(StableAbi)]
pub(crate) struct AbiChunks {
    state: *mut (),
    poll_next: unsafe extern "C" fn(state: *mut (), cx: *mut FfiContext<'_>) -> FfiPoll<Item>,
    release: unsafe extern "C" fn(state: *mut ()),
}

// SAFETY: the state is a `GuardedStream`, which is `Send`; it is polled through `&mut` only.
unsafe impl Send for AbiChunks {}

/// # Safety
///
/// `state` comes from `Box::<GuardedStream>::into_raw` of this same library and nothing else uses it now;
/// `cx` is valid for the call.
unsafe extern "C" fn poll_chunks(state: *mut (), cx: *mut FfiContext<'_>) -> FfiPoll<Item> {
    // SAFETY: by the contract of the function.
    let (stream, cx) = unsafe { (&mut *state.cast::<GuardedStream>(), &mut *cx) };
    match cx.with_context(|cx| stream.poll_next(cx)) {
        Poll::Pending => FfiPoll::Pending,
        Poll::Ready(item) => FfiPoll::Ready(item.map(Mirror::into_abi).into()),
    }
}

/// # Safety
///
/// As [`poll_chunks`]; `state` is not used afterwards.
unsafe extern "C" fn release_chunks(state: *mut ()) {
    // SAFETY: by the contract of the function. Dropping does not panic: the guard catches that.
    drop(unsafe { Box::from_raw(state.cast::<GuardedStream>()) });
}

impl Stream for AbiChunks {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // SAFETY: state and function were made together, and `&mut self` is the only way to them.
        let polled = cx.with_ffi_context(|cx| unsafe { (self.poll_next)(self.state, cx) });
        match polled {
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Ready(item) => Poll::Ready(item.into_option().map(received)),
            FfiPoll::Panicked => Poll::Ready(Some(Err(Error::new(
                ErrorKind::PluginPanicked,
                "the other side of the plugin boundary panicked in a stream",
            )))),
        }
    }
}

fn received(item: RResult<AbiBytes, AbiError>) -> Result<Bytes> {
    Result::from_abi(item)?
}

impl Drop for AbiChunks {
    fn drop(&mut self) {
        // SAFETY: state and function were made together, and this runs once.
        unsafe { (self.release)(self.state) }
    }
}

/// A [`ByteStream`] on its way: what is one buffer stays one.
#[repr(u8)]
#[derive(StableAbi)]
pub(crate) enum AbiBody {
    /// The whole, not yet read.
    Buffer(AbiBytes),
    /// Chunks, and their length in all where it is declared.
    Chunks(AbiChunks, ROption<u64>),
}

impl AbiBody {
    /// Sends a stream over. Its producer runs within the guard.
    pub(crate) fn new(stream: ByteStream, guard: Guard) -> Self {
        if let Some(bytes) = stream.as_buffer() {
            return AbiBody::Buffer(bytes.clone().into_abi());
        }
        let length_bytes = stream.length_bytes().into();
        let state = Box::into_raw(Box::new(GuardedStream::new(stream, guard))).cast();
        let chunks = AbiChunks { state, poll_next: poll_chunks, release: release_chunks };
        AbiBody::Chunks(chunks, length_bytes)
    }

    /// Takes what the other side sent.
    ///
    /// # Errors
    ///
    /// None today; as [`Mirror::from_abi`].
    pub(crate) fn into_stream(self) -> Result<ByteStream> {
        Ok(match self {
            AbiBody::Buffer(bytes) => ByteStream::from_bytes(Bytes::from_abi(bytes)?),
            AbiBody::Chunks(chunks, length_bytes) => {
                ByteStream::from_stream(chunks, length_bytes.into_option())
            }
        })
    }
}
