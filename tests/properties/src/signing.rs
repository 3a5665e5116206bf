//! JSON web tokens from their parts, signed or forged: what the properties of links and of users' tokens share.
//!
//! Nothing here uses the library that the service verifies with but for keys of elliptic curves, so that a token that
//! is accepted is compared with what RFC 7515 says and not with the same code again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

/// A token's parts, each as it was signed.
pub(crate) struct Parts {
    /// What the signature is over: header, a dot, payload.
    pub(crate) message: String,
    /// The header's members.
    pub(crate) header: Map<String, Value>,
    /// The claims.
    pub(crate) claims: Map<String, Value>,
    /// The signature.
    pub(crate) signature: Vec<u8>,
}

impl Parts {
    /// Takes a token apart; nothing where it is none.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let object = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self {
            message: message.to_owned(),
            header: object(header)?,
            claims: object(payload)?,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// A text of the header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// A claim that is a number of seconds since 1970.
    pub(crate) fn seconds(&self, name: &str) -> Option<f64> {
        self.claims.get(name)?.as_f64()
    }

    /// Whether a claim is this text, or a list that holds it.
    pub(crate) fn names(&self, claim: &str, text: &str) -> bool {
        match self.claims.get(claim) {
            Some(Value::String(given)) => given == text,
            Some(Value::Array(given)) => given.iter().any(|given| given == text),
            _ => false,
        }
    }
}

/// Header and payload as they are signed.
pub(crate) fn message(header: &str, payload: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// A token of a message and its signature.
pub(crate) fn token(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The HMAC with SHA-256 of a message (RFC 2104).
pub(crate) fn hs256(secret: &[u8], message: &str) -> Vec<u8> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    hmac.update(message.as_bytes());
    hmac.finalize().into_bytes().to_vec()
}

/// The seconds since 1970.
pub(crate) fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.expect("the clock is behind 1970").as_secs_f64()
}
