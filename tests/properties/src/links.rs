//! Signed links: what the service signs it reads back; nothing else is believed, whatever it looks like.
//!
//! The input is a token, or three lines: who signs (`new`, `old`, `retired`, `stranger` or nobody), the header and the
//! claims, which are then signed as they are.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use storage_host::catalog::{FileId, FileVersionId, LinkKeyRecord};
use storage_host::service::fuzzing::{Link, read, write};
use uuid::Uuid;

use crate::signing::{self, Parts};

/// The keys of the service: newest first, as the catalog answers them.
static KEYS: LazyLock<[LinkKeyRecord; 3]> = LazyLock::new(|| {
    let key = |id: &str, retired_at: Option<SystemTime>| LinkKeyRecord {
        id: id.to_owned(),
        secret: secret(id),
        created_at: SystemTime::UNIX_EPOCH,
        retired_at,
    };
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let future = SystemTime::UNIX_EPOCH + Duration::from_secs(32_000_000_000);
    [key("new", None), key("old", Some(future)), key("retired", Some(past))]
});

/// The keys that may sign.
const LIVE: [&str; 2] = ["new", "old"];

fn secret(id: &str) -> Vec<u8> {
    format!("the secret of the key {id}").into_bytes()
}

/// Checks a token, or a link.
pub fn links(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let mut lines = text.splitn(3, '\n');
        match (lines.next(), lines.next(), lines.next()) {
            (Some(signer), Some(header), Some(claims)) => {
                let message = signing::message(header, claims);
                let signature =
                    if signer.is_empty() { Vec::new() } else { signing::hs256(&secret(signer), &message) };
                is_believed_rightly(&signing::token(&message, &signature));
            }
            _ => is_believed_rightly(text),
        }
    }
    comes_back(data);
}

/// A token that is believed was signed by a live key, for this purpose, for now.
fn is_believed_rightly(token: &str) {
    let Ok((key_id, link)) = read(&KEYS[..], token) else { return };
    let parts = Parts::of(token).expect("what is believed is a token");
    assert_eq!(parts.header("alg"), Some("HS256"), "{:?}", parts.header);
    assert_eq!(parts.header("kid"), Some(key_id.as_str()));
    assert!(!parts.header.contains_key("crit"), "it has demands that nobody here knows: {:?}", parts.header);
    assert!(LIVE.contains(&key_id.as_str()), "the key {key_id} signs no more");
    assert_eq!(parts.signature, signing::hs256(&secret(&key_id), &parts.message), "it was forged");
    assert!(parts.names("aud", "storage-link"), "{:?}", parts.claims);
    assert_eq!(parts.claims.get("mth").and_then(|method| method.as_str()), Some("GET"));
    // The second in which it was read may be over.
    assert!(parts.seconds("exp").is_some_and(|exp| exp > signing::now() - 5.0), "{:?}", parts.claims);
    for (claim, id) in [("file", link.file.as_uuid()), ("ver", link.version.as_uuid())] {
        let given =
            parts.claims.get(claim).and_then(|id| id.as_str()).and_then(|id| Uuid::parse_str(id).ok());
        assert_eq!(given, Some(id), "{claim}");
    }
}

/// A link to whatever the input names reads back, and is void once anything of it is altered.
fn comes_back(data: &[u8]) {
    let byte = |index: usize| data.get(index).copied().unwrap_or_default();
    let id = |first: usize| Uuid::from_bytes(std::array::from_fn(|index| byte(first + index)));
    let from_now = u64::from(u32::from_le_bytes(std::array::from_fn(|index| byte(32 + index)))) + 60;
    let link = Link {
        file: FileId::from_uuid(id(0)),
        version: FileVersionId::from_uuid(id(16)),
        expires_at: signing::now() as u64 + from_now,
        inline: byte(36) % 2 == 1,
    };
    let token = write(&KEYS[..], &link).expect("there is a live key");
    assert_eq!(read(&KEYS[..], &token).expect("its own"), ("new".to_owned(), link));

    let mut altered = token.into_bytes();
    let at = usize::from(u16::from_le_bytes([byte(37), byte(38)])) % altered.len();
    altered[at] ^= 1 << (byte(39) % 7);
    let altered = String::from_utf8(altered).expect("ASCII stays ASCII");
    let error = read(&KEYS[..], &altered).expect_err("it was altered");
    assert_eq!(error.kind(), storage_core::ErrorKind::PermissionDenied);
}
