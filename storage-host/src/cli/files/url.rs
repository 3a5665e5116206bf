//! `storage url`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::catalog::{FileId, FileVersionId, UserId};
use crate::cli::arguments::duration;
use crate::cli::context::Context;
use crate::cli::table::moment;
use crate::service::{LINK_PATH, LinkOptions};

/// How long to wait for somebody to listen at the link's address, before saying that nobody does.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Makes a link with which anybody may download a file for a while.
#[derive(Debug, Args)]
pub(in crate::cli) struct Url {
    /// The file
    id: FileId,
    /// Whose file it is
    #[arg(long, short)]
    user: UserId,
    /// How long the link works: 15m, 2h, 7days
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// The version; the current one where absent
    #[arg(long, value_name = "VERSION-ID")]
    version: Option<FileVersionId>,
    /// A browser shows the file instead of saving it
    #[arg(long)]
    inline: bool,
}

impl Url {
    pub(in crate::cli) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let options = LinkOptions { expires_in: self.expires, version: self.version, inline: self.inline };
        let link = context
            .with_service(async |service| service.get_download_url_with(self.id, &self.user, options).await)
            .await?;
        let expires_at = moment(link.expires_at);
        let value = json!({ "url": link.url, "expires_at": expires_at });
        let code = context.output.answer(&value, || link.url.clone())?;
        context.output.remark(&format!("anybody who has the link can download the file until {expires_at}"));
        if let Some(hint) = self.hint(&link.url, context).await {
            context.output.remark(&hint);
        }
        Ok(code)
    }

    /// What to do where the link is the service's own and no service answers to it.
    async fn hint(&self, url: &str, context: &Context) -> Option<String> {
        if !url.contains(LINK_PATH) {
            return None;
        }
        let address = address(url)?;
        if matches!(timeout(ANSWER_TIMEOUT, TcpStream::connect(&address)).await, Ok(Ok(_))) {
            return None;
        }
        let step = match &context.loaded.config.http.public_url {
            Some(_) => "STORAGE_PUBLIC_URL must lead to a running service",
            None => "the link works while the service runs there (storage serve)",
        };
        Some(format!("nothing listens at {address} now: {step}"))
    }
}

/// Host and port of a URL.
fn address(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Some(format!("{}:{port}", uri.host()?))
}
