//! The key set of the issuer of end users' tokens (JWKS, RFC 7517): fetched when first needed, kept, renewed.
//!
//! * A key that is not known, which is how rotation shows, makes it be fetched again, but not more often than every
//!   ten seconds, whoever asks.
//! * A set older than ten minutes is renewed beside the request, so that withdrawn keys go.
//! * Where it cannot be fetched, the former keys stay: an outage of the issuer logs nobody out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse, RSAKeyParameters,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use storage_core::{Error, ErrorKind, Result, Retry};
use tokio::sync::Mutex;

use crate::http::error::Problem;

const LIFETIME: Duration = Duration::from_secs(600);
const MIN_INTERVAL: Duration = Duration::from_secs(10);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 1024 * 1024;
/// The shortest modulus of an RSA key that is accepted (RFC 7518, section 3.3), in bits.
const MIN_RSA_BITS: usize = 2048;

/// The key set behind one URL.
#[derive(Clone)]
pub(super) struct KeySet {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    client: reqwest::Client,
    min_interval: Duration,
    keys: RwLock<Keys>,
    /// When it was last tried to fetch the set. Whoever holds the lock fetches.
    attempt: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Keys {
    keys: Vec<Key>,
    fetched_at: Option<Instant>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    /// The set behind this URL. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` where there can be no client for it.
    pub(super) fn new(url: &str) -> Result<Self> {
        Self::with_interval(url, MIN_INTERVAL)
    }

    fn with_interval(url: &str, min_interval: Duration) -> Result<Self> {
        let invalid =
            |message: &str| Error::new(ErrorKind::ConfigInvalid, format!("AUTH_JWKS_URL: {message}"));
        let parsed = reqwest::Url::parse(url).map_err(|error| invalid("is not a URL").with_source(error))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(invalid("is not an http or https URL"));
        }
        if parsed.scheme() == "http" && !is_loopback(&parsed) {
            tracing::warn!(
                "AUTH_JWKS_URL is fetched in clear text from another machine: \
                 who can alter the answer on its way can log in as anybody; use https"
            );
        }
        // An error only says that the process has chosen a provider before: then that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| invalid("no HTTP client can be made").with_source(error))?;
        Ok(Self {
            inner: Arc::new(Inner {
                url: url.to_owned(),
                client,
                min_interval,
                keys: RwLock::default(),
                attempt: Mutex::default(),
            }),
        })
    }

    /// A set that was fetched for good: nobody is asked for another.
    ///
    /// # Errors
    ///
    /// `Corrupted` where the answer is no key set.
    #[cfg(feature = "fuzzing")]
    pub(super) fn fetched(body: &[u8]) -> Result<Self> {
        /// One for all, since making one reads the certificates of the system.
        static CLIENT: std::sync::LazyLock<reqwest::Client> = std::sync::LazyLock::new(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
            reqwest::Client::new()
        });
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
        let now = Instant::now();
        Ok(Self {
            inner: Arc::new(Inner {
                url: String::new(),
                client: CLIENT.clone(),
                min_interval: CENTURY,
                keys: RwLock::new(Keys { keys: parse(body)?, fetched_at: Some(now + CENTURY) }),
                attempt: Mutex::new(Some(now)),
            }),
        })
    }

    /// The key of this id, for this algorithm.
    ///
    /// # Errors
    ///
    /// 401 for a key that the set does not have; 503 where it was never read and cannot be.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Problem> {
        let inner = &self.inner;
        if let Some(key) = inner.known(id, algorithm) {
            if inner.is_stale() {
                let inner = Arc::clone(inner);
                tokio::spawn(async move { inner.renew().await });
            }
            return Ok(key);
        }
        if inner.is_due().await {
            // In a task of its own: a client that leaves meanwhile must not end a fetch for which all others wait.
            let fetching = Arc::clone(inner);
            if let Err(error) = tokio::spawn(async move { fetching.renew().await }).await {
                tracing::error!(%error, "the fetch of the token issuer's keys did not end");
            }
        }
        match inner.known(id, algorithm) {
            Some(key) => Ok(key),
            None if inner.keys.read().fetched_at.is_none() => Err(Problem::from(
                Error::new(ErrorKind::Unavailable, "the keys of the token issuer could not be fetched")
                    .with_retry(Retry::After(inner.min_interval)),
            )),
            None => {
                Err(Problem::unauthenticated("the token is signed with a key that the issuer does not have"))
            }
        }
    }
}

