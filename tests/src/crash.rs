//! The operations that a process performs until it is killed, known beforehand so that what is found
//! afterwards can be judged.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream;
use storage_core::{
    Backend, ByteStream, CompleteOptions, DeleteOptions, ErrorKind, ObjectKey, PartOptions, Result,
    RetrieveOptions, SaveOptions,
};

/// So many write at once, each its own key.
pub const WRITERS: u64 = 4;

/// One operation of one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who performs it.
    pub writer: u64,
    /// The how manieth it is.
    pub number: u64,
}

impl Step {
    /// The key that its writer writes.
    ///
    /// # Panics
    ///
    /// Never: the key is legal.
    pub fn key(self) -> ObjectKey {
        ObjectKey::new(format!("folder {0}/file-{0}.bin", self.writer)).expect("a legal key")
    }

    /// The bytes under the key once it is done; none where it deletes.
    pub fn content(self) -> Option<Bytes> {
        if self.number % 5 == 4 {
            return None;
        }
        // Small ones, and every seventh one that goes through the streaming path.
        let length = if self.number % 7 == 3 { 2_500_000 } else { (self.number * 7_919) % 20_000 };
        let words = (0..length.div_ceil(8)).flat_map(|_| (self.number * WRITERS + self.writer).to_le_bytes());
        Some(words.collect())
    }

    /// Performs it.
    ///
    /// # Errors
    ///
    /// The backend's.
    pub async fn perform(self, backend: &dyn Backend) -> Result<()> {
        let key = self.key();
        let Some(content) = self.content() else {
            backend.delete(&key, DeleteOptions::default()).await?;
            return Ok(());
        };
        let metadata = BTreeMap::from([("number".to_owned(), self.number.to_string())]);
        let options = SaveOptions { metadata, ..SaveOptions::default() };
        if self.number % 11 == 5 {
            let upload = backend.begin_multipart(&key, options).await?;
            let (first, second) = (content.slice(..content.len() / 2), content.slice(content.len() / 2..));
            let mut parts = Vec::new();
            for (number, body) in [(1, first), (2, second)] {
                let part = backend.upload_part(&key, &upload, number, body.into(), PartOptions::default());
                parts.push(part.await?);
            }
            backend.complete_multipart(&key, &upload, parts, CompleteOptions::default()).await?;
            return Ok(());
        }
        let chunks: Vec<_> = content.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let body = ByteStream::from_stream(stream::iter(chunks), Some(content.len() as u64));
        backend.save(&key, body, options).await?;
        Ok(())
    }

    /// Whether the backend is as this step leaves it, whole: bytes and description belong together.
    ///
    /// # Errors
    ///
    /// The backend's, but for a key that does not exist.
    pub async fn is_seen(self, backend: &dyn Backend) -> Result<bool> {
        let found = match backend.retrieve(&self.key(), RetrieveOptions::default()).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(self.content().is_none()),
            Err(error) => return Err(error),
        };
        let number = found.meta.metadata.get("number").cloned();
        let bytes = found.body.collect(u64::MAX).await?;
        Ok(number == Some(self.number.to_string()) && Some(bytes) == self.content())
    }
}
