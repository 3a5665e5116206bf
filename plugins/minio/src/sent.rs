//! [`SentParts`]: which of two parts of one number is the newer, for servers that keep both and list both.
//!
//! What another host sent is not known here; then the later time decides, which has whole seconds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use storage_core::{ETag, UploadId};

/// So many uploads are remembered; one too many takes the place of another.
const MOST_UPLOADS: usize = 256;

/// The tags of the parts that this backend sent last, by upload and number.
#[derive(Debug, Default)]
pub(crate) struct SentParts(Mutex<HashMap<String, HashMap<u32, ETag>>>);

impl SentParts {
    /// Notes a part that was sent.
    pub(crate) fn note(&self, upload: &UploadId, number: u32, tag: &ETag) {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() == MOST_UPLOADS && !uploads.contains_key(upload.as_str()) {
            let one = uploads.keys().next().cloned();
            one.and_then(|one| uploads.remove(&one));
        }
        uploads.entry(upload.as_str().to_owned()).or_default().insert(number, tag.clone());
    }

    /// Whether this is the part of its number that was sent last.
    pub(crate) fn is_last(&self, upload: &UploadId, number: u32, tag: &ETag) -> bool {
        let uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.get(upload.as_str()).and_then(|parts| parts.get(&number)) == Some(tag)
    }

    /// Forgets an upload that came to its end.
    pub(crate) fn forget(&self, upload: &UploadId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(upload.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_a_number_is_known_and_memory_is_bounded() {
        let sent = SentParts::default();
        let (upload, old, new) = (UploadId::new("u"), ETag::new("old"), ETag::new("new"));
        sent.note(&upload, 1, &old);
        sent.note(&upload, 1, &new);
        assert!(sent.is_last(&upload, 1, &new) && !sent.is_last(&upload, 1, &old));
        assert!(!sent.is_last(&upload, 2, &new));
        sent.forget(&upload);
        assert!(!sent.is_last(&upload, 1, &new));
        for number in 0..1_000 {
            sent.note(&UploadId::new(number.to_string()), 1, &old);
        }
        assert_eq!(sent.0.lock().expect("sound").len(), MOST_UPLOADS);
    }
}
