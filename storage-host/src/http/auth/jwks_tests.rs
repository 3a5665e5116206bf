//! Tests of the key set against a server of its own: algorithms, rotation, outage.
//! The keys in `testdata` were made for these tests and open nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use super::*;
use crate::config::AuthConfig;
use crate::http::auth::jwt::TokenVerifier;
use crate::http::error::Code;

/// A key of an issuer.
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

fn signers() -> [Signer; 3] {
    let rsa = EncodingKey::from_rsa_pem(include_bytes!("testdata/rsa.pem")).expect("a key");
    let p256 = EncodingKey::from_ec_pem(include_bytes!("testdata/p256.pem")).expect("a key");
    let ed25519 = EncodingKey::from_ed_pem(include_bytes!("testdata/ed25519.pem")).expect("a key");
    [
        Signer { id: "rsa", algorithm: Algorithm::RS256, key: rsa },
        Signer { id: "p256", algorithm: Algorithm::ES256, key: p256 },
        Signer { id: "ed", algorithm: Algorithm::EdDSA, key: ed25519 },
    ]
}

impl Signer {
    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.id.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        serde_json::to_value(jwk).expect("JSON")
    }

    fn sign(&self) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, &claims(), &self.key).expect("signed")
    }
}

fn claims() -> Value {
    json!({"sub": "anna", "exp": get_current_timestamp() + 600})
}

