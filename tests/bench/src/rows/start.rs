//! How long the service takes from its start until it is ready to serve, with every plugin and a large catalog: each
//! plugin opens its backend on a server that answers.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::clients::{self, Server};
use crate::contest::Contest;
use crate::environment::Environment;
use crate::host;
use crate::process::{Process, free_address};
use crate::raw_http::{self, Request};
use crate::row::{Row, Unit};
use crate::rows::catalog::filled_catalog;
use crate::weed::Weed;

pub(crate) const ROWS: &[&str] = &["start"];

/// What it may take, in milliseconds.
const LIMIT_MS: f64 = 1_000.0;

pub(crate) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let kept = filled_catalog(environment.results(), environment.catalog_files).await?;
    let folder = environment.scratch()?;
    let folder = folder.path();
    std::fs::copy(kept, folder.join("storage-catalog.db"))?;
    let weed = Weed::start(environment, &folder.join("weed")).await?;
    let s3 = weed.endpoint();
    let azurite = Server::find(environment, "azurite")?;
    let account = clients::azure_endpoint(&azurite)?;
    let fake_gcs = Server::find(environment, "fake_gcs")?;
    let backends = [
        ("local", vec![("path", "./storage")]),
        ("minio", clients::s3_settings("minio", &s3)),
        ("aws_s3", clients::s3_settings("aws_s3", &s3)),
        ("azure_blob", clients::azure_settings(&azurite, &account)?),
        ("gcs", clients::gcs_settings(&fake_gcs)),
    ];
    let config = backends.iter().map(|(backend_type, settings)| {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
        let with_type = settings.chain([("type".to_owned(), Value::from(*backend_type))]);
        ((*backend_type).to_owned(), Value::Object(with_type.collect()))
    });
    let config = Value::Object(config.collect()).to_string();
    let work = format!(
        "start to ready with {} plugins and {} files in the catalog",
        backends.len(),
        environment.catalog_files
    );
    let contest = Contest::new("start", work, Unit::Milliseconds).contender("storage serve", || async {
        let address = free_address()?;
        let variables = [("BACKENDS_CONFIG", config.as_str())];
        let mut command = host::command(environment, folder, &variables)?;
        command.args(["serve", "--bind", &address.to_string()]);
        let started = Instant::now();
        let mut process = Process::start(&mut command, &folder.join("service.log"))?;
        process.listens(address).await?;
        let path = "/health/ready".to_owned();
        raw_http::probe(Request { address, method: "GET", path, headers: Vec::new() })
            .await
            .context("not ready")?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    });
    Ok(vec![contest.at_most(LIMIT_MS).run(environment.rounds).await?])
}
