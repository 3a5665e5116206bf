//! Users' tokens and the key sets of their issuers: nobody is let in but whom the issuer signed for, whatever a token
//! says of how it is to be verified and whatever is in the set.
//!
//! The input is a token; or three lines, who signs (`secret`, `p256`, `ed25519`, `rsa1024`, `modulus`, `point` or
//! nobody), the header and the claims, which are then signed as they are; or a key set, which begins with a brace.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use storage_host::config::AuthConfig;
use storage_host::http::auth::fuzzing::TokenVerifier;

use crate::signing::{self, Parts};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "storage";
/// When sound tokens expire, in seconds since 1970.
const FAR: u64 = 4_102_444_800;
/// How far clocks may be apart, in seconds, and how long a check may take.
const TOLERANCE: f64 = 30.0 + 5.0;

/// A private key of the issuer; those in `testdata` were made for tests and open nothing.
struct Signer {
    name: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
}

static SIGNERS: LazyLock<[Signer; 4]> = LazyLock::new(|| {
    macro_rules! pem {
        ($name:literal) => {
            include_bytes!(concat!("../../../storage-host/src/http/auth/testdata/", $name, ".pem"))
        };
    }
    let signer = |name, algorithm, private: jsonwebtoken::errors::Result<EncodingKey>| {
        let private = private.expect("a key");
        let public = Jwk::from_encoding_key(&private, algorithm).expect("its public half");
        let mut public = serde_json::to_value(public).expect("JSON");
        public["kid"] = json!(name);
        Signer { name, algorithm, private, public }
    };
    [
        signer("p256", Algorithm::ES256, EncodingKey::from_ec_pem(pem!("p256"))),
        signer("ed25519", Algorithm::EdDSA, EncodingKey::from_ed_pem(pem!("ed25519"))),
        signer("rsa", Algorithm::RS256, EncodingKey::from_rsa_pem(pem!("rsa"))),
        signer("rsa1024", Algorithm::RS256, EncodingKey::from_rsa_pem(pem!("rsa1024"))),
    ]
});

/// The service's own configuration, and the key set as the issuer answers it.
static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(|| {
    let keys: Vec<&Value> = SIGNERS.iter().map(|signer| &signer.public).collect();
    let config = AuthConfig {
        jwt_hs256_secret: Some(String::from_utf8_lossy(SECRET).into_owned().into()),
        jwt_issuer: Some(ISSUER.to_owned()),
        jwt_audience: Some(AUDIENCE.to_owned()),
        ..AuthConfig::default()
    };
    let set = json!({ "keys": keys }).to_string();
    let verifier = TokenVerifier::new(&config, set.as_bytes()).expect("sound");
    // Who believes nobody is never wrong, and of no use.
    let claims = json!({"sub": "anna", "exp": FAR, "iss": ISSUER, "aud": AUDIENCE}).to_string();
    for (name, header) in [
        ("secret", json!({"alg": "HS256"})),
        ("p256", json!({"alg": "ES256", "kid": "p256"})),
        ("ed25519", json!({"alg": "EdDSA", "kid": "ed25519"})),
    ] {
        let token = signed(name, &signing::message(&header.to_string(), &claims));
        let user = verifier.verify(&token).now_or_never().expect("there is nothing to wait for");
        assert!(user.is_ok_and(|user| user.as_str() == "anna"), "{name} is not believed");
    }
    verifier
});

/// A sound token of each of the issuer's keys.
static SOUND: LazyLock<Vec<(&'static Signer, String)>> = LazyLock::new(|| {
    let claims = json!({"sub": "anna", "exp": FAR}).to_string();
    let sign = |signer: &'static Signer| {
        let algorithm = json!(signer.algorithm);
        let message = signing::message(&json!({"alg": algorithm, "kid": signer.name}).to_string(), &claims);
        (signer, signature(signer, &message))
    };
    SIGNERS.iter().map(sign).collect()
});

fn signature(signer: &Signer, message: &str) -> String {
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer.private, signer.algorithm);
    format!("{message}.{}", signature.expect("signed"))
}

