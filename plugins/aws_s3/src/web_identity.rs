//! Exchanges the web identity token of a file for credentials (Kubernetes: IAM roles for service accounts).
//!
//! The SDK's own provider reads its settings from the environment of the process alone; these come from the
//! configuration, wherever that is.

use std::path::PathBuf;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_sts::Client;

/// Gives the credentials of a role for a token.
#[derive(Debug)]
pub(crate) struct WebIdentity {
    sts: Client,
    role_arn: String,
    token_file: PathBuf,
}

impl WebIdentity {
    pub(crate) fn new(sdk: &SdkConfig, role_arn: String, token_file: PathBuf) -> Self {
        Self { sts: Client::new(sdk), role_arn, token_file }
    }

    async fn exchange(&self) -> provider::Result {
        // Read anew each time: whoever mounts the file replaces the token before it expires.
        let token = std::fs::read_to_string(&self.token_file).map_err(|error| {
            let file = self.token_file.display();
            CredentialsError::invalid_configuration(format!(
                "the token file {file} (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read: {error}"
            ))
        })?;
        let answer = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role_arn)
            .role_session_name("storage-service")
            .web_identity_token(token.trim())
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let keys =
            answer.credentials().ok_or_else(|| CredentialsError::unhandled("STS gave no credentials"))?;
        let expires_at = SystemTime::try_from(*keys.expiration()).map_err(CredentialsError::unhandled)?;
        Ok(Credentials::new(
            keys.access_key_id(),
            keys.secret_access_key(),
            Some(keys.session_token().to_owned()),
            Some(expires_at),
            "web identity",
        ))
    }
}

impl ProvideCredentials for WebIdentity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.exchange())
    }
}
