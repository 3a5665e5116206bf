//! `storage backends list | test | call | policy`, and `open | close | switch` on the service that runs.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::arguments::pair;
use super::context::Context;
use super::remote::Remote;
use super::table::table;
use super::{exit, extensions};
use crate::manager::{BackendStatus, Probe};
use crate::service::SimpleStorageService;

/// Looks at the configured backends, and opens, closes and switches those of the running service.
#[derive(Debug, Subcommand)]
pub(super) enum Backends {
    /// Lists the configured backends
    List,
    /// Asks backends whether they would serve now
    Test {
        /// The backend; all of them where absent
        name: Option<String>,
    },
    /// Calls an operation that only this kind of provider has; lists those that there are where none is named
    Call {
        /// The backend
        name: String,
        /// The operation
        operation: Option<String>,
        /// Its arguments: NAME=TEXT, or NAME:=JSON
        #[arg(value_name = "ARGUMENT", value_parser = extensions::argument)]
        arguments: Vec<(String, Value)>,
    },
    /// Prints the permissions that a backend needs, in the form in which its provider grants them
    Policy {
        /// The backend
        name: String,
    },
    /// Opens a further backend in the running service, until that ends
    Open {
        /// Its name
        name: String,
        /// The backend type, whose plugin may have been put into the plugin directory meanwhile
        #[arg(value_name = "TYPE")]
        backend_type: String,
        /// Sets a key of its configuration. Others see arguments: a backend with secrets belongs into the
        /// configuration, which `storage reload` reads
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
        settings: Vec<(String, String)>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Closes a backend of the running service; its files cannot be read until it is opened again
    Close {
        /// Its name
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lets new files of the running service go to another of its backends, until it ends or reads its configuration
    Switch {
        /// Its name
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Backends {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Backends::List => context.with_service(async |service| list(context, service)).await,
            Backends::Test { name } => {
                context.with_service(async |service| test(context, service, name).await).await
            }
            Backends::Call { name, operation, arguments } => {
                let call = async |service: &SimpleStorageService| {
                    let backend = service.manager().backend(&name)?;
                    extensions::call(context, &backend, operation, arguments).await
                };
                context.with_service(call).await
            }
            Backends::Policy { name } => {
                let policy = async |service: &SimpleStorageService| {
                    extensions::policy(context, &*service.manager().backend(&name)?).await
                };
                context.with_service(policy).await
            }
            Backends::Open { name, backend_type, settings, remote } => {
                let settings: BTreeMap<_, _> = settings.into_iter().collect();
                let body = json!({ "name": name, "type": backend_type, "settings": settings });
                let call = remote.call(context, Method::POST, "/v1/admin/backends", Some(&body));
                changed(context, &call.await?)
            }
            Backends::Close { name, remote } => {
                let path = format!("/v1/admin/backends/{}", utf8_percent_encode(&name, NON_ALPHANUMERIC));
                changed(context, &remote.call(context, Method::DELETE, &path, None).await?)
            }
            Backends::Switch { name, remote } => {
                let body = json!({ "backend": name });
                let call = remote.call(context, Method::PUT, "/v1/admin/primary", Some(&body));
                changed(context, &call.await?)
            }
        }
    }
}

/// Tells which backends the running service has now.
fn changed(context: &Context, answer: &Value) -> anyhow::Result<ExitCode> {
    let row = |(name, backend): (&String, &Value)| {
        let text = |member: &str| backend[member].as_str().unwrap_or_default().to_owned();
        let primary = if backend["is_primary"] == true { "primary" } else { "" };
        [name.clone(), text("type"), text("status"), primary.to_owned()]
    };
    context.output.answer(answer, || {
        let backends = answer["backends"].as_object();
        table(["NAME", "TYPE", "STATUS", ""], backends.into_iter().flatten().map(row))
    })
}

fn list(context: &Context, service: &SimpleStorageService) -> anyhow::Result<ExitCode> {
    let backends = service.manager().list_backends();
    let values: Vec<_> = backends
        .iter()
        .map(|(name, status)| {
            json!({
                "name": name,
                "type": status.info.backend_type,
                "status": status.status,
                "is_primary": status.is_primary,
                "location": status.info.location,
                "server": status.info.server,
                "capabilities": status.info.capabilities.names(),
            })
        })
        .collect();
    context.output.answer(&values, || {
        let row = |(name, status): (&String, &BackendStatus)| {
            let primary = if status.is_primary { "primary" } else { "" };
            [
                name.clone(),
                status.info.backend_type.clone(),
                status.status.clone(),
                primary.to_owned(),
                status.info.location.clone(),
            ]
        };
        table(["NAME", "TYPE", "STATUS", "", "LOCATION"], backends.iter().map(row))
    })
}

async fn test(
    context: &Context,
    service: &SimpleStorageService,
    name: Option<String>,
) -> anyhow::Result<ExitCode> {
    if let Some(name) = &name {
        service.manager().backend(name)?;
    }
    let mut probes = service.manager().health().await;
    probes.retain(|probed, _| name.as_ref().is_none_or(|name| name == probed));
    let problems = |probe: &Probe| match &probe.result {
        Ok(health) => health.problems.clone(),
        Err(error) => vec![error.report()],
    };
    let values: Vec<_> = probes
        .iter()
        .map(|(name, probe)| {
            let problems = problems(probe);
            json!({
                "name": name,
                "healthy": problems.is_empty(),
                "latency_ms": probe.latency.as_secs_f64() * 1e3,
                "problems": problems,
            })
        })
        .collect();
    context.output.answer(&values, || {
        let row = |(name, probe): (&String, &Probe)| {
            let problems = problems(probe);
            let state = if problems.is_empty() { "healthy" } else { "unhealthy" };
            let latency = format!("{:.1} ms", probe.latency.as_secs_f64() * 1e3);
            [name.clone(), state.to_owned(), latency, problems.join("; ")]
        };
        table(["NAME", "STATE", "LATENCY", "PROBLEMS"], probes.iter().map(row))
    })?;
    let unhealthy = probes.values().any(|probe| !problems(probe).is_empty());
    Ok(if unhealthy { ExitCode::from(exit::UNAVAILABLE) } else { ExitCode::SUCCESS })
}