/// Checks a token, or a key set.
pub fn tokens(data: &[u8]) {
    if data.trim_ascii_start().starts_with(b"{") {
        return trusts_rightly(data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    match (lines.next(), lines.next(), lines.next()) {
        (Some(signer), Some(header), Some(claims)) => {
            let message = signing::message(header, claims);
            is_believed_rightly(&signed(signer, &message), signer);
        }
        _ => is_believed_rightly(text, ""),
    }
}

/// A message with the signature of this signer, or of one who has only what is public.
fn signed(signer: &str, message: &str) -> String {
    let public = |name: &str, member: &str| {
        let key = SIGNERS.iter().find(|signer| signer.name == name).expect("a signer");
        URL_SAFE_NO_PAD.decode(key.public[member].as_str().expect("a text")).expect("base64")
    };
    match signer {
        "secret" => signing::token(message, &signing::hs256(SECRET, message)),
        "modulus" => signing::token(message, &signing::hs256(&public("rsa", "n"), message)),
        "point" => signing::token(message, &signing::hs256(&public("p256", "x"), message)),
        // To sign with a long key of RSA takes too long for what it shows.
        "p256" | "ed25519" | "rsa1024" => {
            let key = SIGNERS.iter().find(|key| key.name == signer).expect("a signer");
            signature(key, message)
        }
        _ => signing::token(message, &[]),
    }
}

/// A token that is believed was signed by the issuer, for this service and for now, and names a user.
fn is_believed_rightly(token: &str, signer: &str) {
    let verdict = VERIFIER.verify(token).now_or_never().expect("there is nothing to wait for");
    let Ok(user) = verdict else { return };
    let parts = Parts::of(token).expect("what is believed is a token");
    match parts.header("alg") {
        Some("HS256") => assert_eq!(parts.signature, signing::hs256(SECRET, &parts.message), "it was forged"),
        Some("ES256") => assert_eq!(signer, "p256", "it was forged"),
        Some("EdDSA") => assert_eq!(signer, "ed25519", "it was forged"),
        other => panic!("nobody signed this {other:?}"),
    }
    assert!(!parts.header.contains_key("crit"), "it has demands that nobody here knows: {:?}", parts.header);
    let now = signing::now();
    assert!(parts.seconds("exp").is_some_and(|exp| exp > now - TOLERANCE), "{:?}", parts.claims);
    assert!(parts.seconds("nbf").is_none_or(|nbf| nbf < now + TOLERANCE), "{:?}", parts.claims);
    assert!(parts.names("aud", AUDIENCE) && parts.names("iss", ISSUER), "{:?}", parts.claims);
    let named = match parts.claims.get("sub") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Number(number)) => number.to_string(),
        other => panic!("{other:?} is no user"),
    };
    assert_eq!(user.as_str(), named);
    let legal = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    assert!(named.chars().all(legal) && !["", ".", ".."].contains(&named.as_str()), "{named:?}");
}

/// Whoever is believed by a key set has a public key in it, and one that is long enough.
fn trusts_rightly(key_set: &[u8]) {
    let Ok(verifier) = TokenVerifier::new(&AuthConfig::default(), key_set) else { return };
    let set: Value = serde_json::from_slice(key_set).expect("what is used is JSON");
    let keys = set["keys"].as_array().expect("what is used is a list of keys");
    for (signer, token) in SOUND.iter() {
        let verdict = verifier.verify(token).now_or_never().expect("there is nothing to wait for");
        if verdict.is_ok() {
            assert_ne!(signer.name, "rsa1024", "a short key is no key");
            let is_signers = |key: &&Value| {
                let same = |member: &str| key[member] == signer.public[member];
                same("kid") && ["kty", "crv", "x", "y", "n", "e"].into_iter().all(same)
            };
            let key = keys.iter().find(is_signers).expect("the signer's key is in the set");
            assert!(key["use"].is_null() || key["use"] == "sig", "{key}");
            assert!(key["alg"].is_null() || key["alg"] == json!(signer.algorithm), "{key}");
        }
    }
}
