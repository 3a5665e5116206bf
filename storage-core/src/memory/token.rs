//! Signatures of what the backend hands out and later gets back: page tokens and URLs.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBackend;

impl MemoryBackend {
    /// The signature of a text, made for one purpose.
    pub(super) fn signature(&self, purpose: &str, text: &str) -> String {
        hex::encode(self.mac(purpose, text).finalize().into_bytes())
    }

    /// Whether a signature is the one of this text and purpose.
    pub(super) fn is_signed(&self, purpose: &str, text: &str, signature: &str) -> bool {
        hex::decode(signature).is_ok_and(|signature| self.mac(purpose, text).verify_slice(&signature).is_ok())
    }

    /// A page token for a place in a listing.
    pub(super) fn page_token(&self, listing: &str, place: &str) -> String {
        format!("{}.{place}", self.signature(listing, place))
    }

    /// The place that a page token names.
    pub(super) fn place<'a>(&self, listing: &str, token: &'a str) -> Result<&'a str> {
        let place =
            token.split_once('.').filter(|(signature, place)| self.is_signed(listing, place, signature));
        place
            .map(|(_, place)| place)
            .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "the page token is none of this listing"))
    }

    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // The zero byte separates the two, since neither holds one.
        Hmac::<Sha256>::new(&self.secret.0.into()).chain_update(purpose).chain_update([0]).chain_update(text)
    }
}
