//! Uploads through a session that survives broken connections: one chunk after the other, each repeated from where
//! the service has it. The object appears with the last chunk.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RANGE};
use storage_core::{Error, ErrorKind, Result, Retry};
use tokio_util::task::TaskTracker;

use crate::client::{Client, with_query};
use crate::error::{Failure, bad_answer, in_session};
use crate::resource::{NewObject, Object, crc32c_text};
use crate::retry::pause;
use crate::single::Chunks;

/// A session. One that is dropped before its end is cancelled.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    /// Whoever has it may write: it is in no message.
    url: String,
    sent_type: String,
    tracker: TaskTracker,
    is_over: bool,
}

/// What became of a request of a session.
enum Step {
    /// The service has so many bytes.
    Has(u64),
    /// The object is there.
    Done(Box<Object>),
}

impl Session {
    /// Begins a session.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn begin(
        client: &Client,
        tracker: &TaskTracker,
        new: &NewObject,
        query: &[(&str, String)],
    ) -> Result<Self, Failure> {
        let query: Vec<_> = [("uploadType", "resumable".to_owned()), ("name", new.name.clone())]
            .into_iter()
            .chain(query.iter().cloned())
            .collect();
        let request = client
            .http()
            .post(with_query(&client.upload_url(), &query))
            .header("x-upload-content-type", new.sent_type())
            .json(new);
        let answer = client.send(request).await?;
        let url = answer.headers().get(LOCATION).and_then(|url| url.to_str().ok());
        let url = url.ok_or_else(|| bad_answer("an upload session without an address"))?.to_owned();
        let (client, tracker, sent_type) = (client.clone(), tracker.clone(), new.sent_type().to_owned());
        Ok(Self { client, url, sent_type, tracker, is_over: false })
    }

    /// Sends a chunk that is not the last. Its length must be a multiple of 256 KiB.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn send(&mut self, offset: u64, chunk: &Chunks) -> Result<(), Failure> {
        match self.transfer(offset, chunk, None).await.map_err(in_session)? {
            None => Ok(()),
            Some(_) => Err(bad_answer("an upload that ended before its last chunk").into()),
        }
    }

    /// Sends the last chunk, with the CRC-32C of the whole.
    ///
    /// # Errors
    ///
    /// See [`crate::error`].
    pub(crate) async fn finish(
        mut self,
        offset: u64,
        chunk: &Chunks,
        crc32c: u32,
    ) -> Result<Object, Failure> {
        let object = self.transfer(offset, chunk, Some(crc32c)).await.map_err(in_session)?;
        self.is_over = object.is_some();
        object.ok_or_else(|| bad_answer("an upload that does not end with its last chunk").into())
    }

    async fn transfer(
        &mut self,
        offset: u64,
        chunk: &Chunks,
        last: Option<u32>,
    ) -> Result<Option<Object>, Failure> {
        let end = offset + chunk.size_bytes;
        let (mut at, mut failed) = (offset, 0);
        loop {
            let step = match self
                .put(at, chunk.without_first(at - offset), last.map(|crc32c| (end, crc32c)))
                .await
            {
                Ok(step) => Ok(step),
                Err(failure) => {
                    failed += 1;
                    let Some(pause) = pause(failure.error.retry(), failed) else { return Err(failure) };
                    tracing::debug!(error = %failure.error, ?pause, "a chunk of an upload is repeated");
                    tokio::time::sleep(pause).await;
                    self.status(last.map(|_| end)).await
                }
            };
            match step {
                Ok(Step::Done(object)) => return Ok(Some(*object)),
                Ok(Step::Has(has)) if has == end && last.is_none() => return Ok(None),
                Ok(Step::Has(has)) if has < offset || has > end => {
                    return Err(bad_answer("an upload that lost what it had").into());
                }
                Ok(Step::Has(has)) => {
                    // An answer without progress is a failure as well, or this would never end.
                    failed += u32::from(has == at);
                    if pause(Retry::May, failed).is_none() {
                        let error = Error::new(ErrorKind::Unavailable, "the upload makes no progress");
                        return Err(error.with_retry(Retry::May).into());
                    }
                    at = has;
                }
                // What the service has is asked again with the next attempt: until then it is what it was.
                Err(failure) if pause(failure.error.retry(), failed).is_some() => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn put(&self, at: u64, chunk: Chunks, last: Option<(u64, u32)>) -> Result<Step, Failure> {
        let total = last.map_or_else(|| "*".to_owned(), |(total, _)| total.to_string());
        let range = match chunk.size_bytes {
            0 => format!("bytes */{total}"),
            size_bytes => format!("bytes {at}-{}/{total}", at + size_bytes - 1),
        };
        let mut request = self
            .client
            .http()
            .put(&self.url)
            .header("content-type", &self.sent_type)
            .header("content-range", range)
            .header("content-length", chunk.size_bytes);
        if let Some((_, crc32c)) = last {
            request = request.header("x-goog-hash", format!("crc32c={}", crc32c_text(crc32c)));
        }
        self.step(request.body(chunk.into_body())).await
    }

    /// Asks what the service has.
    async fn status(&self, total: Option<u64>) -> Result<Step, Failure> {
        let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
        let request = self.client.http().put(&self.url).header("content-range", format!("bytes */{total}"));
        self.step(request.header("content-length", 0)).await
    }

    async fn step(&self, request: reqwest::RequestBuilder) -> Result<Step, Failure> {
        let answer = self.client.send(request).await?;
        if answer.status() == StatusCode::PERMANENT_REDIRECT {
            return Ok(Step::Has(persisted(answer.headers())));
        }
        Ok(Step::Done(Box::new(self.client.json(answer).await?)))
    }
}

/// How many bytes the service says that it has.
fn persisted(headers: &HeaderMap) -> u64 {
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let last = range.and_then(|range| range.rsplit_once('-')).and_then(|(_, last)| last.parse::<u64>().ok());
    last.map_or(0, |last| last + 1)
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (client, url) = (self.client.clone(), std::mem::take(&mut self.url));
        // Google forgets the session by itself within a week; this is sooner. It answers 499 to say that it did.
        self.tracker.spawn(async move {
            if let Err(failure) = client.send(client.http().delete(url).header("content-length", 0)).await
                && failure.status.is_none_or(|status| status.as_u16() != 499)
            {
                tracing::debug!(error = %failure.error, "an upload session was not cancelled; it ends within a week");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_has_is_read_from_its_range() {
        let mut headers = HeaderMap::new();
        assert_eq!(persisted(&headers), 0, "no range is nothing");
        headers.insert(RANGE, "bytes=0-262143".parse().expect("a value"));
        assert_eq!(persisted(&headers), 262_144);
    }
}