/// Whether the host of a URL is this machine.
fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

impl Inner {
    fn known(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let keys = self.keys.read();
        let mut fitting = keys.keys.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)).map(|key| key.key.clone()),
            // Without an id, only a key that cannot be mistaken for another will do.
            None => match (fitting.next(), fitting.next()) {
                (Some(only), None) => Some(only.key.clone()),
                _ => None,
            },
        }
    }

    fn is_stale(&self) -> bool {
        self.keys.read().fetched_at.is_none_or(|at| at.elapsed() > LIFETIME)
    }

    /// Whether the set may be fetched, which was not tried a moment ago. Whoever asks while it is fetched waits for it.
    async fn is_due(&self) -> bool {
        self.may_follow(*self.attempt.lock().await)
    }

    fn may_follow(&self, attempt: Option<Instant>) -> bool {
        attempt.is_none_or(|at| at.elapsed() >= self.min_interval)
    }

    /// Fetches the set, unless that was tried a moment ago.
    async fn renew(&self) {
        let mut attempt = self.attempt.lock().await;
        if !self.may_follow(*attempt) {
            return;
        }
        *attempt = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "fetched the keys of the token issuer");
                *self.keys.write() = Keys { keys, fetched_at: Some(Instant::now()) };
            }
            Err(error) => {
                tracing::warn!(url = %self.url, error = %error.report(), "could not fetch the keys of the token issuer");
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>> {
        let unavailable = |error: reqwest::Error| {
            Error::new(ErrorKind::Unavailable, "the key set cannot be fetched")
                .with_source(error.without_url())
        };
        let response = self.client.get(&self.url).send().await.map_err(unavailable)?;
        let mut response = response.error_for_status().map_err(unavailable)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(Error::new(ErrorKind::TooLarge, "the key set is larger than 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        parse(&body)
    }
}

/// The usable keys of a set. Those of kinds that are not known are passed over, as RFC 7517, section 5, asks.
fn parse(body: &[u8]) -> Result<Vec<Key>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(body).map_err(|error| {
        Error::new(ErrorKind::Corrupted, "the answer is no JSON Web Key Set").with_source(error)
    })?;
    Ok(set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).filter_map(usable).collect())
}

#[allow(clippy::needless_pass_by_value, reason = "a step of an iterator over owned keys")]
fn usable(jwk: Jwk) -> Option<Key> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if is_long_enough(rsa) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key)
            if key.curve == EllipticCurve::Ed25519 && is_ed25519_length(&key.x) =>
        {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &jwk.common;
    let verifies = common.key_operations.as_ref().is_none_or(|uses| uses.contains(&KeyOperations::Verify))
        && common.public_key_use.as_ref().is_none_or(|key_use| *key_use == PublicKeyUse::Signature)
        && common.key_algorithm.is_none_or(|given| given == name);
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    verifies.then(|| Key { id: jwk.common.key_id.clone(), algorithm, key })
}

/// A public key has 32 bytes (RFC 8032, section 5.1.5); the library panics at a shorter one.
fn is_ed25519_length(key: &str) -> bool {
    URL_SAFE_NO_PAD.decode(key).is_ok_and(|key| key.len() == 32)
}

fn is_long_enough(key: &RSAKeyParameters) -> bool {
    // Zeros before the number make no key longer.
    let modulus = URL_SAFE_NO_PAD.decode(&key.n).unwrap_or_default();
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let number = &modulus[zeros..];
    number.first().is_some_and(|first| number.len() * 8 - first.leading_zeros() as usize >= MIN_RSA_BITS)
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
