//! The verifier of end users' tokens without an issuer to ask: what the fuzz targets check.
//!
//! Compiled with the feature `fuzzing` only, which nothing that is shipped has.

use storage_core::Result;

use super::jwks::KeySet;
use super::jwt;
use crate::catalog::UserId;
use crate::config::AuthConfig;
use crate::http::error::Problem;

/// Verifies tokens with the keys of a configuration and of a key set that was fetched for good.
pub struct TokenVerifier(jwt::TokenVerifier);

impl TokenVerifier {
    /// A verifier; `key_set` is the JSON Web Key Set that the issuer answers with.
    ///
    /// # Errors
    ///
    /// A secret that is too short, and a key set that is none.
    pub fn new(config: &AuthConfig, key_set: &[u8]) -> Result<Self> {
        jwt::TokenVerifier::with_keys(config, Some(KeySet::fetched(key_set)?)).map(Self)
    }

    /// The user whose token it is.
    ///
    /// # Errors
    ///
    /// 401.
    pub async fn verify(&self, token: &str) -> Result<UserId, Problem> {
        self.0.verify(token).await
    }
}
