//! Uploads in parts.

use bytes::Bytes;

use crate::capability::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectKey;
use crate::memory::MemoryBackend;
use crate::memory::digest::Content;
use crate::memory::object::refuse_condition_and_checksums;
use crate::memory::state::{Draft, State, UploadInProgress};
use crate::multipart::{
    AbortResult, CompleteOptions, ListPartsOptions, Part, PartOptions, PartPage, UploadId,
};
use crate::request::{SaveOptions, SaveResult};
use crate::stream::ByteStream;

const MAX_PARTS: u32 = 10_000;

impl MemoryBackend {
    pub(super) fn begin(&self, key: &ObjectKey, options: SaveOptions) -> Result<UploadId> {
        self.require(Capabilities::MULTIPART, "begin_multipart")?;
        self.check_options(&options)?;
        refuse_condition_and_checksums(&options, "the begin of an upload")?;
        let options = self.with_default_tier(options);
        let mut state = self.state();
        let number = state.next_number();
        let upload = UploadInProgress { options, started_at: state.now(), parts: Default::default() };
        state.uploads.insert((key.clone(), number), upload);
        Ok(upload_id(number))
    }

    pub(super) async fn receive_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        body: ByteStream,
        options: &PartOptions,
    ) -> Result<Part> {
        self.require(Capabilities::MULTIPART, "upload_part")?;
        self.refuse_extra(&options.extra)?;
        self.require_checksums(&options.checksums)?;
        if !(1..=MAX_PARTS).contains(&number) {
            let message = format!("part numbers are 1 to {MAX_PARTS}");
            return Err(Error::new(ErrorKind::InvalidArgument, message).with_context("number", number));
        }
        find(&mut self.state(), key, upload)?;
        let content = Content::receive(body, self.info.limits.max_part_bytes).await?;
        options.checksums.verify(&content.checksums)?;
        let part = describe(number, &content);
        // The upload may have ended while the body came.
        find(&mut self.state(), key, upload)?.parts.insert(number, content);
        Ok(part)
    }

    pub(super) fn complete(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[Part],
        options: &CompleteOptions,
    ) -> Result<SaveResult> {
        self.require(Capabilities::MULTIPART, "complete_multipart")?;
        self.refuse_extra(&options.extra)?;
        self.require_condition(&options.condition)?;
        self.require_checksums(&options.checksums)?;
        let pieces = self.named_pieces(find(&mut self.state(), key, upload)?, parts)?;
        // Joining and hashing take their time and need no lock.
        let content = Content::join(&pieces);
        options.checksums.verify(&content.checksums)?;

        let mut state = self.state();
        let found = find(&mut state, key, upload)?;
        // Equal tags mean equal bytes: if this still holds, what was joined is what is there now.
        self.named_pieces(found, parts)?;
        let draft = Draft::new(key, content, found.options.clone());
        let saved = state.put(draft, &options.condition)?;
        state.uploads.retain(|(_, number), _| upload_id(*number) != *upload);
        Ok(saved)
    }

    /// The bytes of the parts that the caller names, after everything about the names was checked.
    fn named_pieces(&self, upload: &UploadInProgress, named: &[Part]) -> Result<Vec<Bytes>> {
        let invalid = |message: String, number: u32| {
            Err(Error::new(ErrorKind::InvalidArgument, message).with_context("number", number))
        };
        let limits = &self.info.limits;
        let Some(last) = named.last() else {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "an upload is completed with at least one part",
            ));
        };
        if named.len() > limits.max_parts.unwrap_or(MAX_PARTS) as usize {
            return invalid(format!("{} parts are more than an upload may have", named.len()), last.number);
        }
        let mut pieces = Vec::with_capacity(named.len());
        let mut size_bytes = 0;
        let mut before = 0;
        for part in named {
            let number = part.number;
            if number <= before {
                return invalid("the numbers of the parts do not ascend".to_owned(), number);
            }
            before = number;
            let Some(sent) = upload.parts.get(&number) else {
                return invalid("the part was not sent".to_owned(), number);
            };
            if sent.etag != part.etag {
                return invalid("the part has another tag".to_owned(), number);
            }
            let length = sent.bytes.len() as u64;
            if number != last.number && length < limits.min_part_bytes.unwrap_or(0) {
                return invalid(
                    format!("a part of {length} bytes is too small to be followed by one"),
                    number,
                );
            }
            size_bytes += length;
            pieces.push(sent.bytes.clone());
        }
        match limits.max_object_bytes {
            Some(limit) if size_bytes > limit => Err(Error::new(
                ErrorKind::TooLarge,
                format!("the parts are more than {limit} bytes together"),
            )),
            _ => Ok(pieces),
        }
    }

    pub(super) fn abort(&self, key: &ObjectKey, upload: &UploadId) -> Result<AbortResult> {
        self.require(Capabilities::MULTIPART, "abort_multipart")?;
        let mut state = self.state();
        let before = state.uploads.len();
        state.uploads.retain(|(owner, number), _| owner != key || upload_id(*number) != *upload);
        Ok(AbortResult { existed: state.uploads.len() < before })
    }

    pub(super) fn page_of_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        options: &ListPartsOptions,
    ) -> Result<PartPage> {
        self.require(Capabilities::MULTIPART, "list_parts")?;
        let limit = self.page_limit(options.limit)?;
        let mut state = self.state();
        let after = options.after.unwrap_or(0).saturating_add(1);
        let mut rest = find(&mut state, key, upload)?.parts.range(after..);
        let parts: Vec<_> = rest.by_ref().take(limit).map(|(number, part)| describe(*number, part)).collect();
        let next_after = rest.next().and(parts.last()).map(|part| part.number);
        Ok(PartPage { parts, next_after })
    }
}

fn find<'a>(state: &'a mut State, key: &ObjectKey, upload: &UploadId) -> Result<&'a mut UploadInProgress> {
    let mut uploads = state.uploads.iter_mut();
    let found = uploads.find(|((owner, number), _)| owner == key && upload_id(*number) == *upload);
    found.map(|(_, upload)| upload).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "there is no such upload of this key").with_context("upload", upload)
    })
}

/// The name of an upload.
pub(super) fn upload_id(number: u64) -> UploadId {
    UploadId::new(format!("u{number:08}"))
}

fn describe(number: u32, content: &Content) -> Part {
    Part {
        number,
        size_bytes: content.bytes.len() as u64,
        etag: content.etag.clone(),
        checksums: content.checksums,
    }
}
