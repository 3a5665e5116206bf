//! Service keys: `sk_<id>_<secret>`. The id finds the record; of the secret only the SHA-256 is kept.
//!
//! A plain digest suffices where a password's would not: the secret is 256 random bits and cannot be guessed.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::catalog::{KeyScope, ServiceKeyRecord};

const PREFIX: &str = "sk_";

/// Makes a key. The first part is given to the service that is to use it, and shown only now; the second is for
/// [`crate::catalog::Catalog::add_service_key`].
pub fn generate(name: impl Into<String>, scope: KeyScope) -> (SecretString, ServiceKeyRecord) {
    let id = hex::encode(rand::random::<[u8; 8]>());
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let token = format!("{PREFIX}{id}_{secret}");
    let record = ServiceKeyRecord {
        id,
        name: name.into(),
        secret_sha256: Sha256::digest(secret.as_bytes()).into(),
        scope,
        created_at: SystemTime::now(),
        revoked_at: None,
    };
    (SecretString::from(token), record)
}

/// Whether the credentials are meant to be a service key, and not a token.
pub(super) fn looks_like_one(credentials: &str) -> bool {
    credentials.starts_with(PREFIX)
}

/// The id and the secret.
pub(super) fn split(token: &str) -> Option<(&str, &str)> {
    token.strip_prefix(PREFIX)?.split_once('_')
}

/// Whether the secret is the record's. Takes the same time however much of it is right.
pub(super) fn matches(record: &ServiceKeyRecord, secret: &str) -> bool {
    let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
    digest.ct_eq(&record.secret_sha256).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_key_matches_its_own_record_only_and_the_record_does_not_hold_it() {
        let (token, record) = generate("app", KeyScope::Files);
        let (id, secret) = split(token.expose_secret()).expect("two parts");
        assert_eq!(id, record.id);
        assert!(matches(&record, secret));
        assert!(!matches(&record, &secret[1..]));
        assert!(!matches(&generate("other", KeyScope::Files).1, secret));
        assert!(!format!("{record:?}").contains(secret));
        assert!(secret.len() >= 43, "256 bits take 43 characters");
    }

    #[test]
    fn a_token_is_not_taken_for_a_key() {
        assert!(!looks_like_one("eyJhbGciOiJIUzI1NiJ9.e30.x"));
        assert_eq!(split("sk_"), None);
        assert_eq!(split("sk_id"), None);
    }
}
