//! End users' tokens (JWT, RFC 7519; handled as RFC 8725 advises).
//!
//! The key decides which algorithm is accepted, never the token: HS256 goes with the configured secret and
//! nothing else, the asymmetric algorithms with keys of the key set, each with keys of its own kind.
//! So a public key cannot be used as an HMAC secret, and `none` is no algorithm at all.

use jsonwebtoken::errors::ErrorKind as JwtErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use storage_core::{Error, ErrorKind, Result};

use super::jwks::KeySet;
use crate::catalog::UserId;
use crate::config::AuthConfig;
use crate::http::error::Problem;

/// The shortest secret of HS256, in bytes (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// How far the clocks of issuer and service may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 30;

/// Verifies tokens and reads the user from them.
pub(super) struct TokenVerifier {
    secret: Option<DecodingKey>,
    key_set: Option<KeySet>,
    validation: Validation,
    user_claim: String,
}

impl TokenVerifier {
    /// A verifier; `None` where no signer is configured.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for a secret that is too short and a key set that cannot be fetched with this build.
    pub(super) fn new(config: &AuthConfig) -> Result<Option<Self>> {
        if config.jwt_hs256_secret.is_none() && config.jwks_url.is_none() {
            return Ok(None);
        }
        Self::with_keys(config, config.jwks_url.as_deref().map(KeySet::new).transpose()?).map(Some)
    }

    /// A verifier that has this key set.
    ///
    /// # Errors
    ///
    /// `ConfigInvalid` for a secret that is too short.
    pub(super) fn with_keys(config: &AuthConfig, key_set: Option<KeySet>) -> Result<Self> {
        let secret = config.jwt_hs256_secret.as_ref().map(|secret| secret.expose_secret().as_bytes());
        if secret.is_some_and(|secret| secret.len() < MIN_SECRET_BYTES) {
            return Err(Error::new(
                ErrorKind::ConfigInvalid,
                format!(
                    "AUTH_JWT_HS256_SECRET is shorter than {MIN_SECRET_BYTES} bytes, the least for HS256"
                ),
            ));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.validate_aud = config.jwt_audience.is_some();
        let mut required = vec!["exp"];
        if let Some(issuer) = &config.jwt_issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &config.jwt_audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self {
            secret: secret.map(DecodingKey::from_secret),
            key_set,
            validation,
            user_claim: config.jwt_user_claim.clone(),
        })
    }

    /// The user whose token it is.
    ///
    /// # Errors
    ///
    /// 401; 503 where the key set was never read and cannot be.
    pub(super) async fn verify(&self, token: &str) -> Result<UserId, Problem> {
        let header = decode_header(token).map_err(|_| {
            Problem::unauthenticated(
                "the credentials are neither a service key nor a token of a known algorithm",
            )
        })?;
        // RFC 7515, section 4.1.11; the library that decodes passes it over.
        if header.crit.is_some() {
            return Err(Problem::unauthenticated(
                "the token insists on an extension (crit), and none is known here",
            ));
        }
        let key = match (header.alg, &self.secret, &self.key_set) {
            (Algorithm::HS256, Some(secret), _) => secret.clone(),
            (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, _, Some(keys)) => {
                keys.find(header.kid.as_deref(), header.alg).await?
            }
            _ => return Err(Problem::unauthenticated("tokens of this algorithm are not accepted here")),
        };
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let claims = decode::<Map<String, Value>>(token, &key, &validation)
            .map_err(|error| Problem::unauthenticated(refusal(error.kind())))?
            .claims;
        let user = match claims.get(&self.user_claim) {
            Some(Value::String(user)) => user.clone(),
            Some(Value::Number(user)) => user.to_string(),
            _ => {
                return Err(Problem::unauthenticated(format!(
                    "the token has no user id in its claim {:?}",
                    self.user_claim
                )));
            }
        };
        UserId::new(user).map_err(|error| {
            Problem::unauthenticated(format!("the token's claim {:?}: {}", self.user_claim, error.message()))
        })
    }
}

