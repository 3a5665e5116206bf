//! Signed URLs of Cloud CDN, of which Google publishes the signature for one key and URL in its samples.

use base64::engine::general_purpose::URL_SAFE;
use base64::prelude::Engine as _;

use crate::cdn::{decode_key, sign_object, sign_prefix};
use crate::config::{Cdn, Secret};

fn cdn(url: &str) -> Cdn {
    let key = Secret("nZtRohdNF9m3cKM24IcK4w==".to_owned());
    Cdn { url: url.to_owned(), key_name: "my-key".to_owned(), key }
}

#[test]
fn a_url_is_signed_as_googles_sample_signs_it() {
    let signed = sign_object(&cdn("http://35.186.234.33"), "index.html", 1_549_751_401).expect("signed");
    let expected = "http://35.186.234.33/index.html?Expires=1549751401&KeyName=my-key&\
                    Signature=CRFqQnVfFyiUyR63OQf-HRUpIwc=";
    assert_eq!(signed, expected);
}

#[test]
fn a_prefix_is_told_in_base64_and_every_change_has_another_signature() {
    let sign = |prefix, expires_at| {
        sign_prefix(&cdn("https://cdn.example.org"), prefix, expires_at).expect("signed")
    };
    let query = sign("users/7/", 2_000_000_000);
    let told = query.split(['=', '&']).nth(1).expect("a prefix");
    // What stands for the missing bytes is cut off with the sign that separates name and value.
    let told = URL_SAFE.decode(told.to_owned() + &"=".repeat((4 - told.len() % 4) % 4)).expect("Base64");
    assert_eq!(told, b"https://cdn.example.org/users/7/");
    assert!(query.contains("&Expires=2000000000&KeyName=my-key&Signature="), "{query}");
    let signature = |query: &str| query.rsplit_once("Signature=").map(|(_, signature)| signature.to_owned());
    assert_ne!(signature(&query), signature(&sign("users/8/", 2_000_000_000)));
    assert_ne!(signature(&query), signature(&sign("users/7/", 2_000_000_001)));
}

#[test]
fn a_key_has_sixteen_bytes() {
    assert_eq!(decode_key("nZtRohdNF9m3cKM24IcK4w==").map(|key| key.len()), Some(16));
    for wrong in ["", "short", "nZtRohdNF9m3cKM24IcK4w", "bm90IHNpeHRlZW4gYnl0ZXMgbG9uZw=="] {
        assert_eq!(decode_key(wrong), None, "{wrong}");
    }
}
