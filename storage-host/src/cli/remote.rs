//! Commands that change the service that runs: they call its administrative routes over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use reqwest::{Method, Response};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use storage_core::{Error, ErrorKind, Result};

use super::context::Context;

/// Longer than a service tries to open backends.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the running service is.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The address of the running service; where this configuration lets it listen, unless it is given
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

impl Remote {
    /// Calls a route with the key of `STORAGE_ADMIN_KEY`, and gives its answer.
    pub(super) async fn call(
        &self,
        context: &Context,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let config = &context.loaded.config;
        let key = config.admin_key.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, "STORAGE_ADMIN_KEY is not set").with_context(
                "next_step",
                "make a key with `storage keys create NAME --admin`, and set STORAGE_ADMIN_KEY to it",
            )
        })?;
        let base = self.url.clone().unwrap_or_else(|| format!("http://{}", reachable(config.http.bind)));
        let url = format!("{}{path}", base.trim_end_matches('/'));
        // An error only says that the process has chosen a provider before: then that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| {
            Error::new(ErrorKind::Internal, "no HTTP client can be made").with_source(error)
        })?;
        let mut request = client.request(method, &url).bearer_auth(key.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the service does not answer")
                .with_context("url", &url)
                .with_context("next_step", "start it with `storage serve`, or name its address with --url")
                .with_source(error.without_url())
        })?;
        answer(response, &url).await
    }
}

/// Where a service that listens on every address of this machine is reached.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

async fn answer(response: Response, url: &str) -> Result<Value> {
    let status = response.status();
    let text = response.text().await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the answer of the service broke off")
            .with_context("url", url)
            .with_source(error.without_url())
    })?;
    match serde_json::from_str(&text) {
        Ok(value) if status.is_success() => Ok(value),
        Ok(Value::Object(problem)) if problem.contains_key("code") => Err(error_of(&problem)),
        _ => Err(Error::new(ErrorKind::Unavailable, "what answered is not the storage service")
            .with_context("url", url)
            .with_context("status", status)),
    }
}

/// The error that a problem of the service tells.
fn error_of(problem: &Map<String, Value>) -> Error {
    let text = |name: &str| problem.get(name).and_then(Value::as_str);
    let kind = match text("code") {
        Some("unauthenticated") => ErrorKind::Unauthenticated,
        Some("permission_denied") => ErrorKind::PermissionDenied,
        Some("backend_not_found") => ErrorKind::NotFound,
        Some("already_exists") => ErrorKind::AlreadyExists,
        Some("invalid_argument" | "invalid_request") => ErrorKind::InvalidArgument,
        Some("unsupported") => ErrorKind::Unsupported,
        Some("change_refused") => ErrorKind::ConfigInvalid,
        _ => ErrorKind::Unavailable,
    };
    let message = text("detail").or_else(|| text("title")).unwrap_or("the service refused");
    let context = problem.get("context").and_then(Value::as_object);
    let facts = context.into_iter().flatten().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let facts =
        facts.flat_map(|(name, value)| value.lines().map(move |line| (name.clone(), line.to_owned())));
    facts.fold(Error::new(kind, message), |error, (name, value)| error.with_context(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_reached_on_this_machine() {
        let reached = |bind: &str| reachable(bind.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("10.0.0.1:80"), "10.0.0.1:80");
    }
}