fn refusal(kind: &JwtErrorKind) -> String {
    match kind {
        JwtErrorKind::ExpiredSignature => "the token has expired".to_owned(),
        JwtErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
        JwtErrorKind::InvalidIssuer => "the token is of another issuer".to_owned(),
        JwtErrorKind::InvalidAudience => "the token is for another audience".to_owned(),
        JwtErrorKind::MissingRequiredClaim(claim) => format!("the token lacks the claim {claim:?}"),
        _ => "the token's signature is not valid".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::Code;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::json;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn config() -> AuthConfig {
        AuthConfig {
            jwt_hs256_secret: Some(SECRET.into()),
            jwt_issuer: Some("https://issuer".to_owned()),
            jwt_audience: Some("storage".to_owned()),
            ..AuthConfig::default()
        }
    }

    fn claims() -> Value {
        json!({
            "sub": "anna", "iss": "https://issuer", "aud": ["storage", "mail"],
            "exp": get_current_timestamp() + 600,
        })
    }

    fn sign(claims: &Value) -> String {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        encode(&Header::new(Algorithm::HS256), claims, &key).expect("signed")
    }

    async fn verify(token: &str) -> Result<UserId, Problem> {
        TokenVerifier::new(&config()).expect("sound").expect("configured").verify(token).await
    }

    async fn refused(token: &str) -> String {
        let problem = verify(token).await.expect_err("refused");
        assert_eq!(problem.code(), Code::Unauthenticated);
        problem.report().expect("a detail")
    }

    #[tokio::test]
    async fn a_sound_token_names_its_user() {
        assert_eq!(verify(&sign(&claims())).await.expect("sound").as_str(), "anna");
    }

    #[tokio::test]
    async fn numbers_and_other_claims_can_be_user_ids() {
        let config = AuthConfig { jwt_user_claim: "uid".to_owned(), ..config() };
        let verifier = TokenVerifier::new(&config).expect("sound").expect("configured");
        let mut claims = claims();
        claims["uid"] = json!(42);
        assert_eq!(verifier.verify(&sign(&claims)).await.expect("sound").as_str(), "42");
    }

    #[tokio::test]
    async fn every_claim_is_checked() {
        let now = get_current_timestamp();
        for (claim, value, told) in [
            ("exp", json!(now - 120), "expired"),
            ("exp", Value::Null, "exp"),
            ("nbf", json!(now + 120), "not valid yet"),
            ("iss", json!("https://elsewhere"), "issuer"),
            ("iss", Value::Null, "iss"),
            ("aud", json!("mail"), "audience"),
            ("aud", Value::Null, "aud"),
            ("sub", Value::Null, "user id"),
            ("sub", json!("../root"), "user id"),
        ] {
            let mut claims = claims();
            match value {
                Value::Null => drop(claims.as_object_mut().expect("an object").remove(claim)),
                value => claims[claim] = value,
            }
            let answer = refused(&sign(&claims)).await;
            assert!(answer.contains(told), "{claim}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_token_that_insists_on_an_extension_is_refused() {
        let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::HS256) };
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let answer = refused(&encode(&header, &claims(), &key).expect("signed")).await;
        assert!(answer.contains("crit"), "{answer}");
    }

    #[tokio::test]
    async fn forged_and_unsigned_tokens_are_refused() {
        let sound = sign(&claims());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let payload = part(&claims());
        let signature = sound.rsplit('.').next().expect("a signature");
        let mut altered = claims();
        altered["sub"] = json!("ben");
        for forged in [
            format!("{}.{payload}.", part(&json!({"alg": "none"}))),
            format!("{}.{payload}.{signature}", part(&json!({"alg": "None"}))),
            format!("{}.{payload}.{signature}", part(&json!({"alg": "HS512"}))),
            format!("{}.{payload}.{signature}", part(&json!({"alg": "RS256", "kid": "a"}))),
            format!("{}.{}.{signature}", part(&json!({"alg": "HS256"})), part(&altered)),
            format!("{}.{payload}.", part(&json!({"alg": "HS256"}))),
            sound.replacen('.', "", 1),
            "x".to_owned(),
            String::new(),
        ] {
            refused(&forged).await;
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_at_the_start() {
        let config = AuthConfig { jwt_hs256_secret: Some("secret".into()), ..AuthConfig::default() };
        let error = TokenVerifier::new(&config).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(!error.report().contains("\"secret\""));
        assert!(TokenVerifier::new(&AuthConfig::default()).expect("none").is_none());
    }
}