/// An issuer that answers what it is told to.
#[derive(Clone)]
struct Issuer {
    url: String,
    answer: Arc<Mutex<Option<Vec<Value>>>>,
    requests: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let issuer = Self { url, answer: Arc::new(Mutex::new(Some(keys))), requests: Arc::default() };
        let answering = issuer.clone();
        let answer = async move || {
            answering.requests.fetch_add(1, Ordering::SeqCst);
            match &*answering.answer.lock().await {
                Some(keys) => Ok(Json(json!({ "keys": keys }))),
                None => Err(StatusCode::SERVICE_UNAVAILABLE),
            }
        };
        let router = Router::new().route("/keys", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    fn key_set(&self, min_interval: Duration) -> KeySet {
        KeySet::with_interval(&self.url, min_interval).expect("sound")
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

const NO_INTERVAL: Duration = Duration::ZERO;
const LONG_INTERVAL: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn tokens_of_every_algorithm_are_verified_with_the_issuers_keys() {
    let issuer = Issuer::start(signers().iter().map(Signer::jwk).collect()).await;
    let config = AuthConfig { jwks_url: Some(issuer.url.clone()), ..AuthConfig::default() };
    let verifier = TokenVerifier::new(&config).expect("sound").expect("configured");
    for signer in signers() {
        let user = verifier.verify(&signer.sign()).await.expect("verified");
        assert_eq!(user.as_str(), "anna");
    }
    assert_eq!(issuer.requests(), 1, "the set is kept");
}

#[tokio::test]
async fn a_public_key_is_no_hmac_secret_and_signs_for_no_other_algorithm() {
    let signers = signers();
    let issuer = Issuer::start(signers.iter().map(Signer::jwk).collect()).await;
    let config = AuthConfig {
        jwks_url: Some(issuer.url.clone()),
        jwt_hs256_secret: Some("0123456789abcdef0123456789abcdef".into()),
        ..AuthConfig::default()
    };
    let verifier = TokenVerifier::new(&config).expect("sound").expect("configured");
    let public = signers[0].jwk()["n"].as_str().expect("a modulus").to_owned();
    for secret in [public.as_bytes(), &URL_SAFE_NO_PAD.decode(&public).expect("base64")] {
        let header = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::HS256) };
        let forged = encode(&header, &claims(), &EncodingKey::from_secret(secret)).expect("signed");
        assert_eq!(verifier.verify(&forged).await.expect_err("forged").code(), Code::Unauthenticated);
    }
    // Signed with one key, claimed to be another's.
    let header = Header { kid: Some("p256".to_owned()), ..Header::new(Algorithm::EdDSA) };
    let confused = encode(&header, &claims(), &signers[2].key).expect("signed");
    assert_eq!(verifier.verify(&confused).await.expect_err("confused").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_new_key_is_fetched_and_a_withdrawn_one_goes() {
    let [first, second, _] = signers();
    let issuer = Issuer::start(vec![first.jwk()]).await;
    let keys = issuer.key_set(NO_INTERVAL);
    assert!(keys.find(Some("rsa"), Algorithm::RS256).await.is_ok());
    *issuer.answer.lock().await = Some(vec![second.jwk()]);
    assert!(keys.find(Some("p256"), Algorithm::ES256).await.is_ok());
    let problem = keys.find(Some("rsa"), Algorithm::RS256).await.expect_err("withdrawn");
    assert_eq!(problem.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn unknown_keys_do_not_make_the_issuer_be_asked_at_will() {
    let [first, ..] = signers();
    let issuer = Issuer::start(vec![first.jwk()]).await;
    let keys = issuer.key_set(LONG_INTERVAL);
    let ask = |id: usize| {
        let keys = keys.clone();
        async move { keys.find(Some(&id.to_string()), Algorithm::RS256).await }
    };
    let answers = futures_util::future::join_all((0..50).map(ask)).await;
    assert!(answers.into_iter().all(|answer| answer.is_err()));
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_the_fetch_for_all_others() {
    let [first, ..] = signers();
    let issuer = Issuer::start(vec![first.jwk()]).await;
    let keys = issuer.key_set(LONG_INTERVAL);
    // The issuer does not answer before this is let go.
    let answer = issuer.answer.lock().await;
    let impatient = keys.clone();
    let impatient =
        tokio::spawn(async move { impatient.find(Some("forged"), Algorithm::RS256).await.is_ok() });
    while issuer.requests() == 0 {
        tokio::task::yield_now().await;
    }
    impatient.abort();
    assert!(impatient.await.expect_err("ended").is_cancelled());
    drop(answer);
    assert!(keys.find(Some("rsa"), Algorithm::RS256).await.is_ok());
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn an_outage_of_the_issuer_logs_nobody_out() {
    let [first, ..] = signers();
    let issuer = Issuer::start(vec![first.jwk()]).await;
    let keys = issuer.key_set(NO_INTERVAL);
    assert!(keys.find(Some("rsa"), Algorithm::RS256).await.is_ok());
    *issuer.answer.lock().await = None;
    let problem = keys.find(Some("new"), Algorithm::RS256).await.expect_err("not there");
    assert_eq!(problem.code(), Code::Unauthenticated);
    assert_eq!(issuer.requests(), 2);
    assert!(keys.find(Some("rsa"), Algorithm::RS256).await.is_ok());
}

#[tokio::test]
async fn without_any_key_nobody_is_called_a_forger() {
    let issuer = Issuer::start(Vec::new()).await;
    *issuer.answer.lock().await = None;
    let problem = issuer.key_set(NO_INTERVAL).find(Some("a"), Algorithm::RS256).await.expect_err("no keys");
    assert_eq!(problem.code(), Code::Unavailable);
}

#[test]
fn keys_that_are_weak_unknown_or_for_something_else_are_passed_over() {
    let [rsa, p256, ed25519] = signers();
    let weak = EncodingKey::from_rsa_pem(include_bytes!("testdata/rsa1024.pem")).expect("a key");
    let weak = Signer { id: "weak", algorithm: Algorithm::RS256, key: weak }.jwk();
    let mut padded = weak.clone();
    let number = URL_SAFE_NO_PAD.decode(weak["n"].as_str().expect("a modulus")).expect("base64");
    padded["n"] = json!(URL_SAFE_NO_PAD.encode([&[0; 128], &number[..]].concat()));
    let mut encrypts = rsa.jwk();
    encrypts["use"] = json!("enc");
    let mut other_algorithm = rsa.jwk();
    other_algorithm["alg"] = json!("RS512");
    let [mut short, mut long] = [ed25519.jwk(), ed25519.jwk()];
    short["x"] = json!(URL_SAFE_NO_PAD.encode([7; 31]));
    long["x"] = json!(URL_SAFE_NO_PAD.encode([7; 33]));
    let unknown = json!({"kty": "new", "kid": "x"});
    let symmetric = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"});
    let passed_over = [weak, padded, encrypts, other_algorithm, short, long, unknown, symmetric, json!(7)];
    let all: Vec<_> = passed_over.into_iter().chain([p256.jwk()]).collect();
    let set = json!({"keys": all});
    let keys = parse(set.to_string().as_bytes()).expect("a set");
    let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref()).collect();
    assert_eq!(ids, [Some("p256")]);
    assert!(parse(b"{}").is_err());
}

#[tokio::test]
async fn a_token_without_a_key_id_is_verified_only_where_there_is_one_key() {
    let [rsa, ..] = signers();
    let issuer = Issuer::start(vec![rsa.jwk()]).await;
    let keys = issuer.key_set(NO_INTERVAL);
    assert!(keys.find(None, Algorithm::RS256).await.is_ok());
    let mut second = rsa.jwk();
    second["kid"] = json!("second");
    *issuer.answer.lock().await = Some(vec![rsa.jwk(), second]);
    assert!(keys.find(Some("second"), Algorithm::RS256).await.is_ok());
    assert!(keys.find(None, Algorithm::RS256).await.is_err());
}

/// What is logged while this runs.
fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(lines.0.lock().clone()).expect("text")
}

#[test]
fn keys_that_cross_a_network_in_clear_text_are_warned_of_and_no_others() {
    let warning = |url| logged(|| drop(KeySet::new(url).expect("a legal URL")));
    let told = warning("http://issuer.example/keys");
    assert!(told.contains("WARN") && told.contains("in clear text from another machine"), "{told}");
    for url in [
        "https://issuer.example/keys",
        "http://localhost:8080/keys",
        "http://127.0.0.1/keys",
        "http://[::1]:8080/keys",
    ] {
        assert_eq!(warning(url), "", "{url}");
    }
}
