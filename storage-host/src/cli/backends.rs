//! `storage backends list | test`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::exit;
use super::table::table;
use crate::manager::{BackendStatus, Probe};
use crate::service::SimpleStorageService;

/// Looks at the configured backends.
#[derive(Debug, Subcommand)]
pub(super) enum Backends {
    /// Lists the configured backends
    List,
    /// Asks backends whether they would serve now
    Test {
        /// The backend; all of them where absent
        name: Option<String>,
    },
}

impl Backends {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        context
            .with_service(async |service| match self {
                Backends::List => list(context, service),
                Backends::Test { name } => test(context, service, name).await,
            })
            .await
    }
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
