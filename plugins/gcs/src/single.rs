//! Uploads in one request, and what every upload checks of the answer.

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use storage_core::{Error, ErrorKind, Result, Retry};

use crate::client::{Client, with_query};
use crate::digest::Crc32c;
use crate::error::{Failure, bad_answer};
use crate::options::Conditional;
use crate::resource::{NewObject, Object, SAVE_ID, crc32c_text};
use crate::retry::repeat;

/// Some bytes of a content, as they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks {
    chunks: Vec<Bytes>,
    /// How many bytes they are.
    pub(crate) size_bytes: u64,
}

impl Chunks {
    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.size_bytes += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    /// The same bytes without the first.
    pub(crate) fn without_first(&self, mut skipped: u64) -> Self {
        let mut rest = Self::default();
        for chunk in &self.chunks {
            let start = skipped.min(chunk.len() as u64);
            skipped -= start;
            // A chunk is in memory, so that its length fits.
            let chunk = chunk.slice(start as usize..);
            if !chunk.is_empty() {
                rest.push(chunk);
            }
        }
        rest
    }

    /// The CRC-32C of all of them.
    pub(crate) fn crc32c(&self) -> u32 {
        let mut crc32c = Crc32c::new();
        self.chunks.iter().for_each(|chunk| crc32c.update(chunk));
        crc32c.finish()
    }

    /// A body that gives them; its length must be told in a header.
    pub(crate) fn into_body(self) -> Body {
        Body::wrap_stream(stream::iter(self.chunks.into_iter().map(Ok::<_, std::convert::Infallible>)))
    }
}

/// Sends an object in one request; Google checks the CRC-32C and stores nothing where it differs.
///
/// # Errors
///
/// See [`crate::error`].
pub(crate) async fn upload(
    client: &Client,
    new: &NewObject,
    content: &Chunks,
    query: &[(&str, String)],
) -> Result<Object, Failure> {
    let boundary = crate::layout::new_id();
    let json = serde_json::to_string(new).map_err(|error| bad_answer("a description").with_source(error))?;
    let sent_type = new.sent_type();
    let head = format!(
        "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json}\r\n--{boundary}\r\n\
         Content-Type: {sent_type}\r\n\r\n"
    );
    let mut body = Chunks::default();
    body.push(head.into());
    content.chunks.iter().for_each(|chunk| body.push(chunk.clone()));
    body.push(format!("\r\n--{boundary}--\r\n").into());
    let query: Vec<_> =
        [("uploadType", "multipart".to_owned())].into_iter().chain(query.iter().cloned()).collect();
    let request = client
        .http()
        .post(with_query(&client.upload_url(), &query))
        .header("content-type", format!("multipart/related; boundary={boundary}"))
        .header("content-length", body.size_bytes)
        .body(body.into_body());
    let answer = client.send(request).await?;
    Ok(client.json(answer).await?)
}

/// As [`upload`], repeated where that may help, under a condition.
///
/// # Errors
///
/// `AlreadyExists` or `PreconditionFailed`, as the condition has it; `ChecksumMismatch`.
pub(crate) async fn upload_if(
    client: &Client,
    mut new: NewObject,
    content: &Chunks,
    crc32c: u32,
    condition: &Conditional,
    query: &[(&'static str, String)],
) -> Result<Object> {
    new.crc32c = Some(crc32c_text(crc32c));
    condition.mark(&mut new);
    let query: Vec<_> = condition.query().into_iter().chain(query.iter().cloned()).collect();
    let sent = repeat(async |may_be_done| {
        let sent = upload(client, &new, content, &query).await;
        or_done_before(client, &new, condition, may_be_done, sent).await
    });
    let object = sent.await.map_err(|failure| condition.refusal(failure))?;
    check_stored(client, &new, &object, content.size_bytes, crc32c).await?;
    Ok(object)
}

/// Where a conditional write is refused though an earlier attempt may have been carried out, sees whether it was.
///
/// # Errors
///
/// The refusal, where what is there is of somebody else.
pub(crate) async fn or_done_before(
    client: &Client,
    new: &NewObject,
    condition: &Conditional,
    may_be_done: bool,
    sent: Result<Object, Failure>,
) -> Result<Object, Failure> {
    let (refusal, id) = match (sent, &condition.save_id) {
        (Err(failure), Some(id)) if may_be_done && failure.error.kind() == ErrorKind::PreconditionFailed => {
            (failure, id)
        }
        (sent, _) => return sent,
    };
    match client.object(&new.name, None).await {
        Ok(object) if object.metadata.get(SAVE_ID) == Some(id) => Ok(object),
        _ => Err(refusal),
    }
}

/// Sees that what is stored is what was sent. What is not is removed.
///
/// # Errors
///
/// `ChecksumMismatch`.
pub(crate) async fn check_stored(
    client: &Client,
    new: &NewObject,
    object: &Object,
    size_bytes: u64,
    crc32c: u32,
) -> Result<()> {
    if !object.is_in_class(new.storage_class.as_deref()) {
        // The content is whole and can be moved, so that it is not taken away for what it costs.
        let (wanted, stored) = (&new.storage_class, &object.storage_class);
        tracing::warn!(name = new.name, ?wanted, ?stored, "the service stored an object in another class");
    }
    let stored = object.checksums().crc32c;
    if object.size_bytes()? == size_bytes && stored.is_none_or(|stored| stored == crc32c) {
        return Ok(());
    }
    let query = [("generation", object.generation()?.to_string())];
    let removed = client.remove(&object.name, &query).await;
    let error = Error::new(
        ErrorKind::ChecksumMismatch,
        "what the service stored is not what was sent; it was removed",
    )
    .with_retry(Retry::May)
    .with_context("sent_bytes", size_bytes)
    .with_context("stored_bytes", object.size_bytes()?);
    Err(match removed {
        Ok(_) => error,
        Err(failure) => error.with_context("removal_failed", failure.error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_lose_their_first_bytes_across_their_bounds() {
        let mut chunks = Chunks::default();
        ["ab", "", "cde"].iter().for_each(|text| chunks.push(Bytes::from_static(text.as_bytes())));
        assert_eq!(chunks.crc32c(), crc_fast::crc32_iscsi(b"abcde"));
        let rest = |skipped| chunks.without_first(skipped).chunks.concat();
        assert_eq!((rest(0), rest(1), rest(2)), (b"abcde".to_vec(), b"bcde".to_vec(), b"cde".to_vec()));
        assert_eq!((rest(4), rest(5)), (b"e".to_vec(), Vec::new()));
        assert_eq!(chunks.without_first(3).size_bytes, 2);
    }
}
